// add_bias.cu: the bias of a projection, y[n] += b, and its gradient, db += Σ_n dy[n].
// Bound by memory: 16-byte words, read once. A thread has one vector of columns, and rows that lie so far apart as all blocks together have.
#include <algorithm>

#include "partials.cuh"

using namespace gpu;

namespace {

const int columns = 32, rows = 8;  // of a block: vectors of columns, and rows at a time
const int unroll = 4;              // rows that a thread has in flight

// grid (blocks of rows, blocks of columns)
template <class T, int V> __global__ void __launch_bounds__(columns *rows) add_bias_kernel(T *y, const T *b, int N, int O) {
    const int c = (blockIdx.y * columns + threadIdx.x) * V;
    if (c >= O) return;
    const int64_t step = (int64_t)gridDim.x * rows;
    float bias[V], v[unroll][V] = {};
    load(bias, b + c);
    for (int64_t n = (int64_t)blockIdx.x * rows + threadIdx.y; n < N; n += unroll * step) {
#pragma unroll
        for (int k = 0; k < unroll; k++)
            if (n + k * step < N) load(v[k], y + (n + k * step) * O + c);
#pragma unroll
        for (int k = 0; k < unroll; k++) {
#pragma unroll
            for (int i = 0; i < V; i++) v[k][i] += bias[i];
            if (n + k * step < N) store(y + (n + k * step) * O + c, v[k]);
        }
    }
}

// partial (gridDim.x, O): a block adds its rows, each thread its own, and then those of its threads in their order.
template <class T, int V> __global__ void __launch_bounds__(columns *rows) add_bias_backward_kernel(float *partial, const T *dy, int N, int O) {
    __shared__ float part[rows][columns * V];
    const int c = (blockIdx.y * columns + threadIdx.x) * V;
    const int64_t step = (int64_t)gridDim.x * rows;
    float sum[V] = {};
    for (int64_t n = (int64_t)blockIdx.x * rows + threadIdx.y; n < N && c < O; n += unroll * step) {
        float v[unroll][V] = {};
#pragma unroll
        for (int k = 0; k < unroll; k++)
            if (n + k * step < N) load<ONCE>(v[k], dy + (n + k * step) * O + c);
#pragma unroll
        for (int k = 0; k < unroll; k++) {
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += v[k][i];
        }
    }
#pragma unroll
    for (int i = 0; i < V; i++) part[threadIdx.y][i * columns + threadIdx.x] = sum[i];
    __syncthreads();
    if (threadIdx.y > 0 || c >= O) return;
#pragma unroll
    for (int i = 0; i < V; i++)
        for (int y = 1; y < rows; y++) sum[i] += part[y][i * columns + threadIdx.x];
    store(partial + (int64_t)blockIdx.x * O + c, sum);
}

// Four blocks for each processor, if there are rows for so many.
template <int V> dim3 grid(kstream *s, int N, int O) {
    const int64_t width = ((int64_t)O / V + columns - 1) / columns, most = ((int64_t)N + rows - 1) / rows;
    return dim3((unsigned)(width > 0 ? std::min(most, (4 * processors(s) + width - 1) / width) : 0), (unsigned)width);
}

template <class T, int V> void forward(kstream *s, const add_bias_args *a) {
    launch(s, add_bias_kernel<T, V>, grid<V>(s, a->N, a->O), dim3(columns, rows), 0, (T *)a->y, (const T *)a->b, a->N, a->O);
}

template <class T, int V> void backward(kstream *s, const add_bias_backward_args *a) {
    const dim3 g = grid<V>(s, a->N, a->O);
    float *partial = scratch<float>(s, (size_t)g.x * a->O);              // (blocks of rows, O)
    launch(s, add_bias_backward_kernel<T, V>, g, dim3(columns, rows), 0, partial, (const T *)a->dy, a->N, a->O);
    add_partials(s, a->db, partial, g.x, a->O);
}

}  // namespace

void cuda_add_bias(kstream *s, const add_bias_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        if (wide<T>(a->O, (const T *)a->y, (const T *)a->b)) forward<T, 16 / sizeof(T)>(s, a);
        else forward<T, 1>(s, a);
    });
}

void cuda_add_bias_backward(kstream *s, const add_bias_backward_args *a) {
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        if (wide<T>(a->O, (const T *)a->dy)) backward<T, 16 / sizeof(T)>(s, a);
        else backward<T, 1>(s, a);
    });
}
