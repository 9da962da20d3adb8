// nf4.cu: y = x·wᵀ and dx = dy·w with a weight of 4 bits, see unpacked.cuh.
#include "unpacked.cuh"

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

template <class T, class A> auto unpack(kstream *s, const A *a) {
    return [=](T *w, int r0, int c0, int rows, int cols) {
        const int64_t n = (int64_t)rows * cols / each;
        launch(s, unpack_nf4_kernel<T, A>, (unsigned)((n + threads - 1) / threads), threads, 0, w, *a, r0, c0, rows, cols);
    };
}

}  // namespace

void cuda_matmul_nf4(kstream *s, const matmul_nf4_args *a) {
    real(a->dtype, [&](auto zero) {
        typedef decltype(zero) T;
        multiply_unpacked<T>(s, "matmul_nf4", a, a->B * block, unpack<T>(s, a));
    });
}

void cuda_matmul_nf4_dx(kstream *s, const matmul_nf4_dx_args *a) {
    real(a->dtype, [&](auto zero) {
        typedef decltype(zero) T;
        multiply_unpacked_dx<T>(s, "matmul_nf4_dx", a, a->B * block, block, unpack<T>(s, a));
    });
}
