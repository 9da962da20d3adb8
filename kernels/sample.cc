// sample.cc: one token for each row of logits. u = Philox4x32-10(key = seed, counter = (step, 0, key)) (Salmon et al. 2011);
// the first candidate whose running sum of exp((x - max)/temperature) exceeds u·total.
// Greedy and plain sampling read a row three times and keep nothing; top-k and top-p sort only the head of the distribution.
#ifndef ARCH
#include <algorithm>

#include "philox.h"
#include "rows.h"

namespace {

double uniform(const sample_args *a, int64_t b) {
    return philox(a->seed, (uint32_t)a->step[b], 0, (uint32_t)a->key[b], (uint32_t)(a->key[b] >> 32)).word[0] * 0x1p-32;
}

const int max_parts = 256;

// A row and its softmax at the temperature: weight(x) = exp((x - max)·inverse).
struct row {
    const float *x;  // (V)
    int V;
    float max, inverse;
};

// A logit and its id as one number that sorts by falling logit, then by rising id.
uint64_t pack(float x, int id) {
    uint32_t b;
    x += 0.0f;  // -0 is 0
    memcpy(&b, &x, 4);
    b = b >> 31 ? b : ~b & 0x7fffffff;
    return (uint64_t)b << 32 | (uint32_t)id;
}

// Sorts by the upper word, keeping the order of equal ones: three passes of 11 bits. tmp has n elements.
void radix_sort(uint64_t *key, uint64_t *tmp, int64_t n) {
    const int bits = 11, buckets = 1 << bits;
    for (int shift = 32; shift < 64; shift += bits) {
        int32_t at[buckets] = {}, sum = 0;
        for (int64_t i = 0; i < n; i++) at[key[i] >> shift & (buckets - 1)]++;
        for (int b = 0; b < buckets; b++) {
            const int32_t c = at[b];
            at[b] = sum;
            sum += c;
        }
        for (int64_t i = 0; i < n; i++) tmp[at[key[i] >> shift & (buckets - 1)]++] = key[i];
        std::swap(key, tmp);
    }
    memcpy(tmp, key, n * sizeof(uint64_t));  // after an odd number of swaps tmp is the caller's key
}

// The count logits that are >= cut, sorted; only the first top_k of them if that is not 0.
int sorted_head(const row &r, float cut, int64_t count, int top_k, arena &scratch, uint64_t **keys) {
    uint64_t *key = scratch.get<uint64_t>(count);
    int64_t n = 0;
    for (int i = 0; i < r.V && n < count; i++)
        if (r.x[i] >= cut) key[n++] = pack(r.x[i], i);
    *keys = key;
    if (top_k > 0 && top_k < n) {
        std::nth_element(key, key + top_k, key + n);
        std::sort(key, key + top_k);
        return top_k;
    }
    if (n > 256)
        radix_sort(key, scratch.get<uint64_t>(n), n);
    else
        std::sort(key, key + n);
    return (int)n;
}

}  // namespace

#define ARCH_FILE "sample.cc"
#include "arch.h"

void cpu_sample(kstream *s, const sample_args *a) { ARCH_RUN(sample, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

INLINE vf weight(const row &r, vf x) { return vexp((x - r.max) * r.inverse); }

// The largest logit; NaN if there is a NaN.
FLAT float largest(const float *x, int V) {
    vf top = splat(-INFINITY), nan = {};
    each(V, [&](int i, int k) {
        vf v = load(x + i, k, -INFINITY);
        top = vmax(top, v);
        nan = v == v ? nan : v;
    });
    return count(nan != nan) ? NAN : maximum(top);
}

// The first id of a value that is there.
FLAT int index_of(const float *x, int V, float value) {
    int i = 0;
    for (; i + 8 * W <= V; i += 8 * W) {
        vi hit = {};
        for (int k = 0; k < 8; k++) hit |= load(x + i + k * W) == value;
        if (count(hit)) break;
    }
    while (i < V - 1 && x[i] != value) i++;
    return i;
}

// Sums of the weights of V/size parts, and of all weights at temperature 1.
FLAT double part_sums(const row &r, int size, double *part) {
    dsum one;
    for (int lo = 0; lo < r.V; lo += size) {
        const int n = r.V - lo < size ? r.V - lo : size;
        const float *x = r.x + lo;
        dsum sum;
        each(n, [&](int i, int k) { sum.add(weight(r, load(x + i, k, -INFINITY))); });
        part[lo / size] = sum.total();
        if (r.inverse != 1) each(n, [&](int i, int k) { one.add(vexp(load(x + i, k, -INFINITY) - r.max)); });
    }
    if (r.inverse != 1) return one.total();
    double total = 0;
    for (int p = 0; p * size < r.V; p++) total += part[p];
    return total;
}

// How many logits are >= cut, and their weight.
FLAT int64_t head_of(const row &r, float cut, double *total) {
    dsum sum;
    vi above = {};
    each(r.V, [&](int i, int k) {
        vf x = load(r.x + i, k, NAN);  // NaN is not >= cut
        vf w = weight(r, x);
        sum.add(x >= cut ? w : vf{});
        above -= x >= cut;
    });
    *total = sum.total();
    return count(above);
}

// The first of n logits at which the running sum exceeds target; the last one of positive weight if rounding hides it.
FLAT int pick(const row &r, const float *x, int n, double running, double target) {
    int last = 0;
    float w[W];
    for (int i = 0; i < n; i += W) {
        const int k = n - i < W ? n - i : W;
        store(w, weight(r, load(x + i, k, -INFINITY)));
        for (int j = 0; j < k; j++) {
            if (w[j] > 0) last = i + j;
            running += w[j];
            if (running > target) return i + j;
        }
    }
    return last;
}

// How many of n falling logits are kept: up to the first at which the running sum reaches need. *total is their weight.
FLAT int keep(const row &r, const float *x, int n, double need, double *total) {
    double running = 0;
    float w[W];
    for (int i = 0; i < n; i += W) {
        const int k = n - i < W ? n - i : W;
        store(w, weight(r, load(x + i, k, -INFINITY)));
        for (int j = 0; j < k; j++) {
            running += w[j];
            if (running >= need) {
                *total = running;
                return i + j + 1;
            }
        }
    }
    *total = running;
    return n;
}

// The logits that can be candidates, sorted: all those above a cut that is lowered until they hold enough, and then, where
// top_k bounds them, raised again by halves as long as they are many more than that: counting is cheaper than sorting.
int head(const sample_args *a, const row &r, double need, arena &scratch, uint64_t **keys) {
    float cut = r.max, above = r.max;  // above: a cut with too few
    int64_t count = 0;
    double weight = 0;
    for (float span = 4;; span *= 2) {
        cut = span < 80 ? r.max - span / r.inverse : -INFINITY;
        count = head_of(r, cut, &weight);
        if (cut == -INFINITY || (a->top_k > 0 && count >= a->top_k) || weight >= need * (1 + 1e-9)) break;
        above = cut;
    }
    for (int i = 0; i < 8 && a->top_k > 0 && isfinite(cut) && count > 4 * (int64_t)a->top_k + 64; i++) {
        const float middle = 0.5f * cut + 0.5f * above;
        const int64_t n = head_of(r, middle, &weight);
        if (n < a->top_k) {
            above = middle;
        } else {
            cut = middle;
            count = n;
        }
    }
    return sorted_head(r, cut, count, a->top_k, scratch, keys);
}

int draw(const sample_args *a, const row &r, const double *part, int size, double u, arena &scratch) {
    double total = 0;
    const int parts = (r.V + size - 1) / size;
    for (int p = 0; p < parts; p++) total += part[p];
    if (a->top_k > 0 || a->top_p < 1) {
        const double need = a->top_p < 1 ? a->top_p * total : INFINITY;
        uint64_t *key;
        int n = head(a, r, need, scratch, &key);
        float *x = scratch.get<float>(n);                                // (n) falling
        for (int i = 0; i < n; i++) x[i] = r.x[(uint32_t)key[i]];
        n = keep(r, x, n, need, &total);
        return (int)(uint32_t)key[pick(r, x, n, 0, u * total)];
    }
    const double target = u * total;
    double running = 0;
    int p = 0;
    while (p + 1 < parts && running + part[p] <= target) running += part[p++];
    while (p > 0 && !(part[p] > 0)) p--;  // only if rounding hid the last part that weighs anything
    return p * size + pick(r, r.x + p * size, std::min(size, r.V - p * size), running, target);
}

// A row with a NaN or without a finite maximum has no distribution: its token is its largest logit's, its logprob NaN.
void sample_row(const sample_args *a, int64_t b, arena &scratch) {
    const bool greedy = a->temperature == 0;
    const float *x = a->logits + b * a->V;                               // (V)
    const float max = largest(x, a->V);
    if (!isfinite(max)) {
        int best = 0;
        for (int i = 1; i < a->V; i++)
            if (x[i] > x[best] || x[best] != x[best]) best = i;
        a->id[b] = best;
        a->logprob[b] = NAN;
        return;
    }
    const row r = {x, a->V, max, greedy ? 1 : std::min(1 / a->temperature, 3e38f)};
    const int size = 16 * ((a->V + 16 * max_parts - 1) / (16 * max_parts));
    double part[max_parts];
    const double total = part_sums(r, size, part);
    int id;
    if (greedy)
        id = index_of(x, a->V, max);
    else
        id = draw(a, r, part, size, uniform(a, b), scratch);
    a->id[b] = id;
    a->logprob[b] = (float)((double)x[id] - max - log(total));
}

void sample(kstream *s, const sample_args *a) {
    parallel_for(s, a->B, [=](int64_t b, arena &scratch) { sample_row(a, b, scratch); });
}

}  // namespace ARCH
}  // namespace
#endif
