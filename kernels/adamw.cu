// adamw.cu: the norm of a gradient, and one AdamW update (Loshchilov & Hutter 2019) with clipping by that norm, with moments in f32
// or in blocks of 8-bit codes (Dettmers et al. 2022; the format is in kernels.h).
//   norm = sqrt(Σ g²) in double;  m = β1·m + (1-β1)·g';  v = β2·v + (1-β2)·g'²;  p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + wd·p)
// All are bound by memory. Clipping and the decision to skip an update are made on the device, from the norm there.
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
    float lr, beta1, beta2, eps, decay, inverse1, inverse2, max_norm, skip_norm;  // inverseK = 1/biasK
    uint64_t seed, first;
    uint32_t step;
};

// The random words of V elements; the first has index i among all parameters, with V = 4 a multiple of 4.
template <int V> static __device__ __forceinline__ void words_of(uint32_t (&word)[V], const update &a, uint64_t i) {
    const philox_words r = rounding_words(a.seed, a.step, i / 4);
    if constexpr (V == 1) {
        word[0] = i & 2 ? (i & 1 ? r.word[3] : r.word[2]) : (i & 1 ? r.word[1] : r.word[0]);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++) word[k] = r.word[k];
    }
}

// V numbers rounded by chance.
template <int V> static __device__ __forceinline__ void store_by_chance(bf16 *w, const float (&p)[V], const uint32_t (&word)[V]) {
    uint32_t half[V];
#pragma unroll
    for (int k = 0; k < V; k++) half[k] = round_by_chance(__float_as_uint(p[k]), word[k] >> 16);
    if constexpr (V == 1) w->bits = half[0];
    else ptx::store8(w, {half[0] | half[1] << 16, half[2] | half[3] << 16});
}

// The update of V elements.
template <int V> static __device__ __forceinline__ void step(float (&p)[V], float (&m)[V], float (&v)[V], const float (&g)[V], float clip, const update &a) {
#pragma unroll
    for (int k = 0; k < V; k++) {
        const float x = g[k] * clip;
        m[k] = a.beta1 * m[k] + (1 - a.beta1) * x;
        v[k] = a.beta2 * v[k] + (1 - a.beta2) * (x * x);
        p[k] -= a.lr * (m[k] * a.inverse1 / (sqrtf(v[k] * a.inverse2) + a.eps) + a.decay * p[k]);
    }
}

// Whether norm allows an update, and the factor of the gradient.
static __device__ __forceinline__ bool usable(const float *norm, const update &a) {
    return isfinite(norm[0]) && !(norm[1] > 0) && !(a.skip_norm > 0 && norm[0] > a.skip_norm);
}
static __device__ __forceinline__ float clip_of(const float *norm, const update &a) {
    return a.max_norm > 0 && norm[0] > a.max_norm ? a.max_norm / norm[0] : 1.f;
}

// n vectors of V. p is master, or w itself where there is no master. A thread has two vectors of each array in flight, which
// lie a block apart: so every access of a warp is a whole number of cache lines.
template <class T, bool MASTER, int V>
__global__ void __launch_bounds__(threads) adamw_kernel(T *w, float *master, float *m, float *v, const float *g, const float *norm, update a, int64_t n) {
    if (!usable(norm, a)) return;
    const float clip = clip_of(norm, a);
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
            step(p[u], mi[u], vi[u], gi[u], clip, a);
            store(m + at, mi[u]);
            store(v + at, vi[u]);
            if constexpr (MASTER) store(master + at, p[u]);
            if constexpr (MASTER || sizeof(T) == 4) {
                store(w + at, p[u]);
            } else {
                uint32_t word[V];
                words_of(word, a, a.first + at);
                store_by_chance(w + at, p[u], word);
            }
        }
    }
}

// ---- moments in 8 bits

const int moments = 256;  // of a scale

// Codes are a float's bits, without those below its 3 bits of mantissa and with another bias of the exponent, of numbers up to 1.875; 2^LEAST
// is the code with exponent 1, below which codes are in equal steps.
template <int LEAST> static __device__ __forceinline__ float decoded(uint32_t code) {
    const uint32_t least = (uint32_t)(LEAST + 127) << 23;
    return code < 8 ? __uint_as_float(least + (code << 20)) - __uint_as_float(least) : __uint_as_float(least - (1 << 23) + (code << 20));
}
template <int LEAST> static __device__ __forceinline__ uint32_t encoded(float x, uint32_t random) {
    const uint32_t least = (uint32_t)(LEAST + 127) << 23;
    const bool small = x < __uint_as_float(least);
    const uint32_t bits = small ? __float_as_uint(x + __uint_as_float(least)) - least : __float_as_uint(x) - (least - (1 << 23));
    return (bits + (random << 4)) >> 20;
}
static __device__ __forceinline__ float decoded_m(uint32_t code, float scale) { return copysignf(decoded<-14>(code & 127) * scale, code & 128 ? -1.f : 1.f); }
static __device__ __forceinline__ float decoded_v(uint32_t code, float scale) { return decoded<-30>(code) * scale; }
static __device__ __forceinline__ uint32_t encoded_m(float m, float per, uint32_t word) {  // per = 1/scale
    const uint32_t code = encoded<-14>(fabsf(m) * per, word >> 8 & 0xffff);
    return (code > 127 ? 127 : code) | (__float_as_uint(m) >> 24 & 128);
}
static __device__ __forceinline__ uint32_t encoded_v(float v, float per, uint32_t word) {
    const uint32_t code = encoded<-30>(v * per, word & 0xffff);
    return code > 255 ? 255 : code == 0 && v > 0 ? 1 : code;
}

// The scale of moments that are at most this large.
static __device__ __forceinline__ float scale_of(float largest) {
    const uint32_t exponent = (__float_as_uint(largest) + 0xfffff) >> 23;
    return __uint_as_float((exponent < 37 ? 37 : exponent > 253 ? 253 : exponent) << 23);
}

// 1/scale of a power of two, without a division.
static __device__ __forceinline__ float inverse_of(float scale) { return __uint_as_float((254u << 23) - __float_as_uint(scale)); }

// V codes in a word, the first in its lowest byte.
template <int V> static __device__ __forceinline__ uint32_t load_codes(const uint8_t *p) {
    if constexpr (V == 1) return *p;
    else return *(const uint32_t *)p;
}
template <int V> static __device__ __forceinline__ void store_codes(uint8_t *p, uint32_t codes) {
    if constexpr (V == 1) *p = (uint8_t)codes;
    else *(uint32_t *)p = codes;
}

// A warp has a block of 256 elements, a lane 8/V vectors of V of them, so that every access of a warp is to neighbouring addresses. p is master, or
// w itself where there is no master. Elements beyond the end are zeros, which change no maximum.
template <class T, bool MASTER, int V>
__global__ void __launch_bounds__(threads) adamw_8bit_kernel(T *w, float *master, uint8_t *m, uint8_t *v, float *scale, const float *g, const float *norm, update a,
                                                             int64_t n) {
    if (!usable(norm, a)) return;
    const float clip = clip_of(norm, a);
    const int lane = threadIdx.x % 32;
    const int64_t stride = (int64_t)gridDim.x * (threads / 32);
    for (int64_t b = (int64_t)blockIdx.x * (threads / 32) + threadIdx.x / 32; b * moments < n; b += stride) {
        const int64_t first = b * moments + lane * V;
        uint32_t codes_m[8 / V] = {}, codes_v[8 / V] = {}, word[8 / V][V];
        float gi[8 / V][V] = {}, p[8 / V][V] = {}, mi[8 / V][V], vi[8 / V][V];
        const float mine = lane < 2 ? scale[2 * b + lane] : 0;
#pragma unroll
        for (int u = 0; u < 8 / V; u++) {
            const int64_t at = first + u * 32 * V;
            if (at >= n) break;
            codes_m[u] = load_codes<V>(m + at);
            codes_v[u] = load_codes<V>(v + at);
            load<ONCE>(gi[u], g + at);
            if constexpr (MASTER) load(p[u], master + at);
            else load(p[u], w + at);
        }
        const float scale_m = __shfl_sync(whole_warp, mine, 0), scale_v = __shfl_sync(whole_warp, mine, 1);
        float top_m = 0, top_v = 0;
#pragma unroll
        for (int u = 0; u < 8 / V; u++) {
#pragma unroll
            for (int k = 0; k < V; k++) {
                mi[u][k] = decoded_m(codes_m[u] >> 8 * k & 255, scale_m);
                vi[u][k] = decoded_v(codes_v[u] >> 8 * k & 255, scale_v);
            }
            step(p[u], mi[u], vi[u], gi[u], clip, a);
            const int64_t at = first + u * 32 * V;
            words_of(word[u], a, a.first + at);
            if (at < n) {
                if constexpr (MASTER) store<ONCE>(master + at, p[u]);
                if constexpr (MASTER || sizeof(T) == 4) store<ONCE>(w + at, p[u]);
                else store_by_chance(w + at, p[u], word[u]);
            }
#pragma unroll
            for (int k = 0; k < V; k++) top_m = fmaxf(top_m, fabsf(mi[u][k])), top_v = fmaxf(top_v, vi[u][k]);
        }
        const float new_m = scale_of(warp_max(top_m)), new_v = scale_of(warp_max(top_v)), per_m = inverse_of(new_m), per_v = inverse_of(new_v);
#pragma unroll
        for (int u = 0; u < 8 / V; u++) {
            const int64_t at = first + u * 32 * V;
            if (at >= n) break;
            codes_m[u] = codes_v[u] = 0;
#pragma unroll
            for (int k = 0; k < V; k++) {
                codes_m[u] |= encoded_m(mi[u][k], per_m, word[u][k]) << 8 * k;
                codes_v[u] |= encoded_v(vi[u][k], per_v, word[u][k]) << 8 * k;
            }
            store_codes<V>(m + at, codes_m[u]);
            store_codes<V>(v + at, codes_v[u]);
        }
        if (lane < 2) scale[2 * b + lane] = lane == 0 ? new_m : new_v;
    }
}

template <class A> update update_of(const A *a) {
    return {a->lr, a->beta1, a->beta2, a->eps, a->weight_decay, 1 / a->bias1, 1 / a->bias2, a->max_norm, a->skip_norm, a->seed, (uint64_t)a->first, a->step};
}

template <class T, bool MASTER> void adamw_8bit(kstream *s, const adamw_8bit_args *a) {
    T *w = (T *)a->w;
    const bool words = wide<float>(a->n, MASTER ? a->master : a->g, a->g) && ((uintptr_t)a->m | (uintptr_t)a->v) % 4 == 0 && (uintptr_t)w % (4 * sizeof(T)) == 0 && a->first % 4 == 0;
    const auto kernel = words ? adamw_8bit_kernel<T, MASTER, 4> : adamw_8bit_kernel<T, MASTER, 1>;
    launch(s, kernel, blocks(s, a->n, threads / 32 * moments), threads, 0, w, a->master, a->m, a->v, a->scale, a->g, a->norm, update_of(a), a->n);
}

template <class T, bool MASTER> void adamw(kstream *s, const adamw_args *a) {
    T *w = (T *)a->w;
    const update u = update_of(a);
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

void cuda_adamw_8bit(kstream *s, const adamw_8bit_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        a->master ? adamw_8bit<T, true>(s, a) : adamw_8bit<T, false>(s, a);
    });
}
