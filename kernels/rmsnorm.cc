// rmsnorm.cc: RMSNorm (Zhang & Sennrich 2019) with the residual sum before it, of parts of rows, and their backwards.
//   sum = x + res;  rstd = 1/sqrt(mean(sum²) + eps);  out = sum·rstd·(shift + w)
//   dx += rstd·(dout·s - y·mean(dout·s·y));  dw += Σ_n dout·y,  y = x·rstd, s = shift + w;  and out once more
// slice_norm is the same on parts of rows, in place; its backward has dx = … for dx += ….
// A row is read twice; the second time it comes from the first-level cache.
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "rmsnorm.cc"
#include "arch.h"

void cpu_slice_norm(kstream *s, const slice_norm_args *a) { ARCH_RUN(slice_norm, s, a); }
void cpu_slice_norm_backward(kstream *s, const slice_norm_backward_args *a) { ARCH_RUN(slice_norm_backward, s, a); }
void cpu_rmsnorm(kstream *s, const rmsnorm_args *a) { ARCH_RUN(rmsnorm, s, a); }
void cpu_rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) { ARCH_RUN(rmsnorm_backward, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

// A row of H numbers, to which res is added if there is one. kept gets the row as it is normalised, or is NULL. out may be x. Returns rstd.
template <class T> inline float norm_row(T *out, T *kept, const T *x, const T *res, const T *w, float eps, float shift, int H) {
    vf squares = {};
    if (res) {
        each(H, [&](int i, int k) {
            store(kept + i, load(x + i, k) + load(res + i, k), k);
            vf v = load(kept + i, k);  // as rounded: backward reads this one
            squares += v * v;
        });
        x = kept;
    } else {
        each(H, [&](int i, int k) {
            vf v = load(x + i, k);
            squares += v * v;
        });
        if (kept) memcpy(kept, x, H * sizeof(T));
    }
    const float rstd = 1 / sqrtf(sum(squares) / H + eps);
    if (shift == 0) each(H, [&](int i, int k) { store(out + i, load(x + i, k) * rstd * load(w + i, k), k); });
    else each(H, [&](int i, int k) { store(out + i, load(x + i, k) * rstd * (load(w + i, k) + shift), k); });
    return rstd;
}

template <class T> inline void forward(const rmsnorm_args *a, int64_t lo, int64_t hi) {
    const int64_t H = a->H;
    for (int64_t n = lo; n < hi; n++)
        a->rstd[n] = norm_row((T *)a->out + n * H, a->sum ? (T *)a->sum + n * H : nullptr, (const T *)a->x + n * H,
                              a->res ? (const T *)a->res + n * H : nullptr, (const T *)a->w, a->eps, a->shift, a->H);
}

template <class T> inline void forward(const slice_norm_args *a, int64_t lo, int64_t hi) {
    for (int64_t n = lo; n < hi; n++) {
        T *y = (T *)a->y + n * a->C + a->offset;                         // (groups, width)
        for (int64_t g = 0; g < a->groups; g++, y += a->width) {
            const int64_t at = n * a->groups + g;
            const float rstd = norm_row(y, a->x ? (T *)a->x + at * a->width : nullptr, y, (const T *)nullptr, (const T *)a->w, a->eps, a->shift, a->width);
            if (a->rstd) a->rstd[at] = rstd;
        }
    }
}

template <class A> FLAT void forward_rows(const A *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

void rmsnorm(kstream *s, const rmsnorm_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

void slice_norm(kstream *s, const slice_norm_args *a) {
    parallel_blocks(s, a->N, rows_per_item((int64_t)a->groups * a->width), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

// Rows of H numbers as backward needs them, so many numbers apart. out NULL: dx is not added to but replaced, and is dout itself.
template <class T> struct row_set {
    T *dx, *out;
    const T *dout, *x, *w;
    const float *rstd;
    float shift;
    int H;
    int64_t dx_step, x_step, rstd_step;                                  // of dx and dout, of x and out, of rstd
};

// dx and out of rows [n, n+K), and dw (H) += their dout·y. K rows share each load and store of dw.
template <int K, bool IN_PLACE, class T> inline void backward_group(const row_set<T> &a, int64_t n, float *dw) {
    const int H = a.H;
    const float shift = a.shift;
    const int64_t dx_step = a.dx_step, x_step = a.x_step;
    const T *w = a.w;                                                    // (H)
    const T *dout = a.dout + n * dx_step;                                // (K, H)
    const T *x = a.x + n * x_step;                                       // (K, H)
    T *dx = a.dx + n * dx_step;                                          // (K, H)
    T *out = IN_PLACE ? nullptr : a.out + n * x_step;                    // (K, H)
    float rstd[K], pull[K];                                              // rstd³·mean(dout·s·x)
    vf dot[K] = {};
    each(H, [&](int i, int k) {
        vf v = load(w + i, k) + shift;
        for (int r = 0; r < K; r++) dot[r] += load(dout + r * dx_step + i, k) * v * load(x + r * x_step + i, k);
    });
    for (int r = 0; r < K; r++) {
        rstd[r] = a.rstd[(n + r) * a.rstd_step];
        pull[r] = rstd[r] * rstd[r] * rstd[r] * (sum(dot[r]) / H);
    }
    each(H, [&](int i, int k) {
        vf v = load(w + i, k) + shift, acc = load(dw + i, k);
        for (int r = 0; r < K; r++) {
            vf g = load(dout + r * dx_step + i, k), y = load(x + r * x_step + i, k), d = g * v * rstd[r] - y * pull[r];
            store(dx + r * dx_step + i, IN_PLACE ? d : load(dx + r * dx_step + i, k) + d, k);
            acc += g * (y * rstd[r]);
            if (!IN_PLACE) store(out + r * x_step + i, y * rstd[r] * v, k);
        }
        store(dw + i, acc, k);
    });
}

template <bool IN_PLACE, class T> inline void backward_set(const row_set<T> &a, int64_t lo, int64_t hi, float *dw) {
    int64_t n = lo;
    for (; n + 4 <= hi; n += 4) backward_group<4, IN_PLACE>(a, n, dw);
    for (; n < hi; n++) backward_group<1, IN_PLACE>(a, n, dw);
}

template <class T> inline void backward(const rmsnorm_backward_args *a, int64_t lo, int64_t hi, float *dw) {
    backward_set<false, T>({(T *)a->dx, (T *)a->out, (const T *)a->dout, (const T *)a->x, (const T *)a->w, a->rstd, a->shift, a->H, a->H, a->H, 1}, lo, hi, dw);
}

template <class T> inline void backward(const slice_norm_backward_args *a, int64_t lo, int64_t hi, float *dw) {
    for (int64_t g = 0; g < a->groups; g++) {
        T *dx = (T *)a->dx + a->offset + g * a->width;
        backward_set<true, T>({dx, nullptr, dx, (const T *)a->x + g * a->width, (const T *)a->w, a->rstd + g, a->shift, a->width, a->C,
                               (int64_t)a->groups * a->width, a->groups}, lo, hi, dw);
    }
}

template <class A> FLAT void backward_rows(const A *a, int64_t lo, int64_t hi, float *dw) {
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi, dw) : backward<float>(a, lo, hi, dw);
}

void rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) {
    sum_rows(s, a->dw, a->N, a->H, a->H, [=](int64_t lo, int64_t hi, float *partial) { backward_rows(a, lo, hi, partial); });
}

void slice_norm_backward(kstream *s, const slice_norm_backward_args *a) {
    sum_rows(s, a->dw, a->N, (int64_t)a->groups * a->width, a->width, [=](int64_t lo, int64_t hi, float *partial) { backward_rows(a, lo, hi, partial); });
}

}  // namespace ARCH
}  // namespace
#endif
