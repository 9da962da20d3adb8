// emu.h: the software GPU as kernels see it: CUDA's types, built-ins and launches for g++. Threads are fibers, which
// give way at the built-ins that meet other threads, and nowhere else. What the host sees is in device.h.
//
// What a GPU leaves undefined is an error here: the block stops, and the wait for its stream says block, thread, instruction
// and place. Not seen: weak memory order, and races that no schedule shows.
#ifndef CRITICRM_EMU_H
#define CRITICRM_EMU_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <functional>
#include <type_traits>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "the software GPU runs on x86-64 and arm64 only"
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local  // a block stays on one OS thread; such variables keep the last block's values

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
#define VECTOR(name, type, bytes)                                                              \
    struct alignas(2 * bytes) name##2 { type x, y; };                                          \
    struct alignas(4 * bytes > 16 ? 16 : 4 * bytes) name##4 { type x, y, z, w; };              \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                           \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTOR(float, float, 4)
VECTOR(double, double, 8)
VECTOR(int, int, 4)
VECTOR(uint, unsigned, 4)
VECTOR(short, short, 2)
VECTOR(ushort, unsigned short, 2)
VECTOR(uchar, unsigned char, 1)
VECTOR(longlong, long long, 8)
VECTOR(ulonglong, unsigned long long, 8)
#undef VECTOR

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;
const int warpSize = 32;

namespace emu {

// ---- what ptx.cuh calls
char *dynamic_shared();  // ends near a guard page; NaNs at first
uint32_t shared_address(const void *p);
void ldmatrix_x4(uint32_t (&r)[4], uint32_t row, bool transposed);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void cp_async(uint32_t dst, const void *src, bool valid);
void cp_async_commit();
void cp_async_wait(int newest);
uint4 load16(const void *p);
void store16(void *p, uint4 v);
uint2 load8(const void *p);
void store8(void *p, uint2 v);
uint32_t round_bf16(float x);
float exp2_approx(float x);

// ---- what the built-ins below call
#define EMU_INSTRUCTIONS(X)                                                                                              \
    X(none) X(__syncthreads) X(__syncthreads_count) X(__syncthreads_and) X(__syncthreads_or) X(__syncwarp)               \
    X(__shfl_sync) X(__shfl_up_sync) X(__shfl_down_sync) X(__shfl_xor_sync) X(__ballot_sync) X(__any_sync) X(__all_sync) \
    X(__reduce_add_sync) X(__reduce_min_sync) X(__reduce_max_sync) X(__reduce_and_sync) X(__reduce_or_sync)              \
    X(__reduce_xor_sync) X(ldmatrix) X(ldmatrix_trans) X(mma_bf16) X(__nanosleep)
#define X(name) i##name,
enum instruction : uint8_t { EMU_INSTRUCTIONS(X) };
#undef X
uint64_t shuffle(instruction, unsigned mask, uint64_t value, int argument, int width, const char *file, int line);
unsigned vote(instruction, unsigned mask, unsigned value, bool is_signed, const char *file, int line);
int barrier(instruction, int predicate, const char *file, int line);
void give_way();  // to others, perhaps, if the order is random
void nanosleep();
[[noreturn]] void trap(const char *file, int line);

// ---- launches. The body is run by every thread of the grid, when the stream gets to it. Throws std::runtime_error for what
// no GPU takes. enqueue is for stand-ins of libraries; what f throws is the stream's error.
void launch(void *queue, dim3 grid, dim3 block, size_t shared, std::function<void()> body);
void enqueue(void *queue, std::function<void()> f);

}  // namespace emu

// ---- built-ins. The hidden arguments say where the call stands.
#define EMU_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMU_AT) { emu::barrier(emu::i__syncthreads, 0, file, line); }
inline int __syncthreads_count(int p, EMU_AT) { return emu::barrier(emu::i__syncthreads_count, p, file, line); }
inline int __syncthreads_and(int p, EMU_AT) { return emu::barrier(emu::i__syncthreads_and, p, file, line); }
inline int __syncthreads_or(int p, EMU_AT) { return emu::barrier(emu::i__syncthreads_or, p, file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_AT) { emu::vote(emu::i__syncwarp, mask, 0, false, file, line); }
inline unsigned __ballot_sync(unsigned mask, int p, EMU_AT) { return emu::vote(emu::i__ballot_sync, mask, p != 0, false, file, line); }
inline int __any_sync(unsigned mask, int p, EMU_AT) { return (int)emu::vote(emu::i__any_sync, mask, p != 0, false, file, line); }
inline int __all_sync(unsigned mask, int p, EMU_AT) { return (int)emu::vote(emu::i__all_sync, mask, p != 0, false, file, line); }

#define REDUCE(name, type) \
    inline type name(unsigned mask, type x, EMU_AT) { return (type)emu::vote(emu::i##name, mask, (unsigned)x, std::is_signed<type>::value, file, line); }
REDUCE(__reduce_add_sync, unsigned) REDUCE(__reduce_min_sync, unsigned) REDUCE(__reduce_max_sync, unsigned)
REDUCE(__reduce_add_sync, int) REDUCE(__reduce_min_sync, int) REDUCE(__reduce_max_sync, int)
REDUCE(__reduce_and_sync, unsigned) REDUCE(__reduce_or_sync, unsigned) REDUCE(__reduce_xor_sync, unsigned)
#undef REDUCE

#define SHUFFLE(name, type)                                                                                       \
    template <class T> inline T name(unsigned mask, T x, type argument, int width = 32, EMU_AT) {                 \
        static_assert(std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8), "not a type of CUDA's"); \
        uint64_t v = 0;                                                                                           \
        memcpy(&v, &x, sizeof x);                                                                                 \
        v = emu::shuffle(emu::i##name, mask, v, (int)argument, width, file, line);                                \
        memcpy(&x, &v, sizeof x);                                                                                 \
        return x;                                                                                                 \
    }
SHUFFLE(__shfl_sync, int) SHUFFLE(__shfl_xor_sync, int) SHUFFLE(__shfl_up_sync, unsigned) SHUFFLE(__shfl_down_sync, unsigned)
#undef SHUFFLE

inline void __nanosleep(unsigned) { emu::nanosleep(); }
[[noreturn]] inline void __trap(EMU_AT) { emu::trap(file, line); }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Atomics, on integers only: the order of a sum of floats is not fixed.
template <class T, class F> inline T emu_atomic(T *p, F f) {
    static_assert(std::is_same<T, int>::value || std::is_same<T, unsigned>::value || std::is_same<T, unsigned long long>::value, "no such atomic");
    emu::give_way();
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
    return old;
}
template <class T> using emu_same = typename std::common_type<T>::type;  // not deduced from the second argument
template <class T> inline T atomicAdd(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return (T)(old + x); }); }
template <class T> inline T atomicSub(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return (T)(old - x); }); }
template <class T> inline T atomicMin(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return old < x ? old : x; }); }
template <class T> inline T atomicMax(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return old > x ? old : x; }); }
template <class T> inline T atomicAnd(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return (T)(old & x); }); }
template <class T> inline T atomicOr(T *p, emu_same<T> x) { return emu_atomic(p, [=](T old) { return (T)(old | x); }); }
template <class T> inline T atomicExch(T *p, emu_same<T> x) { return emu_atomic(p, [=](T) { return x; }); }
template <class T> inline T atomicCAS(T *p, emu_same<T> compare, emu_same<T> x) { return emu_atomic(p, [=](T old) { return old == compare ? x : old; }); }

// Bits and integers.
template <class To, class From> inline To emu_bits(From x) {
    To y;
    static_assert(sizeof x == sizeof y, "sizes differ");
    memcpy(&y, &x, sizeof y);
    return y;
}
inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
inline int __float_as_int(float x) { return emu_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
inline float __int_as_float(int x) { return emu_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i);
    return r;
}
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((uint64_t)x * y >> 32); }
inline int __mulhi(int x, int y) { return (int)((int64_t)x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) { return (unsigned long long)((unsigned __int128)x * y >> 64); }
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) { return (unsigned)(((uint64_t)hi << 32 | lo) << (n & 31) >> 32); }
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) { return (unsigned)(((uint64_t)hi << 32 | lo) >> (n & 31)); }

// Arithmetic. -ffp-contract=off is g++'s default here but for its own choice of fma on newer machines: none is asked for.
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float rsqrtf(float x) { return (float)(1 / sqrt((double)x)); }
inline int __float2int_rn(float x) { return (int)lrintf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline unsigned __float2uint_rz(float x) { return (unsigned)x; }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
template <class T> inline T __ldg(const T *p) { return *p; }

// CUDA's overloads, no more: what is ambiguous for nvcc must be so for g++.
#define MINMAX(t, x, y)                                                     \
    inline t min(x a, y b) { return (t)a < (t)b ? (t)a : (t)b; }            \
    inline t max(x a, y b) { return (t)a > (t)b ? (t)a : (t)b; }
#define MINMAX4(s, u) MINMAX(s, s, s) MINMAX(u, u, u) MINMAX(u, s, u) MINMAX(u, u, s)
MINMAX4(int, unsigned) MINMAX4(long, unsigned long) MINMAX4(long long, unsigned long long)
#undef MINMAX4
#undef MINMAX
#define MINMAX(t, x, y, f)                              \
    inline t min(x a, y b) { return fmin##f(a, b); }    \
    inline t max(x a, y b) { return fmax##f(a, b); }
MINMAX(float, float, float, f) MINMAX(double, double, double, ) MINMAX(double, float, double, ) MINMAX(double, double, float, )
#undef MINMAX

#undef EMU_AT
#endif
