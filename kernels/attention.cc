// attention.cc: attention over a packed forest, block by block; the matrix of all scores never exists.
//
// The stream is cut into runs of neighbouring tokens with the same end. A query sees its branch: the tokens of the runs above, and those
// of its own run up to itself. Keys and values are packed by their position on the branch, and everything that rounds is cut by that
// position: panels, chunks, lanes of sums. So the bits of a token's result depend on its branch alone, not on where it lies and what else
// is in the stream. A panel of NR positions belongs to the run of its last token; the runs below use it too, and only the panel in which a
// run begins is packed again.
//
// A block of QB queries of one run and one head goes over its panels, CHUNK keys at a time, with the online softmax of Milakov &
// Gimelshein (2018): running maximum m and sum l, in powers of two; older sums are scaled when m grows. Keys that come after a query
// in its run are hidden, and so are those before its window: their weight is exactly 0.
#ifndef ARCH
#include <algorithm>
#include <cmath>
#include <utility>

#include "rows.h"

namespace {

// The runs of a forest, and the panels of nr positions that are packed of them.
struct branches {
    struct run {
        int32_t start, len;    // tokens
        int32_t before;        // tokens of the runs above
        int32_t parent;        // run, or -1
        int32_t panel, count;  // packed for this run: positions from before/nr·nr on
        int64_t path;          // its panels from position 0 on are paths[path], …
    };
    struct block {
        int32_t run, query;  // of the run, its first
    };
    const run *runs;
    const int32_t *paths;  // indices of packed panels
    const int32_t *owner;  // run of a packed panel
    const block *blocks;
    int nr, packed, block_count;

    // end (N) nests. Blocks have up to qb queries.
    __attribute__((noinline)) branches(const int32_t *end, int N, int nr, int qb) : nr(nr) {
        std::vector<int32_t> open;  // runs around the token, the innermost last
        for (int n = 0, m; n < N; n = m) {
            for (m = n + 1; m < N && end[m] == end[n];) m++;
            while (!open.empty() && end[all[open.back()].start] <= n) open.pop_back();
            add(n, m - n, open.empty() ? -1 : open.back(), qb);
            open.push_back((int32_t)all.size() - 1);
        }
        runs = all.data(), paths = path_list.data(), owner = owners.data(), blocks = block_list.data();
        packed = (int)owners.size(), block_count = (int)block_list.size();
    }
    branches(const branches &) = delete;

    // f(lane, token, n) for the stretches of packed panel i that lie in a row in the stream, the last positions first.
    template <class F> void stretches(int i, F f) const {
        const run *r = runs + owner[i];
        const int lo = (r->before / nr + i - r->panel) * nr;
        for (int hi = std::min(lo + nr, r->before + r->len); hi > lo; r = runs + r->parent) {
            const int from = std::max(lo, r->before);
            if (from >= hi) continue;
            f(from - lo, r->start + from - r->before, hi - from);
            hi = from;
        }
    }

  private:
    std::vector<run> all;
    std::vector<int32_t> path_list, owners;
    std::vector<block> block_list;

    void add(int start, int len, int parent, int qb) {
        const int32_t id = (int32_t)all.size(), before = parent < 0 ? 0 : all[parent].before + all[parent].len, whole = before / nr;
        const run r{start, len, before, parent, (int32_t)owners.size(), (before + len + nr - 1) / nr - whole, (int64_t)path_list.size()};
        for (int p = 0; p < whole; p++) path_list.push_back(path_list[all[parent].path + p]);
        for (int p = 0; p < r.count; p++) {
            path_list.push_back((int32_t)owners.size());
            owners.push_back(id);
        }
        for (int q = 0; q < len; q += qb) block_list.push_back({id, q});
        all.push_back(r);
    }
};

}  // namespace

#define ARCH_FILE "attention.cc"
#include "arch.h"

void cpu_attention(kstream *s, const attention_args *a) {
    check_forest("attention", a->end, a->pos, a->N, a->window);
    ARCH_RUN(attention, s, a);
}

#else
#include "gemm.h"

#include "attention.h"

namespace {
namespace ARCH {

struct softmax_state {
    float m[QB], alpha[QB];  // running maximum, factor for what is older
    vf l[QB];                // running sum, by lanes
};

// scores (rows, CHUNK) of which n are in use become exp2(scale·score - m).
inline void online_softmax(float *score, int rows, int n, float scale, softmax_state &st) {
    float top[QB * W];
    for (int r = 0; r < rows; r++) {
        const float *x = score + r * CHUNK;
        vf a = load(x), b = load(x + W);
        for (int k = NR; k < n; k += NR) {
            a = vmax(a, load(x + k));
            b = vmax(b, load(x + k + W));
        }
        store(top + r * W, vmax(a, b));
    }
    for (int r = 0; r < rows; r += W) {  // row maxima, W rows at once; QB is a multiple of W
        vf t[W];
        UNROLL for (int i = 0; i < W; i++) t[i] = load(top + (r + i) * W);
        transpose(t);
        vf best = t[0];
        UNROLL for (int i = 1; i < W; i++) best = vmax(best, t[i]);
        vf old = load(st.m + r), now = vmax(old, best * scale);
        store(st.m + r, now);
        store(st.alpha + r, vexp2(old - now));
    }
    for (int r = 0; r < rows; r++) {
        float *x = score + r * CHUNK;
        vf m = splat(st.m[r]), a = vf{}, b = vf{};
        for (int k = 0; k < n; k += NR) {
            vf p = vexp2(load(x + k) * scale - m), q = vexp2(load(x + k + W) * scale - m);
            store(x + k, p);
            store(x + k + W, q);
            a += p;
            b += q;
        }
        st.l[r] = st.l[r] * st.alpha[r] + (a + b);
    }
}

// Packed panels: of keys (D, NR) by columns, of values NR rows of Dp in panels of NR columns.
struct packed_panels {
    int D, Dp;
    int64_t count;  // of a head
    float *k, *v;

    // key (N, …): the key heads in rows of ld, their values G·D behind.
    packed_panels(kstream *s, const branches &b, const float *key, int64_t ld, int G, int D_) : D(D_), Dp(panels(D) * NR), count(b.packed) {
        k = s->scratch.get<float>((size_t)G * count * NR * D);
        v = s->scratch.get<float>((size_t)G * count * NR * Dp);
        parallel_for(s, G * count, [&](int64_t i, arena &scratch) { pack(b, key + i / count * D, ld, G, (int)(i / count), (int)(i % count), scratch); });
    }
    void pack(const branches &b, const float *key, int64_t ld, int G, int g, int p, arena &scratch) {
        const float *x = nullptr;
        float *joined = scratch.get<float>((size_t)NR * D);
        int used = 0, parts = 0;
        b.stretches(p, [&](int lane, int token, int n) {
            x = key + token * ld;
            used = std::max(used, lane + n);
            parts++;
            for (int r = 0; r < n; r++) memcpy(joined + (lane + r) * D, x + r * ld, D * sizeof(float));
            for (int c = 0; c < Dp; c += NR) pack_rows(values(g, p) + c * stride() / NR + lane * NR, x + G * D + c, ld, std::min(NR, D - c), n);
        });
        if (parts == 1) pack_columns(keys(g, p), x, ld, used, D);
        else pack_columns(keys(g, p), joined, D, used, D);
        for (int c = 0; c < Dp; c += NR) std::fill(values(g, p) + c * stride() / NR + used * NR, values(g, p) + c * stride() / NR + NR * NR, 0.0f);
    }
    float *keys(int g, int64_t p) const { return k + ((int64_t)g * count + p) * NR * D; }
    float *values(int g, int64_t p) const { return v + ((int64_t)g * count * Dp + p * NR) * NR; }
    int64_t stride() const { return count * NR * NR; }  // between the column panels of a head's values
};

// Scores (NR) from position k on of a query that sees positions [first, last]: HIDDEN beside them.
INLINE void hide(float *score, int k, int first, int last) {
    UNROLL for (int v = 0; v < NV; v++) {
        vi position = splat((int32_t)(k + v * W)) + lanes();
        vi seen = (position >= splat((int32_t)first)) & (position <= splat((int32_t)last));
        store(score + v * W, seen ? load(score + v * W) : splat(HIDDEN));
    }
}

struct attention_block {
    const packed_panels &keys;
    const int32_t *path;
    int g, D, Dp;
    int window;   // more than any position: none
    float scale;  // times log2(e)
    soft_cap cap;

    // o (rows, Dp) and st from queries q, which are at positions at, at + 1, … of their branch. part is scratch like o. Chunks are cut at
    // multiples of CHUNK, wherever a window begins.
    void run(float *o, float *part, softmax_state &st, float *score, const float *q, int64_t ldq, int at, int rows) const {
        std::fill(st.m, st.m + QB, LOWEST);
        std::fill(st.l, st.l + QB, vf{});
        std::fill(o, o + rows * Dp, 0.0f);
        const int count = (at + rows - 1) / NR + 1, whole = CHUNK / NR;
        for (int p = std::max(0, at - window + 1) / NR, n; p < count; p += n) {
            n = std::min(whole - p % whole, count - p);
            for (int i = 0; i < n; i++) {
                float *x = score + i * NR;
                gemm_block<ROWS>(x, CHUNK, nullptr, 0, q, ldq, keys.keys(g, path[p + i]), 0, rows, NR, D);
                const int k = (p + i) * NR;
                if (cap.cap > 0)
                    for (int r = 0; r < rows; r++)
                        for (int v = 0; v < NR; v += W) store(x + r * CHUNK + v, cap.soft(load(x + r * CHUNK + v)));
                for (int r = 0; r < rows; r++) {
                    const int first = at + r - window + 1;
                    if (k < first || k + NR - 1 > at + r) hide(x + r * CHUNK, k, first, at + r);
                }
            }
            online_softmax(score, rows, n * NR, scale, st);
            add_values(o, part, st, score, rows, path + p, n);
        }
    }

    void add_values(float *o, float *part, const softmax_state &st, const float *score, int rows, const int32_t *panel, int n) const {
        for (int i = 0, j; i < n; i = j) {  // panels that are packed in a row
            for (j = i + 1; j < n && panel[j] == panel[j - 1] + 1;) j++;
            gemm_chain(part, Dp, i ? part : nullptr, score + i * NR, CHUNK, keys.values(g, panel[i]), keys.stride(), rows, Dp, (j - i) * NR);
        }
        for (int r = 0; r < rows; r++) {
            vf alpha = splat(st.alpha[r]);
            for (int d = 0; d < Dp; d += W) store(o + r * Dp + d, load(o + r * Dp + d) * alpha + load(part + r * Dp + d));
        }
    }
};

template <class T> void attention_of(kstream *s, const attention_args *a) {
    const int N = a->N, A = a->A, G = a->G, D = a->D;
    const int64_t ld = (int64_t)(A + 2 * G) * D;
    if (N == 0) return;
    T *out = (T *)a->out;
    float *lse = a->lse;
    const float *qkv = all_f32(s, (const T *)a->qkv, N * ld);
    const branches b(a->end, N, NR, QB);
    const packed_panels keys(s, b, qkv + A * D, ld, G, D);
    const int Dp = keys.Dp;
    const float scale = log2e * a->scale;
    const soft_cap cap(a->scale, a->cap);
    const int window = a->window > 0 ? a->window : N;
    parallel_for(s, (int64_t)b.block_count * A, [&](int64_t i, arena &scratch) {
        const branches::block at = b.blocks[i / A];
        const branches::run &run = b.runs[at.run];
        const int h = (int)(i % A), q0 = run.start + at.query, rows = std::min(QB, run.len - at.query);
        const attention_block block{keys, b.paths + run.path, (int)((int64_t)h * G / A), D, Dp, window, scale, cap};
        float *o = scratch.get<float>((size_t)QB * Dp), *part = scratch.get<float>((size_t)QB * Dp), *score = scratch.get<float>((size_t)QB * CHUNK);
        softmax_state &st = *scratch.get<softmax_state>(1);
        block.run(o, part, st, score, qkv + q0 * ld + h * D, ld, run.before + at.query, rows);
        for (int r = 0; r < rows; r++) {
            int64_t row = (int64_t)(q0 + r) * A + h;
            float l = sum(st.l[r]);
            lse[row] = (st.m[r] + std::log2(l)) * ln2;
            for (int d = 0; d < Dp; d += W) store(o + r * Dp + d, load(o + r * Dp + d) * (1 / l));
            from_f32_row(out + row * D, o + r * Dp, D);
        }
    });
}

void attention(kstream *s, const attention_args *a) { a->dtype == K_BF16 ? attention_of<bf16>(s, a) : attention_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
