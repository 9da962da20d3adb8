// attention.cc: attention over a packed forest, block by block; the matrix of all scores never exists.
//
// A block of QB queries of one head goes over the panels of keys that any of them sees, CHUNK keys at a time, with the online
// softmax of Milakov & Gimelshein (2018): running maximum m and sum l, in powers of two; older sums are scaled when m grows.
// Panels that all queries see need no mask, panels that none sees are skipped.
#ifndef ARCH
#include <algorithm>
#include <cmath>

#define ARCH_FILE "attention.cc"
#include "arch.h"

void cpu_attention(kstream *s, const attention_args *a) { ARCH_RUN(attention, s, a); }

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

struct attention_block {
    const key_panels &keys;
    const float *kt;        // keys of one head, packed by columns
    const head_rows &v;     // values, packed by rows
    int g, D;
    float scale;            // log2(e)/sqrt(D)

    // o (rows, v.panel_count·NR) and st from queries q of rows [q0, q0 + rows).
    void run(float *o, softmax_state &st, float *score, const float *q, int64_t ldq, int q0, int rows) const {
        const int Dp = v.panel_count * NR;
        std::fill(st.m, st.m + QB, HIDDEN);
        std::fill(st.l, st.l + QB, vf{});
        std::fill(o, o + QB * Dp, 0.0f);
        int panel[CHUNK / NR], n = 0;
        const int last = (q0 + rows - 1) / NR;
        for (int p = 0; p <= last; p++) {
            sight see = keys.of(p, q0, q0 + rows);
            if (see != NONE) {
                float *x = score + n * NR;
                gemm_block<ROWS>(x, CHUNK, nullptr, 0, q, ldq, kt + (int64_t)p * NR * D, 0, rows, NR, D);
                if (see == SOME)
                    for (int r = 0; r < rows; r++) mask(x + r * CHUNK, keys, p, q0 + r);
                panel[n++] = p;
            }
            if (n == CHUNK / NR || (p == last && n)) {
                add_values(o, Dp, st, score, rows, panel, n);
                n = 0;
            }
        }
    }

    void add_values(float *o, int Dp, softmax_state &st, float *score, int rows, const int *panel, int n) const {
        online_softmax(score, rows, n * NR, scale, st);
        for (int r = 0; r < rows; r++) {
            if (st.alpha[r] == 1) continue;
            for (int d = 0; d < Dp; d += W) store(o + r * Dp + d, load(o + r * Dp + d) * st.alpha[r]);
        }
        for (int i = 0, j; i < n; i = j) {  // runs of neighbouring panels
            for (j = i + 1; j < n && panel[j] == panel[j - 1] + 1;) j++;
            gemm_block<ROWS>(o, Dp, o, Dp, score + i * NR, CHUNK, v.at(g, (int64_t)panel[i] * NR), v.stride(), rows, Dp, (j - i) * NR);
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
    key_panels keys(s, a->end, N);
    const float *kt = pack_head_columns(s, qkv + A * D, ld, G, N, D);
    head_rows v(s, qkv + (A + G) * D, ld, G, N, D);
    const int blocks = (N + QB - 1) / QB, Dp = v.panel_count * NR;
    const float scale = log2e / std::sqrt((float)D);
    parallel_for(s, (int64_t)blocks * A, [&](int64_t i, arena &scratch) {
        int h = (int)(i % A), g = (int)((int64_t)h * G / A), q0 = (int)(i / A) * QB, rows = std::min(QB, N - q0);
        attention_block block{keys, kt + (int64_t)g * keys.count * NR * D, v, g, D, scale};
        float *o = scratch.get<float>((size_t)QB * Dp), *score = scratch.get<float>((size_t)QB * CHUNK);
        softmax_state &st = *scratch.get<softmax_state>(1);
        block.run(o, st, score, qkv + q0 * ld + h * D, ld, q0, rows);
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
