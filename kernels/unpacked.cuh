// unpacked.cuh: products with a weight that is kept in fewer bits: it is unpacked into the workspace, as much of it as has room there, and multiplied
// like every other.
#ifndef CRITICRM_UNPACKED_CUH
#define CRITICRM_UNPACKED_CUH

#include <algorithm>

#include "matmul.cuh"

namespace gpu {

// How many rows of so many numbers have room, multiples of `of`: half of the workspace is the product's.
template <class T> int room(kstream *s, const char *op, int64_t numbers, int rows, int of) {
    const int64_t most = (int64_t)(workspace_left(s) / 2 / sizeof(T)) / numbers / of * of;
    if (most == 0) throw std::runtime_error(std::string(op) + ": no room for a row of the weight in the workspace");
    return (int)std::min<int64_t>(most, rows);
}

// y[:, at … at+O) = x·wᵀ of an op's arguments a. unpack(w, r0, c0, rows, cols) writes a part of the weight.
template <class T, class A, class U> void multiply_unpacked(kstream *s, const char *op, const A *a, int I, U unpack) {
    if (a->O == 0 || I == 0) {
        multiply(s, {a->N, a->O, I, a->x, I, false, a->x, I, true, (T *)a->y + a->at, nullptr, a->C, a->dtype, a->dtype, false});
        return;
    }
    const int step = room<T>(s, op, I, a->O, 1);
    T *w = scratch<T>(s, (size_t)step * I);
    for (int o = 0; o < a->O; o += step) {
        const int rows = std::min(step, a->O - o);
        unpack(w, o, 0, rows, I);
        multiply(s, {a->N, rows, I, a->x, I, false, w, I, true, (T *)a->y + a->at + o, nullptr, a->C, a->dtype, a->dtype, false});
    }
}

// dx = dy[:, at … at+O)·w, or dx += …; columns are unpacked in multiples of `of`.
template <class T, class A, class U> void multiply_unpacked_dx(kstream *s, const char *op, const A *a, int I, int of, U unpack) {
    if (a->O == 0 || I == 0) {
        multiply(s, {a->N, I, a->O, a->dy, a->C, false, a->dy, I, false, a->dx, a->accumulate ? a->dx : nullptr, I, a->dtype, a->dtype, false});
        return;
    }
    const int step = room<T>(s, op, a->O, I, of);
    T *w = scratch<T>(s, (size_t)step * a->O);
    for (int i = 0; i < I; i += step) {
        const int cols = std::min(step, I - i);
        T *dx = (T *)a->dx + i;
        unpack(w, 0, i, a->O, cols);
        multiply(s, {a->N, cols, a->O, (const T *)a->dy + a->at, a->C, false, w, cols, false, dx, a->accumulate ? dx : nullptr, I, a->dtype, a->dtype, false});
    }
}

}  // namespace gpu
#endif
