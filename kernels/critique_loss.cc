// critique_loss.cc: LM head, cross-entropy and their gradient on compacted rows, a chunk of logits at a time.
//
// The rows of a chunk are independent: a block of them gets its logits, its losses, dlogits in place of the logits, and dx, while
// the logits are in the cache. Then the whole chunk is added to dw.
#ifndef ARCH
#include <algorithm>
#include <cmath>

#include "rows.h"

#define ARCH_FILE "critique_loss.cc"
#include "arch.h"

void cpu_critique_loss(kstream *s, const critique_loss_args *a) {
    for (int64_t r = 0; r < a->R; r++) check_index("critique_loss", "target", r, a->target[r], a->V);
    ARCH_RUN(critique_loss, s, a);
}

#else
#include "rows.h"

#include "gemm.h"

namespace {
namespace ARCH {

// Returns log p[target] of logits under a cap (0: none); with f, turns them into f·(softmax - onehot(target))·(1 - (logit/cap)²).
inline float cross_entropy(float *x, int V, int target, const float *f, float cap) {
    const bool keep = f && cap == 0;  // exponentials in place of the logits, which the cap's slope is made of
    int v = 0;
    float top = x[0], at = x[target], total = 0;
    vf t = splat(top), acc[2] = {vf{}, vf{}};
    for (; v + W <= V; v += W) t = vmax(t, load(x + v));
    top = maximum(t);
    for (; v < V; v++) top = std::max(top, x[v]);
    auto e = [&](vf y) { return vexp2((y - top) * log2e); };  // exactly 1 at the top
    for (v = 0; v + 2 * W <= V; v += 2 * W) {
        vf a = e(load(x + v)), b = e(load(x + v + W));
        if (keep) {
            store(x + v, a);
            store(x + v + W, b);
        }
        acc[0] += a;
        acc[1] += b;
    }
    for (; v < V; v += W) {  // the last W or fewer, in a vector of their own
        float y[W];
        int n = std::min(W, V - v);
        for (int i = 0; i < W; i++) y[i] = i < n ? x[v + i] : top;
        store(y, e(load(y)));
        for (int i = 0; i < n; i++) {
            total += y[i];
            if (keep) x[v + i] = y[i];
        }
    }
    total += sum(acc[0] + acc[1]);
    if (f && cap > 0) {
        const float c = *f / total, inverse = 1 / cap;
        auto slope = [&](auto l) { return 1.0f - l * inverse * (l * inverse); };
        each(V, [&](int64_t i, int k) {
            vf l = load(x + i, k);
            store(x + i, e(l) * c * slope(l), k);
        });
        x[target] = (std::exp(at - top) * c - *f) * slope(at);
    } else if (f) {
        float c = *f / total;
        for (v = 0; v + W <= V; v += W) store(x + v, load(x + v) * c);
        for (; v < V; v++) x[v] *= c;
        x[target] -= *f;
    }
    return at - top - std::log(total);
}

template <class T> void critique_loss_of(kstream *s, const critique_loss_args *a) {
    const int R = a->R, H = a->H, V = a->V, block = 48;
    const bool grad = a->dx != nullptr;
    const T *x = (const T *)a->x, *w = (const T *)a->w;
    T *dx = (T *)a->dx;
    a->loss[0] = 0;
    if (R == 0) return;
    const float *wt = pack_transposed(s, w, H, V, H), *wp = grad ? pack(s, w, H, H, V) : nullptr;
    float *xp = a->dw ? s->scratch.get<float>((size_t)panels(H) * NR * std::min(R, a->scratch_rows)) : nullptr;
    for (int r0 = 0; r0 < R; r0 += a->scratch_rows) {
        const int rows = std::min(a->scratch_rows, R - r0);
        parallel_blocks(s, rows, block, [&](int64_t lo, int64_t hi, arena &scratch) {
            const int n = (int)(hi - lo), r = r0 + (int)lo;
            float *y = a->scratch + lo * V;
            int64_t ld;
            const float *xf = f32_rows(x + (int64_t)r * H, H, n, H, scratch, &ld);
            gemm(y, V, nullptr, 0, xf, ld, wt, (int64_t)H * NR, n, V, H);
            for (int i = 0; i < n; i++) {
                float f = a->grad_scale * a->weight[r + i] * a->logit_scale, *row = y + (int64_t)i * V;
                if (a->logit_cap > 0 || a->logit_scale != 1) soft_cap_row(row, V, a->logit_scale, a->logit_cap);
                a->logprob[r + i] = cross_entropy(row, V, a->target[r + i], grad ? &f : nullptr, a->logit_cap);
            }
            if (!grad) return;
            float *d = scratch.get<float>((size_t)n * H);
            gemm(d, H, nullptr, 0, y, V, wp, (int64_t)V * NR, n, H, V);
            from_f32_row(dx + (int64_t)r * H, d, n * H);
            for (int p = 0; a->dw && p < panels(H); p++)
                pack_rows(xp + ((int64_t)p * rows + lo) * NR, xf + p * NR, ld, std::min(NR, H - p * NR), n);
        });
        if (!a->dw) continue;
        parallel_tiles(s, V, H, [&](int m, int n, int p, int np, arena &scratch) {
            float *c = a->dw + (int64_t)m * H + p * NR;
            gemm_columns(c, H, c, H, a->scratch + m, V, xp + (int64_t)p * rows * NR, (int64_t)rows * NR, n, std::min(np * NR, H - p * NR), rows,
                         scratch);
        });
    }
    double total = 0;  // in the order of the rows
    for (int r = 0; r < R; r++) total -= (double)a->weight[r] * a->logprob[r];
    a->loss[0] = (float)(a->loss_scale * total);
}

void critique_loss(kstream *s, const critique_loss_args *a) {
    a->dtype == K_BF16 ? critique_loss_of<bf16>(s, a) : critique_loss_of<float>(s, a);
}

}  // namespace ARCH
}  // namespace
#endif
