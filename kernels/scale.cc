// scale.cc: each element by itself, in place: x *= s, and x = cap·tanh(x·scale/cap).
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "scale.cc"
#include "arch.h"

void cpu_scale(kstream *s, const scale_args *a) { ARCH_RUN(scale, s, a); }
void cpu_soft_cap(kstream *s, const soft_cap_args *a) { ARCH_RUN(soft_cap, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

const int64_t per_item = 1 << 14;

template <class T> FLAT void scale_elements(T *x, float s, int64_t n) {
    each(n, [&](int64_t i, int k) { store(x + i, load(x + i, k) * s, k); });
}

void scale(kstream *s, const scale_args *a) {
    parallel_blocks(s, a->n, per_item, [=](int64_t lo, int64_t hi, arena &) {
        if (a->dtype == K_BF16) scale_elements((bf16 *)a->x + lo, a->s, hi - lo);
        else scale_elements((float *)a->x + lo, a->s, hi - lo);
    });
}

void soft_cap(kstream *s, const soft_cap_args *a) {
    parallel_blocks(s, a->n, per_item, [=](int64_t lo, int64_t hi, arena &) { soft_cap_row(a->x + lo, hi - lo, a->scale, a->cap); });
}

}  // namespace ARCH
}  // namespace
#endif
