// attention.cu: attention over a packed forest. out = softmax(scale·q·kᵀ)·v over the keys k <= q < end[k], lse = log Σ exp.
//
// A block has 128 queries of one head (64 if it is large) and goes over the key tiles of their list with the online softmax of Milakov &
// Gimelshein (2018), in powers of two. bf16 heads of the sizes below run on tensor cores; a plain kernel has the rest.
#include "attention.cuh"

using namespace gpu;

namespace {

struct forest_attention {
    void *out;             // (N, A, D)
    float *lse;            // (N, A)
    const void *qkv;       // (N, A + 2G, D)
    const int32_t *end;    // (N)
    const int32_t *pos;    // (N)
    const int32_t *tiles;  // see kernels.h
    int N, A, G, D;
    int section;           // query heads that run together
    int row, value;        // bytes from row to row of qkv, and from a key to its value
    float scale;           // times log2(e)
    score_limits limits;
};

// Blocks begin in the order of x, y, z: all heads of a section (x) on one query tile (y), then the next, long lists first, then
// the next section (z). So the blocks that run at the same time read the keys of few heads, and these stay in the L2 cache.
static __device__ __forceinline__ int head_of(const forest_attention &a, int x) { return blockIdx.z * a.section + x; }
static __device__ __forceinline__ int tile_of(const forest_attention &a) { return a.tiles[blockIdx.y]; }

// ---- on tensor cores

const int threads = 128;
const float unseen = -1e30f;  // the maximum over no keys: finite, so that differences are no NaN
const float slack = 8;        // how far a score, in powers of two, may be above the maximum that the sums are relative to

// How many queries, from themselves on, see the lane's keys of the tile that begins at k0: key `lane` and key 32 + lane.
static __device__ __forceinline__ void look(int (&reach)[2], const forest_attention &a, int k0) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int k = k0 + i * 32 + threadIdx.x % 32;
        reach[i] = k < a.N ? a.end[k] - k : 0;
    }
}

// Scores that a query does not see become -inf. q is the lane's first query.
template <limits L, int M> static __device__ __forceinline__ void mask(float (&s)[M][KEYS / 8][4], const forest_attention &a, int q, int k0) {
    const int column = threadIdx.x % 4 * 2;
    int reach[2], place[2], at[M][2];  // positions of the lane's keys and of its queries
    look(reach, a, k0);
    if (L == LIMITED) {
#pragma unroll
        for (int i = 0; i < 2; i++) place[i] = a.pos[min(k0 + i * 32 + (int)threadIdx.x % 32, a.N - 1)];
#pragma unroll
        for (int i = 0; i < 2 * M; i++) at[i / 2][i % 2] = a.pos[min(q + i * 8, a.N - 1)];
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int lane = n % 4 * 8 + j + column;
            const uint32_t seen = __shfl_sync(whole_warp, reach[n / 4], lane);
            const int first = L == LIMITED ? __shfl_sync(whole_warp, place[n / 4], lane) : 0;
#pragma unroll
            for (int m = 0; m < M; m++) {
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const bool far = L == LIMITED && at[m][r] - first >= a.limits.window;
                    if (far || (uint32_t)(q - k0 - column + m * 16 + r * 8 - n * 8 - j) >= seen) s[m][n][2 * r + j] = -INFINITY;
                }
            }
        }
    }
}

// Raises the maxima (times scale) where scores are far above them, and scales what was summed. A maximum may be passed by
// slack: exp2 and the sums have the room, and most tiles then leave the sums alone.
template <int D, int M> static __device__ __forceinline__ void raise_maxima(float (&top)[M][2], float (&sum)[M][2], float (&o)[M][D / 8][4],
                                                                     const float (&s)[M][KEYS / 8][4], float scale) {
    float now[M][2];
    bool above = false;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float x = fmaxf(s[m][0][2 * r], s[m][0][2 * r + 1]);
#pragma unroll
            for (int n = 1; n < KEYS / 8; n++) x = fmaxf(x, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
            now[m][r] = x * scale - slack;
            above |= now[m][r] > top[m][r];
        }
    }
    if (!__any_sync(whole_warp, above)) return;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float x = fmaxf(now[m][r], __shfl_xor_sync(whole_warp, now[m][r], 1));
            x = fmaxf(x, __shfl_xor_sync(whole_warp, x, 2));
            x = x > top[m][r] ? x + slack : top[m][r];
            const float f = ptx::exp2_approx(top[m][r] - x);
            top[m][r] = x;
            sum[m][r] *= f;
#pragma unroll
            for (int n = 0; n < D / 8; n++) o[m][n][2 * r] *= f, o[m][n][2 * r + 1] *= f;
        }
    }
}

// What follows from a head's size: a warp has 16·M queries, a block `rows`; how many blocks a multiprocessor should have registers for.
template <int D> struct plan {
    static const int M = D > 128 ? 1 : 2, rows = threads / 32 * 16 * M, blocks = D == 64 ? 3 : 2;
};
template <int D, int VALUES> constexpr int bytes = (plan<D>::rows + (VALUES ? 2 + VALUES : 2) * KEYS) * room<D> * 2;

// Four warps; a warp skips key tiles of which its half sees nothing. The keys of the next tile are on their way while this one is
// used; so are its values where there is memory for two tiles of them (VALUES 2), else a tile's values come while its scores are
// computed. With one tile of either (VALUES 0) the next keys come while values are summed. Queries are read from shared memory for
// every tile: the registers serve more as a third block.
template <int D, int VALUES, limits L> __global__ void __launch_bounds__(threads, L == LIMITED ? 2 : plan<D>::blocks) attention_kernel(const forest_attention a) {
    const int M = plan<D>::M, rows = plan<D>::rows, parts = QUERIES / rows;
    const uint32_t tile_bytes = KEYS * room<D> * 2, query_bytes = rows * room<D> * 2;
    const int lane = threadIdx.x % 32, warp = __shfl_sync(whole_warp, threadIdx.x / 32, 0), part = blockIdx.x % parts;
    const int half = parts == 2 ? part : warp / 2, head = head_of(a, blockIdx.x / parts), tile = tile_of(a);
    const int q0 = tile * QUERIES + part * rows;
    if (parts == 2 && q0 >= a.N) return;
    const char *key = (const char *)a.qkv + own_word<D, threads>((a.A + head * a.G / a.A) * D * 2, a.row);
    const uint32_t queries = ptx::shared(ptx::dynamic_shared()), keys = queries + query_bytes, values = keys + (VALUES ? 2 : 1) * tile_bytes;
    const uint32_t own = queries + warp * 16 * M * room<D> * 2, row_lane = lane_a<D>(lane), key_lane = lane_b<D>(lane);

    const int past = a.tiles[query_tiles(a.N) + tile + 1];
    auto seen_from = [&](int i) {  // the first entry from i on of which the block sees something
        while (parts == 2 && i < past && sight(a.tiles[i], part) == NONE) i++;
        return i;
    };
    int at = seen_from(a.tiles[query_tiles(a.N) + tile]), then;
    int next = a.tiles[at], after = VALUES == 2 ? a.tiles[min(at + 1, past - 1)] : 0;
    fetch<D, rows, threads>(queries, a.qkv, own_word<D, threads>(head * D * 2, a.row), a.row, q0, a.N);
    fetch<D, KEYS, threads>(keys, key, 0, a.row, first_key(next), a.N);
    if (VALUES == 2) fetch<D, KEYS, threads>(values, key, a.value, a.row, first_key(next), a.N);
    ptx::cp_async_commit();

    float o[M][D / 8][4], top[M][2], sum[M][2];
    fill(o, 0);
#pragma unroll
    for (int i = 0; i < 2 * M; i++) top[i / 2][i % 2] = unseen, sum[i / 2][i % 2] = 0;
    uint32_t stage = 0;
    for (; at < past; at = then) {
        const int k0 = first_key(next), see = sight(next, half);
        then = seen_from(at + 1);
        const bool more = then < past;
        next = VALUES == 2 ? after : a.tiles[parts == 1 ? at + more : more ? then : at];
        ptx::cp_async_wait<0>();
        __syncthreads();
        if (VALUES < 2) fetch<D, KEYS, threads>(values, key, a.value, a.row, k0, a.N);
        ptx::cp_async_commit();
        if (VALUES > 0 && more) {
            const char *from = key + (int64_t)first_key(next) * a.row;
            fetch<D, KEYS, threads>(keys + (stage ^ tile_bytes), from, 0, a.row, 0, a.N - first_key(next));
            if (VALUES == 2) fetch<D, KEYS, threads>(values + (stage ^ tile_bytes), from, a.value, a.row, 0, a.N - first_key(next));
        }
        ptx::cp_async_commit();

        float s[M][KEYS / 8][4];
        if (see) {
            fill(s, 0);
#pragma unroll
            for (int i = 0; i < D / 16; i++) {
                uint32_t q[M][4];
#pragma unroll
                for (int m = 0; m < M; m++) ptx::ldmatrix_x4(q[m], (row_lane ^ i * 32) + own + m * 32 * room<D>);
                add_dots<D>(s, q, (key_lane ^ i * 32) + keys + stage);
            }
            if (L == LIMITED && a.limits.cap > 0) soften(s, a.limits);
            if (see == SOME) mask<L>(s, a, q0 + warp * 16 * M + lane / 4, k0);
            raise_maxima<D>(top, sum, o, s, a.scale);
        }
        if (VALUES == 2) after = a.tiles[min(at + 2, past - 1)];  // a tile ahead of its use, where there is a register for it
        if (VALUES < 2) {
            ptx::cp_async_wait<VALUES>();
            __syncthreads();
            if (VALUES == 0 && more) fetch<D, KEYS, threads>(keys, key, 0, a.row, first_key(next), a.N);
            if (VALUES == 0) ptx::cp_async_commit();
        }
        if (see) {
#pragma unroll
            for (int i = 0; i < KEYS / 16; i++) {
#pragma unroll
                for (int m = 0; m < M; m++) {
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        float &x = s[m][2 * i + j / 4][j % 4];
                        x = ptx::exp2_approx(x * a.scale - top[m][j % 4 / 2]);
                        sum[m][j % 4 / 2] += x;
                    }
                }
                uint32_t p[M][4];
                operand(p, s, 2 * i);
                add_rows<D>(o, p, row_lane, values + (VALUES == 2 ? stage : 0) + i * 32 * room<D>);
            }
        }
        if (VALUES > 0) stage ^= tile_bytes;
    }

    float f[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float x = sum[m][r];
            x += __shfl_xor_sync(whole_warp, x, 1);
            x += __shfl_xor_sync(whole_warp, x, 2);
            const int row = q0 + warp * 16 * M + lane / 4 + m * 16 + r * 8;
            if (lane % 4 == 0 && row < a.N) a.lse[(int64_t)row * a.A + head] = (top[m][r] + log2f(x)) * ln2;
            f[m][r] = 1 / x;
        }
    }
    write_rows<D>((bf16 *)a.out + head * D, a.A * D, q0 + warp * 16 * M, a.N, o, f, ptx::dynamic_shared() + warp * 16 * M * room<D> * 2);
}

// ---- without tensor cores: any type, head size and alignment

const int PART = 32, CHUNK = 32;  // queries of a block, eight for each warp; columns that are in shared memory at once
const int plain_threads = PART / 8 * 32;

// x[r][c] = row first + r, column c of a chunk, zero beyond rows and columns.
template <class T, int ROWS> static __device__ __forceinline__ void stage_rows(float (*x)[CHUNK + 4], const T *from, int64_t ld, int first, int N, int columns) {
    const int c = threadIdx.x % CHUNK;
#pragma unroll 4
    for (int r = threadIdx.x / CHUNK; r < ROWS; r += plain_threads / CHUNK)
        x[r][c] = first + r < N && c < columns ? to_f32(from[(first + r) * ld + c]) : 0;
}
static __device__ __forceinline__ float4 four(const float *p) { return *(const float4 *)p; }
static __device__ __forceinline__ float dot(float4 x, float4 y, float sum) { return sum + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w; }

// Lane i has keys i and 32 + i of a tile while scores are computed, and a column of each chunk while values are summed. FIXED finds the maxima first
// and then adds key by key, so that nothing depends on where in a tile a key is: unseen keys add zeros.
template <class T, bool FIXED> __global__ void __launch_bounds__(plain_threads) attention_plain_kernel(const forest_attention a) {
    __shared__ __align__(16) float rows[KEYS][CHUNK + 4], query[PART][CHUNK + 4], p[PART][KEYS];
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 8, parts = QUERIES / PART, part = blockIdx.x % parts;
    const int head = head_of(a, blockIdx.x / parts), tile = tile_of(a);
    const int q0 = tile * QUERIES + part * PART, padded = (a.D + CHUNK - 1) / CHUNK * CHUNK;
    if (q0 >= a.N) return;
    const int64_t ld = (int64_t)(a.A + 2 * a.G) * a.D;
    const T *q = (const T *)a.qkv + head * a.D, *k = (const T *)a.qkv + (a.A + (int64_t)head * a.G / a.A) * a.D, *v = k + (int64_t)a.G * a.D;
    float *o = (float *)ptx::dynamic_shared() + own * padded;  // (8, padded)
    float top[8], sum[8];
#pragma unroll
    for (int r = 0; r < 8; r++) {
        top[r] = unseen, sum[r] = 0;
        for (int c = lane; c < padded; c += 32) o[r * padded + c] = 0;
    }

    const int32_t *ptr = a.tiles + query_tiles(a.N) + tile;
    const int entries = ptr[1] - ptr[0];
    for (int turn = FIXED ? -entries : 0; turn < entries; turn++) {  // the turns below 0 are for the maxima
        const int i = ptr[0] + (turn < 0 ? turn + entries : turn), k0 = first_key(a.tiles[i]);
        if (sight(a.tiles[i], part / 2) == NONE) continue;
        float s[8][2] = {};
        for (int c = 0; c < a.D; c += CHUNK) {
            __syncthreads();
            stage_rows<T, KEYS>(rows, k + c, ld, k0, a.N, a.D - c);
            stage_rows<T, PART>(query, q + c, ld, q0, a.N, a.D - c);
            __syncthreads();
            for (int d = 0; d < CHUNK; d += 4) {
                const float4 x = four(&rows[lane][d]), y = four(&rows[32 + lane][d]);
#pragma unroll
                for (int r = 0; r < 8; r++) {
                    const float4 z = four(&query[own + r][d]);
                    s[r][0] = dot(x, z, s[r][0]), s[r][1] = dot(y, z, s[r][1]);
                }
            }
        }
        float factor[8];
        int reach[2];
        look(reach, a, k0);
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const int at = a.pos[min(q0 + own + r, a.N - 1)];
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const bool near = at - a.pos[min(k0 + 32 * j + lane, a.N - 1)] < a.limits.window;
                const bool seen = near && (uint32_t)(q0 + own + r - k0 - 32 * j - lane) < (uint32_t)reach[j];
                s[r][j] = seen ? (a.limits.cap > 0 ? a.limits.soft(s[r][j]) : s[r][j]) * a.scale : -INFINITY;
            }
            const float now = fmaxf(top[r], warp_max(fmaxf(s[r][0], s[r][1])));
            factor[r] = FIXED ? 1 : ptx::exp2_approx(top[r] - now);
            top[r] = now;
            sum[r] *= factor[r];
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const float x = ptx::exp2_approx(s[r][j] - now);
                if (!FIXED) sum[r] += x;
                p[own + r][32 * j + lane] = x;
            }
        }
        if (FIXED) {
            if (turn < 0) continue;
            __syncwarp();
#pragma unroll
            for (int r = 0; r < 8; r++)
#pragma unroll 1
                for (int n = 0; n < KEYS; n++) sum[r] += p[own + r][n];
        }
        for (int c = 0; c < a.D; c += CHUNK) {
            __syncthreads();
            stage_rows<T, KEYS>(rows, v + c, ld, k0, a.N, a.D - c);
            __syncthreads();
            float x[8];
#pragma unroll
            for (int r = 0; r < 8; r++) x[r] = o[r * padded + c + lane] * factor[r];
            for (int n = 0; n < KEYS; n += 4) {
                const float4 y = {rows[n][lane], rows[n + 1][lane], rows[n + 2][lane], rows[n + 3][lane]};
#pragma unroll
                for (int r = 0; r < 8; r++) x[r] = dot(four(&p[own + r][n]), y, x[r]);
            }
#pragma unroll
            for (int r = 0; r < 8; r++) o[r * padded + c + lane] = x[r];
        }
    }

#pragma unroll
    for (int r = 0; r < 8; r++) {
        const int64_t row = (int64_t)(q0 + own + r) * a.A + head;
        const float total = FIXED ? sum[r] : warp_sum(sum[r]);
        if (q0 + own + r >= a.N) continue;
        if (lane == 0) a.lse[row] = (top[r] + log2f(total)) * ln2;
        for (int c = lane; c < a.D; c += 32) from_f32((T *)a.out + row * a.D + c, o[r * padded + c] * (1 / total));
    }
}

template <int D, int VALUES> void run(kstream *s, const forest_attention &a, dim3 grid) {
    grid.x *= QUERIES / plan<D>::rows;
    launch(s, a.limits.any() ? attention_kernel<D, VALUES, LIMITED> : attention_kernel<D, VALUES, UNLIMITED>, grid, threads, bytes<D, VALUES>, a);
}

}  // namespace

void cuda_attention(kstream *s, const attention_args *a) {
    if (a->N == 0 || a->A == 0) return;
    // A section is as many query heads as share key heads whose keys and values fit into a part of the L2 cache.
    const int64_t cache = 16 << 20, of_key_head = (int64_t)a->N * a->D * 2 * 2;
    int fit = (int)std::min<int64_t>(a->G, std::max<int64_t>(cache / of_key_head, 1));
    while (a->G % fit) fit--;
    const int section = a->A % a->G ? a->A : a->A / a->G * fit;
    const forest_attention f = {a->out, a->lse, a->qkv, a->end, a->pos, a->tiles, a->N, a->A, a->G, a->D, section,
                                (a->A + 2 * a->G) * a->D * 2, a->G * a->D * 2, log2e * a->scale, limits_of(*a)};
    dim3 grid(section, query_tiles(a->N), a->A / section);
    const bool words = !of(s).fixed && a->dtype == K_BF16 && wide<bf16>(a->D, (const char *)a->qkv, (const char *)a->out);
    if (words && of_size(a->D, [&](auto d) { run<d.value, (d.value == 64 ? 2 : d.value <= 128)>(s, f, grid); })) return;
    grid.x *= QUERIES / PART;
    real(a->dtype, [&](auto zero) {
        const size_t chunk = sizeof(float) * PART * CHUNK, shared = chunk * ((a->D + CHUNK - 1) / CHUNK);
        const size_t room = most_shared(s) - (24 << 10);  // what is static has the rest
        if (shared > room) throw std::runtime_error("heads of more than " + std::to_string(room / chunk * CHUNK) + " numbers are not supported on this device");
        using T = decltype(zero);
        launch(s, of(s).fixed ? attention_plain_kernel<T, true> : attention_plain_kernel<T, false>, grid, plain_threads, shared, f);
    });
}
