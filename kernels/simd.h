// simd.h: sixteen floats at a time, on any x86-64 (and, lowered by the compiler, anywhere else).
// A function marked MULTIARCH is compiled for AVX-512, AVX2+FMA and the baseline, and the processor picks one when the
// program starts; what it calls must be inline, which "flatten" sees to. The order of every sum is written out, so the
// vector width never changes it.
#ifndef CRITICRM_SIMD_H
#define CRITICRM_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#define MULTIARCH __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#else
#define MULTIARCH
#endif

typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64), aligned(4), may_alias));

typedef uint16_t bf16;  // the upper half of a float

static inline float to_f32(float x) { return x; }
static inline float to_f32(bf16 x) {
    uint32_t b = (uint32_t)x << 16;
    float f;
    memcpy(&f, &b, 4);
    return f;
}
static inline void from_f32(float *p, float x) { *p = x; }
static inline void from_f32(bf16 *p, float x) {  // to nearest, ties to even
    uint32_t b;
    memcpy(&b, &x, 4);
    *p = (b & 0x7fffffff) > 0x7f800000 ? (bf16)(b >> 16 | 0x40) : (bf16)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static inline v16 splat(float x) { return x - v16{}; }
static inline v16 load(const float *p) { return *(const v16 *)p; }
static inline void store(float *p, v16 x) { *(v16 *)p = x; }
static inline v16 load(const bf16 *p) {
    typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2), may_alias));
    typedef uint32_t u32x16 __attribute__((vector_size(64)));
    u32x16 b = __builtin_convertvector(*(const u16x16 *)p, u32x16) << 16;
    return (v16)b;
}
static inline void store(bf16 *p, v16 x) {
    typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2), may_alias));
    typedef uint32_t u32x16 __attribute__((vector_size(64)));
    u32x16 b = (u32x16)x, r = (b + 0x7fff + (b >> 16 & 1)) >> 16;
    u32x16 nan = (u32x16)((b & 0x7fffffff) > 0x7f800000);
    *(u16x16 *)p = __builtin_convertvector((nan & (b >> 16 | 0x40)) | (~nan & r), u16x16);
}

// Sum and maximum over the lanes, as a tree of fixed shape.
static inline float sum(v16 x) {
    float a[16];
    memcpy(a, &x, 64);
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) a[i] += a[i + w];
    return a[0];
}
static inline v16 vmax(v16 a, v16 b) { return a > b ? a : b; }
static inline float maximum(v16 x) {
    float a[16];
    memcpy(a, &x, 64);
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) a[i] = a[i] > a[i + w] ? a[i] : a[i + w];
    return a[0];
}

// exp(x) within about 1 ulp for x <= 88.7; 0 below -87.3. Range reduction to |f| <= ½·ln 2 and the degree-6 minimax
// polynomial of Cephes expf (Moshier 1992).
static inline v16 vexp(v16 x) {
    const v16 lo = splat(-87.33654f);
    v16 y = vmax(x, lo);
    v16 n = y * 1.44269504f + 12582912.0f;  // round to an integer in the low bits
    i16 k = (i16)n;
    n = n - 12582912.0f;
    v16 f = y - n * 0.693359375f - n * -2.12194440e-4f;
    v16 p = f * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    v16 r = (v16)((i16)p + (k << 23));
    return x < lo ? v16{} : r;
}

#endif
