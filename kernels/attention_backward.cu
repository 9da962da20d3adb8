// attention_backward.cu: gradient of attention over a packed forest, from the probabilities that lse gives back.
//   p = exp(s - lse)   dv = pᵀ·dout   ds = p·(dout·vᵀ - delta)   dk = scale·dsᵀ·q   dq = scale·ds·k   delta = Σ_d dout·out
// Two passes, so that every sum has one writer and a fixed order: blocks of 128 keys gather dk and dv over the queries that see
// them and over the query heads of their group; blocks of 128 queries gather dq. Both make p and ds of their tiles anew: 7
// products instead of 5, but no atomics. The first pass works on the transposed scores, so that pᵀ and dsᵀ lie in registers just
// as the products with them want it. Both are one launch: the blocks of queries fill the device when those of keys run out.
#include "attention.cuh"
#include "attention_backward_plain.cuh"

using namespace gpu;

namespace {

// What both passes work on: the key heads from g0 on and their query heads.
struct gradient {
    bf16 *dqkv;                // (N, A + 2G, D)
    const bf16 *dout, *qkv;    // (N, A, D), (N, A + 2G, D)
    const int32_t *tiles;      // see kernels.h
    float *rows;               // (key_heads·group, 2, padded)    lse in powers of 2, +inf beyond N: there p is 0; then -delta
    int32_t *reach;            // (padded)                        end[k] - k: none of so many queries on see the key; 0 beyond N
    int32_t *place;            // (padded)                        pos
    int4 *parts;               // (parts)                         of the work on keys, see below
    float *sums;               // (cut parts, key_heads, 2, QUERIES, D)
    int N, A, G, padded;       // padded: N rounded up to whole query tiles
    int g0, key_heads, group;  // group: A/G, the query heads of a key head
    int extra;                 // parts beyond the one for each query tile
    float scale;
    score_limits limits;

    __device__ __forceinline__ int parts_count() const { return query_tiles(N) + extra; }
};

// ---- the parts of the work on keys
//
// Those of prompts are seen by whole trees, and by all query heads of a group: a few blocks of 128 keys would have most of the
// work. So it is cut into parts, each some of the steps, which are pairs of a query head and a half of a query tile, from the list
// of the block. The sums of the parts are added by another kernel. A part is
//   x  the keys [128x, 128x + 128), or negative: nothing to do      y, z  part y of z      w  where its sum goes, if z > 1

// A warp lists the parts, the longest first. A part is about 1/extra of all work, but what is shorter is not cut.
static __device__ void list_parts(const gradient &a) {
    const int lane = threadIdx.x % 32, tiles = query_tiles(a.N);
    const int32_t *order = key_blocks(a.tiles, a.N), *list = order + tiles;
    auto steps = [&](int i) { return i < tiles ? a.group * (list[order[i] + 1] - list[order[i]]) : 0; };
    int total = 0;
    for (int i = lane; i < tiles; i += 32) total += steps(i);
    total = __reduce_add_sync(whole_warp, total);
    const int size = a.extra > 0 ? max(4, (total + a.extra - 1) / a.extra) : total;
    int at = 0, slot = 0;
    for (int i = lane; i - lane < tiles; i += 32) {
        const int n = steps(i), count = n == 0 ? 0 : max(1, n / size), cut = count > 1 ? count : 0;
        int past = count, past_cut = cut;  // sums over the lanes up to this one
#pragma unroll
        for (int m = 1; m < 32; m <<= 1) {
            const int x = __shfl_up_sync(whole_warp, past, m), y = __shfl_up_sync(whole_warp, past_cut, m);
            if (lane >= m) past += x, past_cut += y;
        }
#pragma unroll 1
        for (int j = 0; j < count; j++) a.parts[at + past - count + j] = {order[i], j, count, slot + past_cut - cut + j};
        at += __shfl_sync(whole_warp, past, 31), slot += __shfl_sync(whole_warp, past_cut, 31);
    }
#pragma unroll 1
    for (int i = at + lane; i < a.parts_count(); i += 32) a.parts[i] = {-1, 0, 0, 0};
}

// The parts; lse and delta head by head, and the reach of keys, padded to whole tiles.
template <int D> __global__ void __launch_bounds__(256)
attention_backward_prepare_kernel(const gradient a, const bf16 *out, const float *lse, const int32_t *end, const int32_t *pos) {
    if (blockIdx.x == 0) {
        if (blockIdx.y == 0 && threadIdx.x < 32) list_parts(a);
        return;
    }
    const int lanes = room<D> / 8, U = 4;  // for a row; rows that a lane has in flight
    const int lane = threadIdx.x % 32, j = lane % lanes, row = ((blockIdx.x - 1) * (32 / lanes) + lane / lanes) * U;
    const int h = blockIdx.y * 8 + threadIdx.x / 32;
    if (h == 0 && j < U) a.reach[row + j] = row + j < a.N ? end[row + j] - row - j : 0, a.place[row + j] = row + j < a.N ? pos[row + j] : 0;
    if (h >= a.key_heads * a.group) return;
    float sum[U];
#pragma unroll
    for (int u = 0; u < U; u++) {
        sum[u] = 0;
        if (row + u >= a.N || j >= D / 8) continue;
        const int64_t at = ((int64_t)(row + u) * a.A + a.g0 * a.group + h) * D + j * 8;
        float x[8], y[8];
        load(x, a.dout + at);
        load<ONCE>(y, out + at);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[u] += x[i] * y[i];
    }
#pragma unroll
    for (int m = lanes / 2; m > 0; m >>= 1) {
#pragma unroll
        for (int u = 0; u < U; u++) sum[u] += __shfl_xor_sync(whole_warp, sum[u], m);
    }
#pragma unroll
    for (int u = 1; u < U; u++) sum[0] = j == u ? sum[u] : sum[0];
    if (j >= U) return;
    float *to = a.rows + (int64_t)h * 2 * a.padded + row + j;
    to[a.padded] = -sum[0];
    to[0] = row + j < a.N ? lse[(int64_t)(row + j) * a.A + a.g0 * a.group + h] * log2e : INFINITY;
}

// Shared memory of both passes, in bytes: the block's rows of two matrices, then two stages with tiles of two other
// matrices, then what the rows of a stage have beside that, 12 bytes each, then what a block keeps for its end. Devices that
// have no room for two stages (D > 64 on GeForce and its like) have one, and wait for each tile.
template <int D> constexpr int threads = D > 128 ? 256 : 2 * room<D>;
template <int D, int STAGES> struct layout {
    static const int parts = D > 128 ? 2 : 1;            // a block has QUERIES/parts rows, and a warp 1/parts of their columns: all would not fit the registers
    static const int blocks = D == 64 ? 2 : 1;           // that a multiprocessor has registers for
    static const int M = D > 128 ? 1 : QUERIES / room<D>;  // a warp has 16·M of the block's rows
    static const int N8 = D / 8 / parts;                 // and so many columns, in eights
    static const int scores = D > 128 ? 32 : room<D> * STAGES / 4;  // of so many queries that exist at a time in the first pass, with one stage more would not fit
    static const int rows = QUERIES / parts * 2 * room<D>, tile = KEYS * 2 * room<D>;

    // Of a warp: which 16·M rows it has, and its first column, in eights.
    static __device__ __forceinline__ int row_of(int warp) { return parts == 1 ? warp * 16 * M : warp % 4 * 16; }
    static __device__ __forceinline__ int column_of(int warp) { return parts == 1 ? 0 : warp / 4 * N8; }
    static const int stages = 2 * rows, beside = stages + STAGES * 2 * tile, kept = beside + STAGES * 12 * KEYS, size = kept + 16;
};

// c (16·M, 8·NT) += a·bᵀ: rows and columns at the lane's addresses (lane_a, lane_b) in tiles, plus offsets of whole tiles.
template <int D, int M, int NT> static __device__ __forceinline__ void dots(float (&c)[M][NT][4], uint32_t a, uint32_t b, int a_offset, int b_offset) {
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
        uint32_t x[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) ptx::ldmatrix_x4(x[m], (a ^ i * 32) + a_offset + m * 32 * room<D>);
        add_dots<D>(c, x, (b ^ i * 32) + b_offset);
    }
}

// c (16·M, 8·N8) += p·b for p (16·M, 8·NT), which is rounded; the rows of b from `row` on, at the lane's address (lane_a).
template <int D, int M, int N8, int NT> static __device__ __forceinline__ void gather(float (&c)[M][N8][4], const float (&p)[M][NT][4], uint32_t b, int row) {
#pragma unroll
    for (int n = 0; n < NT; n += 2) {
        uint32_t x[M][4];
        operand(x, p, n);
        add_rows<D>(c, x, b, (row + n * 8) * 2 * room<D>);
    }
}

template <int D, int M, int N8> static __device__ __forceinline__ void write_scaled(bf16 *out, int ld, int first, int N, const float (&c)[M][N8][4],
                                                                                    float scale, char *tile, int column) {
    float f[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) f[m][0] = f[m][1] = scale;
    write_rows<D>(out, ld, first, N, c, f, tile, column);
}

// fetch, which works out the thread's word on the spot: the loops have no register to keep it.
template <int D, int ROWS> static __device__ __forceinline__ void fetch_rows(uint32_t tile, const bf16 *x, int stride, int first, int N) {
    const int words = room<D> / 8, row = threadIdx.x / words;
    fetch<D, ROWS, threads<D>>(tile, x, threadIdx.x % words * 16, stride, first + row, N + row);
}

// ---- dk and dv

// (which, QUERIES, D): sums of dk and dv of a cut part and key head.
template <int D> static __device__ __forceinline__ float *sums_of(const gradient &a, int slot, int key_head, int which) {
    return a.sums + (((int64_t)slot * a.key_heads + key_head) * 2 + which) * QUERIES * D;
}

template <int D, int M, int N8> static __device__ __forceinline__ void store_sums(float *to, const float (&c)[M][N8][4]) {
    to += threadIdx.x % 32 / 4 * D + threadIdx.x % 4 * 2;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < N8; n++) {
            *(float2 *)(to + m * 16 * D + n * 8) = {c[m][n][0], c[m][n][1]};
            *(float2 *)(to + (m * 16 + 8) * D + n * 8) = {c[m][n][2], c[m][n][3]};
        }
    }
}

template <int D, int STAGES, limits LIMITS> static __device__ __forceinline__ void work_on_keys(const gradient &a) {
    using L = layout<D, STAGES>;
    const int M = L::M, Q = LIMITS == LIMITED || D > 128 ? L::scores / 2 : L::scores, NT = Q / 8;  // limits take registers, too
    const int lane = threadIdx.x % 32, warp = __shfl_sync(whole_warp, (int)threadIdx.x / 32, 0), g = lane / 4, t = lane % 4;
    const int4 part = a.parts[blockIdx.y];
    if (part.x < 0) return;
    const int32_t *list = key_blocks(a.tiles, a.N) + query_tiles(a.N) + part.x;
    const int k0 = part.x * QUERIES + blockIdx.x % L::parts * HALF, k = k0 + L::row_of(warp), tiles = list[1] - list[0];
    if (L::parts > 1 && k0 >= a.N) return;
    const int head = a.g0 + blockIdx.x / L::parts, total = a.group * tiles;
    const int listed = list[0];
    list = a.tiles + listed;  // heads of 128 have no registers for a pointer
    const int start = (int)((int64_t)total * part.y / part.z), steps = (int)((int64_t)total * (part.y + 1) / part.z) - start;
    const int stride = (a.A + 2 * a.G) * 2 * D, dout_stride = a.A * 2 * D;

    char *const shared = ptx::dynamic_shared();
    const uint32_t keys = ptx::shared(shared), own = L::row_of(warp) * 2 * room<D>;
    int at = start % tiles, ahead_head = head * a.group + start / tiles, entry = 0, next = 0;  // of the next tiles
    auto fetch_next = [&](int stage) {
        const uint32_t to = keys + L::stages + stage * 2 * L::tile, beside = keys + L::beside + stage * 12 * KEYS;
        const int ahead = (next = D == 128 ? a.tiles[listed + at] : list[at]) / 4 * HALF;
        fetch_rows<D, KEYS>(to, a.qkv + ahead_head * D, stride, ahead, a.N);
        fetch_rows<D, KEYS>(to + L::tile, a.dout + ahead_head * D, dout_stride, ahead, a.N);
        if (threadIdx.x < 32) {  // 64 numbers of lse, then of -delta
            const float *from = a.rows + (int64_t)(ahead_head - a.g0 * a.group) * 2 * a.padded + (int)(threadIdx.x / 16 * a.padded + threadIdx.x % 16 * 4);
            ptx::cp_async(beside + threadIdx.x * 16, from + ahead, true);
            if (LIMITS == LIMITED && threadIdx.x < 16) ptx::cp_async(beside + 8 * KEYS + threadIdx.x * 16, a.place + ahead + threadIdx.x * 4, true);
        }
        ptx::cp_async_commit();
        if (++at == tiles) at = 0, ahead_head++;
    };
    fetch_rows<D, QUERIES / L::parts>(keys, a.qkv + (a.A + head) * D, stride, k0, a.N);
    fetch_rows<D, QUERIES / L::parts>(keys + L::rows, a.qkv + (a.A + a.G + head) * D, stride, k0, a.N);
    if (steps > 0) fetch_next(steps % STAGES);

    // the end needs this again; the loop has no registers to keep it
    if (threadIdx.x == 0) *(int4 *)(shared + L::kept) = {k0, head, part.z, part.w};

    // queries [k + 16·M - 1, least) see all keys of the warp, those before k and from last on none of them
    int reach[M][2], place[M][2], least = a.N, last = 0;
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        const int key = k + 8 * i + g, n = a.reach[key];
        reach[i / 2][i % 2] = n, least = min(least, key + n), last = max(last, n ? key + n : 0);
        if (LIMITS == LIMITED) place[i / 2][i % 2] = a.place[key];
    }
    least = __reduce_min_sync(whole_warp, least), last = __reduce_max_sync(whole_warp, last);

    const float scale2 = a.scale * log2e;
    float dk[M][L::N8][4], dv[M][L::N8][4];
    fill(dk, 0), fill(dv, 0);
    for (int left = steps; left > 0; left--) {
        ptx::cp_async_wait<0>();
        __syncthreads();  // the stage is there, and nobody reads the other one any more
        entry = next;
        if (STAGES == 2 && left > 1) fetch_next((left - 1) & 1);
#pragma unroll 1
        for (int u = 0; u < KEYS; u += Q) {
            const int q = entry / 4 * HALF + u;
            if (q + Q <= k || q >= last) continue;
            const uint32_t key = keys + own + lane_a<D>(lane), query = keys + L::stages + left % STAGES * 2 * L::tile + u * 2 * room<D>;
            const float *lse = (const float *)(shared + L::beside) + left % STAGES * 3 * KEYS + u + 2 * t, *minus = lse + KEYS;
            float p[M][NT][4], ds[M][NT][4];  // of keys by queries
            fill(p, 0);
            dots<D>(p, key, query + lane_b<D>(lane), 0, 0);
            if (LIMITS == LIMITED && a.limits.cap > 0) soften(p, a.limits);
#pragma unroll
            for (int n = 0; n < NT; n++) {
                const float2 x = *(const float2 *)(minus + 8 * n);
#pragma unroll
                for (int m = 0; m < M; m++) ds[m][n][0] = ds[m][n][2] = x.x, ds[m][n][1] = ds[m][n][3] = x.y;
            }
            dots<D>(ds, key, query + lane_b<D>(lane), L::rows, L::tile);
            if (LIMITS == LIMITED && a.limits.cap > 0) add_slopes(ds, p, a.limits);
            if (LIMITS == LIMITED ? entry % 4 == SOME : q < k + 16 * M - 1 || q + Q > least) {
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    const int2 from = LIMITS == LIMITED ? *(const int2 *)((const int *)lse + 2 * KEYS + 8 * n) : int2{0, 0};  // the queries' positions
#pragma unroll
                    for (int m = 0; m < M; m++) {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const int after = q + 2 * t - k - g + 8 * n + e % 2 - 16 * m - e / 2 * 8;  // how far the query is behind the key
                            const bool far = LIMITS == LIMITED && (e % 2 ? from.y : from.x) - place[m][e / 2] >= a.limits.window;
                            if (far || (uint32_t)after >= (uint32_t)reach[m][e / 2]) p[m][n][e] = -INFINITY;
                        }
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < NT; n++) {
                const float2 x = *(const float2 *)(lse + 8 * n);
#pragma unroll
                for (int m = 0; m < M; m++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        p[m][n][e] = ptx::exp2_approx(p[m][n][e] * scale2 - (e % 2 ? x.y : x.x));
                        ds[m][n][e] *= p[m][n][e];
                    }
                }
            }
            gather<D>(dv, p, (query + lane_a<D>(lane)) ^ L::column_of(warp) * 16, KEYS);
            gather<D>(dk, ds, (query + lane_a<D>(lane)) ^ L::column_of(warp) * 16, 0);
        }
        if (STAGES == 1 && left > 1) {
            __syncthreads();  // nobody reads the stage any more
            fetch_next(0);
        }
    }
    const int4 kept = *(const int4 *)(shared + L::kept);
    if (kept.z > 1) {
        const int at = (blockIdx.x % L::parts * HALF + L::row_of(warp)) * D + L::column_of(warp) * 8;
        store_sums<D>(sums_of<D>(a, kept.w, kept.y - a.g0, 0) + at, dk);
        store_sums<D>(sums_of<D>(a, kept.w, kept.y - a.g0, 1) + at, dv);
        return;
    }
    bf16 *out = a.dqkv + (a.A + kept.y) * D;
    const int first = kept.x + L::row_of(warp), column = L::column_of(warp);
    if (L::parts > 1) __syncthreads();  // two warps have read these rows
    write_scaled<D>(out, (a.A + 2 * a.G) * D, first, a.N, dk, a.scale, shared + own, column);
    write_scaled<D>(out + a.G * D, (a.A + 2 * a.G) * D, first, a.N, dv, 1, shared + L::rows + own, column);
}

// dk and dv of keys of which the work was cut, part after part.
template <int D> __global__ void __launch_bounds__(256) attention_backward_sum_kernel(const gradient a) {
    const int4 part = a.parts[blockIdx.y];
    if (part.x < 0 || part.y > 0 || part.z == 1) return;
    const int which = blockIdx.z, c = threadIdx.x * 8 % D, rows = 256 * 8 / D;  // at a time
    if ((int)threadIdx.x * 8 / D >= rows) return;
    const float *from = sums_of<D>(a, part.w, blockIdx.x, which) + c;
    const float scale = which ? 1 : a.scale;
    const int64_t next = (int64_t)a.key_heads * 2 * QUERIES * D;
    bf16 *out = a.dqkv + (int64_t)part.x * QUERIES * (a.A + 2 * a.G) * D + (a.A + which * a.G + a.g0 + blockIdx.x) * D + c;
    for (int r = threadIdx.x * 8 / D; r < min(QUERIES, a.N - part.x * QUERIES); r += rows) {
        float sum[8] = {};
        for (int j = 0; j < part.z; j++) {
            float x[8];
            load<ONCE>(x, from + j * next + r * D);
#pragma unroll
            for (int e = 0; e < 8; e++) sum[e] += x[e];
        }
#pragma unroll
        for (int e = 0; e < 8; e++) sum[e] *= scale;
        store<ONCE>(out + (int64_t)r * (a.A + 2 * a.G) * D, sum);
    }
}

// ---- dq

template <int D, int STAGES, limits LIMITS> static __device__ __forceinline__ void work_on_queries(const gradient &a, int index, int member) {
    using L = layout<D, STAGES>;
    const int M = L::M, K = D > 128 ? 32 : room<D> / 4, NT = K / 8;  // scores with K keys exist at a time
    const int lane = threadIdx.x % 32, warp = __shfl_sync(whole_warp, (int)threadIdx.x / 32, 0), g = lane / 4, t = lane % 4;
    const int part = blockIdx.x % L::parts, head = a.g0 + blockIdx.x / L::parts, h = head * a.group + member, stride = (a.A + 2 * a.G) * 2 * D;
    const int tile = a.tiles[index], q0 = tile * QUERIES + part * HALF, q = q0 + L::row_of(warp);
    if (L::parts > 1 && q0 >= a.N) return;
    const int32_t *list = a.tiles + query_tiles(a.N) + tile;
    const int steps = list[1] - list[0];
    list = a.tiles + list[0];

    char *const shared = ptx::dynamic_shared();
    const uint32_t queries = ptx::shared(shared), own = L::row_of(warp) * 2 * room<D>;
    auto fetch_tile = [&](int stage, int first) {
        const uint32_t to = queries + L::stages + stage * 2 * L::tile;
        fetch_rows<D, KEYS>(to, a.qkv + (a.A + head) * D, stride, first, a.N);
        fetch_rows<D, KEYS>(to + L::tile, a.qkv + (a.A + a.G + head) * D, stride, first, a.N);
        const uint32_t beside = queries + L::beside + stage * 12 * KEYS + threadIdx.x * 16;
        if (threadIdx.x < 16) ptx::cp_async(beside, a.reach + first + threadIdx.x * 4, true);
        if (LIMITS == LIMITED && threadIdx.x < 16) ptx::cp_async(beside + 4 * KEYS, a.place + first + threadIdx.x * 4, true);
        ptx::cp_async_commit();
    };
    fetch_rows<D, QUERIES / L::parts>(queries, a.qkv + h * D, stride, q0, a.N);
    fetch_rows<D, QUERIES / L::parts>(queries + L::rows, a.dout + h * D, a.A * 2 * D, q0, a.N);
    int entry = list[0], next = STAGES == 2 && steps > 1 ? list[1] : 0;
    fetch_tile(0, first_key(entry));

    float lse[M][2], minus[M][2];
    int place[M][2];
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        const float *from = a.rows + (int64_t)(h - a.g0 * a.group) * 2 * a.padded + q + 8 * i + g;
        lse[i / 2][i % 2] = from[0], minus[i / 2][i % 2] = from[a.padded];
        if (LIMITS == LIMITED) place[i / 2][i % 2] = a.place[q + 8 * i + g];
    }
    ptx::cp_async_wait<0>();
    __syncthreads();
    const int KEPT = L::parts == 1 ? D / 16 : 0;  // operands stay in registers, or are read for every tile
    uint32_t query[D / 16][M][4], dout[D / 16][M][4];
#pragma unroll
    for (int c = 0; c < KEPT; c++) {
#pragma unroll
        for (int m = 0; m < M; m++) {
            ptx::ldmatrix_x4(query[c][m], ((queries + own + lane_a<D>(lane)) ^ c * 32) + m * 32 * room<D>);
            ptx::ldmatrix_x4(dout[c][m], ((queries + L::rows + own + lane_a<D>(lane)) ^ c * 32) + m * 32 * room<D>);
        }
    }
    const float scale2 = a.scale * log2e;
    float dq[M][L::N8][4];
    fill(dq, 0);
    for (int i = 0; i < steps; i++) {
        if (STAGES == 1 && i > 0) {
            __syncthreads();  // nobody reads the stage any more
            fetch_tile(0, first_key(entry = list[i]));
        }
        ptx::cp_async_wait<0>();
        __syncthreads();  // the stage is there, and nobody reads the other one any more
        if (STAGES == 2 && i + 1 < steps) fetch_tile((i + 1) & 1, first_key(next));
        const int first = first_key(entry), see = sight(entry, (part * HALF + L::row_of(warp)) / HALF);
        if (STAGES == 2) entry = next, next = i + 2 < steps ? list[i + 2] : 0;
        if (see == NONE) continue;
#pragma unroll 1
        for (int u = 0; u < KEYS; u += K) {
            const int k = first + u;
            if (k >= q + 16 * M) break;
            const uint32_t key = queries + L::stages + i % STAGES * 2 * L::tile + u * 2 * room<D>;
            float p[M][NT][4], ds[M][NT][4];
            fill(p, 0);
#pragma unroll
            for (int m = 0; m < M; m++) {
#pragma unroll
                for (int n = 0; n < NT; n++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) ds[m][n][e] = minus[m][e / 2];
                }
            }
            if (KEPT == 0) {
                dots<D>(p, queries + own + lane_a<D>(lane), key + lane_b<D>(lane), 0, 0);
                dots<D>(ds, queries + own + lane_a<D>(lane), key + lane_b<D>(lane), L::rows, L::tile);
            }
#pragma unroll
            for (int c = 0; c < KEPT; c++) {
                add_dots<D>(p, query[c], (key + lane_b<D>(lane)) ^ c * 32);
                add_dots<D>(ds, dout[c], ((key + lane_b<D>(lane)) ^ c * 32) + L::tile);
            }
            if (LIMITS == LIMITED && a.limits.cap > 0) {
                soften(p, a.limits);
                add_slopes(ds, p, a.limits);
            }
            if (see == SOME) {
                const int *reach = (const int *)(shared + L::beside) + i % STAGES * 3 * KEYS + u + 2 * t;
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    const int2 x = *(const int2 *)(reach + 8 * n);
                    const int2 to = LIMITS == LIMITED ? *(const int2 *)(reach + KEYS + 8 * n) : int2{0, 0};  // the keys' positions
#pragma unroll
                    for (int m = 0; m < M; m++) {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const int after = q + g - k - 2 * t - 8 * n - e % 2 + 16 * m + e / 2 * 8;  // how far the query is behind the key
                            const bool far = LIMITS == LIMITED && place[m][e / 2] - (e % 2 ? to.y : to.x) >= a.limits.window;
                            if (far || (uint32_t)after >= (uint32_t)(e % 2 ? x.y : x.x)) p[m][n][e] = -INFINITY;
                        }
                    }
                }
            }
#pragma unroll
            for (int m = 0; m < M; m++) {
#pragma unroll
                for (int n = 0; n < NT; n++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) ds[m][n][e] *= ptx::exp2_approx(p[m][n][e] * scale2 - lse[m][e / 2]);
                }
            }
            gather<D>(dq, ds, (key + lane_a<D>(lane)) ^ L::column_of(warp) * 16, 0);
        }
    }
    if (L::parts > 1) __syncthreads();  // two warps have read these rows
    write_scaled<D>(a.dqkv + h * D, stride / 2, q, a.N, dq, a.scale, shared + own, L::column_of(warp));
}

template <int D, int STAGES, limits LIMITS>
__global__ void __launch_bounds__(threads<D>, layout<D, STAGES>::blocks) attention_backward_kernel(const gradient a) {
    const int i = blockIdx.y - a.parts_count();
    if (i < 0) work_on_keys<D, STAGES, LIMITS>(a);
    else work_on_queries<D, STAGES, LIMITS>(a, i / a.group, i % a.group);
}

// As many key heads at a time as the workspace has room for, and cut parts for as many blocks as run at once.
template <int D, int STAGES> void backward(kstream *s, const attention_backward_args *a) {
    using L = layout<D, STAGES>;
    const int tiles = query_tiles(a->N), blocks = processors(s) * L::blocks;
    gradient p = {};
    p.dqkv = (bf16 *)a->dqkv, p.dout = (const bf16 *)a->dout, p.qkv = (const bf16 *)a->qkv, p.tiles = a->tiles;
    p.N = a->N, p.A = a->A, p.G = a->G, p.group = a->A / a->G, p.padded = tiles * QUERIES, p.scale = a->scale;
    p.limits = limits_of(*a);
    p.reach = scratch<int32_t>(s, p.padded), p.place = scratch<int32_t>(s, p.padded), p.parts = scratch<int4>(s, tiles + blocks);
    const size_t of_head = (size_t)p.group * 2 * p.padded, fit = workspace_left(s) / (of_head * sizeof(float) + 256);
    const int most = (int)std::min<size_t>(std::max<size_t>(fit, 1), a->G);
    p.rows = scratch<float>(s, most * of_head);
    const size_t of_part = 2 * QUERIES * D, cut = std::min<size_t>(workspace_left(s) / (of_part * sizeof(float)), blocks);
    p.sums = scratch<float>(s, cut * of_part);
    for (; p.g0 < a->G; p.g0 += most) {
        p.key_heads = std::min(most, a->G - p.g0), p.extra = (int)cut / p.key_heads;
        const int parts = tiles + p.extra, heads = p.key_heads * p.group;
        launch(s, attention_backward_prepare_kernel<D>, dim3(p.padded / (1024 / room<D>) + 1, (heads + 7) / 8), 256, 0, p, (const bf16 *)a->out, a->lse, a->end, a->pos);
        launch(s, p.limits.any() ? attention_backward_kernel<D, STAGES, LIMITED> : attention_backward_kernel<D, STAGES, UNLIMITED>, dim3(p.key_heads * L::parts, parts + tiles * p.group), threads<D>, L::size, p);
        if (p.extra > 0) launch(s, attention_backward_sum_kernel<D>, dim3(p.key_heads, parts, 2), 256, 0, p);
    }
}

template <int D> void backward_in_stages(kstream *s, const attention_backward_args *a) {
    most_shared(s) >= layout<D, 2>::size ? backward<D, 2>(s, a) : backward<D, 1>(s, a);
}

}  // namespace

void cuda_attention_backward(kstream *s, const attention_backward_args *a) {
    if (a->N == 0) return;
    const bool fits = a->dtype == K_BF16 && wide<bf16>(a->D, a->dqkv, a->dout, a->out, a->qkv);
    if (fits && a->D == 64) return backward<64, 2>(s, a);
    if (fits && a->D == 80) return backward_in_stages<80>(s, a);
    if (fits && a->D == 96) return backward_in_stages<96>(s, a);
    if (fits && a->D == 128) return backward_in_stages<128>(s, a);
    // Devices with less shared memory run the plain kernel, so the last bits are not those of other devices.
    if (fits && a->D == 256 && most_shared(s) >= layout<256, 1>::size) return backward<256, 1>(s, a);
    real(a->dtype, [&](auto zero) { backward_plain<decltype(zero)>(s, a); });
}
