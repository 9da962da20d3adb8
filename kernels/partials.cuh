// partials.cuh: the second step of a sum over rows: blocks of rows have left a partial sum each.
#ifndef CRITICRM_PARTIALS_CUH
#define CRITICRM_PARTIALS_CUH

#include "cuda.cuh"

namespace {

// sum (H) += the partial sums (P, H), in a fixed order.  block (32 columns, shares of the partial sums)
const int shares = 16;
__global__ void __launch_bounds__(32 * shares) add_partials_kernel(float *sum, const float *partial, int P, int H) {
    __shared__ float part[shares][32];
    const int c = blockIdx.x * 32 + threadIdx.x;
    float x = 0;
    if (c < H) {
#pragma unroll 8
        for (int p = threadIdx.y; p < P; p += shares) x += partial[p * (int64_t)H + c];
    }
    part[threadIdx.y][threadIdx.x] = x;
    __syncthreads();
    if (threadIdx.y > 0 || c >= H) return;
    for (int y = 1; y < shares; y++) x += part[y][threadIdx.x];
    sum[c] += x;
}

void add_partials(kstream *s, float *sum, const float *partial, int P, int H) {
    gpu::launch(s, add_partials_kernel, ((unsigned)H + 31) / 32, dim3(32, shares), 0, sum, partial, P, H);
}

}  // namespace
#endif
