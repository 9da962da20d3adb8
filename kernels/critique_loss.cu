// critique_loss.cu: LM head, cross-entropy and their gradient on compacted rows, a chunk of logits at a time.
//   logit = cap·tanh(z·scale/cap), z = x[r]·w[v]; or z·scale      ce[r] = log Σ_v exp(logit) - logit of target[r]
//   dz[r] = grad_scale·weight[r]·scale·(softmax - onehot(target[r]))·(1 - (logit/cap)²)
// For each chunk: the logits by a product, in float32; a block for each row, which reads it twice (maximum and sum; gradient) and
// leaves the gradient in its place, in the type of x; dx = dlogits·w and dw += dlogitsᵀ·x by products.
#include "matmul.cuh"

using namespace gpu;

namespace {

const int most_threads = 512;

// The largest of some numbers, and Σ exp(number - largest). A number that is not finite makes the sum NaN, and with it the loss.
struct running {
    float top, sum;
};

template <int V> static __device__ __forceinline__ void add(running &r, const float (&x)[V]) {
    float top = r.top;
#pragma unroll
    for (int k = 0; k < V; k++) top = fmaxf(top, x[k]);
    if (top > r.top) {
        r.sum *= expf(r.top - top);
        r.top = top;
    }
#pragma unroll
    for (int k = 0; k < V; k++) r.sum += expf(x[k] - top);
}

// Over the block, in every thread. part (64) is shared memory.
static __device__ __forceinline__ running block_total(running r, float *part) {
    const float top = block_max(r.top, part);
    return {top, block_sum(r.sum * expf(r.top - top), part + 32)};
}

// Element i of a row of T takes the bytes of float i/(4/sizeof(T)), which may be another thread's still: a tile of the row is written when
// all threads have read it. It lies over this tile and the ones before.
template <class T, int V, bool CAPPED>
__global__ void __launch_bounds__(most_threads, 3) critique_loss_kernel(float *logits,           // in (rows, V); then T, with rows as far apart
                                                                        float *logprob,          // out (rows)
                                                                        const int32_t *target,   // in  (rows)
                                                                        const float *weight,     // in  (rows)
                                                                        float grad_scale, float scale, float cap, float inside, int size, bool gradient) {
    __shared__ float part[64];
    float *row = logits + (int64_t)blockIdx.x * size;
    const int step = blockDim.x * V, first = threadIdx.x * V, hit = target[blockIdx.x];
    running r = {-INFINITY, 0};
    for (int i = first; i < size; i += step) {
        float x[V];
        load(x, row + i);
#pragma unroll
        for (int k = 0; k < V; k++) x[k] = soft_cap<CAPPED>(x[k], inside, cap);
        add(r, x);
    }
    const float at = soft_cap<CAPPED>(row[hit], inside, cap);
    r = block_total(r, part);
    if (threadIdx.x == 0) logprob[blockIdx.x] = at - r.top - logf(r.sum);
    if (!gradient) return;

    const float f = grad_scale * weight[blockIdx.x] * scale, c = f / r.sum, inverse = CAPPED ? 1 / cap : 0;
    float x[V], next[V] = {};
    if (first < size) load(next, row + first);
    for (int i = first; i - first < size; i += step) {
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float logit = soft_cap<CAPPED>(next[k], inside, cap), t = logit * inverse;
            x[k] = (c * expf(logit - r.top) - (i + k == hit ? f : 0)) * (1 - t * t);
        }
        if (i + step < size) load(next, row + i + step);  // in flight while the others come to the barrier
        if (sizeof(T) < sizeof(float)) __syncthreads();
        if (i < size) store((T *)row + i, x);
    }
}

// loss = -loss_scale·Σ_r weight[r]·logprob[r]
__global__ void __launch_bounds__(most_threads) critique_loss_sum_kernel(float *loss,           // out (1)
                                                                         const float *logprob,  // in  (R)
                                                                         const float *weight,   // in  (R)
                                                                         float loss_scale, int R) {
    __shared__ float part[32];
    float sum = 0;
    for (int r = threadIdx.x; r < R; r += blockDim.x) sum += weight[r] * logprob[r];
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) *loss = R > 0 ? -loss_scale * sum : 0;
}

int threads_for(int vectors) {  // four a thread at least, if that leaves no warp without work
    int n = 64;
    while (n < most_threads && n * 4 < vectors) n *= 2;
    return n;
}

template <class T, int V, bool CAPPED> void rows_of(kstream *s, const critique_loss_args *a, int r0, int rows) {
    launch(s, critique_loss_kernel<T, V, CAPPED>, rows, threads_for(a->V / V), 0, a->scratch, a->logprob + r0, a->target + r0, a->weight + r0, a->grad_scale,
           a->logit_scale, a->logit_cap, inside_of(a->logit_scale, a->logit_cap), a->V, a->dx != nullptr);
}

template <class T, int V> void rows_of(kstream *s, const critique_loss_args *a, int r0, int rows) {
    a->logit_cap > 0 ? rows_of<T, V, true>(s, a, r0, rows) : rows_of<T, V, false>(s, a, r0, rows);
}

}  // namespace

void cuda_critique_loss(kstream *s, const critique_loss_args *a) {
    const int H = a->H, V = a->V;
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        const int per_float = sizeof(float) / sizeof(T);
        for (int r0 = 0; r0 < a->R; r0 += a->scratch_rows) {
            const int rows = a->R - r0 < a->scratch_rows ? a->R - r0 : a->scratch_rows;
            const T *x = (const T *)a->x + (int64_t)r0 * H;
            multiply(s, {rows, V, H, x, H, false, a->w, H, true, a->scratch, nullptr, V, a->dtype, K_F32, false});
            if (wide<T>(V, a->scratch)) rows_of<T, 16 / sizeof(T)>(s, a, r0, rows);
            else rows_of<T, 1>(s, a, r0, rows);
            if (!a->dx) continue;
            multiply(s, {rows, H, V, a->scratch, (int64_t)V * per_float, false, a->w, H, false, (T *)a->dx + (int64_t)r0 * H, nullptr, H, a->dtype, a->dtype, false});
            if (!a->dw) continue;
            multiply(s, {V, H, rows, a->scratch, (int64_t)V * per_float, true, x, H, false, a->dw, a->dw, H, a->dtype, K_F32, true});
        }
    });
    launch(s, critique_loss_sum_kernel, 1, most_threads, 0, a->loss, a->logprob, a->weight, a->loss_scale, a->R);
}
