#pragma once
#include <stddef.h>
#include <stdint.h>

void split2(uint8_t *hi, uint8_t *lo, const uint8_t *src, size_t n, int turn);
void join2(uint8_t *dst, const uint8_t *hi, const uint8_t *lo, size_t n, int turn);
void split4(uint8_t *p0, uint8_t *p1, uint8_t *p2, uint8_t *p3, const uint8_t *src, size_t n, int turn);
void join4(uint8_t *dst, const uint8_t *p0, const uint8_t *p1, const uint8_t *p2, const uint8_t *p3, size_t n, int turn);
void widen_bf16(float *dst, const uint8_t *src, size_t n);
size_t count_non_finite(const float *x, size_t n);
