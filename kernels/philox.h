// philox.h: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): four random words for a counter and a key, on every device; and
// rounding by them, which is right on average (see adamw in kernels.h).
#ifndef CRITICRM_PHILOX_H
#define CRITICRM_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__
#define PHILOX static __device__ __forceinline__
#else
#define PHILOX static inline
#endif

typedef struct { uint32_t word[4]; } philox_words;

// The counter is (c0, c1, c2, c3), the key (low half, high half) of seed.
PHILOX philox_words philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53 * c0, b = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    philox_words w = {{c0, c1, c2, c3}};
    return w;
}

// Bits of a float to bits of one of its two neighbours in bfloat16, r < 2¹⁶. Infinity stays, and NaN stays NaN.
PHILOX uint16_t round_by_chance(uint32_t bits, uint32_t r) {
    if ((bits & 0x7f800000) != 0x7f800000) return (uint16_t)((bits + r) >> 16);
    return (uint16_t)(bits >> 16 | ((bits & 0x7fffff) != 0) << 6);
}

// The words whose upper halves round elements 4·quad … 4·quad + 3 of all parameters at a step.
PHILOX philox_words rounding_words(uint64_t seed, uint32_t step, uint64_t quad) {
    return philox(seed, (uint32_t)quad, (uint32_t)(quad >> 32), step, 2);
}

#endif
