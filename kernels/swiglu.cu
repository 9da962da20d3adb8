// swiglu.cu: h = act(gate)·up, act(g) = g·σ(z), and its backward, which recomputes the activation and gives h once more:
//   dgate = dh·up·σ(z)·(1 + g·(1 - σ(z))·z'),  dup = dh·act(g)
// silu has z = g. gelu in its tanh form too is one of them: ½·(1 + tanh u) = σ(2u), so z = 2·sqrt(2/π)·(g + 0.044715·g³).
// Bound by memory: 16-byte words, read once, a few of each operand in flight in every thread. A block has a part of one row
// (or several short rows), so nothing is divided but the number of the block.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;
const int unroll = 2;  // vectors of each operand that a thread has in flight

// Vectors of a row, and parts that a row is cut into.  block (threads of a part, rows)
struct shape {
    int N, width, parts;
};

// σ(g) and σ(-g) = 1 - σ(g), both to full precision. The divisor is in [1, 2], where the approximate division is good to 2 ulp.
static __device__ __forceinline__ void sigmoids(float g, float *s, float *t) {
    const float e = expf(-fabsf(g)), d = __fdividef(1, 1 + e);
    *s = g > 0 ? d : e * d;
    *t = g > 0 ? e * d : d;
}

template <bool GELU> static __device__ __forceinline__ float z_of(float g) { return GELU ? g * (1.59576912f + 0.0713548163f * (g * g)) : g; }
template <bool GELU> static __device__ __forceinline__ float times_slope(float g, float x) {
    return GELU ? x * (1.59576912f + 0.214064449f * (g * g)) : x;
}

static __device__ __forceinline__ int row_of(const shape &a) { return blockIdx.x / a.parts * blockDim.y + threadIdx.y; }
static __device__ __forceinline__ int first_of(const shape &a) { return blockIdx.x % a.parts * blockDim.x * unroll + threadIdx.x; }

template <class T, int V, bool GELU> __global__ void __launch_bounds__(threads) swiglu_kernel(T *h, const T *gu, shape a) {
    const int n = row_of(a), first = first_of(a), step = blockDim.x;
    if (n >= a.N) return;
    const int F = a.width * V;
    h += (int64_t)n * F;                                                 // (F)
    gu += (int64_t)n * 2 * F;                                            // (2F)
    float gate[unroll][V], up[unroll][V];
#pragma unroll
    for (int k = 0; k < unroll; k++) {                                   // where there is no vector: the last one, for nothing
        const int c = first + k * step < a.width ? first + k * step : a.width - 1;
        load<ONCE>(gate[k], gu + c * V);
        load<ONCE>(up[k], gu + F + c * V);
    }
#pragma unroll
    for (int k = 0; k < unroll; k++) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            float s, t;
            sigmoids(z_of<GELU>(gate[k][i]), &s, &t);
            up[k][i] *= gate[k][i] * s;
        }
        if (first + k * step < a.width) store(h + (first + k * step) * V, up[k]);
    }
}

template <class T, int V, bool GELU> __global__ void __launch_bounds__(threads, 4) swiglu_backward_kernel(T *dgu, T *h, const T *dh, const T *gu, shape a) {
    const int n = row_of(a), first = first_of(a), step = blockDim.x;
    if (n >= a.N) return;
    const int F = a.width * V;
    dh += (int64_t)n * F;                                                // (F)
    gu += (int64_t)n * 2 * F;                                            // (2F)
    dgu += (int64_t)n * 2 * F;                                           // (2F)
    h += (int64_t)n * F;                                                 // (F)
    float gate[unroll][V], up[unroll][V], d[unroll][V];
#pragma unroll
    for (int k = 0; k < unroll; k++) {
        const int c = first + k * step < a.width ? first + k * step : a.width - 1;
        load<ONCE>(gate[k], gu + c * V);
        load<ONCE>(up[k], gu + F + c * V);
        load<ONCE>(d[k], dh + c * V);
    }
#pragma unroll
    for (int k = 0; k < unroll; k++) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float g = gate[k][i], u = up[k][i];
            float s, t;
            sigmoids(z_of<GELU>(g), &s, &t);
            gate[k][i] = d[k][i] * u * s * (1 + times_slope<GELU>(g, g * t));
            up[k][i] = d[k][i] * g * s;
            d[k][i] = u * (g * s);
        }
        if (first + k * step < a.width) {
            store(dgu + (first + k * step) * V, gate[k]);
            store(dgu + F + (first + k * step) * V, up[k]);
            store(h + (first + k * step) * V, d[k]);
        }
    }
}

// The fewest parts, of whole warps and as equal as can be; short rows share a block.
template <class... P, class... A> void by_rows(kstream *s, void (*kernel)(P...), int N, int width, A... args) {
    shape a = {N, width, (width + threads * unroll - 1) / (threads * unroll)};
    const int part = (width + a.parts - 1) / a.parts;
    dim3 block((part + 32 * unroll - 1) / (32 * unroll) * 32);
    block.y = threads / block.x;
    launch(s, kernel, ((unsigned)N + block.y - 1) / block.y * a.parts, block, 0, args..., a);
}

template <bool GELU> void forward(kstream *s, const swiglu_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        T *h = (T *)a->h;
        const T *gu = (const T *)a->gu;
        if (wide<T>(a->F, h, gu)) by_rows(s, swiglu_kernel<T, V, GELU>, a->N, a->F / V, h, gu);
        else by_rows(s, swiglu_kernel<T, 1, GELU>, a->N, a->F, h, gu);
    });
}

template <bool GELU> void backward(kstream *s, const swiglu_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        T *dgu = (T *)a->dgu, *h = (T *)a->h;
        const T *dh = (const T *)a->dh, *gu = (const T *)a->gu;
        if (wide<T>(a->F, dgu, h, dh, gu)) by_rows(s, swiglu_backward_kernel<T, V, GELU>, a->N, a->F / V, dgu, h, dh, gu);
        else by_rows(s, swiglu_backward_kernel<T, 1, GELU>, a->N, a->F, dgu, h, dh, gu);
    });
}

}  // namespace

void cuda_swiglu(kstream *s, const swiglu_args *a) { forward<false>(s, a); }
void cuda_swiglu_backward(kstream *s, const swiglu_backward_args *a) { backward<false>(s, a); }
void cuda_geglu(kstream *s, const geglu_args *a) { forward<true>(s, a); }
void cuda_geglu_backward(kstream *s, const geglu_backward_args *a) { backward<true>(s, a); }
