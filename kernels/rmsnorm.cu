// rmsnorm.cu: RMSNorm (Zhang & Sennrich 2019) with the residual sum before it, and its backward.
//   sum = x + res;  rstd = 1/sqrt(mean(sum²) + eps);  out = sum·rstd·(shift + w)
//   dx += rstd·(dout·s - y·mean(dout·s·y));  dw += Σ_n dout·y,  y = x·rstd, s = shift + w;  and out once more
// A row is read once, in 16-byte words: its threads hold K words each, the forward in registers, the backward in shared memory.
// Other rows, longer or not of whole words, are read twice, by the kernels named _long.
#include <algorithm>

#include "cuda.cuh"

using namespace gpu;

namespace {

template <class T> constexpr int word = 16 / sizeof(T);                  // numbers in 16 bytes
template <class T> constexpr int most_threads = sizeof(T) == 2 ? 512 : 1024;  // of a row: four words each are 16384 numbers

// Sum over the threads of a row, of which a block has blockDim.y. part has a float for each warp of the block; threads that
// are still reading it may not meet those that write it for the next row.
static __device__ __forceinline__ float row_sum(float x, float *part) {
    x = warp_sum(x);
    if (blockDim.x == 32) return x;
    const unsigned warps = blockDim.x / 32;
    part += threadIdx.y * warps;
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % 32 < warps ? part[threadIdx.x % 32] : 0.f);
}

// block (threads of a row, rows); several rows only where a row has one warp
template <class T, int K>
__global__ void __launch_bounds__(most_threads<T>)
    rmsnorm_kernel(T *out, T *sum, float *rstd, const T *x, const T *res, const T *w, float eps, float shift, int N, int H) {
    const int V = word<T>;
    __shared__ float part[32];
    const unsigned n = blockIdx.x * blockDim.y + threadIdx.y;
    if (n >= (unsigned)N) return;
    const int64_t row = (int64_t)n * H;
    const int first = threadIdx.x * V, step = blockDim.x * V;            // columns of the thread: first + k·step
    const int added = res ? H : 0;                                       // as a bound of columns: no branch between the loads
    uint4 words[K] = {}, more[K] = {}, scales[K] = {};
#pragma unroll
    for (int k = 0; k < K; k++) {
        if (first + k * step < H) words[k] = ptx::load16_once(x + row + first + k * step);
        if (first + k * step < added) more[k] = ptx::load16_once(res + row + first + k * step);
    }
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < H) scales[k] = ptx::load16(w + first + k * step);
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
        if (first + k * step < added) store(sum + row + first + k * step, v[k]);
    }
    const float scale = 1 / sqrtf(row_sum(squares, part) / H + eps);
    if (threadIdx.x == 0) rstd[n] = scale;
#pragma unroll
    for (int k = 0; k < K; k++) {
        unpack(r, scales[k], T{});
#pragma unroll
        for (int i = 0; i < V; i++) v[k][i] = v[k][i] * scale * (shift + r[i]);
        if (first + k * step < H) store(out + row + first + k * step, v[k]);
    }
}

// A row a block.
template <class T>
__global__ void __launch_bounds__(1024) rmsnorm_long_kernel(T *out, T *sum, float *rstd, const T *x, const T *res, const T *w, float eps, float shift, int H) {
    __shared__ float part[32];
    const int64_t row = (int64_t)blockIdx.x * H;
    float squares = 0;
    for (int c = threadIdx.x; c < H; c += blockDim.x) {
        float v = to_f32(x[row + c]);
        if (res) {
            v = rounded<T>(v + to_f32(res[row + c]));
            from_f32(sum + row + c, v);
        }
        squares += v * v;
    }
    const float scale = 1 / sqrtf(row_sum(squares, part) / H + eps);
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
    if (res) x = sum;
    for (int c = threadIdx.x; c < H; c += blockDim.x) from_f32(out + row + c, to_f32(x[row + c]) * scale * (shift + to_f32(w[c])));
}

// A block has every gridDim.x-th group of blockDim.y rows, and their sum of dout·y in registers. A thread copies its words of
// the next row to shared memory, where no other thread reads them, while it works on this one (two stages; one where two
// are too much). At the end the block adds the sums of its rows in their order.  block (threads of a row, rows)
template <class T, int K>
__global__ void __launch_bounds__(512)
    rmsnorm_backward_kernel(T *dx, float *partial, T *out, const T *dout, const T *x, const T *w, const float *rstd, float shift, int N,
                            int H, int stages) {
    const int V = word<T>;
    __shared__ float part[2][32];
    const int threads = blockDim.x * blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int first = threadIdx.x * V, step = blockDim.x * V;            // columns of the thread: first + k·step
    const int64_t next = (int64_t)gridDim.x * blockDim.y;
    uint4 *mine = (uint4 *)ptx::dynamic_shared() + thread;               // (stages, 3, K, threads): dout, x, dx
    auto at = [&](int stage, int which, int k) -> uint4 & { return mine[((stage * 3 + which) * K + k) * threads]; };
    auto fetch = [&](int stage, int64_t n) {
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int c = first + k * step;
            const bool valid = n < N && c < H;                           // zeros add nothing
            const int64_t from = valid ? n * H + c : 0;
            ptx::cp_async(ptx::shared(&at(stage, 0, k)), dout + from, valid);
            ptx::cp_async(ptx::shared(&at(stage, 1, k)), x + from, valid);
            ptx::cp_async(ptx::shared(&at(stage, 2, k)), dx + from, valid);
        }
        ptx::cp_async_commit();
    };
    float weight[K][V] = {}, dw[K][V] = {};
#pragma unroll
    for (int k = 0; k < K; k++)
        if (first + k * step < H) {
            load(weight[k], w + first + k * step);
#pragma unroll
            for (int i = 0; i < V; i++) weight[k][i] += shift;
        }
    int64_t n = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    float scale_next = n < N ? rstd[n] : 0;
    if (stages == 2) fetch(0, n);
    for (int turn = 0; n - threadIdx.y < N; n += next, turn ^= 1) {
        const int stage = stages == 2 ? turn : 0;
        fetch(stages == 2 ? turn ^ 1 : 0, stages == 2 ? n + next : n);
        const float r = scale_next;
        scale_next = n + next < N ? rstd[n + next] : 0;
        if (stages == 2) ptx::cp_async_wait<1>();
        else ptx::cp_async_wait<0>();
        float g[V], y[V], d[V], dot = 0;
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
            if (n < N && first + k * step < H) store(out + n * H + first + k * step, y);
        }
        const float pull = r * r * r * (row_sum(dot, part[turn]) / H);
#pragma unroll
        for (int k = 0; k < K; k++) {
            unpack(g, at(stage, 0, k), T{});
            unpack(y, at(stage, 1, k), T{});
            unpack(d, at(stage, 2, k), T{});
#pragma unroll
            for (int i = 0; i < V; i++) d[i] += g[i] * weight[k][i] * r - y[i] * pull;
            if (n < N && first + k * step < H) store(dx + n * H + first + k * step, d);
        }
    }
    ptx::cp_async_wait<0>();
    float *sum = (float *)ptx::dynamic_shared();                         // (H)
    partial += blockIdx.x * (int64_t)H;                                  // (H)
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
template <class T>
__global__ void __launch_bounds__(1024) rmsnorm_backward_long_kernel(float *pull, const T *dout, const T *x, const T *w, const float *rstd, float shift,
                                                                   int H) {
    __shared__ float part[32];
    const int64_t row = (int64_t)blockIdx.x * H;
    float dot = 0;
    for (int c = threadIdx.x; c < H; c += blockDim.x) dot += to_f32(dout[row + c]) * (shift + to_f32(w[c])) * to_f32(x[row + c]);
    dot = row_sum(dot, part);
    const float r = rstd[blockIdx.x];
    if (threadIdx.x == 0) pull[blockIdx.x] = r * r * r * (dot / H);
}

template <class T>
__global__ void __launch_bounds__(256) rmsnorm_backward_long_columns_kernel(T *dx, float *partial, T *out, const float *pull, const T *dout,
                                                                           const T *x, const T *w, const float *rstd, float shift, int N, int H) {
    const int c = blockIdx.y * 256 + threadIdx.x;
    if (c >= H) return;
    const float weight = shift + to_f32(w[c]);
    float dw = 0;
    for (int64_t n = blockIdx.x; n < N; n += gridDim.x) {
        const int64_t at = n * H + c;
        const float g = to_f32(dout[at]), y = to_f32(x[at]), r = rstd[n];
        from_f32(dx + at, to_f32(dx[at]) + (g * weight * r - y * pull[n]));
        dw += g * (y * r);
        from_f32(out + at, y * r * weight);
    }
    partial[blockIdx.x * (int64_t)H + c] = dw;
}

// dw += the partial sums (P, H), in a fixed order.  block (32 columns, parts of the partial sums)
const int parts = 16;
__global__ void __launch_bounds__(32 * parts) rmsnorm_backward_sum_kernel(float *dw, const float *partial, int P, int H) {
    __shared__ float part[parts][32];
    const int c = blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    if (c < H) {
#pragma unroll 8
        for (int p = threadIdx.y; p < P; p += parts) sum += partial[p * (int64_t)H + c];
    }
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= H) return;
    for (int y = 1; y < parts; y++) sum += part[y][threadIdx.x];
    dw[c] += sum;
}

// ---- launches

// A block (threads of a row, rows) of about 8 warps whose rows have whole warps.
template <class T, int K> dim3 row_block(int H) {
    const unsigned numbers = 32 * K * word<T>, warps = (H + numbers - 1) / numbers;
    return dim3(32 * warps, warps < 8 ? 8 / warps : 1);
}

template <class T> unsigned long_block(int H) { return H < 1024 ? (H + 31) / 32 * 32 : 1024; }

template <class T, int K> void forward(kstream *s, const rmsnorm_args *a) {
    dim3 block = row_block<T, K>(a->H);
    if (block.x > 32) block.y = 1;
    launch(s, rmsnorm_kernel<T, K>, ((unsigned)a->N + block.y - 1) / block.y, block, 0, (T *)a->out, (T *)a->sum, a->rstd, (const T *)a->x,
           (const T *)a->res, (const T *)a->w, a->eps, a->shift, a->N, a->H);
}

// How many parts the rows are in, each with a partial sum of dw: two for each processor, as long as they take no more than 32 MiB.
static int row_splits(kstream *s, int N, int H, unsigned rows) {
    const int64_t groups = ((int64_t)N + rows - 1) / rows, room = 1 + (8 << 20) / H;
    return (int)std::min({groups, room, (int64_t)2 * processors(s)});
}

static void add_partials(kstream *s, float *dw, const float *partial, int P, int H) {
    launch(s, rmsnorm_backward_sum_kernel, ((unsigned)H + 31) / 32, dim3(32, parts), 0, dw, partial, P, H);
}

template <class T, int K> void backward(kstream *s, const rmsnorm_backward_args *a) {
    const dim3 block = row_block<T, K>(a->H);
    const size_t stage = (size_t)3 * K * block.x * block.y * 16;
    const int stages = stage <= 48 << 10 ? 2 : 1, P = row_splits(s, a->N, a->H, block.y);
    float *partial = scratch<float>(s, (size_t)P * a->H);                // (P, H)
    launch(s, rmsnorm_backward_kernel<T, K>, P, block, stages * stage, (T *)a->dx, partial, (T *)a->out, (const T *)a->dout,
           (const T *)a->x, (const T *)a->w, a->rstd, a->shift, a->N, a->H, stages);
    add_partials(s, a->dw, partial, P, a->H);
}

template <class T> void backward_long(kstream *s, const rmsnorm_backward_args *a) {
    const T *dout = (const T *)a->dout, *x = (const T *)a->x, *w = (const T *)a->w;
    const int P = row_splits(s, a->N, a->H, 1);
    float *pull = scratch<float>(s, a->N);                               // (N)
    float *partial = scratch<float>(s, (size_t)P * a->H);                // (P, H)
    launch(s, rmsnorm_backward_long_kernel<T>, a->N, long_block<T>(a->H), 0, pull, dout, x, w, a->rstd, a->shift, a->H);
    launch(s, rmsnorm_backward_long_columns_kernel<T>, dim3(P, ((unsigned)a->H + 255) / 256), 256, 0, (T *)a->dx, partial, (T *)a->out, pull,
           dout, x, w, a->rstd, a->shift, a->N, a->H);
    add_partials(s, a->dw, partial, P, a->H);
}

}  // namespace

void cuda_rmsnorm(kstream *s, const rmsnorm_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const bool words = wide<T>(a->H, a->out, a->sum, a->x, a->res, a->w);  // NULL is aligned
        if (words && a->H <= 32 * word<T>) forward<T, 1>(s, a);
        else if (words && a->H <= most_threads<T> * 4 * word<T>) forward<T, 4>(s, a);
        else launch(s, rmsnorm_long_kernel<T>, a->N, long_block<T>(a->H), 0, (T *)a->out, (T *)a->sum, a->rstd, (const T *)a->x,
                    (const T *)a->res, (const T *)a->w, a->eps, a->shift, a->H);
    });
}

void cuda_rmsnorm_backward(kstream *s, const rmsnorm_backward_args *a) {
    if (a->N == 0) return;
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const bool words = wide<T>(a->H, a->dx, a->out, a->dout, a->x, a->w);
        if (words && a->H <= 32 * word<T>) backward<T, 1>(s, a);
        else if (words && a->H <= 512 * 4 * word<T>) backward<T, 4>(s, a);  // 96 KiB of shared memory at most
        else backward_long<T>(s, a);
    });
}
