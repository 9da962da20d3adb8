// rope.cc: rotary position embedding (Su et al. 2021) in place on the queries and keys of qkv.
//   a' = a·cos - b·sin,  b' = b·cos + a·sin   for the channels a = x[i], b = x[i + R/2] of a head;  backward: the angle negated
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "rope.cc"
#include "arch.h"

void cpu_rope(kstream *s, const rope_args *a) {
    for (int64_t n = 0; n < a->N; n++) check_index("rope", "pos", n, a->pos[n], a->T);
    ARCH_RUN(rope, s, a);
}

void cpu_rope_backward(kstream *s, const rope_backward_args *a) {
    for (int64_t n = 0; n < a->N; n++) check_index("rope_backward", "pos", n, a->pos[n], a->T);
    ARCH_RUN(rope_backward, s, a);
}

#else
#include "rows.h"

namespace {
namespace ARCH {

template <class T> inline void turn(const rope_args *a, int64_t lo, int64_t hi, float sign) {
    const int heads = a->A + a->G, half = a->R / 2;
    for (int64_t n = lo; n < hi; n++) {
        const float *c = a->table + (int64_t)a->pos[n] * a->R;           // (R/2)
        const float *d = c + half;                                       // (R/2)
        T *row = (T *)a->qkv + n * (a->A + 2 * a->G) * a->D;             // (A + 2G, D)
        each(half, [&](int i, int k) {
            const vf cosine = load(c + i, k), sine = load(d + i, k) * sign;
            for (int h = 0; h < heads; h++) {
                T *x = row + h * a->D + i;
                vf p = load(x, k), q = load(x + half, k);
                store(x, p * cosine - q * sine, k);
                store(x + half, q * cosine + p * sine, k);
            }
        });
    }
}

FLAT void turn_rows(const rope_args *a, int64_t lo, int64_t hi, float sign) {
    a->dtype == K_BF16 ? turn<bf16>(a, lo, hi, sign) : turn<float>(a, lo, hi, sign);
}

void run(kstream *s, const rope_args *a, float sign) {
    parallel_blocks(s, a->N, rows_per_item((a->A + a->G) * a->D), [=](int64_t lo, int64_t hi, arena &) { turn_rows(a, lo, hi, sign); });
}

void rope(kstream *s, const rope_args *a) { run(s, a, 1); }
void rope_backward(kstream *s, const rope_backward_args *a) { run(s, a, -1); }

}  // namespace ARCH
}  // namespace
#endif
