// attention_decode.cu: one query per sequence against the cache. Contexts are cut into parts, each with its own maximum m, sum l of
// exp2(s - m) and Σ exp2(s - m)·v; merge_kernel joins them in order:  out = Σ_i 2^(m_i - M)·o_i / Σ_i 2^(m_i - M)·l_i
// How many parts there are depends on shapes alone, so results do not depend on the device or on what ran first.
// bfloat16 heads of 64 and 128 channels run on tensor cores, and the shared segments of a group are then read once for all of its
// sequences: rows of a tile are (sequence, query head of the key head). All else takes decode_kernel.
#include <algorithm>

#include "cuda.cuh"

using namespace gpu;

namespace {

const int threads = 128, warps = threads / 32;
const int TILE = 64;             // keys whose scores exist at once
const float lowest = -1e30f;     // maximum over no keys
const float log2e = 1.44269504088896340736f;

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

// Part i of n of a context: positions [lo, hi), whole tiles.
struct range {
    int lo, hi;
    __device__ range(int length, int i, int n) {
        const int size = ((length + n - 1) / n + TILE - 1) / TILE * TILE;
        lo = min(length, i * size), hi = min(length, lo + size);
    }
};

struct partials {
    float *o;   // (B, A, parts, D)
    float *ml;  // (B, A, parts, 2)
    int parts;
};

// ---- any type and head size

// Block (part, key head, sequence). A score is the sum over a warp, a value the sum of a thread.
template <class T, int V> __global__ void __launch_bounds__(threads, 4) decode_kernel(partials to, attention_decode_args a) {
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
    const float scale = log2e / sqrtf((float)D);
    for (int i = t; i < rep * D; i += threads) q[i] = to_f32(query[i]), o[i] = 0;
    for (int r = t; r < rep; r += threads) m[r] = lowest, l[r] = 0;

    context c = shared_part(a, b);
    c.own_start = a.own_start[b], c.own_len = a.own_len[b];
    cursor at;
    const range keys(c.length(), blockIdx.x, to.parts);
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
                if (lane == 0) p[r * TILE + k] = s * scale;
            }
        }
        __syncthreads();
        for (int r = t / 32; r < rep; r += warps) {
            float *s = p + r * TILE, top = m[r], sum = 0;
            for (int k = lane; k < n; k += 32) top = fmaxf(top, s[k]);
            top = warp_max(top);
            for (int k = lane; k < n; k += 32) sum += s[k] = exp2f(s[k] - top);
            sum = warp_sum(sum);
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

template <class T> void decode_any(kstream *s, const attention_decode_args &a, int parts) {
    const partials to = scratch_for(s, a, parts);
    const int rep = a.A / a.G, V = 16 / sizeof(T);
    const size_t shared = ((size_t)rep * (2 * a.D + TILE + 3) + TILE) * 4;
    const auto kernel = wide<T>(a.D, (const T *)a.kv) ? decode_kernel<T, V> : decode_kernel<T, 1>;
    launch(s, kernel, dim3(parts, a.G, a.B), threads, shared, to, a);
    const int64_t rows = (int64_t)a.B * a.A;
    launch(s, merge_kernel<T>, (unsigned)((rows + warps - 1) / warps), threads, 0, (T *)a.out, to, rows, a.D);
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
    const int parts = parts_for((int64_t)a->B * a->G);
    const size_t row = (size_t)a->A * parts * (a->D + 2) * 4, left = workspace_left(s) - 1024;
    const int most = (int)std::min<size_t>({(size_t)a->B, left / row, 65535});
    if (most < 1) throw std::runtime_error("the workspace has no place for one sequence");
    for (int lo = 0; lo < a->B; lo += most) {
        const size_t used = of(s).used;
        const attention_decode_args c = slice(a, lo, std::min(a->B, lo + most));
        real(a->dtype, [&](auto zero) { decode_any<decltype(zero)>(s, c, parts); });
        of(s).used = used;
    }
}
