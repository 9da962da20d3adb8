// adamw.cc: the norm of a gradient, and one AdamW update (Loshchilov & Hutter 2019) with clipping by that norm, with moments in f32 or in
// blocks of 8-bit codes (Dettmers et al. 2022; the format is in kernels.h).
//   norm = sqrt(Σ g²) in double;  m = β1·m + (1-β1)·g';  v = β2·v + (1-β2)·g'²;  p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + wd·p)
#ifndef ARCH
#include <algorithm>

#include "philox.h"
#include "rows.h"

#define ARCH_FILE "adamw.cc"
#include "arch.h"

void cpu_grad_norm(kstream *s, const grad_norm_args *a) { ARCH_RUN(grad_norm, s, a); }
void cpu_adamw(kstream *s, const adamw_args *a) { ARCH_RUN(adamw, s, a); }
void cpu_adamw_8bit(kstream *s, const adamw_8bit_args *a) { ARCH_RUN(adamw_8bit, s, a); }

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

// n elements; w gets them rounded, if it is there.
template <class T, class A> inline void update(const A *a, float clip, int64_t n, float *p, T *w, float *m, float *v, const float *g) {
    const float b1 = a->beta1, b2 = a->beta2, c1 = 1 - b1, c2 = 1 - b2, r1 = 1 / a->bias1, r2 = 1 / a->bias2;
    const float lr = a->lr, decay = a->weight_decay, eps = a->eps;
    each(n, [=](int64_t i, int k) {
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
template <class A> INLINE void round_weights(const A *a, bf16 *w, const float *p, int64_t n, uint64_t at) {
    philox_words r = rounding_words(a->seed, a->step, at / 4);
    for (int64_t i = 0; i < n; i++, at++) {
        if (i > 0 && at % 4 == 0) r = rounding_words(a->seed, a->step, at / 4);
        uint32_t bits;
        memcpy(&bits, p + i, 4);
        w[i] = round_by_chance(bits, r.word[at % 4] >> 16);
    }
}

// Elements [lo, hi), whose moments begin at m and v.
template <class T, class A> inline void update_in(const A *a, float clip, int64_t lo, int64_t hi, float *m, float *v) {
    T *w = (T *)a->w + lo;                                               // (n)
    const float *g = a->g + lo;                                          // (n)
    if (a->master) {
        update(a, clip, hi - lo, a->master + lo, w, m, v, g);
    } else if constexpr (sizeof(T) == 4) {
        update(a, clip, hi - lo, w, (T *)nullptr, m, v, g);
    } else {
        float p[block];
        for (int64_t i = 0; i < hi - lo; i++) p[i] = to_f32(w[i]);
        update(a, clip, hi - lo, p, (T *)nullptr, m, v, g);
        round_weights(a, w, p, hi - lo, (uint64_t)(a->first + lo));
    }
}

FLAT void update_block(const adamw_args *a, float clip, int64_t lo, int64_t hi) {
    float *m = a->m + lo, *v = a->v + lo;                                // (n)
    a->dtype == K_BF16 ? update_in<bf16>(a, clip, lo, hi, m, v) : update_in<float>(a, clip, lo, hi, m, v);
}

void adamw(kstream *s, const adamw_args *a) {
    if (!norm_is_usable(a->norm, a->skip_norm)) return;
    const float clip = clip_factor(a->norm, a->max_norm);
    parallel_blocks(s, a->n, block, [=](int64_t lo, int64_t hi, arena &) { update_block(a, clip, lo, hi); });
}

const int64_t moments = 256;  // of a scale

typedef uint8_t vb_mem __attribute__((vector_size(W), aligned(1), may_alias));
INLINE vi load_bytes(const uint8_t *p) { return __builtin_convertvector(*(const vb_mem *)p, vi); }
INLINE void store_bytes(uint8_t *p, vi x) { *(vb_mem *)p = __builtin_convertvector(x, vb_mem); }

// The scale of moments that are at most this large.
inline float scale_of(float largest) {
    uint32_t bits;
    memcpy(&bits, &largest, 4);
    bits = std::min(std::max((bits + 0xfffff) >> 23, 37u), 253u) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return scale;
}

// Codes are a float's bits, without those below its 3 bits of mantissa and with another bias of the exponent, of numbers up to 1.875; 2^-14 (m)
// or 2^-30 (v) is the code with exponent 1. Below it codes are in equal steps, as floats are from 2^-126 on, where the processor flushes to zero.
template <int LEAST> INLINE vf decoded(vi code) {
    const vi bits = (code << 20) + ((LEAST + 126) << 23);
    return code < 8 ? (vf)(bits + (1 << 23)) - (vf)splat((LEAST + 127) << 23) : (vf)bits;
}
template <int LEAST> INLINE vi encoded(vf x, vi random) {
    const vf least = (vf)splat((LEAST + 127) << 23);
    const vi bits = x < least ? (vi)(x + least) - ((LEAST + 127) << 23) : (vi)x - ((LEAST + 126) << 23);
    return (bits + (random << 4)) >> 20;
}

// Elements [lo, lo + n) of a block. Arrays of a block are whole vectors long; what is beyond n is zero or of no account.
FLAT void update_codes(const adamw_8bit_args *a, float clip, int64_t lo, int64_t n) {
    float m[moments], v[moments], *scale = a->scale + lo / moments * 2;
    uint8_t code_m[moments] = {}, code_v[moments] = {};
    int32_t random[moments + 8];
    memcpy(code_m, a->m + lo, n);
    memcpy(code_v, a->v + lo, n);
    for (int i = 0; i < n; i += W) {
        const vi c = load_bytes(code_m + i);
        store(m + i, (vf)((vi)(decoded<-14>(c & 127) * scale[0]) | (c & 128) << 24));
        store(v + i, decoded<-30>(load_bytes(code_v + i)) * scale[1]);
    }
    a->dtype == K_BF16 ? update_in<bf16>(a, clip, lo, lo + n, m, v) : update_in<float>(a, clip, lo, lo + n, m, v);
    for (int64_t i = n; i < moments; i++) m[i] = v[i] = 0;
    vf top_m = {}, top_v = {};
    for (int i = 0; i < n; i += W) {
        top_m = vmax((vf)((vi)load(m + i) & 0x7fffffff), top_m);
        top_v = vmax(load(v + i), top_v);
    }
    scale[0] = scale_of(maximum(top_m));
    scale[1] = scale_of(maximum(top_v));
    const uint64_t first = (uint64_t)(a->first + lo);
    int skip = (int)(first % 4);  // words of the first quad that are an earlier element's
    for (int64_t q = 0; q * 4 < skip + n; q++) {
        const philox_words r = rounding_words(a->seed, a->step, first / 4 + (uint64_t)q);
        memcpy(random + q * 4, r.word, 16);
    }
    const float unit_m = 1 / scale[0], unit_v = 1 / scale[1];
    for (int i = 0; i < n; i += W) {
        const vi r = load(random + skip + i), x = (vi)load(m + i), y = (vi)load(v + i);
        vi c = encoded<-14>((vf)(x & 0x7fffffff) * unit_m, r >> 8 & 0xffff);
        store_bytes(code_m + i, (c > 127 ? 127 : c) | (x >> 24 & 128));
        c = encoded<-30>((vf)y * unit_v, r & 0xffff);
        c = c > 255 ? 255 : c;
        store_bytes(code_v + i, (c == 0) & (y != 0) ? splat(1) : c);
    }
    memcpy(a->m + lo, code_m, n);
    memcpy(a->v + lo, code_v, n);
}

void adamw_8bit(kstream *s, const adamw_8bit_args *a) {
    if (!norm_is_usable(a->norm, a->skip_norm)) return;
    const float clip = clip_factor(a->norm, a->max_norm);
    parallel_blocks(s, a->n, block, [=](int64_t lo, int64_t hi, arena &) {
        for (int64_t at = lo; at < hi; at += moments) update_codes(a, clip, at, std::min(moments, hi - at));
    });
}

}  // namespace ARCH
}  // namespace
#endif
