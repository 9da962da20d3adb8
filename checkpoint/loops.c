// Loops over elements: plain ones, which the compiler turns into vector code. turn: they are rotated by one bit. Elements lie anywhere in
// memory, in the order of bytes of the machine, which is little-endian.
#include "loops.h"

#include <string.h>

void split2(uint8_t *restrict hi, uint8_t *restrict lo, const uint8_t *restrict src, size_t n, int turn) {
	for (size_t i = 0; i < n; i++) {
		uint16_t x;
		memcpy(&x, src + 2 * i, 2);
		x = turn ? (uint16_t)(x << 1 | x >> 15) : x;
		hi[i] = (uint8_t)(x >> 8), lo[i] = (uint8_t)x;
	}
}

void join2(uint8_t *restrict dst, const uint8_t *restrict hi, const uint8_t *restrict lo, size_t n, int turn) {
	for (size_t i = 0; i < n; i++) {
		uint16_t x = (uint16_t)(hi[i] << 8 | lo[i]);
		x = turn ? (uint16_t)(x >> 1 | x << 15) : x;
		memcpy(dst + 2 * i, &x, 2);
	}
}

void split4(uint8_t *restrict p0, uint8_t *restrict p1, uint8_t *restrict p2, uint8_t *restrict p3, const uint8_t *restrict src, size_t n, int turn) {
	for (size_t i = 0; i < n; i++) {
		uint32_t x;
		memcpy(&x, src + 4 * i, 4);
		x = turn ? x << 1 | x >> 31 : x;
		p0[i] = (uint8_t)(x >> 24), p1[i] = (uint8_t)(x >> 16), p2[i] = (uint8_t)(x >> 8), p3[i] = (uint8_t)x;
	}
}

void join4(uint8_t *restrict dst, const uint8_t *restrict p0, const uint8_t *restrict p1, const uint8_t *restrict p2, const uint8_t *restrict p3, size_t n, int turn) {
	for (size_t i = 0; i < n; i++) {
		uint32_t x = (uint32_t)p0[i] << 24 | (uint32_t)p1[i] << 16 | (uint32_t)p2[i] << 8 | p3[i];
		x = turn ? x >> 1 | x << 31 : x;
		memcpy(dst + 4 * i, &x, 4);
	}
}

void widen_bf16(float *restrict dst, const uint8_t *restrict src, size_t n) {
	for (size_t i = 0; i < n; i++) {
		uint16_t x;
		memcpy(&x, src + 2 * i, 2);
		const uint32_t bits = (uint32_t)x << 16;
		memcpy(dst + i, &bits, 4);
	}
}

size_t count_non_finite(const float *x, size_t n) {
	size_t count = 0;
	for (size_t i = 0; i < n;) {
		const size_t end = n - i < 1 << 16 ? n : i + (1 << 16);
		uint32_t some = 0;
		for (; i < end; i++) {
			uint32_t bits;
			memcpy(&bits, x + i, 4);
			some += (bits & 0x7f800000) == 0x7f800000;
		}
		count += some;
	}
	return count;
}
