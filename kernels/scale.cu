// scale.cu: each element by itself, in place: x *= s. Bound by memory: 16-byte words, and the elements that do not fill one.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;
const int unroll = 4;  // words that a thread has in flight

template <int V> static __device__ __forceinline__ void multiply(float (&x)[V], float s) {
#pragma unroll
    for (int i = 0; i < V; i++) x[i] *= s;
}

// words of V elements, then `rest` elements
template <class T, int V> __global__ void __launch_bounds__(threads) scale_kernel(T *x, float s, int64_t words, int rest) {
    const int64_t step = (int64_t)gridDim.x * threads;
    for (int64_t w = (int64_t)blockIdx.x * threads + threadIdx.x; w < words; w += unroll * step) {
        float v[unroll][V] = {};
#pragma unroll
        for (int k = 0; k < unroll; k++)
            if (w + k * step < words) load(v[k], x + (w + k * step) * V);
#pragma unroll
        for (int k = 0; k < unroll; k++) {
            multiply(v[k], s);
            if (w + k * step < words) store(x + (w + k * step) * V, v[k]);
        }
    }
    if (blockIdx.x > 0 || (int)threadIdx.x >= rest) return;
    float last[1];
    load(last, x + words * V + threadIdx.x);
    multiply(last, s);
    store(x + words * V + threadIdx.x, last);
}

template <class T, int V> void elements(kstream *s, T *x, float by, int64_t n) {
    if (n == 0) return;
    const int64_t words = n / V;
    const unsigned grid = blocks(s, words, threads * unroll);
    launch(s, scale_kernel<T, V>, grid > 0 ? grid : 1, threads, 0, x, by, words, (int)(n % V));
}

}  // namespace

void cuda_scale(kstream *s, const scale_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        T *x = (T *)a->x;
        if (wide<T>(16, x)) elements<T, 16 / sizeof(T)>(s, x, a->s, a->n);
        else elements<T, 1>(s, x, a->s, a->n);
    });
}
