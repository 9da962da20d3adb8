// adamw.cc: the norm of a gradient, and one AdamW update (Loshchilov & Hutter 2019) with clipping by that norm.
//   norm = sqrt(Σ g²) in double;  m = β1·m + (1-β1)·g';  v = β2·v + (1-β2)·g'²;  p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + wd·p)
#ifndef ARCH
#include "philox.h"
#include "rows.h"

#define ARCH_FILE "adamw.cc"
#include "arch.h"

void cpu_grad_norm(kstream *s, const grad_norm_args *a) { ARCH_RUN(grad_norm, s, a); }
void cpu_adamw(kstream *s, const adamw_args *a) { ARCH_RUN(adamw, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

const int64_t block = 16384;  // elements of an item

struct partial {
    double squares;
    int64_t bad;
};

FLAT partial squares_of(const float *g, int64_t n) {
    dsum squares;
    vi bad = {};
    each(n, [&](int64_t i, int k) {
        vf x = load(g + i, k);
        squares.add_square(x);
        bad -= ((vi)x & 0x7f800000) == 0x7f800000;  // true is -1: infinite or NaN
    });
    return {squares.total(), count(bad)};
}

void grad_norm(kstream *s, const grad_norm_args *a) {
    const int64_t blocks = (a->n + block - 1) / block;
    partial *part = s->scratch.get<partial>(blocks);                     // (blocks)
    parallel_blocks(s, a->n, block, [=](int64_t lo, int64_t hi, arena &) { part[lo / block] = squares_of(a->g + lo, hi - lo); });
    partial all = {0, 0};
    for (int64_t b = 0; b < blocks; b++) {
        all.squares += part[b].squares;
        all.bad += part[b].bad;
    }
    a->norm[0] = (float)sqrt(all.squares);
    a->norm[1] = (float)all.bad;
}

// sqrt(x) within 1 ulp for x >= 0. As a loop of sqrtf it would be one element at a time, since sqrtf may set errno. Three
// Newton steps for 1/sqrt(x) from the known guess on the bits (Lomont 2003), and one for the root itself.
inline vf vsqrt(vf x) {
    vf y = (vf)(0x5f375a86 - ((vi)x >> 1));
    for (int i = 0; i < 3; i++) y = y * (1.5f - 0.5f * x * y * y);
    vf s = x * y;
    s = s + 0.5f * y * (x - s * s);
    return x > 3.4e38f ? x : s;
}

// Elements [lo, hi), which begin at p; w gets them rounded, if it is there.
template <class T> inline void update(const adamw_args *a, float clip, int64_t lo, int64_t hi, float *p, T *w) {
    float *m = a->m + lo;                                                // (n)
    float *v = a->v + lo;                                                // (n)
    const float *g = a->g + lo;                                          // (n)
    const float b1 = a->beta1, b2 = a->beta2, c1 = 1 - b1, c2 = 1 - b2, r1 = 1 / a->bias1, r2 = 1 / a->bias2;
    const float lr = a->lr, decay = a->weight_decay, eps = a->eps;
    each(hi - lo, [=](int64_t i, int k) {
        const vf x = load(g + i, k) * clip;
        const vf mi = b1 * load(m + i, k) + c1 * x, vi = b2 * load(v + i, k) + c2 * (x * x);
        vf pi = load(p + i, k);
        pi = pi - lr * (mi * r1 / (vsqrt(vi * r2) + eps) + decay * pi);
        store(m + i, mi, k);
        store(v + i, vi, k);
        store(p + i, pi, k);
        if (w) store(w + i, pi, k);
    });
}

// Rounds n weights p by chance. at: the index of the first among all parameters.
INLINE void round_weights(const adamw_args *a, bf16 *w, const float *p, int64_t n, uint64_t at) {
    philox_words r = rounding_words(a->seed, a->step, at / 4);
    for (int64_t i = 0; i < n; i++, at++) {
        if (i > 0 && at % 4 == 0) r = rounding_words(a->seed, a->step, at / 4);
        uint32_t bits;
        memcpy(&bits, p + i, 4);
        w[i] = round_by_chance(bits, r.word[at % 4] >> 16);
    }
}

template <class T> inline void update_in(const adamw_args *a, float clip, int64_t lo, int64_t hi) {
    T *w = (T *)a->w + lo;                                               // (n)
    if (a->master) {
        update(a, clip, lo, hi, a->master + lo, w);
    } else if constexpr (sizeof(T) == 4) {
        update(a, clip, lo, hi, w, (T *)nullptr);
    } else {
        float p[block];
        for (int64_t i = 0; i < hi - lo; i++) p[i] = to_f32(w[i]);
        update(a, clip, lo, hi, p, (T *)nullptr);
        round_weights(a, w, p, hi - lo, (uint64_t)(a->first + lo));
    }
}

FLAT void update_block(const adamw_args *a, float clip, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? update_in<bf16>(a, clip, lo, hi) : update_in<float>(a, clip, lo, hi);
}

void adamw(kstream *s, const adamw_args *a) {
    if (!norm_is_usable(a->norm)) return;
    const float clip = clip_factor(a->norm, a->max_norm);
    parallel_blocks(s, a->n, block, [=](int64_t lo, int64_t hi, arena &) { update_block(a, clip, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
