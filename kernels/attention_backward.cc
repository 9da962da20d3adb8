// attention_backward.cc: gradient of attention over a packed forest, from the probabilities that lse gives back.
//
// Two passes, so that every sum has one writer: blocks of keys gather dk and dv over all queries that see them and all query heads
// of their group; blocks of queries gather dq. Both recompute p and ds of their tiles.
#ifndef ARCH
#include <algorithm>
#include <cmath>

#include "rows.h"

#define ARCH_FILE "attention_backward.cc"
#include "arch.h"

void cpu_attention_backward(kstream *s, const attention_backward_args *a) {
    check_forest("attention_backward", a->end, a->pos, a->N, a->window);
    ARCH_RUN(attention_backward, s, a);
}

#else
#include "gemm.h"

#include "attention.h"

namespace {
namespace ARCH {

const int KB = 64;  // keys per block of the first pass

enum sight { NONE, SOME, ALL };

// The forest by panels of NR keys.
struct key_panels {
    int N, count, window;           // window 0: none
    int32_t *end;                   // (count·NR) padded with 0: seen by nobody
    int32_t *lo, *hi;               // (count) smallest and largest end
    int32_t *pos = nullptr;         // (count·NR) positions, if there is a window
    struct reach {
        int32_t least, most;        // positions
    } *panel = nullptr, *block = nullptr;  // (count), (blocks of QB queries)

    key_panels(kstream *s, const int32_t *e, const int32_t *at, int n, int window) : N(n), count(panels(n)), window(window) {
        end = s->scratch.get<int32_t>((size_t)count * NR);
        lo = s->scratch.get<int32_t>(count);
        hi = s->scratch.get<int32_t>(count);
        for (int i = 0; i < count * NR; i++) end[i] = i < n ? e[i] : 0;
        for (int p = 0; p < count; p++) {
            lo[p] = *std::min_element(end + p * NR, end + (p + 1) * NR);
            hi[p] = *std::max_element(end + p * NR, end + (p + 1) * NR);
        }
        if (window == 0) return;
        pos = s->scratch.get<int32_t>((size_t)count * NR);
        for (int i = 0; i < count * NR; i++) pos[i] = at[std::min(i, n - 1)];
        panel = reaches(s, NR);
        block = reaches(s, QB);
    }
    reach *reaches(kstream *s, int size) const {
        reach *r = s->scratch.get<reach>((N + size - 1) / size);
        for (int i = 0; i < N; i += size) {
            const int past = std::min(N, i + size);
            r[i / size] = {*std::min_element(pos + i, pos + past), *std::max_element(pos + i, pos + past)};
        }
        return r;
    }
    // What queries [q0, q1), a block, see of panel p: SOME may be nothing.
    sight of(int p, int q0, int q1) const {
        int k0 = p * NR;
        if (k0 >= q1 || hi[p] <= q0) return NONE;
        const bool whole = k0 + NR - 1 <= q0 && lo[p] >= q1;
        if (window == 0) return whole ? ALL : SOME;
        const reach q = block[q0 / QB];
        if (q.least - panel[p].most >= window) return NONE;
        return whole && q.most - panel[p].least < window ? ALL : SOME;
    }
};

// Scores (NR) of query q against panel p: HIDDEN where it does not see the key.
INLINE void mask(float *score, const key_panels &keys, int p, int q) {
    UNROLL for (int v = 0; v < NV; v++) {
        int k = p * NR + v * W;
        vi index = splat((int32_t)k) + lanes(), end = load(keys.end + k), at = splat((int32_t)q);
        vi seen = (index <= at) & (end > at);
        if (keys.window > 0) seen &= splat(keys.pos[q]) - load(keys.pos + k) < splat((int32_t)keys.window);
        store(score + v * W, seen ? load(score + v * W) : splat(HIDDEN));
    }
}

// heads matrices (N, D) that begin D apart in rows of ld, packed by columns: panel p of head h, (D, NR), is at (h·panels(N) + p)·NR·D.
inline float *pack_head_columns(kstream *s, const float *x, int64_t ld, int heads, int N, int D) {
    const int P = panels(N);
    float *d = s->scratch.get<float>((size_t)heads * P * NR * D);
    parallel_for(s, (int64_t)heads * P, [=](int64_t i, arena &) {
        int h = (int)(i / P), j = (int)(i % P) * NR;
        pack_columns(d + i * NR * D, x + j * ld + h * D, ld, std::min(NR, N - j), D);
    });
    return d;
}

// The same packed by rows: row n of panel p of head h, (NR), is at head_rows(h, p) + n·NR; rows beyond N are zero.
struct head_rows {
    float *d;
    int64_t rows;  // N rounded up to NR
    int panel_count;

    head_rows(kstream *s, const float *x, int64_t ld, int heads, int N, int D) {
        rows = (int64_t)panels(N) * NR;
        panel_count = panels(D);
        d = s->scratch.get<float>((size_t)heads * panel_count * rows * NR);
        parallel_for(s, (int64_t)heads * panels(N), [&](int64_t i, arena &) {
            int h = (int)(i / panels(N)), n = (int)(i % panels(N)) * NR, m = std::min(NR, N - n);
            for (int p = 0; p < panel_count; p++) {
                float *to = d + offset(h, p) + (int64_t)n * NR;
                pack_rows(to, x + n * ld + h * D + p * NR, ld, std::min(NR, D - p * NR), m);
                std::fill(to + m * NR, to + NR * NR, 0.0f);
            }
        });
    }
    int64_t offset(int h, int p) const { return ((int64_t)h * panel_count + p) * stride(); }
    const float *at(int h, int64_t row) const { return d + offset(h, 0) + row * NR; }
    int64_t stride() const { return rows * NR; }  // between the panels of a head
};

struct backward {
    int N, A, G, D, Dp;
    int64_t ld;                    // of a row of qkv
    const float *qkv, *dout, *lse, *delta;
    key_panels keys;
    const float *kt, *vt;          // keys and values by columns
    head_rows k, q, grad;          // keys, queries and dout by rows
    float scale;
    soft_cap cap;

    // p and ds/scale, (rows, CHUNK) each, of queries [q0, q0 + rows) of head h and panel n of keys.
    void tile(float *p, float *ds, int h, int q0, int rows, int panel, sight see) const {
        const int g = (int)((int64_t)h * G / A);
        const int64_t at = ((int64_t)g * keys.count + panel) * NR * D;
        gemm_block<ROWS>(p, CHUNK, nullptr, 0, qkv + q0 * ld + h * D, ld, kt + at, 0, rows, NR, D);
        gemm_block<ROWS>(ds, CHUNK, nullptr, 0, dout + ((int64_t)q0 * A + h) * D, (int64_t)A * D, vt + at, 0, rows, NR, D);
        for (int r = 0; r < rows; r++) {
            float *x = p + r * CHUNK, *y = ds + r * CHUNK;
            vf slope[NV];
            UNROLL for (int v = 0; v < NV; v++) slope[v] = splat(1.0f);
            if (cap.cap > 0)
                UNROLL for (int v = 0; v < NV; v++) {
                    vf soft = cap.soft(load(x + v * W));
                    store(x + v * W, soft);
                    slope[v] = cap.slope(soft);
                }
            if (see == SOME) mask(x, keys, panel, q0 + r);
            int64_t row = (int64_t)(q0 + r) * A + h;
            vf l = splat(lse[row]), del = splat(delta[row]);
            UNROLL for (int v = 0; v < NV; v++) {
                vf e = vexp2((load(x + v * W) * scale - l) * log2e);  // log2e last: it rounds the difference, not two large numbers
                store(x + v * W, e);
                store(y + v * W, e * (load(y + v * W) - del) * slope[v]);
            }
        }
    }

    // dk, dv (KB, Dp) of keys [k0, k0 + KB) of key head g.
    void of_keys(float *dk, float *dv, float *p, float *ds, int g, int k0) const {
        std::fill(dk, dk + KB * Dp, 0.0f);
        std::fill(dv, dv + KB * Dp, 0.0f);
        const int P = std::min(KB / NR, keys.count - k0 / NR), p0 = k0 / NR;
        const int end = *std::max_element(keys.hi + p0, keys.hi + p0 + P);
        for (int q0 = k0 / QB * QB; q0 < end; q0 += QB) {
            int rows = std::min(QB, N - q0);
            for (int h = 0; h < A; h++) {
                if ((int)((int64_t)h * G / A) != g) continue;
                for (int n = 0; n < P; n++) {
                    sight see = keys.of(p0 + n, q0, q0 + rows);
                    if (see == NONE) continue;
                    tile(p, ds, h, q0, rows, p0 + n, see);
                    float *v = dv + n * NR * Dp, *w = dk + n * NR * Dp;
                    gemm_block<COLUMNS>(v, Dp, v, Dp, p, CHUNK, grad.at(h, q0), grad.stride(), NR, Dp, rows);
                    gemm_block<COLUMNS>(w, Dp, w, Dp, ds, CHUNK, q.at(h, q0), q.stride(), NR, Dp, rows);
                }
            }
        }
    }

    // dq (QB, Dp) of queries [q0, q0 + rows) of head h.
    void of_queries(float *dq, float *p, float *ds, int h, int q0, int rows) const {
        std::fill(dq, dq + QB * Dp, 0.0f);
        const int g = (int)((int64_t)h * G / A), last = (q0 + rows - 1) / NR;
        for (int n = 0, m; n <= last; n = m) {
            int width = 0;  // a run of panels that are seen
            for (m = n; m <= last && width < CHUNK / NR; m++) {
                sight see = keys.of(m, q0, q0 + rows);
                if (see == NONE) break;
                tile(p + width * NR, ds + width * NR, h, q0, rows, m, see);
                width++;
            }
            if (width) gemm_block<ROWS>(dq, Dp, dq, Dp, ds, CHUNK, k.at(g, (int64_t)n * NR), k.stride(), rows, Dp, width * NR);
            else m++;
        }
    }
};

// Rows of x (…, Dp) times f, onto rows of d that are ld apart.
template <class T> void put(T *d, int64_t ld, float *x, int Dp, int rows, int D, float f) {
    for (int r = 0; r < rows; r++, x += Dp, d += ld) {
        for (int i = 0; i < Dp; i += W) store(x + i, load(x + i) * f);
        from_f32_row(d, x, D);
    }
}

template <class T> void row_products(kstream *s, float *delta, const T *x, const T *y, int64_t rows, int D) {
    parallel_blocks(s, rows, 512, [=](int64_t lo, int64_t hi, arena &) {
        for (int64_t r = lo; r < hi; r++) {
            vf a = vf{};
            int i = 0;
            for (; i + W <= D; i += W) a += load(x + r * D + i) * load(y + r * D + i);
            float t = sum(a);
            for (; i < D; i++) t += to_f32(x[r * D + i]) * to_f32(y[r * D + i]);
            delta[r] = t;
        }
    });
}

template <class T> void backward_of(kstream *s, const attention_backward_args *a) {
    const int N = a->N, A = a->A, G = a->G, D = a->D, Dp = panels(D) * NR;
    const int64_t ld = (int64_t)(A + 2 * G) * D;
    if (N == 0) return;
    T *dqkv = (T *)a->dqkv;
    row_products(s, a->delta, (const T *)a->dout, (const T *)a->out, (int64_t)N * A, D);
    const float *qkv = all_f32(s, (const T *)a->qkv, N * ld), *dout = all_f32(s, (const T *)a->dout, (int64_t)N * A * D);
    const float *k = qkv + A * D, *v = k + G * D;
    backward b{N, A, G, D, Dp, ld, qkv, dout, a->lse, a->delta, key_panels(s, a->end, a->pos, N, a->window),
               pack_head_columns(s, k, ld, G, N, D), pack_head_columns(s, v, ld, G, N, D),
               head_rows(s, k, ld, G, N, D), head_rows(s, qkv, ld, A, N, D), head_rows(s, dout, (int64_t)A * D, A, N, D),
               a->scale, soft_cap(a->scale, a->cap)};
    const int64_t of_keys = (int64_t)((N + KB - 1) / KB) * G, of_queries = (int64_t)((N + QB - 1) / QB) * A;
    parallel_for(s, of_keys + of_queries, [&](int64_t i, arena &scratch) {
        float *p = scratch.get<float>((size_t)QB * CHUNK), *ds = scratch.get<float>((size_t)QB * CHUNK);
        if (i < of_keys) {
            int g = (int)(i % G), k0 = (int)(i / G) * KB, rows = std::min(KB, N - k0);
            float *dk = scratch.get<float>((size_t)KB * Dp), *dv = scratch.get<float>((size_t)KB * Dp);
            b.of_keys(dk, dv, p, ds, g, k0);
            put(dqkv + k0 * ld + (A + g) * D, ld, dk, Dp, rows, D, b.scale);
            put(dqkv + k0 * ld + (A + G + g) * D, ld, dv, Dp, rows, D, 1);
        } else {
            int64_t j = i - of_keys;
            int h = (int)(j % A), q0 = (int)(j / A) * QB, rows = std::min(QB, N - q0);
            float *dq = scratch.get<float>((size_t)QB * Dp);
            b.of_queries(dq, p, ds, h, q0, rows);
            put(dqkv + q0 * ld + h * D, ld, dq, Dp, rows, D, b.scale);
        }
    });
}

void attention_backward(kstream *s, const attention_backward_args *a) {
    a->dtype == K_BF16 ? backward_of<bf16>(s, a) : backward_of<float>(s, a);
}

}  // namespace ARCH
}  // namespace
#endif
