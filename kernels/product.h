// product.h: products of matrices whose rows may be parts of longer ones. Included after vec.h, per instruction set.
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
