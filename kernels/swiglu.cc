// swiglu.cc: the gated activation of the feed-forward block (Shazeer 2020), and its backward.
//   h = silu(g)·u,  silu(g) = g·σ(g);   dg = dh·u·σ(g)·(1 + g·(1 - σ(g))),  du = dh·silu(g)
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "swiglu.cc"
#include "arch.h"

void cpu_swiglu(kstream *s, const swiglu_args *a) { ARCH_RUN(swiglu, s, a); }
void cpu_swiglu_backward(kstream *s, const swiglu_backward_args *a) { ARCH_RUN(swiglu_backward, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

// σ(g) and σ(-g) = 1 - σ(g), both to full precision: with e = exp(-|g|) they are 1/(1+e) and e/(1+e) in one order or the other.
inline void sigmoid(vf g, vf *s, vf *t) {
    const vf e = vexp(g > 0 ? -g : g), d = 1.0f / (1.0f + e);
    *s = g > 0 ? d : e * d;
    *t = g > 0 ? e * d : d;
}

template <class T> inline void forward(const swiglu_args *a, int64_t lo, int64_t hi) {
    const int64_t F = a->F;
    for (int64_t n = lo; n < hi; n++) {
        const T *gate = (const T *)a->gu + n * 2 * F;                    // (F)
        const T *up = gate + F;                                          // (F)
        T *h = (T *)a->h + n * F;                                        // (F)
        each(F, [&](int i, int k) {
            vf g = load(gate + i, k), s, t;
            sigmoid(g, &s, &t);
            store(h + i, g * s * load(up + i, k), k);
        });
    }
}

template <class T> inline void backward(const swiglu_backward_args *a, int64_t lo, int64_t hi) {
    const int64_t F = a->F;
    for (int64_t n = lo; n < hi; n++) {
        const T *gate = (const T *)a->gu + n * 2 * F;                    // (F)
        const T *up = gate + F;                                          // (F)
        const T *dh = (const T *)a->dh + n * F;                          // (F)
        T *dgate = (T *)a->dgu + n * 2 * F;                              // (F)
        T *dup = dgate + F;                                              // (F)
        T *h = (T *)a->h + n * F;                                        // (F)
        each(F, [&](int i, int k) {
            vf g = load(gate + i, k), u = load(up + i, k), d = load(dh + i, k), s, t;
            sigmoid(g, &s, &t);
            store(dgate + i, d * u * s * (1.0f + g * t), k);
            store(dup + i, d * g * s, k);
            store(h + i, g * s * u, k);
        });
    }
}

FLAT void forward_rows(const swiglu_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

FLAT void backward_rows(const swiglu_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi) : backward<float>(a, lo, hi);
}

void swiglu(kstream *s, const swiglu_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->F), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

void swiglu_backward(kstream *s, const swiglu_backward_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->F), [=](int64_t lo, int64_t hi, arena &) { backward_rows(a, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
