// embed.cu: rows copied by index (embed, gather, kv_store, kv_load), and rows added back by index (the backwards of embed and gather).
//   out[n] = table[id[n]]        d[row] (+)= Σ_j dout[src[j]] over a range of j, in a fixed order
// All are bound by memory: 16-byte words, each read once and written once, several of them in flight in every thread.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256, warps = threads / 32;
const int flight = 4;  // words of a row that a thread has in flight

static __device__ __forceinline__ uint4 get(const uint4 *p) { return ptx::load16(p); }
static __device__ __forceinline__ void put(uint4 *p, uint4 v) { ptx::store16(p, v); }
template <class W> static __device__ __forceinline__ W get(const W *p) { return *p; }
template <class W> static __device__ __forceinline__ void put(W *p, W v) { *p = v; }

// A copy of rows, in words: row i of n goes from x + row(i)·x_stride to out + row(i)·out_stride, where no row list is row(i) = i.
struct copy {
    int64_t out_stride, x_stride;
    const int32_t *out_row, *x_row;      // (n) or NULL
    int n, width;
};

// block (lanes of a row, rows)
template <class W> __global__ void __launch_bounds__(threads) copy_rows_kernel(W *out, const W *x, copy a) {
    const unsigned i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= (unsigned)a.n) return;
    x += (a.x_row ? a.x_row[i] : i) * a.x_stride;
    out += (a.out_row ? a.out_row[i] : i) * a.out_stride;
    const int lanes = blockDim.x;
    for (int c = threadIdx.x; c < a.width; c += flight * lanes) {
        W v[flight] = {};
#pragma unroll
        for (int k = 0; k < flight; k++)
            if (c + k * lanes < a.width) v[k] = get(x + c + k * lanes);
#pragma unroll
        for (int k = 0; k < flight; k++)
            if (c + k * lanes < a.width) put(out + c + k * lanes, v[k]);
    }
}

// dx[n] = Σ_j dout[src[j]]. Ranges are short, most of them empty.  block (lanes of a row, rows); width in vectors
template <class T, int V>
__global__ void __launch_bounds__(threads) gather_backward_kernel(T *dx, const T *dout, const int32_t *ptr, const int32_t *src, int N, int width) {
    const unsigned n = blockIdx.x * blockDim.y + threadIdx.y;
    if (n >= (unsigned)N) return;
    const int lo = ptr[n], hi = ptr[n + 1];
    const int64_t H = (int64_t)width * V;
    dx += n * H;                                                         // (H)
    const int lanes = blockDim.x;
    for (int c = threadIdx.x; c < width; c += flight * lanes) {
        float sum[flight][V] = {};
        for (int j = lo; j < hi; j++) {
            const T *row = dout + src[j] * H;                            // (H)
            float x[flight][V] = {};
#pragma unroll
            for (int k = 0; k < flight; k++)
                if (c + k * lanes < width) load<ONCE>(x[k], row + (c + k * lanes) * V);
#pragma unroll
            for (int k = 0; k < flight; k++)
#pragma unroll
                for (int i = 0; i < V; i++) sum[k][i] += x[k][i];
        }
#pragma unroll
        for (int k = 0; k < flight; k++)
            if (c + k * lanes < width) store(dx + (c + k * lanes) * V, sum[k]);
    }
}

// What the kernels of embed_backward share. The positions are cut into tiles of equal size, whatever the ranges are, so one
// frequent id costs no more than many rare ones. A warp has the strip of 32 columns of vectors of one tile.
struct ranges {
    const int32_t *row, *ptr, *src;      // (U), (U+1), (N)
    float *partial;                      // (tiles, 2, H)  sums of a tile's first range if it began before, and of its last if it goes on
    int32_t *open;                       // (tiles)        the range that begins in the tile and goes on after it, or -1
    int N, U, H, tile, tiles, strips;
};

template <int V> static __device__ __forceinline__ void add(float (&sum)[V], const float (&x)[V]) {
#pragma unroll
    for (int i = 0; i < V; i++) sum[i] += x[i];
}

template <int V> static __device__ __forceinline__ void add_to(float *p, float (&sum)[V]) {
    float old[V];
    load(old, p);
    add(sum, old);
    store(p, sum);
}

// The range that holds position j, by 32 probes at a time.
static __device__ __forceinline__ int range_of(const ranges &a, int j) {
    const int lane = threadIdx.x % 32;
    int first = 0, n = a.U;
    while (n > 1) {
        const int step = (n + 31) / 32, at = lane * step;
        const int k = __popc(__ballot_sync(whole_warp, at < n && a.ptr[first + (at < n ? at : 0)] <= j)) - 1;
        first += k * step;
        n = n - k * step < step ? n - k * step : step;
    }
    return first;
}

template <class T, int V> __global__ void __launch_bounds__(threads) embed_backward_kernel(float *dtable, const T *dout, ranges a) {
    const unsigned warp = blockIdx.x * warps + threadIdx.x / 32, t = warp / a.strips;
    const int column = (warp % a.strips * 32 + threadIdx.x % 32) * V;
    if (t >= (unsigned)a.tiles) return;
    const int first = t * a.tile, last = a.N - first < a.tile ? a.N : first + a.tile;
    int u = range_of(a, first), end = a.ptr[u + 1];
    if (column >= a.H) return;
    float *head = a.partial + t * 2 * (int64_t)a.H + column, *tail = head + a.H;
    bool began_before = a.ptr[u] < first;
    float sum[V] = {};
    for (int j = first; j < last; j += flight) {
        int from[flight];
        float x[flight][V];
#pragma unroll
        for (int k = 0; k < flight; k++) from[k] = a.src[j + k < last ? j + k : j];      // no branch between the loads
#pragma unroll
        for (int k = 0; k < flight; k++) load<ONCE>(x[k], dout + (int64_t)from[k] * a.H + column);
#pragma unroll
        for (int k = 0; k < flight; k++) {
            if (j + k >= last) break;
            add(sum, x[k]);
            if (j + k + 1 < end) continue;
            if (began_before) store(head, sum);
            else add_to(dtable + (int64_t)a.row[u] * a.H + column, sum);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] = 0;
            began_before = false;
            while (end < last && a.ptr[u + 1] <= end) u++;               // an empty range is no range
            if (end < last) end = a.ptr[u + 1];
        }
    }
    const bool goes_on = last < end;
    if (goes_on) store(began_before ? head : tail, sum);
    if (column == 0) a.open[t] = goes_on && !began_before ? u : -1;
}

// Adds the sums of a range that lies in several tiles. block: one tile and strip; each warp sums a part of the tiles, in
// order, and the first warp the parts.
template <int V> __global__ void __launch_bounds__(threads) embed_backward_join_kernel(float *dtable, ranges a) {
    __shared__ float part[warps][32 * V];
    const int t = blockIdx.x / a.strips, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int column = (blockIdx.x % a.strips * 32 + lane) * V;
    const int u = a.open[t];
    if (u < 0) return;
    const int n = (a.ptr[u + 1] - 1) / a.tile - t, share = (n + warps - 1) / warps;       // tiles after t
    const int lo = t + 1 + warp * share, hi = lo + share < t + 1 + n ? lo + share : t + 1 + n;
    const float *p = a.partial + column;
    float sum[V] = {};
    if (column < a.H) {
        if (warp == 0) load(sum, p + (2 * t + 1) * (int64_t)a.H);
#pragma unroll 4
        for (int s = lo; s < hi; s++) {
            float x[V];
            load(x, p + 2 * s * (int64_t)a.H);
            add(sum, x);
        }
    }
#pragma unroll
    for (int i = 0; i < V; i++) part[warp][lane * V + i] = sum[i];
    __syncthreads();
    if (warp > 0 || column >= a.H) return;
    for (int w = 1; w < warps; w++)
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] += part[w][lane * V + i];
    add_to(dtable + (int64_t)a.row[u] * a.H + column, sum);
}

// ---- launches

// As many lanes as are needed for a row, at most a warp; the rest of the block has other rows.
static dim3 rows_block(int width) {
    unsigned lanes = 1;
    while (lanes < 32 && lanes * flight < (unsigned)width) lanes *= 2;
    return dim3(lanes, threads / lanes);
}

static dim3 rows_grid(int n, dim3 block) { return dim3(((unsigned)n + block.y - 1) / block.y); }

template <class W> void copy_words(kstream *s, void *out, const void *x, copy a, int64_t skip) {
    const dim3 block = rows_block(a.width);
    launch(s, copy_rows_kernel<W>, rows_grid(a.n, block), block, 0, (W *)out, (const W *)x + skip, a);
}

// a and skip, where the first row of x begins, and out_skip, where that of out does, count numbers.
static void copy_rows(kstream *s, kdtype dtype, void *out, const void *x, copy a, int64_t skip = 0, int64_t out_skip = 0) {
    real(dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        out = (T *)out + out_skip;
        if (!wide<T>(a.width, out, x) || a.x_stride % V || skip % V || a.out_stride % V) {
            if (sizeof(T) == 2) copy_words<uint16_t>(s, out, x, a, skip);
            else copy_words<uint32_t>(s, out, x, a, skip);
            return;
        }
        a.width /= V, a.out_stride /= V, a.x_stride /= V;
        copy_words<uint4>(s, out, x, a, skip / V);
    });
}

template <class T, int V> void embed_backward(kstream *s, const embed_backward_args *a) {
    ranges r = {a->row, a->ptr, a->src, nullptr, nullptr, a->N, a->U, a->H, 0, 0, 0};
    const int64_t most = 4096, least = 16;  // warps, which bounds the partial sums; positions of a tile
    r.strips = (int)(((int64_t)a->H + 32 * V - 1) / (32 * V));
    const int64_t tile = ((int64_t)a->N * r.strips + most - 1) / most;
    r.tile = (int)((tile < least ? least : tile < a->N ? tile : a->N) + flight - 1) / flight * flight;
    r.tiles = (int)(((int64_t)a->N + r.tile - 1) / r.tile);
    r.partial = scratch<float>(s, (size_t)r.tiles * 2 * a->H);
    r.open = scratch<int32_t>(s, r.tiles);
    const unsigned items = (unsigned)r.tiles * r.strips;
    launch(s, embed_backward_kernel<T, V>, (items + warps - 1) / warps, threads, 0, a->dtable, (const T *)a->dout, r);
    launch(s, embed_backward_join_kernel<V>, items, threads, 0, a->dtable, r);
}

}  // namespace

void cuda_embed(kstream *s, const embed_args *a) {
    copy_rows(s, a->dtype, a->out, a->table, {a->H, a->H, nullptr, a->id, a->N, a->H});
}

void cuda_gather(kstream *s, const gather_args *a) {
    copy_rows(s, a->dtype, a->out, a->x, {a->H, a->H, nullptr, a->row, a->R, a->H});
}

void cuda_kv_store(kstream *s, const kv_store_args *a) {  // keys and values lie behind the queries of a row
    const int64_t row = (int64_t)2 * a->G * a->D, skip = (int64_t)a->A * a->D;
    copy_rows(s, a->dtype, a->kv, a->qkv, {row, skip + row, a->slot, nullptr, a->N, (int)row}, skip);
}

void cuda_kv_load(kstream *s, const kv_load_args *a) {
    const int64_t row = (int64_t)2 * a->G * a->D, skip = (int64_t)a->A * a->D;
    copy_rows(s, a->dtype, a->qkv, a->kv, {skip + row, row, a->row, a->slot, a->M, (int)row}, 0, skip);
}

void cuda_embed_backward(kstream *s, const embed_backward_args *a) {
    if (a->N == 0) return;
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        if (wide<T>(a->H, a->dout, a->dtable)) embed_backward<T, 16 / sizeof(T)>(s, a);
        else embed_backward<T, 1>(s, a);
    });
}

void cuda_gather_backward(kstream *s, const gather_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int V = 16 / sizeof(T);
        const bool vectors = wide<T>(a->H, a->dx, a->dout);
        const int width = vectors ? a->H / V : a->H;
        const dim3 block = rows_block(width);
        launch(s, vectors ? gather_backward_kernel<T, V> : gather_backward_kernel<T, 1>, rows_grid(a->N, block), block, 0,
               (T *)a->dx, (const T *)a->dout, a->ptr, a->src, a->N, width);
    });
}
