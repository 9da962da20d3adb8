// attention_decode.cu: one query per sequence against the cache. Contexts are cut into parts, each with its own maximum m, sum l of
// exp2(s - m) and o = Σ exp2(s - m)·v; merge_kernel joins them in order:  out = Σ_i 2^(m_i - M)·o_i / Σ_i 2^(m_i - M)·l_i
// How many parts there are depends on shapes alone, so results do not depend on the device or on what ran first.
// bf16 heads of the sizes below run on tensor cores. The rows of a product are then (sequence, query head of the key head): the shared
// segments of a group are read once for all of its sequences, the own slots of a sequence once for its query heads.
#include <algorithm>

#include "attention.cuh"

using namespace gpu;

namespace {

const int threads = 128, warps = threads / 32;
const int TILE = KEYS;           // keys whose scores exist at once
const float lowest = -1e30f;     // maximum over no keys: finite, so that differences are no NaN

// The slots that a query sees, by position: those of segments, then its own.
struct context {
    const int32_t *start, *len;  // (segments)
    int segments, own_start, own_len;

    __device__ int length() const {
        int n = own_len;
        for (int i = 0; i < segments; i++) n += len[i];
        return n;
    }
};

// How many tokens of its context sequence b does not see, which is shared by `shared` slots: those before the window.
static __device__ __forceinline__ int unseen(const attention_decode_args &a, int b, int shared) {
    return a.window > 0 ? max(0, shared + a.own_len[b] - a.window) : 0;
}

static __device__ __forceinline__ context shared_part(const attention_decode_args &a, int b) {
    const int group = a.group[b], first = a.seg_ptr[group];
    return {a.seg_start + first, a.seg_len + first, a.seg_ptr[group + 1] - first, 0, 0};
}

// Goes through a context by rising position.
struct cursor {
    int i = 0, passed = 0;  // segments gone by, and their slots

    __device__ int slot(const context &c, int position) {
        while (i < c.segments && position - passed >= c.len[i]) passed += c.len[i++];
        if (i < c.segments) return c.start[i] + position - passed;
        return position - passed < c.own_len ? c.own_start + position - passed : -1;
    }
};

// Part i of n of positions [first, past) of a context: positions [lo, hi), whole tiles.
struct range {
    int lo, hi;
    __device__ range(int first, int past, int i, int n) {
        const int size = ((past - first + n - 1) / n + TILE - 1) / TILE * TILE;
        lo = min(past, first + i * size), hi = min(past, lo + size);
    }
};

struct partials {
    float *o;   // (B, A, parts, D)
    float *ml;  // (B, A, parts, 2)
    int parts;
};

// ---- on tensor cores

// Sequences [first, first + n) of a group. Groups are cut into tiles of `per` sequences: tile z, or n = 0 if there are fewer.
// Each warp finds out by itself.
struct members {
    int first, n;
};
static __device__ members tile_of(const int32_t *group, int B, int per, int z) {
    const int lane = threadIdx.x % 32;
    int begin = 0, first = -1;  // of the group that goes on; of the tile
    for (int base = 0; base < B && first < 0; base += 32) {
        const int b = base + lane;
        const uint32_t begins = __ballot_sync(whole_warp, b < B && (b == 0 || group[b] != group[b - 1]));
        const uint32_t before = begins & ~0u >> (31 - lane);
        const int own = before ? base + 31 - __clz(before) : begin;
        uint32_t tiles = __ballot_sync(whole_warp, b < B && (b - own) % per == 0);
        begin = __shfl_sync(whole_warp, own, 31);
        if (z < __popc(tiles)) {
            for (; z > 0; z--) tiles &= tiles - 1;
            first = base + __ffs(tiles) - 1;
        } else {
            z -= __popc(tiles);
        }
    }
    if (first < 0) return {0, 0};
    for (int i = 0; i < per; i += 32) {
        const int b = first + i + lane;
        const uint32_t others = __ballot_sync(whole_warp, b >= B || group[b < B ? b : first] != group[first]);
        if (others) return {first, min(per, i + __ffs(others) - 1)};
    }
    return {first, per};
}

// Copies the keys and values of cache slots to two tiles, one behind the other; zeros for slots below 0. x: the key of slot 0, whose
// value is `value` numbers on; slots are `row` numbers apart. The slots are read before the first copy, which might write to them as far
// as the compiler knows.
template <int D> static __device__ __forceinline__ void fetch_slots(uint32_t tile, const bf16 *x, int row, int value, const int *slot) {
    const int words = room<D> / 8, step = threads / words, c = threadIdx.x % words, r = threadIdx.x / words;
    static_assert(step % 4 == 0, "a thread's rows are in one or two places of the swizzle");
    if (D < room<D> && c >= D / 8) return;
    int at[TILE / step];
#pragma unroll
    for (int i = 0; i < TILE / step; i++) at[i] = slot[r + i * step];
    tile += word<D>(r, c), x += c * 8;
#pragma unroll
    for (int i = 0; i < TILE / step; i++) {
        const bf16 *from = x + (int64_t)at[i] * row;
        const uint32_t to = tile ^ i * step % 8 * 16;
        ptx::cp_async(to + i * step * 2 * room<D>, from, at[i] >= 0);
        ptx::cp_async(to + (TILE + i * step) * 2 * room<D>, from + value, at[i] >= 0);
    }
}

// Scores s of NT·8 keys become exp2(s·scale - m), rounded where they are used; maximum m, sum l (the lane's share) and o follow.
template <int D, int NT> static __device__ __forceinline__ void add_scores(float (&s)[1][NT][4], float (&m)[2], float (&l)[2], float (&o)[1][D / 8][4], float scale) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = s[0][0][2 * r];
#pragma unroll
        for (int n = 0; n < NT; n++) top = fmaxf(top, fmaxf(s[0][n][2 * r], s[0][n][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(whole_warp, top, 1));
        top = fmaxf(top, __shfl_xor_sync(whole_warp, top, 2)) * scale;
        const float now = fmaxf(m[r], top), f = ptx::exp2_approx(m[r] - now);
        m[r] = now, l[r] *= f;
#pragma unroll
        for (int n = 0; n < D / 8; n++) o[0][n][2 * r] *= f, o[0][n][2 * r + 1] *= f;
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int j = 2 * r; j < 2 * r + 2; j++) l[r] += s[0][n][j] = ptx::exp2_approx(s[0][n][j] * scale - now);
        }
    }
}

// Joins what the warps found for the same 16 rows; warp w then has columns 8n … of o for n%warps = w. Rows in shared memory are
// padded, so that those of a warp's store lie in different banks.
template <int D> static __device__ __forceinline__ void join_warps(float (&m)[2], float (&l)[2], float (&o)[1][D / 8][4], float *sums) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, warp = threadIdx.x / 32, ld = D + 8;
    __shared__ float tops[warps][16], shares[warps][16];
    float2 *joined = (float2 *)sums;  // (warps, 16, ld)
#pragma unroll
    for (int r = 0; r < 2; r++)
        if (t == 0) tops[warp][g + 8 * r] = m[r], shares[warp][g + 8 * r] = l[r];
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = g + 8 * r;
        float top = lowest;
#pragma unroll
        for (int w = 0; w < warps; w++) top = fmaxf(top, tops[w][row]);
        const float f = ptx::exp2_approx(m[r] - top);
        m[r] = top, l[r] = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) l[r] += shares[w][row] * ptx::exp2_approx(tops[w][row] - top);
#pragma unroll
        for (int n = 0; n < D / 8; n++) joined[((warp * 16 + row) * ld + n * 8) / 2 + t] = {o[0][n][2 * r] * f, o[0][n][2 * r + 1] * f};
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        if (n % warps != warp) continue;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float2 x = {0, 0};
#pragma unroll
            for (int w = 0; w < warps; w++) {
                const float2 y = joined[((w * 16 + g + 8 * r) * ld + n * 8) / 2 + t];
                x.x += y.x, x.y += y.y;
            }
            o[0][n][2 * r] = x.x, o[0][n][2 * r + 1] = x.y;
        }
    }
}

// What follows from a head's size: two stages of tiles and the queries in registers, or one stage and the queries in shared memory.
template <int D> constexpr int stages = D > 128 ? 1 : 2;
template <int D, bool SHARED> constexpr int query_rows = D > 128 ? (SHARED ? 64 : 16) : 0;
template <int D, bool SHARED> constexpr int bytes = (stages<D> * 2 * TILE + query_rows<D, SHARED>) * room<D> * 2;

// Copies the queries of a block to shared memory; zeros for rows that there are not.
template <int D, int ROWS> static __device__ __forceinline__ void put_queries(uint32_t tile, const attention_decode_args &a, const members &who) {
    const int words = D / 8, rep = a.A / a.G;
    for (int i = threadIdx.x; i < ROWS * words; i += threads) {
        const int row = i / words, b = who.first + row / rep, head = blockIdx.y * rep + row % rep;
        const bool there = row < who.n * rep;
        ptx::cp_async(tile + word<D>(row, i % words), (const bf16 *)a.qkv + (there ? ((int64_t)b * (a.A + 2 * a.G) + head) * D + i % words * 8 : 0), there);
    }
}

// Block (part, key head, tile). SHARED: the segments of up to `per` sequences of a group, 64 rows, 16 to a warp. Else: the own slots
// of a sequence, 16 rows, of which every warp sees a quarter of the keys. Parts are first_part and on.
template <int D, bool SHARED, limits L> __global__ void __launch_bounds__(threads, D > 128 ? 2 : (D == 64 ? 4 : 3) - SHARED)
    cascade_kernel(partials to, attention_decode_args a, score_limits limits, int first_part, int parts, int per) {
    const int NT = SHARED ? TILE / 8 : TILE / 8 / warps;  // columns of a warp's scores, in eights
    const int STAGES = stages<D>, ROWS = query_rows<D, SHARED>;
    const uint32_t tile_bytes = TILE * room<D> * 2, stage_bytes = 2 * tile_bytes;
    __shared__ int slot[2][TILE];
    __shared__ context c;  // here for want of registers
    const int t = threadIdx.x, lane = t % 32, warp = t / 32, rep = a.A / a.G;
    const int first_row = (SHARED ? warp * 16 : 0) + lane / 4, first_key = SHARED ? 0 : warp * 16;  // of the lane; of the warp
    const members who = SHARED ? tile_of(a.group, a.B, per, blockIdx.z) : members{(int)blockIdx.z, 1};
    if (who.n == 0) return;
    if (t == 0) c = SHARED ? shared_part(a, who.first) : context{nullptr, nullptr, 0, a.own_start[who.first], a.own_len[who.first]};
    __syncthreads();
    int first = 0, past = c.length(), before[2] = {0, 0};  // the keys that anybody of the block sees; those that the lane's rows do not see
    if (L == LIMITED && SHARED) {
        first = past;
        for (int i = 0; i < who.n; i++) first = min(first, unseen(a, who.first + i, past));
#pragma unroll
        for (int r = 0; r < 2; r++) before[r] = unseen(a, who.first + min((first_row + 8 * r) / rep, who.n - 1), past);
    } else if (L == LIMITED && a.window > 0) {
        first = max(0, past - a.window);
    }
    const range keys(first, past, blockIdx.x, parts);

    const uint32_t tiles = ptx::shared(ptx::dynamic_shared());  // keys, values; keys, values, or queries
    const uint32_t queries = tiles + STAGES * stage_bytes + (SHARED ? warp * 32 * room<D> : 0) + lane_a<D>(lane);
    if (ROWS) put_queries<D, ROWS>(tiles + STAGES * stage_bytes, a, who);
    uint32_t q[D / 16][1][4];  // the lane's queries as operand a
#pragma unroll
    for (int r = 0; r < 2 && !ROWS; r++) {
        const int i = first_row + 8 * r, b = who.first + i / rep, head = blockIdx.y * rep + i % rep;
        const bool there = i < who.n * rep;
        const uint32_t *x = (const uint32_t *)((const bf16 *)a.qkv + ((int64_t)b * (a.A + 2 * a.G) + head) * D) + lane % 4;
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            q[k][0][r] = there ? x[k * 8] : 0;
            q[k][0][2 + r] = there ? x[k * 8 + 4] : 0;
        }
    }

    const bf16 *key = (const bf16 *)a.kv + blockIdx.y * D;
    const int value = a.G * D;
    const uint32_t key_lane = tiles + lane_b<D>(lane) + first_key * room<D> * 2, value_lane = tiles + tile_bytes + lane_a<D>(lane) + first_key * room<D> * 2;
    const float scale = log2e * a.scale;
    float o[1][D / 8][4], m[2] = {lowest, lowest}, l[2] = {0, 0};
    fill(o, 0);
    cursor at;
    if (t < TILE) slot[0][t] = at.slot(c, keys.lo + t), slot[1][t] = at.slot(c, keys.lo + TILE + t);
    __syncthreads();
    if (keys.lo < keys.hi) fetch_slots<D>(tiles, key, 2 * value, value, slot[0]);
    ptx::cp_async_commit();
    int turn = 0;
    for (int lo = keys.lo; lo < keys.hi; lo += TILE) {
        const uint32_t stage = STAGES == 2 ? turn * stage_bytes : 0;
        if (STAGES == 2) {
            if (lo + TILE < keys.hi) fetch_slots<D>(tiles + (stage ^ stage_bytes), key, 2 * value, value, slot[!turn]);
            ptx::cp_async_commit();
        }
        ptx::cp_async_wait<STAGES - 1>();
        __syncthreads();
        if (t < TILE) slot[turn][t] = at.slot(c, lo + 2 * TILE + t);

        float s[1][NT][4];
        fill(s, 0);
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            uint32_t x[1][4];
            if (ROWS) ptx::ldmatrix_x4(x[0], queries ^ k * 32);
            add_dots<D>(s, ROWS ? x : q[k], (key_lane + stage) ^ k * 32);
        }
        if (L == LIMITED && limits.cap > 0) soften(s, limits);
        if (L == LIMITED && SHARED) {
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (lo + n * 8 + lane % 4 * 2 + j % 2 < before[j / 2]) s[0][n][j] = -INFINITY;
            }
        }
        const int left = keys.hi - lo - first_key - lane % 4 * 2;
        if (left < NT * 8) {
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (n * 8 + j % 2 >= left) s[0][n][j] = -INFINITY;
            }
        }
        add_scores<D>(s, m, l, o, scale);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t p[1][4];
            operand(p, s, n);
            add_rows<D>(o, p, value_lane + stage, n * 16 * room<D>);
        }
        __syncthreads();
        turn ^= 1;
        if (STAGES == 1 && lo + TILE < keys.hi) {
            fetch_slots<D>(tiles, key, 2 * value, value, slot[turn]);
            ptx::cp_async_commit();
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        l[r] += __shfl_xor_sync(whole_warp, l[r], 1);
        l[r] += __shfl_xor_sync(whole_warp, l[r], 2);
    }
    ptx::cp_async_wait<0>();
    if (!SHARED) join_warps<D>(m, l, o, (float *)ptx::dynamic_shared());
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int i = first_row + 8 * r;
        if (i >= who.n * rep) continue;
        const int64_t row = ((int64_t)(who.first + i / rep) * a.A + blockIdx.y * rep + i % rep) * to.parts + first_part + blockIdx.x;
        if (lane % 4 == 0 && (SHARED || warp == 0)) to.ml[2 * row] = m[r], to.ml[2 * row + 1] = l[r];
        if (keys.lo >= keys.hi) continue;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            if (SHARED || n % warps == warp) *(float2 *)(to.o + row * D + n * 8 + lane % 4 * 2) = {o[0][n][2 * r], o[0][n][2 * r + 1]};
    }
}

// ---- any type and head size

// Block (part, key head, sequence). A score is the sum over a warp, a value the sum of a thread.
template <class T, int V> __global__ void __launch_bounds__(threads, 4) decode_kernel(partials to, attention_decode_args a, score_limits limits) {
    const int rep = a.A / a.G, D = a.D, g = blockIdx.y, b = blockIdx.z, t = threadIdx.x, lane = t % 32;
    float *q = (float *)ptx::dynamic_shared();  // (rep, D)
    float *o = q + rep * D;                     // (rep, D)
    float *p = o + rep * D;                     // (rep, TILE)
    float *m = p + rep * TILE, *l = m + rep;    // (rep)
    float *alpha = l + rep;                     // (rep)
    int *slot = (int *)(alpha + rep);           // (TILE)
    const T *query = (const T *)a.qkv + ((int64_t)b * (a.A + 2 * a.G) + g * rep) * D;
    const T *key = (const T *)a.kv + (int64_t)g * D, *value = key + (int64_t)a.G * D;
    const int64_t row = (int64_t)2 * a.G * D;
    const float scale = log2e * a.scale;
    for (int i = t; i < rep * D; i += threads) q[i] = to_f32(query[i]), o[i] = 0;
    for (int r = t; r < rep; r += threads) m[r] = lowest, l[r] = 0;

    context c = shared_part(a, b);
    c.own_start = a.own_start[b], c.own_len = a.own_len[b];
    cursor at;
    const int length = c.length();
    const range keys(a.window > 0 ? max(0, length - a.window) : 0, length, blockIdx.x, to.parts);
    for (int lo = keys.lo; lo < keys.hi; lo += TILE) {
        const int n = min(TILE, keys.hi - lo);
        if (t < n) slot[t] = at.slot(c, lo + t);
        __syncthreads();
        for (int k = t / 32; k < n; k += warps) {
            const T *x = key + slot[k] * row;
            for (int r = 0; r < rep; r++) {
                float s = 0;
                for (int d = lane * V; d < D; d += 32 * V) {
                    float y[V];
                    load(y, x + d);
#pragma unroll
                    for (int j = 0; j < V; j++) s += q[r * D + d + j] * y[j];
                }
                s = warp_sum(s);
                if (lane == 0) p[r * TILE + k] = (limits.cap > 0 ? limits.soft(s) : s) * scale;
            }
        }
        __syncthreads();
        for (int r = t / 32; r < rep; r += warps) {
            float *s = p + r * TILE, top = m[r], sum = 0;
            for (int k = lane; k < n; k += 32) top = fmaxf(top, s[k]);
            top = warp_max(top);
            for (int k = lane; k < n; k += 32) sum += s[k] = exp2f(s[k] - top);
            sum = warp_sum(sum);
            __syncwarp();  // all lanes have read m[r]
            if (lane == 0) alpha[r] = exp2f(m[r] - top), m[r] = top, l[r] = l[r] * alpha[r] + sum;
        }
        __syncthreads();
        for (int i = t; i < rep * D; i += threads) {
            const int r = i / D, d = i % D;
            float s = o[i] * alpha[r];
            for (int k = 0; k < n; k++) s += p[r * TILE + k] * to_f32(value[slot[k] * row + d]);
            o[i] = s;
        }
        __syncthreads();
    }
    __syncthreads();
    const int64_t first = (int64_t)b * a.A + g * rep;
    for (int i = t; i < rep * D; i += threads) to.o[((first + i / D) * to.parts + blockIdx.x) * D + i % D] = o[i];
    for (int r = t; r < rep; r += threads) {
        float *ml = to.ml + 2 * ((first + r) * to.parts + blockIdx.x);
        ml[0] = m[r], ml[1] = l[r];
    }
}

// A warp joins the parts of one query head of one sequence. Those without keys have l = 0, and no o.
template <class T> __global__ void __launch_bounds__(threads) merge_kernel(T *out, partials from, int64_t rows, int D) {
    const int64_t row = (int64_t)blockIdx.x * warps + threadIdx.x / 32;
    if (row >= rows) return;
    const float *ml = from.ml + 2 * row * from.parts, *o = from.o + row * from.parts * D;
    float top = lowest, sum = 0;
    for (int i = 0; i < from.parts; i++) top = fmaxf(top, ml[2 * i]);
    for (int i = 0; i < from.parts; i++) sum += exp2f(ml[2 * i] - top) * ml[2 * i + 1];
    for (int d = threadIdx.x % 32; d < D; d += 32) {
        float s = 0;
        for (int i = 0; i < from.parts; i++)
            if (ml[2 * i + 1] > 0) s += exp2f(ml[2 * i] - top) * o[i * D + d];
        from_f32(out + row * D + d, s / sum);
    }
}

// ---- launches

// So many parts that `blocks` blocks, times that, fill a device.
int parts_for(int64_t blocks) {
    const int64_t enough = 512, most = 32;
    return (int)(blocks * most <= enough ? most : blocks >= enough ? 1 : enough / blocks);
}

partials scratch_for(kstream *s, const attention_decode_args &a, int parts) {
    const size_t n = (size_t)a.B * a.A * parts;
    return {scratch<float>(s, n * a.D), scratch<float>(s, 2 * n), parts};
}

template <class T> void merge(kstream *s, const attention_decode_args &a, const partials &from) {
    const int64_t rows = (int64_t)a.B * a.A;
    launch(s, merge_kernel<T>, (unsigned)((rows + warps - 1) / warps), threads, 0, (T *)a.out, from, rows, a.D);
}

template <class T> void decode(kstream *s, const attention_decode_args &a, const partials &to) {
    const int rep = a.A / a.G, V = 16 / sizeof(T);
    const size_t shared = ((size_t)rep * (2 * a.D + TILE + 3) + TILE) * 4;
    const auto kernel = wide<T>(a.D, (const T *)a.kv) ? decode_kernel<T, V> : decode_kernel<T, 1>;
    launch(s, kernel, dim3(to.parts, a.G, a.B), threads, shared, to, a, limits_of(a));
    merge<T>(s, a, to);
}

int sequences_per_tile(const attention_decode_args &a) { return 64 / (a.A / a.G); }
int most_tiles(const attention_decode_args &a) { return std::min(a.B, a.groups + a.B / sequences_per_tile(a)); }

template <int D> void cascade(kstream *s, const attention_decode_args &a, const partials &to, int shared_parts) {
    const int own_parts = to.parts - shared_parts, per = sequences_per_tile(a);
    const score_limits limits = limits_of(a);
    const auto shared = limits.any() ? cascade_kernel<D, true, LIMITED> : cascade_kernel<D, true, UNLIMITED>;
    const auto own = limits.any() ? cascade_kernel<D, false, LIMITED> : cascade_kernel<D, false, UNLIMITED>;
    if (shared_parts) launch(s, shared, dim3(shared_parts, a.G, most_tiles(a)), threads, bytes<D, true>, to, a, limits, 0, shared_parts, per);
    launch(s, own, dim3(own_parts, a.G, a.B), threads, bytes<D, false>, to, a, limits, shared_parts, own_parts, 1);
    merge<bf16>(s, a, to);
}

// Sequences [lo, hi) of a.
attention_decode_args slice(const attention_decode_args *a, int lo, int hi) {
    attention_decode_args c = *a;
    const size_t size = a->dtype == K_BF16 ? 2 : 4;
    c.out = (char *)a->out + (size_t)lo * a->A * a->D * size;
    c.qkv = (const char *)a->qkv + (size_t)lo * (a->A + 2 * a->G) * a->D * size;
    c.group += lo, c.own_start += lo, c.own_len += lo, c.B = hi - lo;
    return c;
}

}  // namespace

void cuda_attention_decode(kstream *s, const attention_decode_args *a) {
    if (a->B == 0) return;
    const int fixed_parts = 8;  // of a context, whatever the others are
    const bool tensor_cores = !of(s).fixed && a->dtype == K_BF16 && of_size(a->D, [](auto) {}) && a->A / a->G <= 16 && wide<bf16>(a->D, (const char *)a->qkv, (const char *)a->kv);
    const int shared_parts = tensor_cores && a->segments ? parts_for((int64_t)most_tiles(*a) * a->G) : 0;
    const int parts = of(s).fixed ? fixed_parts : shared_parts + parts_for((int64_t)a->B * a->G);
    const size_t row = (size_t)a->A * parts * (a->D + 2) * 4, left = workspace_left(s) - 1024;
    const int most = (int)std::min<size_t>({(size_t)a->B, left / row, 65535});
    if (most < 1) throw std::runtime_error("the workspace has no place for one sequence");
    for (int lo = 0; lo < a->B; lo += most) {
        const size_t used = of(s).used;
        const attention_decode_args c = slice(a, lo, std::min(a->B, lo + most));
        const partials to = scratch_for(s, c, parts);
        if (tensor_cores) of_size(a->D, [&](auto d) { cascade<d.value>(s, c, to, shared_parts); });
        else real(a->dtype, [&](auto zero) { decode<decltype(zero)>(s, c, to); });
        of(s).used = used;
    }
}
