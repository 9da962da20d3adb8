// blocks.cu: y = x·wᵀ and dx = dy·w with a weight in ggml's blocks, see blocks.h and unpacked.cuh.
#include "unpacked.cuh"
#include "blocks.h"

using namespace gpu;

namespace {

const int threads = 256, each = 8;  // neighbours of a thread, which share a scale

// w (rows, cols) of a weight whose rows have R bytes, from row r0 and column c0 on.
template <class T, class B> __global__ void __launch_bounds__(threads) unpack_blocks_kernel(T *w, const uint8_t *code, int R, int r0, int c0, int rows, int cols) {
    const int i = ((int)blockIdx.x * threads + (int)threadIdx.x) * each;  // what fits into a workspace
    if (i >= rows * cols) return;
    const int col = c0 + i % cols;
    const int64_t row = r0 + i / cols;
    float x[each];
    B::template read<each>(code + row * R + col / B::elements * B::bytes, col % B::elements, x);
    store(w + i, x);
}

template <class T, class A> auto unpack(kstream *s, const A *a) {
    return [=](T *w, int r0, int c0, int rows, int cols) {
        const int64_t n = (int64_t)rows * cols / each;
        with_block(a->type, [&](auto b) {
            launch(s, unpack_blocks_kernel<T, decltype(b)>, (unsigned)((n + threads - 1) / threads), threads, 0, w, a->code, a->R, r0, c0, rows, cols);
        });
    };
}

}  // namespace

void cuda_matmul_blocks(kstream *s, const matmul_blocks_args *a) {
    real(a->dtype, [&](auto zero) {
        typedef decltype(zero) T;
        multiply_unpacked<T>(s, "matmul_blocks", a, a->I, unpack<T>(s, a));
    });
}

void cuda_matmul_blocks_dx(kstream *s, const matmul_blocks_dx_args *a) {
    real(a->dtype, [&](auto zero) {
        typedef decltype(zero) T;
        multiply_unpacked_dx<T>(s, "matmul_blocks_dx", a, a->I, 32, unpack<T>(s, a));
    });
}
