// philox.h: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): four random words for a counter and a key, on every device.
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

#endif
