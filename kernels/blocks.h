// blocks.h: ggml's blocks of quantised numbers, read on every device. read<n>(b, at, y) gives n neighbours of block b from element at on; n divides
// 16, and at is a multiple of n, so that they share a scale and the place of their bits.
//
// The layouts, and what the bits stand for, are those of ggml's ggml-common.h and ggml-quants.c. Products of a binary16 scale with a few bits are exact
// in float32, so that a product and a sum are the same fused or not; a block's last product in Q6_K is rounded, and has no sum behind it.
#ifndef CRITICRM_BLOCKS_H
#define CRITICRM_BLOCKS_H

#include <stdint.h>
#include <string.h>

#include "kernels.h"

#ifdef __CUDACC__
#define BLOCKS static __device__ __forceinline__
#else
#define BLOCKS static inline __attribute__((always_inline))
#endif

// A binary16 as float32, exact.
BLOCKS float block_half(const uint8_t *b) {
    const uint32_t h = b[0] | (uint32_t)b[1] << 8, sign = h >> 15 << 31, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    float x;
    uint32_t bits;
    if (exponent == 0) {  // zero or subnormal: fraction · 2⁻²⁴
        x = (float)fraction * 5.9604644775390625e-8f;
        memcpy(&bits, &x, sizeof bits);
        bits |= sign;
    } else {
        bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

BLOCKS uint32_t block_word(const uint8_t *b) { return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24; }

template <int type> struct ggml_block;

// 32 elements: a scale; with _1 a least value; with five bits the high ones; then the low ones, of elements i and 16+i in a byte.
template <> struct ggml_block<K_Q4_0> {
    enum { elements = 32, bytes = 18 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const float d = block_half(b);
        const int shift = at / 16 * 4;
        for (int i = 0; i < n; i++) y[i] = d * (float)((b[2 + at % 16 + i] >> shift & 15) - 8);
    }
};

template <> struct ggml_block<K_Q4_1> {
    enum { elements = 32, bytes = 20 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const float d = block_half(b), m = block_half(b + 2);
        const int shift = at / 16 * 4;
        for (int i = 0; i < n; i++) y[i] = d * (float)(b[4 + at % 16 + i] >> shift & 15) + m;
    }
};

template <> struct ggml_block<K_Q5_0> {
    enum { elements = 32, bytes = 22 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const float d = block_half(b);
        const uint32_t high = block_word(b + 2) >> at;
        const int shift = at / 16 * 4;
        for (int i = 0; i < n; i++) y[i] = d * (float)((int)((b[6 + at % 16 + i] >> shift & 15) | (high >> i & 1) << 4) - 16);
    }
};

template <> struct ggml_block<K_Q5_1> {
    enum { elements = 32, bytes = 24 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const float d = block_half(b), m = block_half(b + 2);
        const uint32_t high = block_word(b + 4) >> at;
        const int shift = at / 16 * 4;
        for (int i = 0; i < n; i++) y[i] = d * (float)(int)((b[8 + at % 16 + i] >> shift & 15) | (high >> i & 1) << 4) + m;
    }
};

template <> struct ggml_block<K_Q8_0> {
    enum { elements = 32, bytes = 34 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const float d = block_half(b);
        for (int i = 0; i < n; i++) y[i] = d * (float)(int8_t)b[2 + at + i];
    }
};

// 256 elements in 8 groups of 32, each with a scale and a least value of six bits, packed into 12 bytes.
struct ggml_group {
    float d, m;
};
BLOCKS ggml_group block_scales(const uint8_t *b, int group) {
    const uint8_t *s = b + 4;
    int scale, least;
    if (group < 4) {
        scale = s[group] & 63;
        least = s[4 + group] & 63;
    } else {
        scale = (s[4 + group] & 15) | s[group - 4] >> 6 << 4;
        least = s[4 + group] >> 4 | s[group] >> 6 << 4;
    }
    return {block_half(b) * (float)scale, block_half(b + 2) * (float)least};
}

template <> struct ggml_block<K_Q4_K> {
    enum { elements = 256, bytes = 144 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const ggml_group g = block_scales(b, at / 32);
        const uint8_t *low = b + 16 + at / 64 * 32 + at % 32;
        const int shift = at / 32 % 2 * 4;
        for (int i = 0; i < n; i++) y[i] = g.d * (float)(low[i] >> shift & 15) - g.m;
    }
};

template <> struct ggml_block<K_Q5_K> {
    enum { elements = 256, bytes = 176 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const ggml_group g = block_scales(b, at / 32);
        const uint8_t *low = b + 48 + at / 64 * 32 + at % 32, *high = b + 16 + at % 32;
        const int shift = at / 32 % 2 * 4, bit = at / 32;
        for (int i = 0; i < n; i++) y[i] = g.d * (float)((low[i] >> shift & 15) | (high[i] >> bit & 1) << 4) - g.m;
    }
};

// 16 groups of 16 with a signed scale each: four low bits, two high ones, the scales, and the scale of all at the end.
template <> struct ggml_block<K_Q6_K> {
    enum { elements = 256, bytes = 210 };
    template <int n> BLOCKS void read(const uint8_t *__restrict b, int at, float *__restrict y) {
        const int half = at / 128, part = at % 128 / 32;  // halves of 128, of four parts of 32
        const uint8_t *low = b + 64 * half + part % 2 * 32 + at % 32, *high = b + 128 + 32 * half + at % 32;
        const float d = block_half(b + 208) * (float)(int8_t)b[192 + at / 16];
        const int shift = part / 2 * 4;
        for (int i = 0; i < n; i++) y[i] = d * (float)((int)((low[i] >> shift & 15) | (high[i] >> 2 * part & 3) << 4) - 32);
    }
};

// Calls f with the block of a type, whatever is known of it at compile time; a type without one is the caller's mistake, and nothing is called.
template <class F> static inline void with_block(kblock type, F f) {
    switch (type) {
    case K_Q4_0: f(ggml_block<K_Q4_0>{}); return;
    case K_Q4_1: f(ggml_block<K_Q4_1>{}); return;
    case K_Q5_0: f(ggml_block<K_Q5_0>{}); return;
    case K_Q5_1: f(ggml_block<K_Q5_1>{}); return;
    case K_Q8_0: f(ggml_block<K_Q8_0>{}); return;
    case K_Q4_K: f(ggml_block<K_Q4_K>{}); return;
    case K_Q5_K: f(ggml_block<K_Q5_K>{}); return;
    case K_Q6_K: f(ggml_block<K_Q6_K>{}); return;
    }
}

#endif
