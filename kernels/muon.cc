// muon.cc: one Muon update (Jordan 2024) of a matrix: Nesterov momentum, made orthogonal by five Newton-Schulz steps.
//   X = u/‖u‖;  five times  A = X·Xᵀ,  X = a·X + (b·A + c·A²)·X;  p -= lr·(max(1, R/C)^½·X + wd·p)
// Where R > C the same steps on the transpose are A = Xᵀ·X and X = a·X + X·(b·A + c·A²), so nothing is ever transposed.
#include "rows.h"

#include <cblas.h>

#include <algorithm>

namespace {

const int64_t block = 16384;  // elements of an item

// C = alpha·op(A)·op(B) + beta·C in tiles of C that do not depend on the number of threads. C is (m, n), the inner size is k.
struct product {
    bool ta, tb;
    int m, n, k;
    float alpha;
    const float *a, *b;
    float beta;
    float *c;

    void run(kstream *s) const {
        const int tm = 64, tn = 128, across = (n + tn - 1) / tn, down = (m + tm - 1) / tm, lda = ta ? m : k, ldb = tb ? k : n;
        parallel_for(s, (int64_t)across * down, [=](int64_t t, arena &) {
            const int i = (int)(t / across) * tm, j = (int)(t % across) * tn;
            cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, std::min(tm, m - i), std::min(tn, n - j),
                        k, alpha, a + (ta ? i : (int64_t)i * lda), lda, b + (tb ? (int64_t)j * ldb : j), ldb, beta, c + (int64_t)i * n + j, n);
        });
    }
};

}  // namespace

// m = momentum·m + g';  u = g' + momentum·m;  gives Σ u²
MULTIARCH static double momentum(const muon_args *a, float clip, float *u, int64_t lo, int64_t hi) {
    dsum squares;
    each16(hi - lo, [&](int64_t i, int k) {
        float *m = a->m + lo + i;
        v16 g = load(a->g + lo + i, k) * clip, x = load(m, k) * a->momentum + g, y = g + x * a->momentum;
        store(m, x, k);
        store(u + lo + i, y, k);
        squares.add_square(y);
    });
    return squares.total();
}

MULTIARCH static void scale(float *x, float factor, int64_t n) {
    each16(n, [&](int64_t i, int k) { store(x + i, load(x + i, k) * factor, k); });
}

template <class T> static inline void apply(const muon_args *a, const float *x, float factor, int64_t lo, int64_t hi) {
    float *p = (a->master ? a->master : (float *)a->w) + lo;
    T *w = (T *)a->w + lo;
    x += lo;
    each16(hi - lo, [&](int64_t i, int k) {
        v16 v = load(p + i, k);
        v -= a->lr * (load(x + i, k) * factor + v * a->weight_decay);
        store(p + i, v, k);
        if (a->master) store(w + i, v, k);
    });
}

MULTIARCH static void apply_block(const muon_args *a, const float *x, float factor, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? apply<bf16>(a, x, factor, lo, hi) : apply<float>(a, x, factor, lo, hi);
}

// The orthogonal factor of x (R, C), in x or in y, whichever is returned. gram and poly are (n, n), n = min(R, C).
static float *newton_schulz(kstream *s, int R, int C, float *x, float *y, float *gram, float *poly) {
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    const bool tall = R > C;
    const int n = tall ? C : R, k = tall ? R : C;
    for (int step = 0; step < 5; step++) {
        product{tall, !tall, n, n, k, 1, x, x, 0, gram}.run(s);
        memcpy(poly, gram, sizeof(float) * n * n);
        product{false, false, n, n, n, c, gram, gram, b, poly}.run(s);
        memcpy(y, x, sizeof(float) * R * C);
        if (tall)
            product{false, false, R, C, C, 1, x, poly, a, y}.run(s);
        else
            product{false, false, R, C, R, 1, poly, x, a, y}.run(s);
        std::swap(x, y);
    }
    return x;
}

void cpu_muon(kstream *s, const muon_args *a) {
    if (!norm_is_usable(a->norm)) return;
    const float clip = clip_factor(a->norm, a->max_norm);
    const int64_t size = (int64_t)a->R * a->C, n = std::min(a->R, a->C), blocks = (size + block - 1) / block;
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
