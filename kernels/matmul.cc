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
#include "product.h"
#include "rows.h"

namespace {
namespace ARCH {

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
