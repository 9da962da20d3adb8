// product.h: products of matrices whose rows may be parts of longer ones. Included after rows.h, per instruction set.
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

// y (N, O) = add + x·b, x (N, K), b packed; y and add have rows of ldy numbers, x of ldx.
template <class T, class Y>
void product(kstream *s, Y *y, const Y *add, int64_t ldy, const T *x, int64_t ldx, const float *b, int N, int O, int K) {
    parallel_tiles(s, N, O, [=](int m, int rows, int p, int np, arena &scratch) {
        int n = p * NR, cols = std::min(np * NR, O - n);
        int64_t ldf, at = m * ldy + n;
        const float *xf = f32_rows(x + m * ldx, ldx, rows, K, scratch, &ldf);
        rows_times_panels(y + at, add ? add + at : nullptr, ldy, xf, ldf, b + (int64_t)p * NR * K, rows, cols, K, scratch);
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

// The rows of a matrix as f32, where they lie or in scratch.
template <class T> struct dense_rows {
    const T *w;
    int64_t ld;
    const float *operator()(int64_t row, int rows, arena &scratch, int64_t *ldw) const { return f32_rows(w + row * ld, ld, rows, (int)ld, scratch, ldw); }
};

// y = x·wᵀ for few rows of x, as yᵀ = w·xᵀ in tiles that are turned over when they are done: x is packed, and w read once, where it
// lies. An element is the same chain of sums as in product.
template <class T, class Y, class R> void product_of_few(kstream *s, Y *y, int64_t ldy, const T *x, R w, int N, int O, int K) {
    const float *b = pack_transposed(s, x, K, N, K);  // panel by panel (K, NR)
    parallel_tiles(s, O, N, [=](int o, int rows, int p, int np, arena &scratch) {
        int64_t ldw;
        const float *wf = w(o, rows, scratch, &ldw);      // (rows, K)
        float *t = scratch.get<float>((size_t)rows * NR);  // (rows, NR)
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
            turn(y + n * ldy + o, ldy, t, NR, rows, cols);
        }
    });
}

const int FEW = 256;  // rows of x; with more, packing w costs less than turning y over (bench/RESULTS.md)

// dw (O, I) += dyᵀ·x, dy (N, O) with rows of lddy numbers, x (N, I) with rows of ldx.
template <class T>
void product_over_rows(kstream *s, float *dw, const T *dy, int64_t lddy, const T *x, int64_t ldx, int N, int O, int I) {
    if (N == 0) return;
    float *b = pack(s, x, ldx, I, N);
    parallel_tiles(s, O, I, [=](int m, int rows, int p, int np, arena &scratch) {
        float *c = dw + (int64_t)m * I + p * NR;
        gemm_columns(c, I, c, I, dy + m, lddy, b + (int64_t)p * NR * N, (int64_t)N * NR, rows, std::min(np * NR, I - p * NR), N, scratch);
    });
}

}  // namespace ARCH
}  // namespace
