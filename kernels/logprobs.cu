// logprobs.cu: log-probabilities of some tokens of each row of logits: logprob[i] = x[id[i]] - log Σ_v exp(x[v]). A block a row; rows
// without tokens are not read.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 512;

template <int VEC> __global__ void __launch_bounds__(threads) logprobs_kernel(logprobs_args a) {
    __shared__ float part[3][32];
    const int first = a.ptr[blockIdx.x], end = a.ptr[blockIdx.x + 1];
    if (first == end) return;
    const float *x = a.logits + (int64_t)blockIdx.x * a.V;               // (V)
    float max = -INFINITY, nan = 0;
#pragma unroll 2
    for (int i = threadIdx.x * VEC; i < a.V; i += threads * VEC) {
        float v[VEC];
        load(v, x + i);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            max = fmaxf(max, v[k]);
            nan += v[k] != v[k];
        }
    }
    max = block_max(max, part[0]);
    nan = block_sum(nan, part[1]);
    float sum = 0;
#pragma unroll 2
    for (int i = threadIdx.x * VEC; i < a.V; i += threads * VEC) {
        float v[VEC];
        load(v, x + i);
#pragma unroll
        for (int k = 0; k < VEC; k++) sum += expf(v[k] - max);
    }
    sum = block_sum(sum, part[2]);
    const float rest = nan > 0 || !isfinite(max) ? NAN : logf(sum);
    for (int i = first + threadIdx.x; i < end; i += threads) a.logprob[i] = x[a.id[i]] - max - rest;
}

}  // namespace

void cuda_logprobs(kstream *s, const logprobs_args *a) {
    const auto kernel = wide<float>(a->V, a->logits) ? logprobs_kernel<4> : logprobs_kernel<1>;
    launch(s, kernel, a->B, threads, 0, *a);
}
