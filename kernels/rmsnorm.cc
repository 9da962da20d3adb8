// rmsnorm.cc: RMSNorm (Zhang & Sennrich 2019) with the residual sum before it, and its backward.
//   sum = x + res;  rstd = 1/sqrt(mean(sum²) + eps);  out = sum·rstd·(shift + w)
//   dx += rstd·(dout·s - y·mean(dout·s·y));  dw += Σ_n dout·y,  y = x·rstd, s = shift + w;  and out once more
// A row is read twice; the second time it comes from the first-level cache.
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "rmsnorm.cc"
#include "arch.h"

void cpu_rmsnorm(kstream *s, const rmsnorm_args *a) { ARCH_RUN(rmsnorm, s, a); }
void cpu_rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) { ARCH_RUN(rmsnorm_backward, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

template <class T> inline void forward(const rmsnorm_args *a, int64_t lo, int64_t hi) {
    const int H = a->H;
    const float shift = a->shift;
    const T *w = (const T *)a->w;                                        // (H)
    for (int64_t n = lo; n < hi; n++) {
        const T *x = (const T *)a->x + n * H;                            // (H)
        T *out = (T *)a->out + n * H;                                    // (H)
        vf squares = {};
        if (a->res) {
            const T *res = (const T *)a->res + n * H;                    // (H)
            T *sum = (T *)a->sum + n * H;                                // (H)
            each(H, [&](int i, int k) {
                store(sum + i, load(x + i, k) + load(res + i, k), k);
                vf v = load(sum + i, k);  // as rounded: backward reads this one
                squares += v * v;
            });
            x = sum;
        } else {
            each(H, [&](int i, int k) {
                vf v = load(x + i, k);
                squares += v * v;
            });
        }
        const float rstd = a->rstd[n] = 1 / sqrtf(sum(squares) / H + a->eps);
        each(H, [&](int i, int k) { store(out + i, load(x + i, k) * rstd * (load(w + i, k) + shift), k); });
    }
}

FLAT void forward_rows(const rmsnorm_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

void rmsnorm(kstream *s, const rmsnorm_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

// dx and out of rows [n, n+K), and dw (H) += their dout·y. K rows share each load and store of dw.
template <int K, class T> inline void backward_group(const rmsnorm_backward_args *a, int64_t n, float *dw) {
    const int H = a->H;
    const T *w = (const T *)a->w;                                        // (H)
    const T *dout = (const T *)a->dout + n * H;                          // (K, H)
    const T *x = (const T *)a->x + n * H;                                // (K, H)
    T *dx = (T *)a->dx + n * H;                                          // (K, H)
    T *out = (T *)a->out + n * H;                                        // (K, H)
    const float *rstd = a->rstd + n;                                     // (K)
    const float shift = a->shift;
    float pull[K];                                                       // rstd³·mean(dout·s·x)
    vf dot[K] = {};
    each(H, [&](int i, int k) {
        vf v = load(w + i, k) + shift;
        for (int r = 0; r < K; r++) dot[r] += load(dout + (int64_t)r * H + i, k) * v * load(x + (int64_t)r * H + i, k);
    });
    for (int r = 0; r < K; r++) pull[r] = rstd[r] * rstd[r] * rstd[r] * (sum(dot[r]) / H);
    each(H, [&](int i, int k) {
        vf v = load(w + i, k) + shift, acc = load(dw + i, k);
        for (int r = 0; r < K; r++) {
            const int64_t at = (int64_t)r * H + i;
            vf g = load(dout + at, k), y = load(x + at, k);
            store(dx + at, load(dx + at, k) + (g * v * rstd[r] - y * pull[r]), k);
            acc += g * (y * rstd[r]);
            store(out + at, y * rstd[r] * v, k);
        }
        store(dw + i, acc, k);
    });
}

template <class T> inline void backward(const rmsnorm_backward_args *a, int64_t lo, int64_t hi, float *dw) {
    int64_t n = lo;
    for (; n + 4 <= hi; n += 4) backward_group<4, T>(a, n, dw);
    for (; n < hi; n++) backward_group<1, T>(a, n, dw);
}

FLAT void backward_rows(const rmsnorm_backward_args *a, int64_t lo, int64_t hi, float *dw) {
    memset(dw, 0, a->H * sizeof(float));
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi, dw) : backward<float>(a, lo, hi, dw);
}

FLAT void add_partials(float *dw, const float *partial, int64_t blocks, int H) {
    each(H, [&](int i, int k) {
        vf acc = {};
        for (int64_t b = 0; b < blocks; b++) acc += load(partial + b * H + i, k);
        store(dw + i, load(dw + i, k) + acc, k);
    });
}

// dw in two stages: one partial sum for each block of rows, then the partial sums in the order of the blocks. There are at
// most 256 blocks; their number depends on N and H alone.
void rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) {
    const int64_t N = a->N, H = a->H;
    int64_t rows = rows_per_item(H) > 16 ? rows_per_item(H) : 16;
    if (rows < (N + 255) / 256) rows = (N + 255) / 256;
    const int64_t blocks = (N + rows - 1) / rows;
    float *partial = s->scratch.get<float>(blocks * H);                  // (blocks, H)
    parallel_blocks(s, N, rows, [=](int64_t lo, int64_t hi, arena &) { backward_rows(a, lo, hi, partial + lo / rows * H); });
    add_partials(a->dw, partial, blocks, (int)H);
}

}  // namespace ARCH
}  // namespace
#endif
