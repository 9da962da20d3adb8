// ptx.cuh: every PTX instruction that the kernels use, as a named function: the asm for nvcc beside what the software GPU
// (emu/) does for g++. Kernels contain no asm and no #ifdef. Beyond these they use CUDA's own __syncthreads, __syncwarp,
// __shfl_*_sync, __ballot_sync and the like, which emu.h has too.
#ifndef CRITICRM_PTX_CUH
#define CRITICRM_PTX_CUH

#include <stdint.h>

#ifdef __CUDACC__
#define PTX(instruction, emulated) instruction
#else
#include "emu/emu.h"
#define PTX(instruction, emulated) emulated
#endif

namespace ptx {

// The dynamic shared memory of the block, on a 1024-byte boundary. Its size is that of the launch.
static __device__ __forceinline__ char *dynamic_shared() {
#ifdef __CUDACC__
    extern __shared__ __align__(1024) char dynamic_shared_memory[];
    return dynamic_shared_memory;
#else
    return emu::dynamic_shared();
#endif
}

// The 32-bit address of shared memory that the instructions below take.
static __device__ __forceinline__ uint32_t shared(const void *p) {
    PTX(return (uint32_t)__cvta_generic_to_shared(p), return emu::shared_address(p));
}

// Four 8×8 matrices of 16-bit elements. Lane i gives the address of row i%8 of matrix i/8 (16 bytes, aligned); register m of
// lane i gets elements 2·(i%4) and 2·(i%4)+1 of row i/4 of matrix m, the transposed one of its column i/4.
static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], uint32_t row) {
    PTX(asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory"),
        emu::ldmatrix_x4(r, row, false));
}
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row) {
    PTX(asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory"),
        emu::ldmatrix_x4(r, row, true));
}

// d (16, 8) f32 += a (16, 16) bf16 · b (16, 8) bf16, over the warp. With g = lane/4 and t = lane%4:
//   a[0] (g, 2t) (g, 2t+1)   a[1] (g+8, ·)   a[2] (g, 2t+8) (g, 2t+9)   a[3] (g+8, ·)
//   b0   (2t, g) (2t+1, g)   b1   (2t+8, g) (2t+9, g)
//   d[0] (g, 2t)   d[1] (g, 2t+1)   d[2] (g+8, 2t)   d[3] (g+8, 2t+1)
static __device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    PTX(asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)),
        emu::mma_bf16(d, a, b0, b1));
}

// 16 bytes from global to shared memory, in the background; zeros, and src is not read, if not valid. Both addresses are
// 16-byte aligned. The copies of a thread since its last commit are a group; wait<N> returns when all but its newest N
// groups are there, for this thread: others need a barrier after it.
static __device__ __forceinline__ void cp_async(uint32_t dst, const void *src, bool valid) {
    PTX(asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(dst), "l"(src), "r"(valid ? 16 : 0) : "memory"),
        emu::cp_async(dst, src, valid));
}
static __device__ __forceinline__ void cp_async_commit() { PTX(asm volatile("cp.async.commit_group;" ::: "memory"), emu::cp_async_commit()); }
template <int N> static __device__ __forceinline__ void cp_async_wait() {
    PTX(asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"), emu::cp_async_wait(N));
}

// 16 bytes of global memory, aligned. The _once forms are for data that is read or written a single time: they do not
// displace what the caches hold; load16_once may only read what no thread of the kernel writes.
static __device__ __forceinline__ uint4 load16(const void *p) {
    PTX(return *(const uint4 *)p, return emu::load16(p));
}
static __device__ __forceinline__ uint4 load16_once(const void *p) {
#ifdef __CUDACC__
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
#else
    return emu::load16(p);
#endif
}
static __device__ __forceinline__ void store16(void *p, uint4 v) {
    PTX(*(uint4 *)p = v, emu::store16(p, v));
}
static __device__ __forceinline__ uint2 load8(const void *p) { PTX(return *(const uint2 *)p, return emu::load8(p)); }  // aligned
static __device__ __forceinline__ void store8(void *p, uint2 v) { PTX(*(uint2 *)p = v, emu::store8(p, v)); }
static __device__ __forceinline__ void store16_once(void *p, uint4 v) {
    PTX(asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" :: "l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory"), emu::store16(p, v));
}

// Two numbers rounded to bf16 (to nearest, ties to even), the first in the lower half.
static __device__ __forceinline__ uint32_t pack_bf16(float lo, float hi) {
#ifdef __CUDACC__
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#else
    return emu::round_bf16(lo) | emu::round_bf16(hi) << 16;
#endif
}

// 2^x with a relative error of about 2⁻²²; denormal results are 0.
static __device__ __forceinline__ float exp2_approx(float x) {
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return emu::exp2_approx(x);
#endif
}

}  // namespace ptx
#endif
