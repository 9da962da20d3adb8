// nf4.cu: y = x·wᵀ and dx = dy·w with a weight of 4 bits, which is unpacked into the workspace, as much of it as has
// room there, and multiplied like every other.
#include <algorithm>

#include "matmul.cuh"

using namespace gpu;

namespace {

const int threads = 256, block = 64, each = 8;  // codes of a thread: four bytes

__constant__ const float nf4_values[16] = NF4_VALUES;

// w (rows, cols) of a weight (…, B blocks) from row r0 and column c0 on. A thread has neighbours of one block.
template <class T, class A> __global__ void __launch_bounds__(threads) unpack_nf4_kernel(T *w, A a, int r0, int c0, int rows, int cols) {
    const int i = ((int)blockIdx.x * threads + (int)threadIdx.x) * each;  // what fits into a workspace
    if (i >= rows * cols) return;
    const int col = c0 + i % cols;
    const int64_t row = r0 + i / cols, b = row * a.B + col / block;
    const uint32_t code = *(const uint32_t *)(a.code + row * a.B * (block / 2) + col / 2);
    const float most = fmaf(a.map[a.absmax[b]], a.scale[b / 256], a.offset);
    float x[each];
#pragma unroll
    for (int k = 0; k < each; k++) x[k] = nf4_values[code >> (8 * (k / 2) + (k % 2 ? 0 : 4)) & 15] * most;
    store(w + i, x);
}

template <class T, class A> void unpack(kstream *s, T *w, const A *a, int r0, int c0, int rows, int cols) {
    const int64_t n = (int64_t)rows * cols / each;
    launch(s, unpack_nf4_kernel<T, A>, (unsigned)((n + threads - 1) / threads), threads, 0, w, *a, r0, c0, rows, cols);
}

// How many rows of so many numbers have room, multiples of `of`: half of the workspace is the product's.
template <class T> int room(kstream *s, int64_t numbers, int rows, int of) {
    const int64_t most = (int64_t)(workspace_left(s) / 2 / sizeof(T)) / numbers / of * of;
    if (most == 0) throw std::runtime_error("matmul_nf4: no room for a row of the weight in the workspace");
    return (int)std::min<int64_t>(most, rows);
}

template <class T> void forward(kstream *s, const matmul_nf4_args *a) {
    const int I = a->B * block;
    if (a->O == 0 || I == 0) {
        multiply(s, {a->N, a->O, I, a->x, I, false, a->x, I, true, (T *)a->y + a->at, nullptr, a->C, a->dtype, a->dtype, false});
        return;
    }
    const int step = room<T>(s, I, a->O, 1);
    T *w = scratch<T>(s, (size_t)step * I);
    for (int o = 0; o < a->O; o += step) {
        const int rows = std::min(step, a->O - o);
        unpack(s, w, a, o, 0, rows, I);
        multiply(s, {a->N, rows, I, a->x, I, false, w, I, true, (T *)a->y + a->at + o, nullptr, a->C, a->dtype, a->dtype, false});
    }
}

template <class T> void backward(kstream *s, const matmul_nf4_dx_args *a) {
    const int I = a->B * block;
    if (a->O == 0 || I == 0) {
        multiply(s, {a->N, I, a->O, a->dy, a->C, false, a->dy, I, false, a->dx, a->accumulate ? a->dx : nullptr, I, a->dtype, a->dtype, false});
        return;
    }
    const int step = room<T>(s, a->O, I, block);
    T *w = scratch<T>(s, (size_t)step * a->O);
    for (int i = 0; i < I; i += step) {
        const int cols = std::min(step, I - i);
        T *dx = (T *)a->dx + i;
        unpack(s, w, a, 0, i, a->O, cols);
        multiply(s, {a->N, cols, a->O, (const T *)a->dy + a->at, a->C, false, w, cols, false, dx, a->accumulate ? dx : nullptr, I, a->dtype, a->dtype, false});
    }
}

}  // namespace

void cuda_matmul_nf4(kstream *s, const matmul_nf4_args *a) {
    real(a->dtype, [&](auto zero) { forward<decltype(zero)>(s, a); });
}

void cuda_matmul_nf4_dx(kstream *s, const matmul_nf4_dx_args *a) {
    real(a->dtype, [&](auto zero) { backward<decltype(zero)>(s, a); });
}
