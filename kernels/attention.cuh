// attention.cuh: what attention on tensor cores and its gradient share: tiles of bf16 rows in shared memory, and their products
// in registers. Fragments are those of ptx::mma_bf16: lane 4g + t holds rows g and g + 8 and columns 2t and 2t + 1 of each 16×8.
#ifndef CRITICRM_ATTENTION_CUH
#define CRITICRM_ATTENTION_CUH

#include <limits.h>

#include <type_traits>

#include "cuda.cuh"

namespace gpu {

const float log2e = 1.44269504088896340736f, ln2 = 0.693147180559945309417f;

// ---- tile lists: see attention_args in kernels.h, and package tile

enum { QUERIES = 128, HALF = 64, KEYS = 64 };
enum { NONE = 0, SOME = 1, ALL = 2 };  // what a half of a query tile sees of a key tile

static __host__ __device__ __forceinline__ int query_tiles(int N) { return (N + QUERIES - 1) / QUERIES; }
static __host__ __device__ __forceinline__ int key_tiles(int N) { return (N + KEYS - 1) / KEYS; }

// The order of key blocks; behind it lie the places of their lists, as those of query tiles lie behind the order of these.
static __device__ __forceinline__ const int32_t *key_blocks(const int32_t *tiles, int N) { return tiles + 2 * query_tiles(N) + 1; }

// Of an entry of a list: the first key of its tile, and what half 0 or 1 sees of it. Entries are not negative.
static __device__ __forceinline__ int first_key(int entry) { return entry >> 4 << 6; }
static __device__ __forceinline__ int sight(int entry, int half) { return entry >> 2 * half & 3; }

// ---- tiles in shared memory: rows of D numbers in 16-byte words, room<D> numbers apart. Word c of row r lies at place c ^ r%8 of its
// row, so that the same word of eight rows, which is what ldmatrix reads and what fragments write, lies in different banks. The
// address of word c + 2i of a row differs from that of word c by ^ 32·i if c < 2, and that of row r + 8i by + 16·room<D>·i.

template <int D> constexpr int room = (D + 63) / 64 * 64;  // eight words, or a multiple: what lies behind D is neither written nor read

// f(d), where d.value is D, if that is a head size with kernels for tensor cores; else false.
template <class F> bool of_size(int D, F f) {
    switch (D) {
        case 64: return f(std::integral_constant<int, 64>()), true;
        case 80: return f(std::integral_constant<int, 80>()), true;
        case 96: return f(std::integral_constant<int, 96>()), true;
        case 128: return f(std::integral_constant<int, 128>()), true;
        case 256: return f(std::integral_constant<int, 256>()), true;
    }
    return false;
}

template <int D> static __device__ __forceinline__ uint32_t word(int r, int c) { return r * 2 * room<D> + ((c ^ (r & 7)) << 4); }

// Where a lane's row of ldmatrix_x4 begins in the first 16 rows and 16 columns of a tile, as operand a of mma_bf16 or as operand
// b of a transposed tile, and as operand b for 16 of its columns.
template <int D> static __device__ __forceinline__ uint32_t lane_a(int lane) { return word<D>(lane & 15, lane >> 4); }
template <int D> static __device__ __forceinline__ uint32_t lane_b(int lane) { return word<D>((lane & 7) + (lane >> 4) * 8, lane >> 3 & 1); }

// Copies rows [first, first + ROWS) of x, whose rows are `stride` bytes apart, to a tile, by all threads of the block; rows from
// N on become zero. at: what own_word says for the first byte of row 0.
template <int D, int THREADS> static __device__ __forceinline__ uint32_t own_word(uint32_t at, int stride) {
    const int words = room<D> / 8;
    return at + threadIdx.x / words * stride + threadIdx.x % words * 16;
}
template <int D, int ROWS, int THREADS> static __device__ __forceinline__ void fetch(uint32_t tile, const void *x, uint32_t at, int stride, int first, int N) {
    const int words = room<D> / 8, step = THREADS / words;
    static_assert(step % 4 == 0 && ROWS % step == 0, "a thread's rows are in one or two places of the swizzle");
    if (D < room<D> && threadIdx.x % words >= D / 8) return;
    const int row = threadIdx.x / words, left = N - first - row;
    const uint32_t to = tile + word<D>(row, threadIdx.x % words);
    const char *from = (const char *)x + (int64_t)first * stride + at;
#pragma unroll
    for (int i = 0; i < ROWS / step; i++) ptx::cp_async((to ^ i * step % 8 * 16) + i * step * 2 * room<D>, from + (int64_t)(i * step) * stride, i * step < left);
}

// ---- scores

// Kernels with tensor cores are compiled twice: most models have neither windows nor caps, and their loops no register for them.
enum limits { UNLIMITED, LIMITED };

struct score_limits {
    int window;   // a query does not see keys so many positions before it: INT_MAX for all
    float cap;    // of products before they are scaled: x becomes cap·tanh(x/cap); 0: none
    float inverse;

    bool any() const { return window != INT_MAX || cap; }
    __device__ __forceinline__ float soft(float x) const { return cap * tanhf(x * inverse); }
    __device__ __forceinline__ float slope(float soft) const { return 1 - soft * inverse * (soft * inverse); }  // of soft by x, from its result
};

template <class A> score_limits limits_of(const A &a) {
    return {a.window ? a.window : INT_MAX, a.cap / a.scale, a.cap > 0 ? a.scale / a.cap : 0};
}

template <int M, int NT> static __device__ __forceinline__ void soften(float (&s)[M][NT][4], const score_limits &limits) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int j = 0; j < 4; j++) s[m][n][j] = limits.soft(s[m][n][j]);
        }
    }
}

// ds times the slopes at softened products p.
template <int M, int NT> static __device__ __forceinline__ void add_slopes(float (&ds)[M][NT][4], const float (&p)[M][NT][4], const score_limits &limits) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int j = 0; j < 4; j++) ds[m][n][j] *= limits.slope(p[m][n][j]);
        }
    }
}

// ---- products

// s (16M, 8·NT) += a·bᵀ over 16 columns: a (16M, 16) in registers, b at the lane's address (lane_b) in a tile of 8·NT rows.
template <int D, int M, int NT> static __device__ __forceinline__ void add_dots(float (&s)[M][NT][4], const uint32_t (&a)[M][4], uint32_t b) {
#pragma unroll
    for (int n = 0; n < NT; n += 2) {
        uint32_t y[4];
        ptx::ldmatrix_x4(y, b + n * 16 * room<D>);
#pragma unroll
        for (int m = 0; m < M; m++) {
            ptx::mma_bf16(s[m][n], a[m], y[0], y[1]);
            ptx::mma_bf16(s[m][n + 1], a[m], y[2], y[3]);
        }
    }
}

// o (16M, 8·NT) += p·b over 16 rows of b: p (16M, 16) in registers, b at the lane's address (lane_a) in a tile, plus an offset of whole rows.
template <int D, int M, int NT> static __device__ __forceinline__ void add_rows(float (&o)[M][NT][4], const uint32_t (&p)[M][4], uint32_t b, uint32_t offset) {
#pragma unroll
    for (int n = 0; n < NT; n += 2) {
        uint32_t y[4];
        ptx::ldmatrix_x4_trans(y, (b ^ n * 16) + offset);
#pragma unroll
        for (int m = 0; m < M; m++) {
            ptx::mma_bf16(o[m][n], p[m], y[0], y[1]);
            ptx::mma_bf16(o[m][n + 1], p[m], y[2], y[3]);
        }
    }
}

// Columns [8n, 8n + 16) of c as operand a, rounded: what is d of one product becomes a of the next without leaving its lane.
template <int M, int NT> static __device__ __forceinline__ void operand(uint32_t (&a)[M][4], const float (&c)[M][NT][4], int n) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int j = 0; j < 4; j++) a[m][j] = ptx::pack_bf16(c[m][n + j / 2][j % 2 * 2], c[m][n + j / 2][j % 2 * 2 + 1]);
    }
}

template <int M, int NT> static __device__ __forceinline__ void fill(float (&c)[M][NT][4], float x) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < NT; n++) c[m][n][0] = c[m][n][1] = c[m][n][2] = c[m][n][3] = x;
    }
}

// Writes the warp's c (16M, 8·words), row r·f[r], in whole words through those of 16M rows of a tile that no other warp uses, from word
// `begin` on, to rows [first, N) of out, which are ld numbers apart.
template <int D, int M, int words> static __device__ __forceinline__ void write_rows(bf16 *out, int ld, int first, int N, const float (&c)[M][words][4],
                                                                                     const float (&f)[M][2], char *tile, int begin = 0) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < words; n++) {
#pragma unroll
            for (int r = 0; r < 2; r++)
                *(uint32_t *)(tile + word<D>(m * 16 + r * 8 + g, begin + n) + 4 * t) = ptx::pack_bf16(c[m][n][2 * r] * f[m][r], c[m][n][2 * r + 1] * f[m][r]);
        }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < M * words / 2; i++) {
        const int r = 32 % words ? (i * 32 + lane) / words : i * (32 / words) + lane / words, w = 32 % words ? (i * 32 + lane) % words : lane % words;
        if (first + r < N) ptx::store16(out + (int64_t)(first + r) * ld + (begin + w) * 8, *(const uint4 *)(tile + word<D>(r, begin + w)));
    }
}

}  // namespace gpu
#endif
