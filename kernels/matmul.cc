// matmul.cc: y = x·wᵀ, dx = dy·w, dw += dyᵀ·x.
// bf16 is converted in blocks, summed in f32 and rounded once. One factor is packed: w, or x where it has few rows, as in decoding.
#ifndef ARCH
#include <algorithm>

#define ARCH_FILE "matmul.cc"
#include "rows.h"
#include "arch.h"

void cpu_matmul(kstream *s, const matmul_args *a) { ARCH_RUN(matmul, s, a); }
void cpu_matmul_dx(kstream *s, const matmul_dx_args *a) { ARCH_RUN(matmul_dx, s, a); }
void cpu_matmul_dw(kstream *s, const matmul_dw_args *a) { ARCH_RUN(matmul_dw, s, a); }

#else
#include "rows.h"
#include "product.h"

namespace {
namespace ARCH {

template <class T, class Y> void matmul_to(kstream *s, const matmul_args *a) {
    const T *x = (const T *)a->x, *w = (const T *)a->w;
    if (a->N <= FEW && !a->add) {
        product_of_few(s, (Y *)a->y, a->O, x, dense_rows<T>{w, a->I}, a->N, a->O, a->I);
        return;
    }
    product<T>(s, (Y *)a->y, (const Y *)a->add, a->O, x, a->I, pack_transposed(s, w, a->I, a->O, a->I), a->N, a->O, a->I);
}

template <class T> void matmul_of(kstream *s, const matmul_args *a) { a->y_f32 ? matmul_to<T, float>(s, a) : matmul_to<T, T>(s, a); }

template <class T> void matmul_dx_of(kstream *s, const matmul_dx_args *a) {
    T *dx = (T *)a->dx;
    float *b = pack(s, (const T *)a->w, a->I, a->I, a->O);
    product<T, T>(s, dx, a->accumulate ? dx : nullptr, a->I, (const T *)a->dy, a->O, b, a->N, a->I, a->O);
}

template <class T> void matmul_dw_of(kstream *s, const matmul_dw_args *a) {
    product_over_rows(s, a->dw, (const T *)a->dy, a->O, (const T *)a->x, a->I, a->N, a->O, a->I);
}

void matmul(kstream *s, const matmul_args *a) { a->dtype == K_BF16 ? matmul_of<bf16>(s, a) : matmul_of<float>(s, a); }
void matmul_dx(kstream *s, const matmul_dx_args *a) { a->dtype == K_BF16 ? matmul_dx_of<bf16>(s, a) : matmul_dx_of<float>(s, a); }
void matmul_dw(kstream *s, const matmul_dw_args *a) { a->dtype == K_BF16 ? matmul_dw_of<bf16>(s, a) : matmul_dw_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
