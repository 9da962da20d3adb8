// cuda.cuh: what every CUDA op builds on: the stream with its workspace, launches, 16-byte vectors of real numbers, and
// sums over warps and blocks in a fixed order.
//
// A .cu file holds, in this order: its purpose, device functions and kernels in an anonymous namespace, and the ops cuda_<op>,
// which check what the kernel assumes, choose grid, block and shared memory, and launch. Ops never wait for the device. An
// op may throw std::runtime_error; the table turns that into the stream's fault, and later ops do nothing until sync has given it.
// The same file is compiled by nvcc and, for the software GPU, by g++ (<op>_emu.cc).
#ifndef CRITICRM_CUDA_CUH
#define CRITICRM_CUDA_CUH

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#endif

#include "kernels.h"
#include "ptx.cuh"

namespace gpu {

struct blas;  // matmul.cu

// What a kstream is here.
struct stream {
    int device = 0, processors = 1;    // processors: streaming multiprocessors
    int capability = 0;                // 10·major + minor of the compute capability
    size_t shared = 48 << 10;          // bytes of shared memory that a block may have: 227 KiB on an H100, 163 on an A100, 99 on an RTX 4090
    void *queue = nullptr;             // CUstream
    char *workspace = nullptr;         // the caller's; ops on a stream run in order, so each may use all of it
    size_t size = 0, used = 0;
    int32_t *counters = nullptr;       // (counter_count) zero between kernels
    blas *matrices = nullptr;
    std::vector<std::pair<const void *, size_t>> large;  // kernels that may use dynamic shared memory, and how much
    bool fixed = false;                // what a token gives does not depend on its company: see kernel_table::fix
    bool faulted = false;
    std::string fault, reported;
};
const int counter_count = 1024;

inline stream &of(kstream *s) { return *reinterpret_cast<stream *>(s); }
inline int processors(kstream *s) { return of(s).processors; }
inline size_t most_shared(kstream *s) { return of(s).shared; }

// Device memory until the end of the op, 256-byte aligned, undefined. Throws if the workspace is too small: an op that may
// need much works in chunks of what workspace_left says.
inline size_t workspace_left(kstream *s) { return of(s).size - of(s).used; }
template <class T> T *scratch(kstream *s, size_t n) {
    size_t bytes = (n * sizeof(T) + 255) & ~(size_t)255;
    if (bytes > workspace_left(s)) throw std::runtime_error("needs " + std::to_string(bytes) + " bytes of workspace, has " + std::to_string(workspace_left(s)));
    T *p = reinterpret_cast<T *>(of(s).workspace + of(s).used);
    of(s).used += bytes;
    return p;
}

// A counter that is zero at the start of a kernel and must be zero again at its end: for the block that is last to finish.
inline int32_t *counter(kstream *s, int i = 0) { return of(s).counters + i; }

#ifdef __CUDACC__
// Lets a kernel use so much dynamic shared memory; without being asked a GPU gives it 48 KiB less what it has of static. Once: the
// calls are not free. What is allowed is the process's, so it only rises: a stream for another model may have asked for more.
inline cudaError_t allow(kstream *s, const void *kernel, size_t shared) {
    static std::mutex lock;
    for (const auto &k : of(s).large)
        if (k.first == kernel && k.second >= shared) return cudaSuccess;
    std::lock_guard<std::mutex> hold(lock);
    cudaFuncAttributes now;
    cudaError_t e = cudaFuncGetAttributes(&now, kernel);
    if (e == cudaSuccess && now.sharedSizeBytes + shared > most_shared(s))
        throw std::runtime_error("launch: needs " + std::to_string(now.sharedSizeBytes + shared) + " bytes of shared memory, a block has at most " +
                                 std::to_string(most_shared(s)) + " on this device");
    if (e == cudaSuccess && (size_t)now.maxDynamicSharedSizeBytes < shared) e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (e == cudaSuccess) of(s).large.push_back({kernel, shared});
    return e;
}
#endif

// Runs kernel(args...) on the stream, with that many bytes of dynamic shared memory. An empty grid is not launched.
template <class... P, class... A> void launch(kstream *s, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... args) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (grid.y > 65535 || grid.z > 65535) throw std::runtime_error("too many blocks: the grid is over 65535 in y or z");
    std::tuple<P...> given(static_cast<P>(args)...);
#ifdef __CUDACC__
    cudaError_t e = cudaSuccess;
    if (shared > 0) e = allow(s, (const void *)kernel, shared);
    if (e == cudaSuccess) {
        std::apply([&](auto &...a) {
            void *pointers[] = {(void *)&a..., nullptr};
            e = cudaLaunchKernel((const void *)kernel, grid, block, pointers, shared, (cudaStream_t)of(s).queue);
        }, given);
    }
    if (e != cudaSuccess) throw std::runtime_error(std::string("launch: ") + cudaGetErrorString(e));
#else
    emu::launch(of(s).queue, grid, block, shared, [=] { std::apply(kernel, given); });
#endif
}

// Blocks of a grid-stride loop over n items, per block so many: enough to fill the device a few times over.
inline unsigned blocks(kstream *s, int64_t n, int64_t per_block, int waves = 8) {
    int64_t want = (n + per_block - 1) / per_block, most = (int64_t)processors(s) * waves;
    return (unsigned)(want < most ? want : most);
}

// ---- real numbers

struct bf16 { uint16_t bits; };  // the upper half of a float

static __device__ __forceinline__ float bits_f32(uint32_t b) { return __uint_as_float(b); }
static __device__ __forceinline__ float to_f32(float x) { return x; }
static __device__ __forceinline__ float to_f32(bf16 x) { return bits_f32((uint32_t)x.bits << 16); }
static __device__ __forceinline__ void from_f32(float *p, float x) { *p = x; }
static __device__ __forceinline__ void from_f32(bf16 *p, float x) { p->bits = (uint16_t)ptx::pack_bf16(x, 0); }

// x rounded as a T is stored.
template <class T> static __device__ __forceinline__ float rounded(float x) {
    T t;
    from_f32(&t, x);
    return to_f32(t);
}

// Calls f with a value of the type that dtype names.
template <class F> void real(kdtype dtype, F f) { dtype == K_BF16 ? f(bf16{}) : f(float{}); }

// Vectors of V numbers: V = 1, or so many that they fill 16-byte words, which must be aligned. ONCE: see ptx.cuh.
enum { KEEP = 0, ONCE = 1 };
template <class T> static __device__ __forceinline__ void unpack(float *x, T v, T) { x[0] = to_f32(v); }
static __device__ __forceinline__ void unpack(float *x, uint4 v, float) {  // the four floats of a word
    x[0] = bits_f32(v.x), x[1] = bits_f32(v.y), x[2] = bits_f32(v.z), x[3] = bits_f32(v.w);
}
static __device__ __forceinline__ void unpack(float *x, uint4 v, bf16) {  // its eight bf16
    x[0] = bits_f32(v.x << 16), x[1] = bits_f32(v.x & 0xffff0000u), x[2] = bits_f32(v.y << 16), x[3] = bits_f32(v.y & 0xffff0000u);
    x[4] = bits_f32(v.z << 16), x[5] = bits_f32(v.z & 0xffff0000u), x[6] = bits_f32(v.w << 16), x[7] = bits_f32(v.w & 0xffff0000u);
}
template <int HINT = KEEP, int V> static __device__ __forceinline__ void load(float (&x)[V], const float *p) {
    static_assert(V == 1 || V % 4 == 0, "not whole words");
    if constexpr (V == 1) {
        x[0] = *p;
        return;
    } else {
#pragma unroll
        for (int i = 0; i + 3 < V; i += 4) unpack(x + i, HINT ? ptx::load16_once(p + i) : ptx::load16(p + i), float{});
    }
}
template <int HINT = KEEP, int V> static __device__ __forceinline__ void load(float (&x)[V], const bf16 *p) {
    static_assert(V == 1 || V == 4 || V % 8 == 0, "not whole words");
    if constexpr (V == 1) {
        x[0] = to_f32(*p);
        return;
    } else if constexpr (V == 4) {  // beside four floats
        uint2 v = ptx::load8(p);
        x[0] = bits_f32(v.x << 16), x[1] = bits_f32(v.x & 0xffff0000u), x[2] = bits_f32(v.y << 16), x[3] = bits_f32(v.y & 0xffff0000u);
    } else {
#pragma unroll
        for (int i = 0; i + 7 < V; i += 8) unpack(x + i, HINT ? ptx::load16_once(p + i) : ptx::load16(p + i), bf16{});
    }
}
template <int HINT = KEEP, int V> static __device__ __forceinline__ void store(float *p, const float (&x)[V]) {
    static_assert(V == 1 || V % 4 == 0, "not whole words");
    if constexpr (V == 1) {
        *p = x[0];
        return;
    } else {
#pragma unroll
        for (int i = 0; i + 3 < V; i += 4) {
            uint4 v = {__float_as_uint(x[i]), __float_as_uint(x[i + 1]), __float_as_uint(x[i + 2]), __float_as_uint(x[i + 3])};
            HINT ? ptx::store16_once(p + i, v) : ptx::store16(p + i, v);
        }
    }
}
template <int HINT = KEEP, int V> static __device__ __forceinline__ void store(bf16 *p, const float (&x)[V]) {
    static_assert(V == 1 || V == 4 || V % 8 == 0, "not whole words");
    if constexpr (V == 1) {
        from_f32(p, x[0]);
        return;
    } else if constexpr (V == 4) {
        ptx::store8(p, {ptx::pack_bf16(x[0], x[1]), ptx::pack_bf16(x[2], x[3])});
    } else {
#pragma unroll
        for (int i = 0; i + 7 < V; i += 8) {
            uint4 v = {ptx::pack_bf16(x[i], x[i + 1]), ptx::pack_bf16(x[i + 2], x[i + 3]), ptx::pack_bf16(x[i + 4], x[i + 5]), ptx::pack_bf16(x[i + 6], x[i + 7])};
            HINT ? ptx::store16_once(p + i, v) : ptx::store16(p + i, v);
        }
    }
}

// Whether rows of n Ts that begin at these addresses can be read in 16-byte words.
template <class T, class... P> bool wide(int64_t n, const P *...p) {
    return n * sizeof(T) % 16 == 0 && ((((uintptr_t)p & 15) == 0) && ...);
}

// cap·tanh(z·scale/cap), or z·scale where cap is 0; inside is scale/cap, or scale.
template <bool CAPPED> static __device__ __forceinline__ float soft_cap(float z, float inside, float cap) { return CAPPED ? cap * tanhf(z * inside) : z * inside; }
inline float inside_of(float scale, float cap) { return cap > 0 ? scale / cap : scale; }

// ---- sums, always in the same order

const unsigned whole_warp = 0xffffffffu;

template <class T> static __device__ __forceinline__ T warp_sum(T x) {  // in every lane
#pragma unroll
    for (int m = 16; m > 0; m >>= 1) x += __shfl_xor_sync(whole_warp, x, m);
    return x;
}
static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int m = 16; m > 0; m >>= 1) x = fmaxf(x, __shfl_xor_sync(whole_warp, x, m));
    return x;
}

// Over the threads of a one-dimensional block, in every thread. part (32) is shared memory that no thread may be using
// still: two sums in a row need two, or a barrier between them.
static __device__ __forceinline__ float block_sum(float x, float *part) {
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % 32 < (blockDim.x + 31) / 32 ? part[threadIdx.x % 32] : 0.f);
}
static __device__ __forceinline__ float block_max(float x, float *part) {
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_max(threadIdx.x % 32 < (blockDim.x + 31) / 32 ? part[threadIdx.x % 32] : -INFINITY);
}

// True in all threads of the block that is the last of `total` to come here; what the others wrote before is visible to
// it. The counter is zero again afterwards.
static __device__ __forceinline__ bool last_block(int32_t *counter, int total) {
    __shared__ int last;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();  // behind the barrier, so that it covers what the other threads wrote
        last = atomicAdd(counter, 1) == total - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

}  // namespace gpu
#endif
