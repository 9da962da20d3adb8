// scale.cu: each element by itself, in place: x *= s, and x = cap·tanh(x·scale/cap). Bound by memory: 16-byte words, and the elements that do not fill one.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;
const int unroll = 4;  // words that a thread has in flight

struct times {
    float s;
    __device__ float operator()(float x) const { return x * s; }
};
template <bool CAPPED> struct capped {
    float inside, cap;
    __device__ float operator()(float x) const { return soft_cap<CAPPED>(x, inside, cap); }
};

template <int V, class F> static __device__ __forceinline__ void change(float (&x)[V], F f) {
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = f(x[i]);
}

// words of V elements, then `rest` elements
template <class T, int V, class F> static __device__ __forceinline__ void each(T *x, F f, int64_t words, int rest) {
    const int64_t step = (int64_t)gridDim.x * threads;
    for (int64_t w = (int64_t)blockIdx.x * threads + threadIdx.x; w < words; w += unroll * step) {
        float v[unroll][V] = {};
#pragma unroll
        for (int k = 0; k < unroll; k++)
            if (w + k * step < words) load(v[k], x + (w + k * step) * V);
#pragma unroll
        for (int k = 0; k < unroll; k++) {
            change(v[k], f);
            if (w + k * step < words) store(x + (w + k * step) * V, v[k]);
        }
    }
    if (blockIdx.x > 0 || (int)threadIdx.x >= rest) return;
    float last[1];
    load(last, x + words * V + threadIdx.x);
    change(last, f);
    store(x + words * V + threadIdx.x, last);
}

template <class T, int V> __global__ void __launch_bounds__(threads) scale_kernel(T *x, times f, int64_t words, int rest) { each<T, V>(x, f, words, rest); }

template <int V, bool CAPPED> __global__ void __launch_bounds__(threads) soft_cap_kernel(float *x, capped<CAPPED> f, int64_t words, int rest) {
    each<float, V>(x, f, words, rest);
}

template <int V, class T, class F> void elements(kstream *s, void (*kernel)(T *, F, int64_t, int), T *x, F f, int64_t n) {
    if (n == 0) return;
    const unsigned grid = blocks(s, n / V, threads * unroll);
    launch(s, kernel, grid > 0 ? grid : 1, threads, 0, x, f, n / V, (int)(n % V));
}

template <bool CAPPED> void soft_cap_of(kstream *s, const soft_cap_args *a) {
    const capped<CAPPED> f = {inside_of(a->scale, a->cap), a->cap};
    if (wide<float>(4, a->x)) elements<4>(s, soft_cap_kernel<4, CAPPED>, a->x, f, a->n);
    else elements<1>(s, soft_cap_kernel<1, CAPPED>, a->x, f, a->n);
}

}  // namespace

void cuda_scale(kstream *s, const scale_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        T *x = (T *)a->x;
        if (wide<T>(V, x)) elements<V>(s, scale_kernel<T, V>, x, times{a->s}, a->n);
        else elements<1>(s, scale_kernel<T, 1>, x, times{a->s}, a->n);
    });
}

void cuda_soft_cap(kstream *s, const soft_cap_args *a) { a->cap > 0 ? soft_cap_of<true>(s, a) : soft_cap_of<false>(s, a); }
