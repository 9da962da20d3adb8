// reward_head.cu: the scalar reward of a position, a dot product with the final hidden state: reward[l] = x[row[l]]·w.
// There are few rows, so each has a block.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;

template <class T, int V>
__global__ void __launch_bounds__(threads) reward_head_kernel(float *reward, const T *x, const int32_t *row, const float *w, int H) {
    __shared__ float part[32];
    x += (int64_t)row[blockIdx.x] * H;                                   // (H)
    float sum = 0;
#pragma unroll 2
    for (int c = threadIdx.x * V; c < H; c += threads * V) {
        float a[V], b[V];
        load(a, x + c);
        load(b, w + c);
#pragma unroll
        for (int i = 0; i < V; i++) sum += a[i] * b[i];
    }
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) reward[blockIdx.x] = sum;
}

}  // namespace

void cuda_reward_head(kstream *s, const reward_head_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        const auto kernel = wide<T>(a->H, a->x, a->w) ? reward_head_kernel<T, V> : reward_head_kernel<T, 1>;
        launch(s, kernel, a->L, threads, 0, a->reward, (const T *)a->x, a->row, a->w, a->H);
    });
}
