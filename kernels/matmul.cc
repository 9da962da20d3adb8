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
#include "gemm.h"
#include "rows.h"

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

// d[j·ldd + i] = a[i·lda + j] for rows × cols of a.
template <class T> void turn(T *d, int64_t ldd, const float *a, int64_t lda, int rows, int cols) {
    for (int i = 0; i < rows; i += W)
        for (int j = 0; j < cols; j += W) {
            const int high = std::min(W, rows - i), wide = std::min(W, cols - j);
            vf r[W];
            UNROLL for (int k = 0; k < W; k++) r[k] = k < high ? load(a + (i + k) * lda + j, wide) : vf{};
            transpose(r);
            UNROLL for (int k = 0; k < W; k++)
                if (k < wide) store(d + (j + k) * ldd + i, r[k], high);
        }
}

// y = x·wᵀ for few rows of x, as yᵀ = w·xᵀ in tiles that are turned over when they are done: x is packed, and w read once, where it
// lies. An element is the same chain of sums as in product.
template <class T, class Y> void product_of_few(kstream *s, Y *y, const T *x, const T *w, int N, int O, int K) {
    const float *b = pack_transposed(s, x, K, N, K);  // panel by panel (K, NR)
    parallel_tiles(s, O, N, [=](int o, int rows, int p, int np, arena &scratch) {
        int64_t ldw;
        const float *wf = f32_rows(w + (int64_t)o * K, K, rows, K, scratch, &ldw);  // (rows, K)
        float *t = scratch.get<float>((size_t)rows * NR);                           // (rows, NR)
        for (const int end = p + np; p < end; p++) {
            const int n = p * NR, cols = std::min(NR, N - n);
            int k = 0;
            do {
                const float *panel = b + ((int64_t)p * K + k) * NR, *before = k ? t : nullptr;
                const int kc = std::min(KC, K - k);
                if (cols > W) gemm_panel<STREAM, NV>(t, before, wf + k, ldw, panel, rows, kc);
                else gemm_panel<STREAM, 1>(t, before, wf + k, ldw, panel, rows, kc);
                k += kc;
            } while (k < K);
            turn(y + (int64_t)n * O + o, O, t, NR, rows, cols);
        }
    });
}

const int FEW = 256;  // rows of x; with more, packing w costs less than turning y over (bench/RESULTS.md)

template <class T, class Y> void matmul_to(kstream *s, const matmul_args *a) {
    const T *x = (const T *)a->x, *w = (const T *)a->w;
    if (a->N <= FEW && !a->add) {
        product_of_few(s, (Y *)a->y, x, w, a->N, a->O, a->I);
        return;
    }
    product<T>(s, (Y *)a->y, (const Y *)a->add, x, pack_transposed(s, w, a->I, a->O, a->I), a->N, a->O, a->I);
}

template <class T> void matmul_of(kstream *s, const matmul_args *a) { a->y_f32 ? matmul_to<T, float>(s, a) : matmul_to<T, T>(s, a); }

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
