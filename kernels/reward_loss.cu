// reward_loss.cu: the reward head, the loss on rewards (pairs, scores or ranked lists), the joint loss and their gradient in one launch.
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

// A warp's work on a side with a score: its squared error over share sides.
static __device__ __forceinline__ void squares(float *dreward, const float *reward, int n, float target, float weight, const objective &o, totals &all) {
    const bool one = o.pairing == K_MEAN;
    const float middle = one ? mean(reward, n) : 0;
    float loss = 0;
    for (int i = threadIdx.x % 32; i < n; i += 32) {
        const float e = (one ? middle : reward[i]) - target;
        loss += e * e;
        dreward[i] = o.grad_scale * weight * 2 * e / n;
    }
    all.loss += weight * loss / n;
}

// A warp's work on a pair with scores. The two sides are compared, without a loss.
static __device__ __forceinline__ void scored_terms(float *dreward, const float *reward, int chosen, int rejected, int end, float chosen_score,
                                                    float rejected_score, float weight, const objective &o, totals &all) {
    const bool two = chosen < rejected && rejected < end;
    if (two) {
        totals pair = {};
        pair_terms(dreward, reward, chosen, rejected, end, 0, 0, o, pair);
        all.wins += pair.wins;
        all.margin += pair.margin;
        all.ties += pair.ties;
        __syncwarp();  // dreward is written anew
    }
    const float share = two ? weight / 2 : weight;
    if (chosen < rejected) squares(dreward + chosen, reward + chosen, rejected - chosen, chosen_score, share, o, all);
    if (rejected < end) squares(dreward + rejected, reward + rejected, end - rejected, rejected_score, share, o, all);
}

// A list's sides: side[0] to side[K], and worse[k] - first is where those behind k begin.
struct ranking {
    const float *reward;
    const int32_t *side, *worse;
    int first, K;
    bool mean;

    __device__ __forceinline__ int leaves(int k) const { return side[k + 1] - side[k]; }
    __device__ __forceinline__ float at(int k, int term) const {  // of a side with leaves
        if (!mean) return reward[side[k] + term];
        float sum = 0;
        for (int l = side[k]; l < side[k + 1]; l++) sum += reward[l];
        return sum / leaves(k);
    }
};

// A warp's work on a list: lane k % 32 has the gradient of side k.
static __device__ __forceinline__ void list_terms(float *dreward, const ranking &a, float weight, const objective &o, totals &all) {
    const int lane = threadIdx.x % 32;
    int terms = 0;
    for (int k = 0; k < a.K; k++) {
        const int n = a.leaves(k);
        if (n > 0) terms = a.mean ? 1 : terms == 0 ? n : min(terms, n);
    }
    totals t = {};
    int compared = 0;
    auto add = [&](int k, int term, float d) {
        if (!a.mean) {
            dreward[a.side[k] + term] += d;
            return;
        }
        for (int l = a.side[k]; l < a.side[k + 1]; l++) dreward[l] += d / a.leaves(k);
    };
    for (int term = 0; term < terms; term++)
        for (int k = 0; k < a.K; k++) {
            if (a.leaves(k) == 0) continue;
            const int from = a.worse[k] - a.first;
            const float own = a.at(k, term);
            float top = own;
            int behind = 0;
            for (int z = lane; z < a.K; z += 32)
                if (z >= from && a.leaves(z) > 0) {
                    const float other = a.at(z, term);
                    top = fmaxf(top, other);
                    behind++;
                    count(t, own, other, 0);
                }
            top = warp_max(top);
            behind = warp_sum(behind);
            if (behind == 0) continue;
            compared += behind;
            float sum = 0;  // no exponential overflows
            for (int z = lane; z < a.K; z += 32)
                if (z >= from && a.leaves(z) > 0) sum += expf(a.at(z, term) - top);
            sum = warp_sum(sum);
            const float mine = expf(own - top), whole = mine + sum, scale = o.grad_scale * weight / terms;
            if (lane == 0) t.loss += own == top ? log1pf(sum) : top - own + logf(whole);
            if (lane == k % 32) add(k, term, -scale * sum / whole);
            for (int z = lane; z < a.K; z += 32)
                if (z >= from && a.leaves(z) > 0) add(z, term, scale * expf(a.at(z, term) - top) / whole);
        }
    if (compared == 0) return;
    all.loss += weight * t.loss / terms;
    all.wins += t.wins / compared;
    all.margin += t.margin / compared;
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
                                                                 const int32_t *side,             // in  (S+1)
                                                                 const int32_t *list,             // in  (P+1) or NULL
                                                                 const int32_t *worse,            // in  (S) or NULL
                                                                 const float *margin,             // in  (P) or NULL
                                                                 const float *weight,             // in  (P) or NULL
                                                                 const float *target,             // in  (S) or NULL
                                                                 const float *critique,           // in  (1) or NULL
                                                                 objective o, int L, int H, int P,
                                                                 float *dw_part,                  // scratch (blocks, H)
                                                                 totals *total_part,              // scratch (blocks)
                                                                 int32_t *counter) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = gridDim.x, b = blockIdx.x;
    const int share = P / blocks, more = P % blocks, first = b * share + min(b, more), last = first + share + (b < more);
    const int lo = b == 0 ? 0 : side[list ? list[first] : 2 * first];
    const int hi = b == blocks - 1 ? L : side[list ? list[last] : 2 * last];  // leaves, those beside pairs too

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
#pragma unroll 1
    for (int p = first + warp; p < last; p += warps) {
        const float share = weight ? weight[p] : 1;
        const int32_t *of = side + 2 * p;
        if (list)
            list_terms(dreward, {reward, side + list[p], worse + list[p], list[p], list[p + 1] - list[p], o.pairing == K_MEAN}, share, o, t);
        else if (target)
            scored_terms(dreward, reward, of[0], of[1], of[2], target[2 * p], target[2 * p + 1], share, o, t);
        else
            pair_terms(dreward, reward, of[0], of[1], of[2], margin ? margin[p] : 0, share, o, t);
    }
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
            launch(s, kernel, blocks, threads, 0, a->loss, a->reward, a->dreward, dx, a->dw, x, a->w, a->side, a->list, a->worse, a->margin, a->weight, a->target, a->critique, o, a->L, a->H, a->P,
                   part, total, counter(s));
        };
        if (wide<T>(a->H, dx, x) && wide<float>(a->H, a->w, a->dw)) run(reward_loss_kernel<T, 16 / sizeof(T)>);
        else run(reward_loss_kernel<T, 1>);
    });
}
