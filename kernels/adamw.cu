// adamw.cu: the norm of a gradient, and one AdamW update (Loshchilov & Hutter 2019) with clipping by that norm.
//   norm = sqrt(Σ g²) in double;  m = β1·m + (1-β1)·g';  v = β2·v + (1-β2)·g'²;  p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + wd·p)
// Both are bound by memory. Clipping and the decision to skip an update are made on the device, from the norm there.
#include "cuda.cuh"
#include "philox.h"

using namespace gpu;

namespace {

const int threads = 256, unroll = 4;
const int most_partials = 1024;  // a number of blocks that does not depend on the device: nor does the order of the sum

struct partial {
    double squares;
    int64_t bad;
};

// Over the threads of a block, in thread 0. part (32) is shared memory.
static __device__ __forceinline__ partial block_total(partial x, partial *part) {
    for (int round = 0; round < 2; round++) {
#pragma unroll
        for (int m = 16; m > 0; m >>= 1) {
            x.squares += __shfl_xor_sync(whole_warp, x.squares, m);
            x.bad += __shfl_xor_sync(whole_warp, x.bad, m);
        }
        if (round == 1) break;
        __syncthreads();  // the last sum's readers are done with part
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
        __syncthreads();
        x = threadIdx.x % 32 < threads / 32 ? part[threadIdx.x % 32] : partial{0, 0};
    }
    return x;
}

// n vectors of V. The last block to finish adds what all of them found.
template <int V> __global__ void __launch_bounds__(threads) grad_norm_kernel(float *norm, partial *all, int32_t *done, const float *g, int64_t n) {
    __shared__ partial part[32];
    partial sum = {0, 0};
    const int64_t stride = (int64_t)gridDim.x * threads * unroll;
    for (int64_t i = (int64_t)blockIdx.x * threads * unroll + threadIdx.x; i < n; i += stride) {
        float x[unroll][V] = {};
#pragma unroll
        for (int u = 0; u < unroll; u++)
            if (i + u * threads < n) load<ONCE>(x[u], g + (i + u * threads) * V);
#pragma unroll
        for (int u = 0; u < unroll; u++) {
#pragma unroll
            for (int k = 0; k < V; k++) {
                sum.squares += (double)x[u][k] * x[u][k];
                sum.bad += (__float_as_uint(x[u][k]) & 0x7f800000) == 0x7f800000;
            }
        }
    }
    sum = block_total(sum, part);
    if (threadIdx.x == 0) all[blockIdx.x] = sum;
    if (!last_block(done, gridDim.x)) return;
    sum = {0, 0};
    for (int b = threadIdx.x; b < (int)gridDim.x; b += threads) {
        sum.squares += all[b].squares;
        sum.bad += all[b].bad;
    }
    sum = block_total(sum, part);
    if (threadIdx.x == 0) norm[0] = (float)sqrt(sum.squares), norm[1] = (float)sum.bad;
}

struct update {
    float lr, beta1, beta2, eps, decay, inverse1, inverse2, max_norm;  // inverseK = 1/biasK
    uint64_t seed, first;
    uint32_t step;
};

// V numbers rounded by chance; the first has index i among all parameters, with V = 4 a multiple of 4.
template <int V> static __device__ __forceinline__ void store_by_chance(bf16 *w, const float (&p)[V], const update &a, uint64_t i) {
    const philox_words r = rounding_words(a.seed, a.step, i / 4);
    if constexpr (V == 1) {
        const uint32_t word = i & 2 ? (i & 1 ? r.word[3] : r.word[2]) : (i & 1 ? r.word[1] : r.word[0]);
        w->bits = round_by_chance(__float_as_uint(p[0]), word >> 16);
    } else {
        uint32_t half[4];
#pragma unroll
        for (int k = 0; k < 4; k++) half[k] = round_by_chance(__float_as_uint(p[k]), r.word[k] >> 16);
        ptx::store8(w, {half[0] | half[1] << 16, half[2] | half[3] << 16});
    }
}

// n vectors of V. p is master, or w itself where there is no master. A thread has two vectors of each array in flight, which
// lie a block apart: so every access of a warp is a whole number of cache lines.
template <class T, bool MASTER, int V>
__global__ void __launch_bounds__(threads) adamw_kernel(T *w, float *master, float *m, float *v, const float *g, const float *norm, update a, int64_t n) {
    const float size = norm[0];
    if (!isfinite(size) || norm[1] > 0) return;
    const float clip = a.max_norm > 0 && size > a.max_norm ? a.max_norm / size : 1.f;
    const int64_t stride = (int64_t)gridDim.x * threads * 2;
    for (int64_t i = (int64_t)blockIdx.x * threads * 2 + threadIdx.x; i < n; i += stride) {
        float gi[2][V], mi[2][V], vi[2][V], p[2][V];
#pragma unroll
        for (int u = 0; u < 2; u++) {
            const int64_t at = (i + u * threads) * V;
            if (i + u * threads >= n) break;
            load<ONCE>(gi[u], g + at);
            load(mi[u], m + at);
            load(vi[u], v + at);
            if constexpr (MASTER) load(p[u], master + at);
            else load(p[u], w + at);
        }
#pragma unroll
        for (int u = 0; u < 2; u++) {
            const int64_t at = (i + u * threads) * V;
            if (i + u * threads >= n) break;
#pragma unroll
            for (int k = 0; k < V; k++) {
                const float x = gi[u][k] * clip;
                mi[u][k] = a.beta1 * mi[u][k] + (1 - a.beta1) * x;
                vi[u][k] = a.beta2 * vi[u][k] + (1 - a.beta2) * (x * x);
                p[u][k] -= a.lr * (mi[u][k] * a.inverse1 / (sqrtf(vi[u][k] * a.inverse2) + a.eps) + a.decay * p[u][k]);
            }
            store(m + at, mi[u]);
            store(v + at, vi[u]);
            if constexpr (MASTER) store(master + at, p[u]);
            if constexpr (MASTER || sizeof(T) == 4) store(w + at, p[u]);
            else store_by_chance(w + at, p[u], a, a.first + at);
        }
    }
}

template <class T, bool MASTER> void adamw(kstream *s, const adamw_args *a) {
    T *w = (T *)a->w;
    const update u = {a->lr, a->beta1, a->beta2, a->eps, a->weight_decay, 1 / a->bias1, 1 / a->bias2, a->max_norm, a->seed, (uint64_t)a->first, a->step};
    const bool words = wide<float>(a->n, MASTER ? a->master : a->m, a->m, a->v, a->g) && (uintptr_t)w % (4 * sizeof(T)) == 0 && a->first % 4 == 0;
    const int V = words ? 4 : 1;
    const auto kernel = words ? adamw_kernel<T, MASTER, 4> : adamw_kernel<T, MASTER, 1>;
    launch(s, kernel, blocks(s, a->n / V, 2 * threads), threads, 0, w, a->master, a->m, a->v, a->g, a->norm, u, a->n / V);
}

}  // namespace

void cuda_grad_norm(kstream *s, const grad_norm_args *a) {
    const int V = wide<float>(a->n, a->g) ? 4 : 1;
    const int64_t n = a->n / V, want = (n + threads * unroll - 1) / (threads * unroll);
    const unsigned grid = want < 1 ? 1 : want < most_partials ? (unsigned)want : most_partials;  // of nothing, the norm is 0
    launch(s, V == 4 ? grad_norm_kernel<4> : grad_norm_kernel<1>, grid, threads, 0, a->norm, scratch<partial>(s, grid), counter(s), a->g, n);
}

void cuda_adamw(kstream *s, const adamw_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        a->master ? adamw<T, true>(s, a) : adamw<T, false>(s, a);
    });
}
