// attention_decode.cc: attention of one token per sequence against the cache, storing keys and values in it, and reading them back.
//
// An item is one key head and as many sequences of a group as fill a panel of NR query rows. The shared segments are read once for
// all of them, as matrix products: scoresᵀ = K·Qᵀ and outᵀ += Vᵀ·P, so that keys and values are used where they lie and the softmax
// runs down the lanes. Then each sequence goes on alone over its own slots, from the same running maximum and sum.
//
// Sums are cut by position, SPAN shared keys at a time and SPAN own ones, wherever segments end: segments are cut where prefixes of
// neighbouring requests part, and a result must not depend on neighbours.
#ifndef ARCH
#include <algorithm>
#include <cmath>
#include <utility>

#include "rows.h"

#define ARCH_FILE "attention_decode.cc"
#include "arch.h"

void cpu_kv_store(kstream *s, const kv_store_args *a) {
    const size_t size = a->dtype == K_BF16 ? 2 : 4;
    const size_t row = (size_t)2 * a->G * a->D * size, skip = (size_t)a->A * a->D * size;
    const char *qkv = (const char *)a->qkv;
    char *kv = (char *)a->kv;
    const int32_t *slot = a->slot;
    for (int64_t n = 0; n < a->N; n++) check_index("kv_store", "slot", n, slot[n], a->S);
    parallel_blocks(s, a->N, 256, [=](int64_t lo, int64_t hi, arena &) {
        for (int64_t n = lo; n < hi; n++) memcpy(kv + slot[n] * row, qkv + n * (skip + row) + skip, row);
    });
}

void cpu_kv_load(kstream *s, const kv_load_args *a) {
    const size_t size = a->dtype == K_BF16 ? 2 : 4;
    const size_t words = (size_t)2 * a->G * a->D * size, skip = (size_t)a->A * a->D * size;
    char *qkv = (char *)a->qkv;
    const char *kv = (const char *)a->kv;
    const int32_t *slot = a->slot, *row = a->row;
    for (int64_t m = 0; m < a->M; m++) {
        check_index("kv_load", "slot", m, slot[m], a->S);
        check_index("kv_load", "row", m, row[m], a->N);
    }
    parallel_blocks(s, a->M, 256, [=](int64_t lo, int64_t hi, arena &) {
        for (int64_t m = lo; m < hi; m++) memcpy(qkv + row[m] * (skip + words) + skip, kv + slot[m] * words, words);
    });
}

void cpu_attention_decode(kstream *s, const attention_decode_args *a) {
    auto slots = [=](const char *start, const char *len, int64_t i, int64_t first, int64_t n) {
        if (n == 0) return;
        check_index("attention_decode", start, i, first, a->S);
        check_index("attention_decode", len, i, n - 1, a->S - first);
    };
    for (int64_t g = 0; g < a->groups; g++) {
        check_index("attention_decode", "seg_ptr", g, a->seg_ptr[g], (int64_t)a->segments + 1);
        check_index("attention_decode", "seg_ptr", g + 1, a->seg_ptr[g + 1] - (int64_t)a->seg_ptr[g], (int64_t)a->segments - a->seg_ptr[g] + 1);
    }
    for (int64_t i = 0; i < a->segments; i++) slots("seg_start", "seg_len", i, a->seg_start[i], a->seg_len[i]);
    for (int64_t b = 0; b < a->B; b++) {
        check_index("attention_decode", "group", b, a->group[b], a->groups);
        slots("own_start", "own_len", b, a->own_start[b], a->own_len[b]);
    }
    ARCH_RUN(attention_decode, s, a);
}

#else
#include "gemm.h"

#include "attention.h"

namespace {
namespace ARCH {

const int SPAN = 128;         // keys whose scores exist at once

// Sequences [b, b + n) of one group, for one key head.
struct decode_item {
    int32_t b, n, group;
};

template <class T> struct decoder {
    const attention_decode_args &a;
    int rep;      // query heads per key head
    int64_t row;  // elements of a slot
    float scale;  // times log2(e)
    soft_cap cap;

    const T *key(int64_t slot, int g) const { return (const T *)a.kv + slot * row + (int64_t)g * a.D; }
    const T *value(int64_t slot, int g) const { return key(slot, a.G + g); }

    // State of a panel: per lane the first position that is seen, maximum and sum; outᵀ (D, NR).
    struct panel {
        int32_t first[NR], some, all;  // the smallest first, and the largest
        float m[NR], l[NR], *o;
    };

    // Where a walk over the shared keys of a group is: key at of segment i of [i, last), and its position.
    struct walk {
        int i, last, at, position;
    };

    // f(slot, done, n) for the stretches of the next `most` keys, of which done came before; the number of keys.
    template <class F> int stretches(walk &w, int most, F f) const {
        int done = 0;
        while (done < most && w.i < w.last) {
            const int n = std::min(most - done, a.seg_len[w.i] - w.at);
            if (n) f((int64_t)a.seg_start[w.i] + w.at, done, n);
            done += n, w.at += n, w.position += n;
            if (w.at == a.seg_len[w.i]) w.i++, w.at = 0;
        }
        return done;
    }

    // The panel of queries qt (D, NR) goes on to the end of the span of keys; V·W of its columns are used. score (SPAN, NR) and part (D, NR)
    // are scratch, and so is copy (SPAN, D), where keys and values are not in f32.
    template <int V> void span(panel &st, const float *qt, float *score, float *part, float *copy, walk &w, int g) const {
        const int most = SPAN - w.position % SPAN;
        walk again = w;
        const int n = stretches(w, most, [&](int64_t slot, int done, int m) {
            int64_t ld;
            const float *k = in_f32(key(slot, g), m, copy, &ld);
            gemm_panel<ROWS, V>(score + done * NR, nullptr, k, ld, qt, m, a.D);
        });
        if (n == 0) return;
        if (cap.cap > 0)
            for (int i = 0; i < n; i++)
                UNROLL for (int j = 0; j < V; j++) store(score + i * NR + j * W, cap.soft(load(score + i * NR + j * W)));
        for (int i = 0; again.position + i < st.all && i < n; i++)
            UNROLL for (int j = 0; j < V; j++) {
                float *x = score + i * NR + j * W;
                store(x, load(st.first + j * W) <= splat((int32_t)(again.position + i)) ? load(x) : splat(HIDDEN));
            }
        vf alpha[V];
        UNROLL for (int j = 0; j < V; j++) {
            float *x = score + j * W;
            vf top = load(x);
            for (int i = 1; i < n; i++) top = vmax(top, load(x + i * NR));
            vf old = load(st.m + j * W), m = vmax(old, top * scale), l;
            alpha[j] = vexp2(old - m);
            l = load(st.l + j * W) * alpha[j];
            for (int i = 0; i < n; i++) {
                vf p = vexp2(load(x + i * NR) * scale - m);
                store(x + i * NR, p);
                l += p;
            }
            store(st.m + j * W, m);
            store(st.l + j * W, l);
        }
        stretches(again, most, [&](int64_t slot, int done, int m) {
            int64_t ld;
            const float *v = in_f32(value(slot, g), m, copy, &ld);
            gemm_panel<COLUMNS, V, true>(part, done ? part : nullptr, v, ld, score + done * NR, a.D, m);
        });
        for (int d = 0; d < a.D; d++)
            UNROLL for (int j = 0; j < V; j++) {
                float *o = st.o + d * NR + j * W;
                store(o, load(o) * alpha[j] + load(part + d * NR + j * W));
            }
    }

    // n rows of D numbers in f32: in place, or copied.
    const float *in_f32(const float *p, int, float *, int64_t *ld) const {
        *ld = row;
        return p;
    }
    const float *in_f32(const bf16 *p, int n, float *copy, int64_t *ld) const {
        for (int i = 0; i < n; i++) to_f32_row(copy + (int64_t)i * a.D, p + i * row, a.D);
        *ld = a.D;
        return copy;
    }

    // The shared segments for rows <= NR queries q (rows, D), which see positions from first (rows) on. o (rows, D), m and l (rows) get the
    // state after them.
    template <int V> void prefix(float *o, float *m, float *l, const float *q, const int32_t *first, int rows, int group, int g, arena &scratch) const {
        float *qt = scratch.get<float>((size_t)a.D * NR), *score = scratch.get<float>((size_t)SPAN * NR);
        panel st;
        st.o = scratch.get<float>((size_t)a.D * NR);
        pack_columns(qt, q, a.D, rows, a.D);
        std::fill(std::copy(first, first + rows, st.first), st.first + NR, first[0]);
        st.some = *std::min_element(first, first + rows), st.all = *std::max_element(first, first + rows);
        std::fill(st.m, st.m + NR, LOWEST);
        std::fill(st.l, st.l + NR, 0.0f);
        std::fill(st.o, st.o + a.D * NR, 0.0f);
        float *part = scratch.get<float>((size_t)a.D * NR), *copy = scratch.get<float>((size_t)SPAN * a.D);
        walk w{a.seg_ptr[group], a.seg_ptr[group + 1], 0, 0};
        stretches(w, st.some, [](int64_t, int, int) {});
        while (w.i < w.last) span<V>(st, qt, score, part, copy, w, g);
        for (int r = 0; r < rows; r++) {
            m[r] = st.m[r];
            l[r] = st.l[r];
            for (int d = 0; d < a.D; d++) o[r * a.D + d] = st.o[d * NR + r];
        }
    }

    // Scores of query q (D) against W keys from slot on: vectors along D, turned over to be summed.
    INLINE vf dots(const float *q, int64_t slot, int g) const {
        vf t[W];
        UNROLL for (int i = 0; i < W; i++) t[i] = vf{};
        const T *k = key(slot, g);
        int d = 0;
        for (; d + W <= a.D; d += W) {
            vf x = load(q + d);
            UNROLL for (int i = 0; i < W; i++) t[i] += x * load(k + i * row + d);
        }
        transpose(t);
        vf s = t[0];
        UNROLL for (int i = 1; i < W; i++) s += t[i];
        for (; d < a.D; d++)
            for (int i = 0; i < W; i++) s[i] += q[d] * to_f32(k[i * row + d]);
        return s;
    }

    float dot(const float *q, int64_t slot, int g) const {
        const T *k = key(slot, g);
        vf t = vf{};
        int d = 0;
        for (; d + W <= a.D; d += W) t += load(q + d) * load(k + d);
        float s = sum(t);
        for (; d < a.D; d++) s += q[d] * to_f32(k[d]);
        return s;
    }

    // o (D) += Σ p[i]·value[slot + i]
    void add_values(float *o, const float *p, int64_t slot, int n, int g) const {
        const T *v = value(slot, g);
        int d = 0;
        for (; d + 2 * W <= a.D; d += 2 * W) {  // four chains of sums
            vf s[4] = {load(o + d), load(o + d + W), vf{}, vf{}};
            int i = 0;
            for (; i + 2 <= n; i += 2) {
                vf x = splat(p[i]), y = splat(p[i + 1]);
                const T *u = v + i * row + d;
                s[0] += x * load(u);
                s[1] += x * load(u + W);
                s[2] += y * load(u + row);
                s[3] += y * load(u + row + W);
            }
            if (i < n) {
                s[0] += p[i] * load(v + i * row + d);
                s[1] += p[i] * load(v + i * row + d + W);
            }
            store(o + d, s[0] + s[2]);
            store(o + d + W, s[1] + s[3]);
        }
        for (; d < a.D; d++) {
            float s = o[d];
            for (int i = 0; i < n; i++) s += p[i] * to_f32(v[i * row + d]);
            o[d] = s;
        }
    }

    // One query goes on over n slots of its own, of which it sees those from `first` on.
    void own(float *o, float &m, float &l, const float *q, int64_t slot, int first, int n, int g) const {
        float p[SPAN];
        for (int k = first, c; k < n; k += c) {
            c = std::min(SPAN - k % SPAN, n - k);
            int i = 0;
            for (; i + W <= c; i += W) store(p + i, cap.soft(dots(q, slot + k + i, g)));
            for (; i < c; i++) p[i] = cap.soft(splat(dot(q, slot + k + i, g)))[0];
            const int full = (c + W - 1) / W * W;
            for (; i < full; i++) p[i] = LOWEST;
            vf top = load(p);
            for (i = W; i < full; i += W) top = vmax(top, load(p + i));
            const float now = std::max(m, maximum(top) * scale), alpha = vexp2(splat(m - now))[0];
            vf t = vf{};
            for (i = 0; i < full; i += W) {
                vf e = vexp2(load(p + i) * scale - now);
                store(p + i, e);
                t += e;
            }
            m = now;
            l = l * alpha + sum(t);
            for (int d = 0; d < a.D; d++) o[d] *= alpha;
            add_values(o, p, slot + k, c, g);
        }
    }

    void run(const decode_item &it, int g, arena &scratch) const {
        const int D = a.D, rows = it.n * rep;
        float *q = scratch.get<float>((size_t)rows * D), *o = scratch.get<float>((size_t)rows * D);
        float *m = scratch.get<float>(rows), *l = scratch.get<float>(rows);
        int32_t *first = scratch.get<int32_t>(rows);
        int shared = 0;
        for (int i = a.seg_ptr[it.group]; i < a.seg_ptr[it.group + 1]; i++) shared += a.seg_len[i];
        for (int r = 0; r < rows; r++) first[r] = a.window > 0 ? std::max(0, shared + a.own_len[it.b + r / rep] - a.window) : 0;
        const int64_t ld = (int64_t)(a.A + 2 * a.G) * D;
        for (int i = 0; i < it.n; i++)
            to_f32_row(q + (int64_t)i * rep * D, (const T *)a.qkv + (it.b + i) * ld + (int64_t)g * rep * D, rep * D);
        for (int r = 0; r < rows; r += NR) {
            const int n = std::min(NR, rows - r);
            if (n > W) prefix<NV>(o + r * D, m + r, l + r, q + r * D, first + r, n, it.group, g, scratch);
            else prefix<1>(o + r * D, m + r, l + r, q + r * D, first + r, n, it.group, g, scratch);
        }
        for (int r = 0; r < rows; r++) {
            const int b = it.b + r / rep;
            own(o + r * D, m[r], l[r], q + r * D, a.own_start[b], std::max(0, first[r] - shared), a.own_len[b], g);
            for (int d = 0; d < D; d++) o[r * D + d] /= l[r];
            from_f32_row((T *)a.out + ((int64_t)b * a.A + g * rep + r % rep) * D, o + r * D, D);
        }
    }
};

template <class T> void decode_of(kstream *s, const attention_decode_args *a) {
    const decoder<T> dec{*a, a->A / a->G, (int64_t)2 * a->G * a->D, log2e * a->scale, soft_cap(a->scale, a->cap)};
    const int most = std::max(1, NR / dec.rep);
    decode_item *item = s->scratch.get<decode_item>(a->B);
    int n = 0;
    for (int b = 0; b < a->B;) {
        int e = b + 1;
        while (e < a->B && e - b < most && a->group[e] == a->group[b]) e++;
        item[n++] = {b, e - b, a->group[b]};
        b = e;
    }
    parallel_for(s, (int64_t)n * a->G, [&](int64_t i, arena &scratch) { dec.run(item[i / a->G], (int)(i % a->G), scratch); });
}

void attention_decode(kstream *s, const attention_decode_args *a) { a->dtype == K_BF16 ? decode_of<bf16>(s, a) : decode_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
