// attention_backward_plain.cuh: the gradient of attention for every type and head size that attention_backward.cu has no kernel on tensor
// cores for: plain sums, one warp for a query or a key of a head.
#ifndef CRITICRM_ATTENTION_BACKWARD_PLAIN_CUH
#define CRITICRM_ATTENTION_BACKWARD_PLAIN_CUH

#include "attention.cuh"

namespace {

using namespace gpu;

const int warps = 4;

template <class T> struct plain {
    T *dqkv;
    const T *dout, *out, *qkv;
    const float *lse;
    float *delta;
    const int32_t *end, *pos, *tiles;
    int N, A, G, D;
    float scale;
    score_limits limits;

    __device__ __forceinline__ const T *head(const T *x, int n, int h) const { return x + ((int64_t)n * (A + 2 * G) + h) * D; }
    __device__ __forceinline__ const T *grad(int n, int a) const { return dout + ((int64_t)n * A + a) * D; }
    __device__ __forceinline__ float dot(const T *x, const T *y) const {
        float sum = 0;
        for (int d = 0; d < D; d++) sum += to_f32(x[d]) * to_f32(y[d]);
        return sum;
    }
    // p and ds of query q, which sees key k.
    __device__ __forceinline__ float2 pair(int q, int k, int a, int g) const {
        const int64_t row = (int64_t)q * A + a;
        float s = dot(head(qkv, q, a), head(qkv, k, A + g)), slope = 1;
        if (limits.cap > 0) s = limits.soft(s), slope = limits.slope(s);
        const float p = expf(s * scale - lse[row]);
        return {p, p * (dot(grad(q, a), head(qkv, k, A + G + g)) - delta[row]) * slope};
    }
    __device__ __forceinline__ bool near(int q, int k) const { return pos[q] - pos[k] < limits.window; }
};

template <class T> __global__ void __launch_bounds__(32 * warps) attention_backward_plain_rows_kernel(const plain<T> a) {
    const int64_t row = (int64_t)blockIdx.x * warps + threadIdx.x / 32;
    if (row >= (int64_t)a.N * a.A) return;
    float sum = 0;
    for (int d = threadIdx.x % 32; d < a.D; d += 32) sum += to_f32(a.dout[row * a.D + d]) * to_f32(a.out[row * a.D + d]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) a.delta[row] = sum;
}

// A lane makes ds of one of 32 keys, then gathers one channel of dq over them.
template <class T> __global__ void __launch_bounds__(32 * warps) attention_backward_plain_queries_kernel(const plain<T> a) {
    __shared__ float part[warps][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t row = (int64_t)blockIdx.x * warps + warp;
    if (row >= (int64_t)a.N * a.A) return;
    const int q = (int)(row / a.A), h = (int)(row % a.A), g = h / (a.A / a.G);
    const int32_t *list = a.tiles + query_tiles(a.N) + q / QUERIES;
    for (int c = lane; c - lane < a.D; c += 32) {
        float dq = 0;
        for (int i = list[0] * 2; i < list[1] * 2; i++) {  // halves of key tiles
            const int entry = a.tiles[i / 2], k0 = first_key(entry) + i % 2 * 32, k = k0 + lane;
            if (sight(entry, q % QUERIES / HALF) == NONE || k0 > q) continue;
            part[warp][lane] = k <= q && q < a.end[k] && a.near(q, k) ? a.pair(q, k, h, g).y : 0;
            __syncwarp();
            for (int j = 0; c < a.D && j < min(32, q + 1 - k0); j++) dq += part[warp][j] * to_f32(a.head(a.qkv, k0 + j, a.A + g)[c]);
            __syncwarp();
        }
        if (c < a.D) from_f32((T *)a.head(a.dqkv, q, h) + c, dq * a.scale);
    }
}

// A lane makes p and ds of one of 32 queries, then gathers one channel of dk and dv over them.
template <class T> __global__ void __launch_bounds__(32 * warps) attention_backward_plain_keys_kernel(const plain<T> a) {
    __shared__ float2 part[warps][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t row = (int64_t)blockIdx.x * warps + warp;
    if (row >= (int64_t)a.N * a.G) return;
    const int k = (int)(row / a.G), g = (int)(row % a.G), end = a.end[k];
    for (int c = lane; c - lane < a.D; c += 32) {
        float dk = 0, dv = 0;
        for (int h = g * (a.A / a.G); h < (g + 1) * (a.A / a.G); h++) {
            for (int q0 = k; q0 < end; q0 += 32) {
                const bool near = q0 + lane < end && a.near(q0 + lane, k);
                if (!__any_sync(whole_warp, near)) continue;
                part[warp][lane] = near ? a.pair(q0 + lane, k, h, g) : float2{0, 0};
                __syncwarp();
                for (int i = 0; c < a.D && i < min(32, end - q0); i++) {
                    dk += part[warp][i].y * to_f32(a.head(a.qkv, q0 + i, h)[c]);
                    dv += part[warp][i].x * to_f32(a.grad(q0 + i, h)[c]);
                }
                __syncwarp();
            }
        }
        if (c < a.D) from_f32((T *)a.head(a.dqkv, k, a.A + g) + c, dk * a.scale), from_f32((T *)a.head(a.dqkv, k, a.A + a.G + g) + c, dv);
    }
}

template <class T> void backward_plain(kstream *s, const attention_backward_args *a) {
    const plain<T> p = {(T *)a->dqkv, (const T *)a->dout, (const T *)a->out, (const T *)a->qkv, a->lse, a->delta, a->end, a->pos, a->tiles,
                        a->N, a->A, a->G, a->D, a->scale, limits_of(*a)};
    const auto grid = [&](int heads) { return (unsigned)(((int64_t)a->N * heads + warps - 1) / warps); };
    launch(s, attention_backward_plain_rows_kernel<T>, grid(a->A), 32 * warps, 0, p);
    launch(s, attention_backward_plain_keys_kernel<T>, grid(a->G), 32 * warps, 0, p);
    launch(s, attention_backward_plain_queries_kernel<T>, grid(a->A), 32 * warps, 0, p);
}

}  // namespace
#endif
