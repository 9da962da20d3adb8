// rows.h: what the ops on rows share: checks and sizes of items, and (after vec.h, per instruction set) rows of any length.
// The last step of a row may be partial: it is the same vector code on a copy padded to a vector, so that an element's
// result and its place in a sum do not depend on where the row ends.
#ifndef CRITICRM_ROWS_H
#define CRITICRM_ROWS_H

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu.h"

// How many rows of n elements make an item: large enough to hide the cost of claiming it (about 0.1 µs), small enough
// that a few thousand tokens spread over many cores.
static inline int64_t rows_per_item(int64_t n) {
    const int64_t elements = 8192;
    return n < elements ? elements / (n > 0 ? n : 1) : 1;
}

// An index is the one argument of an op that the Go side cannot check by shape.
static inline void check_index(const char *op, const char *name, int64_t at, int64_t value, int64_t bound) {
    if (value < 0 || value >= bound)
        throw std::out_of_range(std::string(op) + ": " + name + "[" + std::to_string(at) + "] is " + std::to_string(value) +
                                ", not in [0, " + std::to_string(bound) + ")");
}

// That subtrees end within the forest; with a window, which is measured in positions, that pos counts the tokens above on the branch.
static inline void check_forest(const char *op, const int32_t *end, const int32_t *pos, int64_t N, int32_t window) {
    for (int64_t n = 0; n < N; n++) check_index(op, "end", n, end[n] - n - 1, N - n);
    if (window == 0) return;
    std::vector<std::pair<int32_t, int32_t>> open;  // ends around the token, and the position after the last token of each
    for (int64_t n = 0; n < N; n++) {
        while (!open.empty() && open.back().first <= n) open.pop_back();
        const int32_t at = open.empty() ? 0 : open.back().second;
        if (pos[n] != at)
            throw std::out_of_range(std::string(op) + ": pos[" + std::to_string(n) + "] is " + std::to_string(pos[n]) + ", and there are " +
                                    std::to_string(at) + " tokens above");
        if (open.empty() || open.back().first != end[n]) open.push_back({end[n], at});
        open.back().second = at + 1;
    }
}

// norm as grad_norm gives it. An update is made if it is finite and, where skip is not 0, not over skip. The factor of clipping to it is min(1, max_norm/norm), and 1 where max_norm is 0.
static inline bool norm_is_usable(const float *norm, float skip) { return isfinite(norm[0]) && !(norm[1] > 0) && !(skip > 0 && norm[0] > skip); }
static inline float clip_factor(const float *norm, float max_norm) { return max_norm > 0 && norm[0] > max_norm ? max_norm / norm[0] : 1.0f; }

#endif

#ifdef ARCH
// Inlines all that a function calls, the functions given to each() above all: only then is their width a constant.
#ifndef FLAT
#define FLAT __attribute__((flatten))
#endif

namespace {
namespace ARCH {

// The first n <= W elements of p, then fill; and the first n lanes of x back.
template <class T> INLINE vf load(const T *p, int n, float fill = 0) {
    if (n == W) return load(p);
    float t[W];
    for (int i = 0; i < W; i++) t[i] = fill;
    for (int i = 0; i < W && i < n; i++) t[i] = to_f32(p[i]);
    return load(t);
}
template <class T> INLINE void store(T *p, vf x, int n) {
    if (n == W) {
        store(p, x);
        return;
    }
    float t[W];
    store(t, x);
    for (int i = 0; i < W && i < n; i++) from_f32(p + i, t[i]);
}

// f(i, width) for i = 0, W, … below n; width is the constant W but for the last step.
template <class F> INLINE void each(int64_t n, F f) {
    int64_t i = 0;
    for (; i + W <= n; i += W) f(i, W);
    if (i < n) f(i, (int)(n - i));
}

// A sum of floats in double: lane by lane, the lanes in their order at the end.
typedef double vd __attribute__((vector_size(4 * W)));
struct dsum {
    vd lo = {}, hi = {};
    static INLINE void halves(vf x, vd *a, vd *b) {
        typedef float half __attribute__((vector_size(2 * W)));
        half h[2];
        memcpy(h, &x, sizeof x);
        *a = __builtin_convertvector(h[0], vd);
        *b = __builtin_convertvector(h[1], vd);
    }
    INLINE void add(vf x) {
        vd a, b;
        halves(x, &a, &b);
        lo += a;
        hi += b;
    }
    INLINE void add_square(vf x) {
        vd a, b;
        halves(x, &a, &b);
        lo += a * a;
        hi += b * b;
    }
    INLINE double total() const {
        vd s = lo + hi;
        double t = 0;
        for (int i = 0; i < W / 2; i++) t += s[i];
        return t;
    }
};

// dw (width) += the sums over N rows of `row` numbers each, in two stages: add(lo, hi, partial) adds those of a block of rows to partial
// (width), zero before; then the blocks' are added in their order. There are at most 256; their number depends on N and row alone.
FLAT inline void add_partials(float *dw, const float *partial, int64_t blocks, int64_t width) {
    each(width, [&](int i, int k) {
        vf acc = {};
        for (int64_t b = 0; b < blocks; b++) acc += load(partial + b * width + i, k);
        store(dw + i, load(dw + i, k) + acc, k);
    });
}
template <class F> void sum_rows(kstream *s, float *dw, int64_t N, int64_t row, int64_t width, F add) {
    int64_t rows = rows_per_item(row) > 16 ? rows_per_item(row) : 16;
    if (rows < (N + 255) / 256) rows = (N + 255) / 256;
    const int64_t blocks = (N + rows - 1) / rows;
    float *partial = s->scratch.get<float>(blocks * width);              // (blocks, width)
    parallel_blocks(s, N, rows, [=](int64_t lo, int64_t hi, arena &) {
        float *mine = partial + lo / rows * width;
        memset(mine, 0, width * sizeof(float));
        add(lo, hi, mine);
    });
    add_partials(dw, partial, blocks, width);
}

// How many lanes of a comparison hold.
INLINE int64_t count(vi x) {
    int64_t n = 0;
    for (int i = 0; i < W; i++) n += x[i];
    return n;
}

// exp(x) within about 1 ulp for x <= 88.7; 0 below -87.3. Range reduction to |f| <= ½·ln 2 in two parts of ln 2, and the
// minimax polynomial of Cephes expf (Moshier 1992).
INLINE vf vexp(vf x) {
    const vf lo = splat(-87.33654f);
    vf y = vmax(x, lo), n = y * 1.44269504f + 12582912.0f;  // rounds to an integer in the low bits
    vi k = (vi)n;
    n = n - 12582912.0f;
    vf f = y - n * 0.693359375f - n * -2.12194440e-4f;
    vf p = f * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    return x < lo ? vf{} : (vf)((vi)p + (k << 23));
}

// x = cap·tanh(x·scale/cap), or x·scale where cap is 0.
FLAT inline void soft_cap_row(float *x, int64_t n, float scale, float cap) {
    const float inside = cap > 0 ? scale / cap : scale;
    if (cap > 0) each(n, [&](int64_t i, int k) { store(x + i, cap * vtanh(load(x + i, k) * inside), k); });
    else each(n, [&](int64_t i, int k) { store(x + i, load(x + i, k) * inside, k); });
}

}  // namespace ARCH
}  // namespace
#endif
