// lora.cc: the low-rank part of a projection, y += t·bᵀ on some columns of both, and its gradients dt = dy·b, db += dyᵀ·t.
#ifndef ARCH
#include <algorithm>

#define ARCH_FILE "lora.cc"
#include "rows.h"
#include "arch.h"

void cpu_lora(kstream *s, const lora_args *a) { ARCH_RUN(lora, s, a); }
void cpu_lora_backward(kstream *s, const lora_backward_args *a) { ARCH_RUN(lora_backward, s, a); }

#else
#include "rows.h"
#include "product.h"

namespace {
namespace ARCH {

template <class T> void lora_of(kstream *s, const lora_args *a) {
    T *y = (T *)a->y + a->at;
    product<T, T>(s, y, y, a->C, (const T *)a->t + a->from, a->P, pack_transposed(s, (const T *)a->b, a->R, a->O, a->R), a->N, a->O, a->R);
}

template <class T> void lora_backward_of(kstream *s, const lora_backward_args *a) {
    const T *dy = (const T *)a->dy + a->at, *b = (const T *)a->b;
    product<T, T>(s, (T *)a->dt + a->from, nullptr, a->P, dy, a->C, pack(s, b, a->R, a->R, a->O), a->N, a->R, a->O);
    product_over_rows(s, a->db, dy, a->C, (const T *)a->t + a->from, a->P, a->N, a->O, a->R);
}

void lora(kstream *s, const lora_args *a) { a->dtype == K_BF16 ? lora_of<bf16>(s, a) : lora_of<float>(s, a); }
void lora_backward(kstream *s, const lora_backward_args *a) { a->dtype == K_BF16 ? lora_backward_of<bf16>(s, a) : lora_backward_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
