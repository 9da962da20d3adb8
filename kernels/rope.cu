// rope.cu: rotary position embedding (Su et al. 2021) in place on the queries and keys of qkv.
//   a' = a·cos - b·sin,  b' = b·cos + a·sin   for the channels a = x[i], b = x[i + R/2] of a head;  backward: the angle negated
// Bound by memory: a thread keeps the cosines and sines of V channels for several heads, whose 16-byte words it has in flight.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256;
const int unroll = 4;  // heads

// V numbers as they are in memory.
template <class T, int V> using words = typename std::conditional<V == 1, T, uint4>::type;
template <class T> static __device__ __forceinline__ void get(T *x, const T *p) { *x = *p; }
template <class T> static __device__ __forceinline__ void get(uint4 *x, const T *p) { *x = ptx::load16(p); }

// half: R/2 in vectors.  block (channels, heads, rows)
template <class T, int V>
__global__ void __launch_bounds__(threads, 2) rope_kernel(T *qkv, const float *table, const int32_t *pos, float sign, int N, int heads, int row, int D, int half) {
    const int64_t n = (int64_t)blockIdx.x * blockDim.z + threadIdx.z;
    if (n >= N) return;
    const int step = blockDim.y;
    const float *angles = table + (int64_t)pos[n] * (2 * half * V);      // (2, R/2)
    qkv += n * row;                                                      // (A + 2G, D)
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        for (int head = threadIdx.y; head < heads; head += unroll * step) {
            T *p[unroll];
            words<T, V> a[unroll], b[unroll];
#pragma unroll
            for (int u = 0; u < unroll; u++) {                           // where there is no head, the first one once more: no branches
                p[u] = qkv + (head + u * step < heads ? head + u * step : head) * D + i * V;
                get(&a[u], p[u]);
                get(&b[u], p[u] + half * V);
            }
            float cosine[V], sine[V], x[V], y[V];
            load(cosine, angles + i * V);
            load(sine, angles + (half + i) * V);
#pragma unroll
            for (int u = 0; u < unroll; u++) {
                unpack(x, a[u], T{});
                unpack(y, b[u], T{});
#pragma unroll
                for (int k = 0; k < V; k++) {
                    const float before = x[k];
                    x[k] = x[k] * cosine[k] - y[k] * (sign * sine[k]);
                    y[k] = y[k] * cosine[k] + before * (sign * sine[k]);
                }
                store(p[u], x);
                store(p[u] + half * V, y);
            }
        }
    }
}

template <class T, int V> void turn(kstream *s, const rope_args *a, float sign) {
    const int half = a->R / 2 / V, heads = a->A + a->G, share = (heads + unroll - 1) / unroll;
    dim3 block;
    block.x = half < threads ? half : threads;
    block.y = (unsigned)share < threads / block.x ? share : threads / block.x;
    block.z = threads / (block.x * block.y) < 64 ? threads / (block.x * block.y) : 64;
    launch(s, rope_kernel<T, V>, ((unsigned)a->N + block.z - 1) / block.z, block, 0, (T *)a->qkv, a->table, a->pos, sign, a->N, heads,
           (a->A + 2 * a->G) * a->D, a->D, half);
}

void turn_all(kstream *s, const rope_args *a, float sign) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        if (wide<T>(a->R / 2, a->qkv, a->table) && wide<T>(a->D, a->qkv)) turn<T, V>(s, a, sign);
        else turn<T, 1>(s, a, sign);
    });
}

}  // namespace

void cuda_rope(kstream *s, const rope_args *a) { turn_all(s, a, 1); }
void cuda_rope_backward(kstream *s, const rope_backward_args *a) { turn_all(s, a, -1); }
