// reward_loss.cu: the reward head, the pairwise loss, the joint loss and their gradient in one launch.
//   reward[l] = x[l]·w      z = c - r - margin,  bt = -log σ(z) + smooth·z,  centre = center·(c + r)²      dx[l] = dreward[l]·w,  dw += Σ_l dreward[l]·x[l]
// A block has some consecutive pairs with all their leaves: a warp per reward, a warp per pair, then a thread per column of the
// gradients, with x from the cache. The block that is last adds up what the blocks have of dw and of the losses, in their order.
#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 256, warps = threads / 32;
const int most_blocks = 32;  // one block sums over them: more would make that the longest part

struct totals {  // in double: margins of both signs cancel
    double loss, wins, margin, ties;
};

struct objective {
    float lambda, center, smooth, loss_scale, grad_scale;
    kpairing pairing;
    int alone;
};

struct term {
    float loss, dc, dr;  // and its derivatives to c and r
};

// No exponential overflows.
static __device__ __forceinline__ term compare(float c, float r, float margin, float weight, const objective &o) {
    const float z = c - r - margin, e = expf(-fabsf(z)), toward = weight * ((z > 0 ? e / (1 + e) : 1 / (1 + e)) - o.smooth);  // σ(-z) - smooth
    const float sum = c + r, pull = o.center == 0 ? 0 : 2 * o.center * sum;
    return {weight * (fmaxf(-z, 0) + log1pf(e) + o.smooth * z) + (o.center == 0 ? 0 : o.center * sum * sum), pull - toward, pull + toward};
}

static __device__ __forceinline__ void count(totals &t, float c, float r, float loss) {
    t.loss += loss;
    t.wins += c > r ? 1.f : c == r ? 0.5f : 0.f;
    t.margin += c - r;
    t.ties += c == r ? 1.f : 0.f;
}

static __device__ __forceinline__ float mean(const float *x, int n) {  // over the lanes of a warp
    float sum = 0;
    for (int i = threadIdx.x % 32; i < n; i += 32) sum += x[i];
    return warp_sum(sum) / n;
}

// The leaves of a side without another one, compared with the reward 0.
static __device__ __forceinline__ void alone_terms(float *dreward, const float *reward, int leaves, bool better, float margin, float weight,
                                                   const objective &o, totals &all) {
    const int lane = threadIdx.x % 32;
    const bool one = o.pairing == K_MEAN;
    const float middle = one ? mean(reward, leaves) : 0, n = one ? 1 : leaves;
    totals t = {};
    for (int i = lane; i < leaves; i += 32) {
        const float r = one ? middle : reward[i];
        const term m = better ? compare(r, 0, margin, weight, o) : compare(0, r, margin, weight, o);
        if (!one || i == 0) count(t, better ? r : 0, better ? 0 : r, m.loss);
        dreward[i] = o.grad_scale * (better ? m.dc : m.dr) / leaves;
    }
    all.loss += t.loss / n;
    all.wins += t.wins / n;
    all.margin += t.margin / n;
    all.ties += t.ties;
}

// A warp's work on a pair: dreward of its leaves, which is zero so far, and its share of the totals, spread over the lanes.
static __device__ __forceinline__ void pair_terms(float *dreward, const float *reward, int chosen, int rejected, int end, float margin, float weight,
                                                  const objective &o, totals &all) {
    const int lane = threadIdx.x % 32, nc = rejected - chosen, nr = end - rejected;
    if (nc == 0 || nr == 0) {
        if (o.alone && nc + nr > 0) alone_terms(dreward + chosen, reward + chosen, nc + nr, nr == 0, margin, weight, o, all);
        return;
    }
    const float *c = reward + chosen, *r = reward + rejected;  // (nc), (nr)
    float *dc = dreward + chosen, *dr = dreward + rejected;
    totals t = {};
    float n = 1;
    if (o.pairing == K_MEAN) {
        const float mc = mean(c, nc), mr = mean(r, nr);
        const term m = compare(mc, mr, margin, weight, o);
        if (lane == 0) count(t, mc, mr, m.loss);
        for (int i = lane; i < nc; i += 32) dc[i] = o.grad_scale * m.dc / nc;
        for (int j = lane; j < nr; j += 32) dr[j] = o.grad_scale * m.dr / nr;
    } else if (o.pairing == K_ZIP) {
        n = min(nc, nr);
        for (int i = lane; i < min(nc, nr); i += 32) {
            const term m = compare(c[i], r[i], margin, weight, o);
            count(t, c[i], r[i], m.loss);
            dc[i] = o.grad_scale * m.dc / n;
            dr[i] = o.grad_scale * m.dr / n;
        }
    } else {
        n = (float)nc * nr;
        for (int i = lane; i < nc; i += 32) {
            float sum = 0;
            for (int j = 0; j < nr; j++) {
                const term m = compare(c[i], r[j], margin, weight, o);
                count(t, c[i], r[j], m.loss);
                sum += m.dc;
            }
            dc[i] = o.grad_scale * sum / n;
        }
        for (int j = lane; j < nr; j += 32) {
            float sum = 0;
            for (int i = 0; i < nc; i++) sum += compare(c[i], r[j], margin, weight, o).dr;
            dr[j] = o.grad_scale * sum / n;
        }
    }
    all.loss += t.loss / n;
    all.wins += t.wins / n;
    all.margin += t.margin / n;
    all.ties += t.ties;
}

static __device__ __forceinline__ float weighted(float weight, float x) { return weight == 0 ? 0 : weight * x; }  // also of infinities

// Over the block, for its first thread.
static __device__ __forceinline__ totals block_totals(totals t) {
    __shared__ totals part[warps];
    t = {warp_sum(t.loss), warp_sum(t.wins), warp_sum(t.margin), warp_sum(t.ties)};
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = t;
    __syncthreads();
    if (threadIdx.x > 0) return t;
#pragma unroll
    for (int i = 1; i < warps; i++) t = {t.loss + part[i].loss, t.wins + part[i].wins, t.margin + part[i].margin, t.ties + part[i].ties};
    return t;
}

template <class T, int V>
__global__ void __launch_bounds__(threads, 1) reward_loss_kernel(float *loss,                     // out (6)
                                                                 float *reward,                   // out (L)
                                                                 float *dreward,                  // out (L)
                                                                 T *__restrict__ dx,              // out (L, H)
                                                                 float *dw,                       // +=  (H)
                                                                 const T *__restrict__ x,         // in  (L, H)
                                                                 const float *__restrict__ w,     // in  (H)
                                                                 const int32_t *side,             // in  (2P+1)
                                                                 const float *margin,             // in  (P) or NULL
                                                                 const float *weight,             // in  (P) or NULL
                                                                 const float *critique,           // in  (1) or NULL
                                                                 objective o, int L, int H, int P,
                                                                 float *dw_part,                  // scratch (blocks, H)
                                                                 totals *total_part,              // scratch (blocks)
                                                                 int32_t *counter) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = gridDim.x, b = blockIdx.x;
    const int share = P / blocks, more = P % blocks, first = b * share + min(b, more), last = first + share + (b < more);
    const int lo = b == 0 ? 0 : side[2 * first], hi = b == blocks - 1 ? L : side[2 * last];  // leaves, those beside pairs too

    for (int l = lo + warp; l < hi; l += warps) {
        float dot = 0;
        for (int c = lane * V; c < H; c += 32 * V) {
            float xs[V], ws[V];
            load(xs, x + (int64_t)l * H + c);
            load(ws, w + c);
#pragma unroll
            for (int k = 0; k < V; k++) dot += xs[k] * ws[k];
        }
        dot = warp_sum(dot);
        if (lane == 0) reward[l] = dot, dreward[l] = 0;
    }
    __syncthreads();
    totals t = {};
    for (int p = first + warp; p < last; p += warps)
        pair_terms(dreward, reward, side[2 * p], side[2 * p + 1], side[2 * p + 2], margin ? margin[p] : 0, weight ? weight[p] : 1, o, t);
    t = block_totals(t);  // its barrier is also that of dreward
    if (threadIdx.x == 0) total_part[b] = t;

#pragma unroll 1
    for (int c = threadIdx.x * V; c < H; c += threads * V) {
        float ws[V], sum[V] = {};
        load(ws, w + c);
#pragma unroll 4
        for (int l = lo; l < hi; l++) {
            const float d = dreward[l];
            float xs[V], dxs[V];
            load(xs, x + (int64_t)l * H + c);
#pragma unroll
            for (int k = 0; k < V; k++) dxs[k] = d * ws[k], sum[k] += d * xs[k];
            store(dx + (int64_t)l * H + c, dxs);
        }
        store(dw_part + (int64_t)b * H + c, sum);
    }

    if (!last_block(counter, blocks)) return;
#pragma unroll 1
    for (int c = threadIdx.x * V; c < H; c += threads * V) {
        float sum[V] = {}, old[V];
#pragma unroll 4
        for (int i = 0; i < blocks; i++) {
            float part[V];
            load(part, dw_part + (int64_t)i * H + c);
#pragma unroll
            for (int k = 0; k < V; k++) sum[k] += part[k];
        }
        load(old, dw + c);
#pragma unroll
        for (int k = 0; k < V; k++) sum[k] += old[k];
        store(dw + c, sum);
    }
    if (warp > 0) return;
    t = lane < blocks ? total_part[lane] : totals{};
    t = {warp_sum(t.loss), warp_sum(t.wins), warp_sum(t.margin), warp_sum(t.ties)};
    if (lane > 0) return;
    const float other = critique ? *critique : 0, own = weighted(o.loss_scale, (float)t.loss);
    loss[0] = weighted(o.lambda, other) + weighted(1 - o.lambda, own);
    loss[1] = other;
    loss[2] = own;
    loss[3] = (float)(o.loss_scale * t.wins);
    loss[4] = (float)(o.loss_scale * t.margin);
    loss[5] = (float)t.ties;
}

}  // namespace

void cuda_reward_loss(kstream *s, const reward_loss_args *a) {
    static_assert(most_blocks <= 32, "a lane for each");
    real(a->dtype, [&](auto zero) {
        using T = decltype(zero);
        T *dx = (T *)a->dx;
        const T *x = (const T *)a->x;
        const int blocks = a->P < 1 ? 1 : a->P < most_blocks ? a->P : most_blocks;  // not by the device: the order of sums
        float *part = scratch<float>(s, (size_t)blocks * a->H);
        totals *total = scratch<totals>(s, blocks);
        const objective o = {a->lambda, a->center, a->smooth, a->loss_scale, a->grad_scale, a->pairing, a->alone};
        auto run = [&](auto kernel) {
            launch(s, kernel, blocks, threads, 0, a->loss, a->reward, a->dreward, dx, a->dw, x, a->w, a->side, a->margin, a->weight, a->critique, o, a->L, a->H, a->P,
                   part, total, counter(s));
        };
        if (wide<T>(a->H, dx, x) && wide<float>(a->H, a->w, a->dw)) run(reward_loss_kernel<T, 16 / sizeof(T)>);
        else run(reward_loss_kernel<T, 1>);
    });
}
