// matmul.cc: y = x·wᵀ, dx = dy·w, dw += dyᵀ·x.
// bf16 is converted in blocks, summed in f32 and rounded once.
#ifndef ARCH
#include <algorithm>

#define ARCH_FILE "matmul.cc"
#include "arch.h"

void cpu_matmul(kstream *s, const matmul_args *a) { ARCH_RUN(matmul, s, a); }
void cpu_matmul_dx(kstream *s, const matmul_dx_args *a) { ARCH_RUN(matmul_dx, s, a); }
void cpu_matmul_dw(kstream *s, const matmul_dw_args *a) { ARCH_RUN(matmul_dw, s, a); }

#else
#include "gemm.h"

namespace {
namespace ARCH {

// Rows of x times packed panels of b, onto columns [n, n + cols) of y (…, ldy).  y = add + x·b
template <class Y>
void rows_times_panels(Y *y, const Y *add, int64_t ldy, const float *x, int64_t ldx, const float *b, int rows, int cols, int K,
                       arena &scratch) {
    if constexpr (sizeof(Y) == 4) {
        (void)scratch;
        gemm(y, ldy, add, ldy, x, ldx, b, (int64_t)K * NR, rows, cols, K);
    } else {
        float *t = scratch.get<float>((size_t)rows * cols);
        gemm(t, cols, nullptr, 0, x, ldx, b, (int64_t)K * NR, rows, cols, K);
        for (int r = 0; r < rows; r++) {
            const float *p = t + (int64_t)r * cols;
            if (add) from_f32_row(y + r * ldy, p, add + r * ldy, cols);
            else from_f32_row(y + r * ldy, p, cols);
        }
    }
}

template <class T, class Y>
void product(kstream *s, Y *y, const Y *add, const T *x, const float *b, int N, int O, int K) {
    parallel_tiles(s, N, O, [=](int m, int rows, int p, int np, arena &scratch) {
        int n = p * NR, cols = std::min(np * NR, O - n);
        int64_t ldx, at = (int64_t)m * O + n;
        const float *xf = f32_rows(x + (int64_t)m * K, K, rows, K, scratch, &ldx);
        rows_times_panels(y + at, add ? add + at : nullptr, O, xf, ldx, b + (int64_t)p * NR * K, rows, cols, K, scratch);
    });
}

template <class T> void matmul_of(kstream *s, const matmul_args *a) {
    const T *x = (const T *)a->x;
    float *b = pack_transposed(s, (const T *)a->w, a->I, a->O, a->I);
    if (a->y_f32) product<T, float>(s, (float *)a->y, (const float *)a->add, x, b, a->N, a->O, a->I);
    else product<T, T>(s, (T *)a->y, (const T *)a->add, x, b, a->N, a->O, a->I);
}

template <class T> void matmul_dx_of(kstream *s, const matmul_dx_args *a) {
    T *dx = (T *)a->dx;
    float *b = pack(s, (const T *)a->w, a->I, a->I, a->O);
    product<T, T>(s, dx, a->accumulate ? dx : nullptr, (const T *)a->dy, b, a->N, a->I, a->O);
}

template <class T> void matmul_dw_of(kstream *s, const matmul_dw_args *a) {
    const T *dy = (const T *)a->dy;
    const int N = a->N, I = a->I, O = a->O;
    if (N == 0) return;
    float *b = pack(s, (const T *)a->x, I, I, N), *dw = a->dw;
    parallel_tiles(s, O, I, [=](int m, int rows, int p, int np, arena &scratch) {
        float *c = dw + (int64_t)m * I + p * NR;
        gemm_columns(c, I, c, I, dy + m, O, b + (int64_t)p * NR * N, (int64_t)N * NR, rows, std::min(np * NR, I - p * NR), N, scratch);
    });
}

void matmul(kstream *s, const matmul_args *a) { a->dtype == K_BF16 ? matmul_of<bf16>(s, a) : matmul_of<float>(s, a); }
void matmul_dx(kstream *s, const matmul_dx_args *a) { a->dtype == K_BF16 ? matmul_dx_of<bf16>(s, a) : matmul_dx_of<float>(s, a); }
void matmul_dw(kstream *s, const matmul_dw_args *a) { a->dtype == K_BF16 ? matmul_dw_of<bf16>(s, a) : matmul_dw_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
