// rows.h: rows of any length in steps of sixteen, sums in double, and the checks of indices that the small CPU ops share.
// The last step of a row may be partial: it is the same vector code on a copy padded to sixteen, so that an element's
// result and its place in a sum do not depend on where the row ends.
#ifndef CRITICRM_ROWS_H
#define CRITICRM_ROWS_H

#include <stdexcept>
#include <string>

#include "cpu.h"

// The first n <= 16 elements of p, then fill; and the first n lanes of x back.
template <class T> static inline v16 load(const T *p, int n, T fill = 0) {
    if (n == 16) return load(p);
    T t[16];
    for (int i = 0; i < 16; i++) t[i] = fill;
    memcpy(t, p, n * sizeof(T));
    return load(t);
}
template <class T> static inline void store(T *p, v16 x, int n) {
    if (n == 16) return store(p, x);
    T t[16];
    store(t, x);
    memcpy(p, t, n * sizeof(T));
}

// f(i, width) for i = 0, 16, … below n; width is a constant 16 but for the last step.
template <class F> static inline void each16(int64_t n, F f) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) f(i, 16);
    if (i < n) f(i, (int)(n - i));
}

// How many rows of n elements make an item: large enough to hide the cost of claiming it (about 0.1 µs), small enough
// that a few thousand tokens spread over many cores.
static inline int64_t rows_per_item(int64_t n) {
    const int64_t elements = 8192;
    return n < elements ? elements / (n > 0 ? n : 1) : 1;
}

// A sum of floats in double: lanes first, folded at the end, always in the same order.
typedef double d8 __attribute__((vector_size(64)));
struct dsum {
    d8 lo = {}, hi = {};
    static d8 half(v16 x, int h) {
        typedef float v8 __attribute__((vector_size(32)));
        v8 y = h ? __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15) : __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
        return __builtin_convertvector(y, d8);
    }
    void add(v16 x) {
        lo += half(x, 0);
        hi += half(x, 1);
    }
    void add_square(v16 x) {
        d8 a = half(x, 0), b = half(x, 1);
        lo += a * a;
        hi += b * b;
    }
    double total() const {
        d8 s = lo + hi;
        return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    }
};

// An index from outside is the one argument of an op that the Go side cannot check by shape.
static inline void check_index(const char *op, const char *name, int64_t at, int64_t value, int64_t bound) {
    if (value < 0 || value >= bound)
        throw std::out_of_range(std::string(op) + ": " + name + "[" + std::to_string(at) + "] is " + std::to_string(value) +
                                ", not in [0, " + std::to_string(bound) + ")");
}

// Factor of clipping to a global norm: min(1, max_norm/norm), 1 where max_norm is 0. norm as grad_norm gives it.
static inline bool norm_is_usable(const float *norm) { return isfinite(norm[0]) && !(norm[1] > 0); }
static inline float clip_factor(const float *norm, float max_norm) { return max_norm > 0 && norm[0] > max_norm ? max_norm / norm[0] : 1.0f; }

#endif
