// rmsnorm.cu: RMSNorm (Zhang & Sennrich 2019) with the residual sum before it, of parts of rows in place, and their backwards.
//   sum = x + res;  rstd = 1/sqrt(mean(sum²) + eps);  out = sum·rstd·(shift + w)
//   dx += rstd·(dout·s - y·mean(dout·s·y));  dw += Σ_n dout·y,  y = x·rstd, s = shift + w;  and out once more
// A row is read once, in 16-byte words: its threads hold K words each, the forward in registers, the backward in shared memory.
// Other rows, longer or not of whole words, are read twice, by the kernels named _long. A part of a row is a row of its own: blockIdx.y says which.
#include <algorithm>

#include "partials.cuh"

using namespace gpu;

namespace {

template <class T> constexpr int word = 16 / sizeof(T);                  // numbers in 16 bytes
template <class T> constexpr int most_threads = sizeof(T) == 2 ? 512 : 1024;  // of a row: four words each are 16384 numbers

// What is normalised: N rows with neighbouring parts (gridDim.y) of H numbers; rows of x and out are so many numbers apart, those of kept and
// res as close as can be. kept: sums with res, or what out takes the place of; or NULL.
template <class T> struct norm {
    T *out, *kept;
    float *rstd;                                                         // or NULL
    const T *x, *res, *w;                                                // res: or NULL
    float eps, shift;
    int N, H, apart;
};

// The same for the backward. out NULL: dx is not added to but replaced, and is dout itself.
template <class T> struct gradient {
    T *dx, *out;
    const T *dout, *x, *w;
    const float *rstd;
    float shift;
    int N, H, apart;
};

// Where part blockIdx.y of row n begins in a tensor of these parts alone, as parts; and in one with rows so far apart, as numbers.
static __device__ __forceinline__ int64_t part_of(int64_t n) { return n * gridDim.y + blockIdx.y; }
template <class A> static __device__ __forceinline__ int64_t place_of(const A &a, int64_t n) { return n * a.apart + (int64_t)blockIdx.y * a.H; }

// Sum over the threads of a row, of which a block has blockDim.y. part has a float for each warp of the block; threads that
// are still reading it may not meet those that write it for the next row.
static __device__ __forceinline__ float row_sum(float x, float *part) {
    if (blockDim.x < 32) {                                               // several rows in a warp
        for (int m = blockDim.x / 2; m > 0; m >>= 1) x += __shfl_xor_sync(whole_warp, x, m);
        return x;
    }
    x = warp_sum(x);
    if (blockDim.x == 32) return x;
    const unsigned warps = blockDim.x / 32;
    part += threadIdx.y * warps;
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % 32 < warps ? part[threadIdx.x % 32] : 0.f);
}

// block (threads of a row, rows); several rows only where a row has one warp at most
template <class T, int K, bool IN_PLACE> __global__ void __launch_bounds__(most_threads<T>) rmsnorm_kernel(norm<T> a) {
    const int V = word<T>;
    __shared__ float part[32];
    const int64_t n = blockIdx.x * blockDim.y + threadIdx.y;
    const int H = n < a.N ? a.H : 0;                                     // threads without a row are there for the sums of others
    const int first = threadIdx.x * V, step = blockDim.x * V;            // columns of the thread: first + k·step
    const int added = a.res ? H : 0, keep = a.kept ? H : 0;              // as bounds of columns: no branch between the loads
    const int64_t at = place_of(a, n), kept = part_of(n) * a.H;
    uint4 words[K] = {}, more[K] = {}, scales[K] = {};
#pragma unroll
    for (int k = 0; k < K; k++) {
        if (first + k * step < H) words[k] = IN_PLACE ? ptx::load16(a.x + at + first + k * step) : ptx::load16_once(a.x + at + first + k * step);
        if (first + k * step < added) more[k] = ptx::load16_once(a.res + kept + first + k * step);
    }
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < H) scales[k] = ptx::load16(a.w + first + k * step);
    float v[K][V], r[V], squares = 0;
#pragma unroll
    for (int k = 0; k < K; k++) {
        unpack(v[k], words[k], T{});
        unpack(r, more[k], T{});
#pragma unroll
        for (int i = 0; i < V; i++) {
            v[k][i] = rounded<T>(v[k][i] + r[i]);                        // as stored: backward reads this one
            squares += v[k][i] * v[k][i];
        }
        if (first + k * step < keep) store(a.kept + kept + first + k * step, v[k]);
    }
    const float scale = 1 / sqrtf(row_sum(squares, part) / a.H + a.eps);
    if (threadIdx.x == 0 && n < a.N && a.rstd) a.rstd[part_of(n)] = scale;
#pragma unroll
    for (int k = 0; k < K; k++) {
        unpack(r, scales[k], T{});
#pragma unroll
        for (int i = 0; i < V; i++) v[k][i] = v[k][i] * scale * (a.shift + r[i]);
        if (first + k * step < H) store(a.out + at + first + k * step, v[k]);
    }
}

// A row a block.
template <class T> __global__ void __launch_bounds__(1024) rmsnorm_long_kernel(norm<T> a) {
    __shared__ float part[32];
    const int64_t n = blockIdx.x, at = place_of(a, n), kept = part_of(n) * a.H;
    float squares = 0;
    for (int c = threadIdx.x; c < a.H; c += blockDim.x) {
        float v = to_f32(a.x[at + c]);
        if (a.res) v = rounded<T>(v + to_f32(a.res[kept + c]));
        if (a.kept) from_f32(a.kept + kept + c, v);
        squares += v * v;
    }
    const float scale = 1 / sqrtf(row_sum(squares, part) / a.H + a.eps);
    if (threadIdx.x == 0 && a.rstd) a.rstd[part_of(n)] = scale;
    const T *x = a.kept ? a.kept + kept : a.x + at;
    for (int c = threadIdx.x; c < a.H; c += blockDim.x) from_f32(a.out + at + c, to_f32(x[c]) * scale * (a.shift + to_f32(a.w[c])));
}

// A block has every gridDim.x-th group of blockDim.y rows, and their sum of dout·y in registers. A thread copies its words of
// the next row to shared memory, where no other thread reads them, while it works on this one (two stages; one where two
// are too much). At the end the block adds the sums of its rows in their order.  block (threads of a row, rows)
template <class T, int K, bool IN_PLACE> __global__ void __launch_bounds__(512) rmsnorm_backward_kernel(gradient<T> a, float *partial, int stages) {
    const int V = word<T>, N = a.N, H = a.H, copies = IN_PLACE ? 2 : 3;
    __shared__ float part[2][32];
    const int threads = blockDim.x * blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int first = threadIdx.x * V, step = blockDim.x * V;            // columns of the thread: first + k·step
    const int64_t next = (int64_t)gridDim.x * blockDim.y;
    uint4 *mine = (uint4 *)ptx::dynamic_shared() + thread;               // (stages, copies, K, threads): dout, x, dx
    auto at = [&](int stage, int which, int k) -> uint4 & { return mine[((stage * copies + which) * K + k) * threads]; };
    auto fetch = [&](int stage, int64_t n) {
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int c = first + k * step;
            const bool valid = n < N && c < H;                           // zeros add nothing
            const int64_t from = valid ? place_of(a, n) + c : 0;
            ptx::cp_async(ptx::shared(&at(stage, 0, k)), a.dout + from, valid);
            ptx::cp_async(ptx::shared(&at(stage, 1, k)), a.x + (valid ? part_of(n) * H + c : 0), valid);
            if (!IN_PLACE) ptx::cp_async(ptx::shared(&at(stage, 2, k)), a.dx + from, valid);
        }
        ptx::cp_async_commit();
    };
    float weight[K][V] = {}, dw[K][V] = {};
#pragma unroll
    for (int k = 0; k < K; k++) {
        if (first + k * step >= H) continue;
        load(weight[k], a.w + first + k * step);
#pragma unroll
        for (int i = 0; i < V; i++) weight[k][i] += a.shift;
    }
    int64_t n = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    float scale_next = n < N ? a.rstd[part_of(n)] : 0;
    if (stages == 2) fetch(0, n);
    for (int turn = 0; n - threadIdx.y < N; n += next, turn ^= 1) {
        const int stage = stages == 2 ? turn : 0;
        fetch(stages == 2 ? turn ^ 1 : 0, stages == 2 ? n + next : n);
        const float r = scale_next;
        scale_next = n + next < N ? a.rstd[part_of(n + next)] : 0;
        if (stages == 2) ptx::cp_async_wait<1>();
        else ptx::cp_async_wait<0>();
        float g[V], y[V], d[V] = {}, dot = 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            unpack(g, at(stage, 0, k), T{});
            unpack(y, at(stage, 1, k), T{});
#pragma unroll
            for (int i = 0; i < V; i++) {
                dot += g[i] * weight[k][i] * y[i];
                dw[k][i] += g[i] * (y[i] * r);
                y[i] = y[i] * r * weight[k][i];
            }
            if (!IN_PLACE && n < N && first + k * step < H) store(a.out + part_of(n) * H + first + k * step, y);
        }
        const float pull = r * r * r * (row_sum(dot, part[turn]) / H);
#pragma unroll
        for (int k = 0; k < K; k++) {
            unpack(g, at(stage, 0, k), T{});
            unpack(y, at(stage, 1, k), T{});
            if (!IN_PLACE) unpack(d, at(stage, 2, k), T{});
#pragma unroll
            for (int i = 0; i < V; i++) d[i] = (IN_PLACE ? 0 : d[i]) + (g[i] * weight[k][i] * r - y[i] * pull);
            if (n < N && first + k * step < H) store(a.dx + place_of(a, n) + first + k * step, d);
        }
    }
    ptx::cp_async_wait<0>();
    float *sum = (float *)ptx::dynamic_shared();                         // (H)
    partial += part_of(blockIdx.x) * H;                                  // (H)
    for (int y = 0; y < (int)blockDim.y; y++) {
        __syncthreads();
        if (threadIdx.y != (unsigned)y) continue;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int c = first + k * step;
            if (c >= H) continue;
#pragma unroll
            for (int i = 0; i < V; i++) {
                if (y > 0) dw[k][i] += sum[c + i];
                sum[c + i] = dw[k][i];
            }
            if (y + 1 == (int)blockDim.y) store(partial + c, dw[k]);
        }
    }
}

// Two steps: pull[n] = rstd³·mean(dout·s·x), a row a block; then the rest by columns, where block x has every gridDim.x-th row.
template <class T> __global__ void __launch_bounds__(1024) rmsnorm_backward_long_kernel(gradient<T> a, float *pull) {
    __shared__ float part[32];
    const int64_t n = blockIdx.x, at = place_of(a, n), from = part_of(n) * a.H;
    float dot = 0;
    for (int c = threadIdx.x; c < a.H; c += blockDim.x) dot += to_f32(a.dout[at + c]) * (a.shift + to_f32(a.w[c])) * to_f32(a.x[from + c]);
    dot = row_sum(dot, part);
    const float r = a.rstd[part_of(n)];
    if (threadIdx.x == 0) pull[part_of(n)] = r * r * r * (dot / a.H);
}

template <class T> __global__ void __launch_bounds__(256) rmsnorm_backward_long_columns_kernel(gradient<T> a, float *partial, const float *pull) {
    const int c = blockIdx.z * 256 + threadIdx.x;
    if (c >= a.H) return;
    const float weight = a.shift + to_f32(a.w[c]);
    float dw = 0;
    for (int64_t n = blockIdx.x; n < a.N; n += gridDim.x) {
        const int64_t at = place_of(a, n) + c, from = part_of(n) * a.H + c;
        const float g = to_f32(a.dout[at]), y = to_f32(a.x[from]), r = a.rstd[part_of(n)], d = g * weight * r - y * pull[part_of(n)];
        from_f32(a.dx + at, a.out ? to_f32(a.dx[at]) + d : d);
        dw += g * (y * r);
        if (a.out) from_f32(a.out + from, y * r * weight);
    }
    partial[part_of(blockIdx.x) * a.H + c] = dw;
}

// ---- launches

// A block (threads of a row, rows) of about 8 warps; a row of more than one has whole warps.
template <class T, int K> dim3 row_block(int H) {
    const unsigned words = (H + K * word<T> - 1) / (K * word<T>);        // in K of each thread
    unsigned threads = 8;
    while (threads < 32 && threads < words) threads *= 2;
    if (threads < words) threads = (words + 31) / 32 * 32;
    return dim3(threads, threads < 256 ? 256 / threads : 1);
}

template <class T> unsigned long_block(int H) { return H < 1024 ? (H + 31) / 32 * 32 : 1024; }

template <class T, int K, bool IN_PLACE> void forward(kstream *s, const norm<T> &a, unsigned parts) {
    dim3 block = row_block<T, K>(a.H);
    if (block.x > 32) block.y = 1;
    launch(s, rmsnorm_kernel<T, K, IN_PLACE>, dim3(((unsigned)a.N + block.y - 1) / block.y, parts), block, 0, a);
}

template <bool IN_PLACE, class T> void normalise(kstream *s, const norm<T> &a, unsigned parts) {
    const bool words = wide<T>(a.H, a.out, a.kept, a.x, a.res, a.w) && wide<T>(a.apart);  // NULL is aligned
    if (words && a.H <= 32 * word<T>) forward<T, 1, IN_PLACE>(s, a, parts);
    else if (words && a.H <= most_threads<T> * 4 * word<T>) forward<T, 4, IN_PLACE>(s, a, parts);
    else launch(s, rmsnorm_long_kernel<T>, dim3(a.N, parts), long_block<T>(a.H), 0, a);
}

// How many blocks of rows there are, each with a partial sum of dw for each part: two for each processor, as long as they take no more than 32 MiB.
static int row_splits(kstream *s, int N, int H, unsigned rows, unsigned parts) {
    const int64_t groups = ((int64_t)N + rows - 1) / rows, room = 1 + (8 << 20) / ((int64_t)H * parts), share = 1 + (2 * processors(s) - 1) / parts;
    return (int)std::min({groups, room, share});
}

template <class T, int K, bool IN_PLACE> void backward(kstream *s, const gradient<T> &a, float *dw, unsigned parts) {
    const dim3 block = row_block<T, K>(a.H);
    const size_t stage = (size_t)(IN_PLACE ? 2 : 3) * K * block.x * block.y * 16;
    const int stages = stage <= 48 << 10 ? 2 : 1, P = row_splits(s, a.N, a.H, block.y, parts);
    float *partial = scratch<float>(s, (size_t)P * parts * a.H);         // (P, parts, H)
    launch(s, rmsnorm_backward_kernel<T, K, IN_PLACE>, dim3(P, parts), block, stages * stage, a, partial, stages);
    add_partials(s, dw, partial, P * parts, a.H);
}

template <class T> void backward_long(kstream *s, const gradient<T> &a, float *dw, unsigned parts) {
    const int P = row_splits(s, a.N, a.H, 1, parts);
    float *pull = scratch<float>(s, (size_t)a.N * parts);                // (N, parts)
    float *partial = scratch<float>(s, (size_t)P * parts * a.H);         // (P, parts, H)
    launch(s, rmsnorm_backward_long_kernel<T>, dim3(a.N, parts), long_block<T>(a.H), 0, a, pull);
    launch(s, rmsnorm_backward_long_columns_kernel<T>, dim3(P, parts, ((unsigned)a.H + 255) / 256), 256, 0, a, partial, pull);
    add_partials(s, dw, partial, P * parts, a.H);
}

template <bool IN_PLACE, class T> void differentiate(kstream *s, const gradient<T> &a, float *dw, unsigned parts) {
    if (a.N == 0 || a.H == 0 || parts == 0) return;
    const bool words = wide<T>(a.H, a.dx, a.out, a.dout, a.x, a.w) && wide<T>(a.apart);
    if (words && a.H <= 32 * word<T>) backward<T, 1, IN_PLACE>(s, a, dw, parts);
    else if (words && a.H <= 512 * 4 * word<T>) backward<T, 4, IN_PLACE>(s, a, dw, parts);  // 96 KiB of shared memory at most
    else backward_long<T>(s, a, dw, parts);
}

}  // namespace

void cuda_rmsnorm(kstream *s, const rmsnorm_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        normalise<false, T>(s, {(T *)a->out, (T *)a->sum, a->rstd, (const T *)a->x, (const T *)a->res, (const T *)a->w, a->eps, a->shift, a->N, a->H, a->H}, 1);
    });
}

void cuda_rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        differentiate<false, T>(s, {(T *)a->dx, (T *)a->out, (const T *)a->dout, (const T *)a->x, (const T *)a->w, a->rstd, a->shift, a->N, a->H, a->H}, a->dw, 1);
    });
}

void cuda_slice_norm(kstream *s, const slice_norm_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        T *y = (T *)a->y + a->offset;
        normalise<true, T>(s, {y, (T *)a->x, a->rstd, y, nullptr, (const T *)a->w, a->eps, a->shift, a->N, a->width, a->C}, a->groups);
    });
}

void cuda_slice_norm_backward(kstream *s, const slice_norm_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        T *dx = (T *)a->dx + a->offset;
        differentiate<true, T>(s, {dx, nullptr, dx, (const T *)a->x, (const T *)a->w, a->rstd, a->shift, a->N, a->width, a->C}, a->dw, a->groups);
    });
}
