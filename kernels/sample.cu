// sample.cu: one token for each row of logits, one block a row. u = Philox4x32-10(key = seed, counter = (step, 0, key)) (Salmon
// et al. 2011); the first candidate whose running sum of exp((x - max)/temperature) exceeds u·total.
// Weights are integers, in units of 2⁻⁴⁴ of the largest: their sums are exact, so no order of adding them matters. With top-k or
// top-p nothing is sorted as a whole: counts and weights over bins of falling logit lead to the few that decide, twice, for the
// cut and for the token.
#include "cuda.cuh"
#include "philox.h"

using namespace gpu;

namespace {

const int most_threads = 1024, bins = most_threads, most_parts = 256;
const int per_unit = 32;  // bins of a unit of (max - x)/temperature: beyond 31 a weight is 0

// A row and its softmax at the temperature.
struct row {
    const float *x;             // (V)
    int V;
    float max, inverse, unit;

    __device__ uint64_t weight(float v) const { return (uint64_t)(expf((v - max) * inverse) * unit); }
    __device__ int bin(float v) const { return (int)fminf((max - v) * inverse * per_unit, bins - 1); }
};

// So many logits of such weight.
struct mass {
    uint64_t weight;
    int count;
};

// The first candidate at which a running sum has count members or the weight.
struct goal {
    int64_t count;
    uint64_t weight;
};

struct table {
    int count[bins];
    uint32_t low[bins], high[bins];  // of the weight: 64-bit atomics in shared memory are loops

    __device__ void clear() {
        for (int i = threadIdx.x; i < bins; i += blockDim.x) count[i] = 0, low[i] = 0, high[i] = 0;
        __syncthreads();
    }
    __device__ void add(int b, uint64_t w) {
        atomicAdd(&count[b], 1);
        const uint32_t before = atomicAdd(&low[b], (uint32_t)w);
        const uint32_t above = (uint32_t)(w >> 32) + (before + (uint32_t)w < before);
        if (above) atomicAdd(&high[b], above);
    }
    __device__ mass at(int b) const { return {(uint64_t)high[b] << 32 | low[b], count[b]}; }
};

struct shared_memory {
    table falling, digits;
    uint64_t key[most_threads];
    mass part[32], before, in, total;
    uint64_t best[32];
    int first, gathered;
};

// ---- over the threads of a block. Each begins with a barrier where it writes what an earlier one may still read.

static __device__ __forceinline__ uint64_t block_best(uint64_t x, uint64_t *part) {
    __syncthreads();
    for (int round = 0; round < 2; round++) {
#pragma unroll
        for (int m = 16; m > 0; m >>= 1) {
            const uint64_t y = __shfl_xor_sync(whole_warp, x, m);
            x = y > x ? y : x;
        }
        if (round == 1) break;
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
        __syncthreads();
        x = threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : 0;
    }
    return x;
}

static __device__ __forceinline__ mass warp_scan(mass x) {  // of this lane and those before it
#pragma unroll
    for (int d = 1; d < 32; d <<= 1) {
        const uint64_t w = __shfl_up_sync(whole_warp, x.weight, d);
        const int c = __shfl_up_sync(whole_warp, x.count, d);
        if ((int)threadIdx.x % 32 >= d) x.weight += w, x.count += c;
    }
    return x;
}

// Where the running sum of x over the threads reaches the goal: the thread, or blockDim.x if none does. sh.before is the sum
// before it, sh.in what it has, sh.total the sum of all.
static __device__ int locate(mass x, goal g, shared_memory &sh) {
    mass sum = warp_scan(x);
    __syncthreads();
    if (threadIdx.x == 0) sh.first = blockDim.x;
    if (threadIdx.x % 32 == 31) sh.part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (blockDim.x > 32) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const mass warps = warp_scan(lane < (int)blockDim.x / 32 ? sh.part[lane] : mass{0, 0});
        const uint64_t w = __shfl_sync(whole_warp, warps.weight, (warp + 31) % 32);
        const int c = __shfl_sync(whole_warp, warps.count, (warp + 31) % 32);
        if (warp > 0) sum.weight += w, sum.count += c;
    }
    if (sum.count >= g.count || sum.weight >= g.weight) atomicMin(&sh.first, (int)threadIdx.x);
    __syncthreads();
    if ((int)threadIdx.x == sh.first) sh.before = {sum.weight - x.weight, sum.count - x.count}, sh.in = x;
    if (threadIdx.x == blockDim.x - 1) sh.total = sum;
    __syncthreads();
    return sh.first;
}

// Sorts n <= blockDim.x keys, in as many places as there are threads: a power of two. Neighbours closer than 32 are in one warp.
static __device__ void sort(uint64_t *key, int n) {
    int size = 32;
    while (size < n) size *= 2;
    const int i = threadIdx.x;
    if (i >= n && i < size) key[i] = ~(uint64_t)0;
    __syncthreads();
    for (int width = 2; width <= size; width *= 2) {
        for (int d = width / 2; d > 0; d /= 2) {
            const int j = i ^ d;
            if (j > i && i < size && (key[i] > key[j]) == ((i & width) == 0)) {
                const uint64_t k = key[i];
                key[i] = key[j], key[j] = k;
            }
            if (d > 16 || (d == 1 && width > 16)) __syncthreads();
            else __syncwarp();
        }
    }
}

// f(logit, id) for every logit of the row, VEC of them in a word.
template <int VEC, class F> static __device__ __forceinline__ void each(const float *x, int V, F f) {
#pragma unroll 2
    for (int i = threadIdx.x * VEC; i < V; i += blockDim.x * VEC) {
        float v[VEC];
        load(v, x + i);
#pragma unroll
        for (int k = 0; k < VEC; k++) f(v[k], i + k);
    }
}

// ---- order

// A number that rises with x, 0 for NaN.
static __device__ __forceinline__ uint32_t order(float x) {
    const uint32_t b = __float_as_uint(x + 0.f);  // -0 is 0
    return x != x ? 0 : b >> 31 ? ~b : b | 0x80000000;
}

// A number that rises with falling logit, then with rising id.
static __device__ __forceinline__ uint64_t falling(float x, int id) { return (uint64_t)~order(x) << 32 | (uint32_t)id; }

// The first logit, by falling logit and rising id, at which the running sum reaches the goal, and *reached, that sum. If none
// does: the last one and the sum of all. sh.falling has the row's bins unless the row has no more logits than the block threads:
// then all are sorted, and still are when the next goal is looked for.
template <int VEC> static __device__ int find(const row &r, goal g, bool sorted, uint64_t *reached, shared_memory &sh) {
    const int t = threadIdx.x, threads = blockDim.x;
    uint64_t passed = 0, prefix = 0;
    int n = r.V, bin = 0, shift = 64;
    const bool whole = n <= threads;  // then no bins are needed
    if (!whole) {
        bin = locate(sh.falling.at(t), g, sh);
        if (bin == threads) return *reached = sh.total.weight, 0;
    }
    const auto candidate = [&](float x, int id) { return whole || (r.bin(x) == bin && (shift == 64 || falling(x, id) >> shift == prefix)); };
    while (!whole) {
        g.count -= sh.before.count, g.weight -= sh.before.weight, passed += sh.before.weight, n = sh.in.count;
        if (n <= threads) break;
        // Too many for a sort, or equal: the next digit of falling(). Nothing is left to divide when they are one.
        const int width = shift < 10 ? shift : 10;
        sh.digits.clear();
        each<VEC>(r.x, r.V, [&](float x, int id) {
            if (candidate(x, id) && r.weight(x)) sh.digits.add((int)(falling(x, id) >> (shift - width)) & ((1 << width) - 1), r.weight(x));
        });
        __syncthreads();
        const int digit = locate(sh.digits.at(t), g, sh);
        prefix = (shift == 64 ? 0 : prefix << width) | (uint32_t)digit;
        shift -= width;
    }
    if (!(whole && sorted)) {
        if (t == 0) sh.gathered = 0;
        __syncthreads();
        each<VEC>(r.x, r.V, [&](float x, int id) {
            if (candidate(x, id) && (whole || r.weight(x))) sh.key[atomicAdd(&sh.gathered, 1)] = falling(x, id);
        });
        __syncthreads();
        sort(sh.key, n);
    }
    const int id = t < n ? (int)(uint32_t)sh.key[t] : 0;
    const int at = locate(t < n ? mass{r.weight(r.x[id]), 1} : mass{0, 0}, g, sh);
    *reached = passed + (at < threads ? sh.before.weight + sh.in.weight : sh.total.weight);
    return (int)(uint32_t)sh.key[at < n ? at : n - 1];
}

// ---- a row

// Elements [part·size, …) of the row, in order of id, by one warp: the first at which the running sum reaches weight.
template <int VEC> static __device__ int pick(const row &r, int part, int size, uint64_t weight) {
    const int lane = threadIdx.x % 32, end = min(r.V, (part + 1) * size);
    uint64_t passed = 0;
    for (int lo = part * size; lo < end; lo += 32 * VEC) {
        const int i = lo + lane * VEC;
        uint64_t w[VEC] = {};
        mass sum = {0, 0};
        if (i < end) {
            float x[VEC];
            load(x, r.x + i);
#pragma unroll
            for (int k = 0; k < VEC; k++) sum.weight += w[k] = r.weight(x[k]);
        }
        const uint64_t up = passed + warp_scan(sum).weight;
        const uint32_t hit = __ballot_sync(whole_warp, up >= weight);
        if (hit) {
            const int first = __ffs(hit) - 1;
            uint64_t s = up - sum.weight;
            int k = 0;
            while (k < VEC - 1 && (s += w[k]) < weight) k++;
            return __shfl_sync(whole_warp, i + k, first);
        }
        passed = __shfl_sync(whole_warp, up, 31);
    }
    return end - 1;  // not reached: the sums are exact
}

template <int VEC> __global__ void __launch_bounds__(most_threads, 1) sample_kernel(sample_args a, float unit) {
    __shared__ shared_memory sh;
    const int b = blockIdx.x, t = threadIdx.x;
    row r = {a.logits + (int64_t)b * a.V, a.V, 0, 1, unit};

    // The largest logit, the first of equals. A row with a NaN or without a finite maximum has no distribution.
    uint64_t best = 0;
    bool nan = false;
    each<VEC>(r.x, r.V, [&](float x, int id) {
        const uint64_t key = (uint64_t)order(x) << 32 | ~(uint32_t)id;
        best = key > best ? key : best;
        nan |= x != x;
    });
    best = block_best(best, sh.best);
    int id = best >> 32 ? (int)~(uint32_t)best : r.V - 1;
    r.max = r.x[id];
    if (__syncthreads_or(nan) || !isfinite(r.max)) {
        if (t == 0) a.id[b] = id, a.logprob[b] = NAN;
        return;
    }
    if (a.temperature > 0) r.inverse = fminf(1 / a.temperature, 3e38f);

    // Weights of parts of the row, and of the whole row at temperature 1.
    const bool cut = a.temperature > 0 && (a.top_k > 0 || a.top_p < 1), binned = cut && r.V > (int)blockDim.x;
    const int size = 32 * VEC * ((r.V + 32 * VEC * most_parts - 1) / (32 * VEC * most_parts)), parts = (r.V + size - 1) / size;
    const row plain = {r.x, r.V, r.max, 1, unit};
    mass one = {0, 0};
    if (binned) sh.falling.clear();
    for (int p = t / 32; p < parts; p += blockDim.x / 32) {
        mass sum = {0, 0};
#pragma unroll 2
        for (int i = p * size + t % 32 * VEC; i < min(r.V, (p + 1) * size); i += 32 * VEC) {
            float x[VEC];
            load(x, r.x + i);
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                const uint64_t w = r.weight(x[k]);
                sum.weight += w;
                if (r.inverse != 1) one.weight += plain.weight(x[k]);
                if (binned && w) sh.falling.add(r.bin(x[k]), w);
            }
        }
        sum = warp_scan(sum);
        if (t % 32 == 31) sh.key[p] = sum.weight;
    }
    __syncthreads();
    const goal none = {(int64_t)1 << 40, ~(uint64_t)0};
    const mass part = {t < parts ? sh.key[t] : 0, 0};
    locate(part, none, sh);
    const uint64_t all = sh.total.weight;
    if (r.inverse != 1) locate(one, none, sh);
    const uint64_t at_one = sh.total.weight;

    if (a.temperature > 0) {
        const double u = philox(a.seed, (uint32_t)a.step[b], 0, (uint32_t)a.key[b], (uint32_t)(a.key[b] >> 32)).word[0] * 0x1p-32;
        uint64_t kept = all;
        if (cut) {
            goal first = none;
            if (a.top_k > 0) first.count = a.top_k;
            if (a.top_p < 1) first.weight = (uint64_t)fmax(1., ceil(a.top_p * (double)all));
            find<VEC>(r, first, false, &kept, sh);
        }
        const goal token = {none.count, (uint64_t)(u * (double)kept) + 1};
        if (cut) {
            id = find<VEC>(r, token, true, &kept, sh);
        } else {
            const int p = locate(part, token, sh);
            if (t < 32) id = pick<VEC>(r, p, size, token.weight - sh.before.weight);
        }
    }
    if (t == 0) a.id[b] = id, a.logprob[b] = (float)((double)r.x[id] - r.max - log((double)at_one / unit));
}

}  // namespace

void cuda_sample(kstream *s, const sample_args *a) {
    int bits = 44;  // so that a sum of V weights has at most 62
    while ((int64_t)a->V >> (62 - bits)) bits--;
    unsigned threads = 32;
    while (threads < most_threads && (int)threads < a->V) threads *= 2;
    const auto kernel = wide<float>(a->V, a->logits) ? sample_kernel<4> : sample_kernel<1>;
    launch(s, kernel, a->B, threads, 0, *a, ldexpf(1, bits));
}
