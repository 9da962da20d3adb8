// swiglu.cu: h = silu(gate)·up, silu(g) = g/(1 + exp(-g)); the backward recomputes the activation. Both are bound by memory:
// a thread has V numbers of gate and of up in flight, in 16-byte words that are read once.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;

static __device__ __forceinline__ float sigmoid(float g) { return 1 / (1 + expf(-g)); }

template <class T, int V> __global__ void __launch_bounds__(threads) forward(T *h, const T *gu, int64_t n, int F) {
    const int64_t stride = (int64_t)gridDim.x * threads;
    for (int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x; i < n; i += stride) {  // in vectors
        const int64_t row = i / (F / V), column = i % (F / V) * V;
        float gate[V], up[V];
        load<ONCE>(gate, gu + row * 2 * F + column);
        load<ONCE>(up, gu + row * 2 * F + F + column);
#pragma unroll
        for (int k = 0; k < V; k++) up[k] *= gate[k] * sigmoid(gate[k]);
        store(h + i * V, up);
    }
}

template <class T, int V> __global__ void __launch_bounds__(threads) backward(T *dgu, const T *dh, const T *gu, int64_t n, int F) {
    const int64_t stride = (int64_t)gridDim.x * threads;
    for (int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x; i < n; i += stride) {
        const int64_t row = i / (F / V), at = row * 2 * F + i % (F / V) * V;
        float gate[V], up[V], d[V];
        load<ONCE>(gate, gu + at);
        load<ONCE>(up, gu + at + F);
        load<ONCE>(d, dh + i * V);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float sig = sigmoid(gate[k]), silu = gate[k] * sig;
            gate[k] = d[k] * up[k] * (sig + silu * (1 - sig));
            up[k] = d[k] * silu;
        }
        store(dgu + at, gate);
        store(dgu + at + F, up);
    }
}

}  // namespace

void cuda_swiglu(kstream *s, const swiglu_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        T *h = (T *)a->h;
        const T *gu = (const T *)a->gu;
        const int64_t n = (int64_t)a->N * a->F;
        if (wide<T>(a->F, h, gu)) launch(s, forward<T, V>, blocks(s, n / V, threads), threads, 0, h, gu, n / V, a->F);
        else launch(s, forward<T, 1>, blocks(s, n, threads), threads, 0, h, gu, n, a->F);
    });
}

void cuda_swiglu_backward(kstream *s, const swiglu_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        T *dgu = (T *)a->dgu;
        const T *dh = (const T *)a->dh, *gu = (const T *)a->gu;
        const int64_t n = (int64_t)a->N * a->F;
        if (wide<T>(a->F, dgu, dh, gu)) launch(s, backward<T, V>, blocks(s, n / V, threads), threads, 0, dgu, dh, gu, n / V, a->F);
        else launch(s, backward<T, 1>, blocks(s, n, threads), threads, 0, dgu, dh, gu, n, a->F);
    });
}
