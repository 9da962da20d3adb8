// emu.h: the software GPU as kernels see it: CUDA's types, built-ins and launches for g++, x86-64. Threads are fibers.
#ifndef CRITICRM_EMU_H
#define CRITICRM_EMU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { uint32_t x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace emu {

// ---- what ptx.cuh calls
char *dynamic_shared();
uint32_t shared_address(const void *p);
void ldmatrix_x4(uint32_t (&r)[4], uint32_t row, bool transposed);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void cp_async(uint32_t dst, const void *src, bool valid);
void cp_async_commit();
void cp_async_wait(int newest);
uint4 load16(const void *p);
void store16(void *p, uint4 v);
uint32_t round_bf16(float x);
float exp2_approx(float x);

// ---- launches. The body is run by every thread of the grid, when the stream gets to it.
void launch(void *queue, dim3 grid, dim3 block, size_t shared, std::function<void()> body);

}  // namespace emu
#endif
