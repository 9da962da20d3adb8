// muon.cc: one Muon update (Jordan 2024) of a matrix: Nesterov momentum, made orthogonal by five Newton-Schulz steps.
//   X = u/‖u‖;  five times  A = X·Xᵀ,  X = a·X + (b·A + c·A²)·X;  p -= lr·(max(1, R/C)^½·X + wd·p)
// Where R > C the same steps on the transpose are A = Xᵀ·X and X = a·X + X·(b·A + c·A²), so nothing is ever transposed.
#ifndef ARCH
#include <algorithm>

#include "rows.h"

#define ARCH_FILE "muon.cc"
#include "arch.h"

void cpu_muon(kstream *s, const muon_args *a) { ARCH_RUN(muon, s, a); }

#else
#include "gemm.h"
#include "rows.h"

namespace {
namespace ARCH {

const int64_t block = 16384;  // elements of an item

// C (m, n) = add + op(A)·B on all threads: op(A) is A (m, k), or Aᵀ with A (k, m); b holds the panels of B (k, n).
void product(kstream *s, bool transposed, int m, int n, int k, const float *a, const float *b, const float *add, float *c) {
    parallel_tiles(s, m, n, [=](int i, int rows, int p, int np, arena &scratch) {
        const int cols = std::min(np * NR, n - p * NR);
        const int64_t at = (int64_t)i * n + p * NR, stride = (int64_t)k * NR;
        const float *d = add ? add + at : nullptr;
        if (transposed) gemm_columns(c + at, n, d, n, a + i, m, b + p * stride, stride, rows, cols, k, scratch);
        else gemm(c + at, n, d, n, a + (int64_t)i * k, k, b + p * stride, stride, rows, cols, k);
    });
}

// Panels of B (k, n) = op(X). As pack and pack_transposed of gemm.h, but into memory that the five steps share.
void pack_into(kstream *s, float *d, bool transposed, const float *x, int n, int k) {
    parallel_for(s, panels(n), [=](int64_t p, arena &) {
        const int j = (int)p * NR, cols = std::min(NR, n - j);
        if (transposed) pack_columns(d + p * NR * k, x + (int64_t)j * k, k, cols, k);
        else pack_rows(d + p * NR * k, x + j, n, cols, k);
    });
}

// m = momentum·m + g';  u = g' + momentum·m;  gives Σ u²
FLAT double momentum(const muon_args *a, float clip, float *u, int64_t lo, int64_t hi) {
    dsum squares;
    each(hi - lo, [&](int64_t i, int k) {
        float *m = a->m + lo + i;
        vf g = load(a->g + lo + i, k) * clip, x = load(m, k) * a->momentum + g, y = g + x * a->momentum;
        store(m, x, k);
        store(u + lo + i, y, k);
        squares.add_square(y);
    });
    return squares.total();
}

FLAT void scale(float *x, float factor, int64_t n) {
    each(n, [&](int64_t i, int k) { store(x + i, load(x + i, k) * factor, k); });
}

template <class T> inline void apply(const muon_args *a, const float *x, float factor, int64_t lo, int64_t hi) {
    float *p = (a->master ? a->master : (float *)a->w) + lo;
    T *w = (T *)a->w + lo;
    x += lo;
    each(hi - lo, [&](int64_t i, int k) {
        vf v = load(p + i, k);
        v -= a->lr * (load(x + i, k) * factor + v * a->weight_decay);
        store(p + i, v, k);
        if (a->master) store(w + i, v, k);
    });
}

FLAT void apply_block(const muon_args *a, const float *x, float factor, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? apply<bf16>(a, x, factor, lo, hi) : apply<float>(a, x, factor, lo, hi);
}

// q = a·I + b·A and then A = c·A
FLAT void polynomial(float *q, float *gram, int64_t n, float a, float b, float c) {
    each(n * n, [&](int64_t i, int k) {
        vf x = load(gram + i, k);
        store(q + i, x * b, k);
        store(gram + i, x * c, k);
    });
    for (int64_t i = 0; i < n; i++) q[i * n + i] += a;
}

// The orthogonal factor of x (R, C), in x or in y, whichever is returned. gram and q are (n, n), n = min(R, C).
// The polynomial is applied as one matrix Q = a·I + b·A + c·A²:  X = Q·X, or X·Q where R > C.
float *newton_schulz(kstream *s, int R, int C, float *x, float *y, float *gram, float *q) {
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    const bool tall = R > C;
    const int n = std::min(R, C), k = std::max(R, C);
    const size_t square = (size_t)panels(n) * NR * k, wide = (size_t)panels(C) * NR * R;
    float *b_panels = s->scratch.get<float>(std::max(square, wide));
    for (int step = 0; step < 5; step++) {
        pack_into(s, b_panels, !tall, x, n, k);
        product(s, tall, n, n, k, x, b_panels, nullptr, gram);
        pack_into(s, b_panels, false, gram, n, n);
        polynomial(q, gram, n, a, b, c);
        product(s, false, n, n, n, gram, b_panels, q, q);
        pack_into(s, b_panels, false, tall ? q : x, C, n);
        product(s, false, R, C, n, tall ? x : q, b_panels, nullptr, y);
        std::swap(x, y);
    }
    return x;
}

void muon(kstream *s, const muon_args *a) {
    if (!norm_is_usable(a->norm)) return;
    const float clip = clip_factor(a->norm, a->max_norm);
    const int64_t size = (int64_t)a->R * a->C, n = std::min(a->R, a->C), blocks = (size + block - 1) / block;
    if (size == 0) return;
    float *x = a->scratch, *y = x + size, *gram = y + size, *poly = gram + n * n;
    double *part = s->scratch.get<double>(blocks);                       // (blocks)
    parallel_blocks(s, size, block, [=](int64_t lo, int64_t hi, arena &) { part[lo / block] = momentum(a, clip, x, lo, hi); });
    double squares = 0;
    for (int64_t i = 0; i < blocks; i++) squares += part[i];
    // A norm whose inverse is no float any more is a gradient of zero: only the weight decay is left.
    const double inverse = squares > 0 ? 1 / sqrt(squares) : 0;
    const float factor = inverse < 3e38 ? (float)inverse : 0;
    parallel_blocks(s, size, block, [=](int64_t lo, int64_t hi, arena &) { scale(x + lo, factor, hi - lo); });
    x = newton_schulz(s, a->R, a->C, x, y, gram, poly);
    const float gain = a->R > a->C ? sqrtf((float)a->R / a->C) : 1;
    parallel_blocks(s, size, block, [=](int64_t lo, int64_t hi, arena &) { apply_block(a, x, gain, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
