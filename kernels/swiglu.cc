// swiglu.cc: the gated activations of the feed-forward block (Shazeer 2020), and their backward.
//   h = act(g)·u,  act(g) = g·σ(z);   dg = dh·u·σ(z)·(1 + g·(1 - σ(z))·z'),  du = dh·act(g)
// silu has z = g. gelu in its tanh form (Hendrycks & Gimpel 2016) too is one of them: ½·(1 + tanh u) = σ(2u), so z = 2·sqrt(2/π)·(g + 0.044715·g³).
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "swiglu.cc"
#include "arch.h"

void cpu_swiglu(kstream *s, const swiglu_args *a) { ARCH_RUN(swiglu, s, a); }
void cpu_swiglu_backward(kstream *s, const swiglu_backward_args *a) { ARCH_RUN(swiglu_backward, s, a); }
void cpu_geglu(kstream *s, const geglu_args *a) { ARCH_RUN(geglu, s, a); }
void cpu_geglu_backward(kstream *s, const geglu_backward_args *a) { ARCH_RUN(geglu_backward, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

// z, and x·z', of the activations.
struct silu {
    static INLINE vf z(vf g) { return g; }
    static INLINE vf times_slope(vf, vf x) { return x; }
};
struct gelu {
    static INLINE vf z(vf g) { return g * (1.59576912f + 0.0713548163f * (g * g)); }
    static INLINE vf times_slope(vf g, vf x) { return x * (1.59576912f + 0.214064449f * (g * g)); }
};

// σ(g) and σ(-g) = 1 - σ(g), both to full precision: with e = exp(-|g|) they are 1/(1+e) and e/(1+e) in one order or the other.
inline void sigmoid(vf g, vf *s, vf *t) {
    const vf e = vexp(g > 0 ? -g : g), d = 1.0f / (1.0f + e);
    *s = g > 0 ? d : e * d;
    *t = g > 0 ? e * d : d;
}

template <class ACT, class T> inline void forward(const swiglu_args *a, int64_t lo, int64_t hi) {
    const int64_t F = a->F;
    for (int64_t n = lo; n < hi; n++) {
        const T *gate = (const T *)a->gu + n * 2 * F;                    // (F)
        const T *up = gate + F;                                          // (F)
        T *h = (T *)a->h + n * F;                                        // (F)
        each(F, [&](int i, int k) {
            vf g = load(gate + i, k), s, t;
            sigmoid(ACT::z(g), &s, &t);
            store(h + i, g * s * load(up + i, k), k);
        });
    }
}

template <class ACT, class T> inline void backward(const swiglu_backward_args *a, int64_t lo, int64_t hi) {
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
            sigmoid(ACT::z(g), &s, &t);
            store(dgate + i, d * u * s * (1.0f + ACT::times_slope(g, g * t)), k);
            store(dup + i, d * g * s, k);
            store(h + i, g * s * u, k);
        });
    }
}

template <class ACT> FLAT void forward_rows(const swiglu_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<ACT, bf16>(a, lo, hi) : forward<ACT, float>(a, lo, hi);
}

template <class ACT> FLAT void backward_rows(const swiglu_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? backward<ACT, bf16>(a, lo, hi) : backward<ACT, float>(a, lo, hi);
}

template <class ACT> void gated(kstream *s, const swiglu_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->F), [=](int64_t lo, int64_t hi, arena &) { forward_rows<ACT>(a, lo, hi); });
}

template <class ACT> void gated_backward(kstream *s, const swiglu_backward_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->F), [=](int64_t lo, int64_t hi, arena &) { backward_rows<ACT>(a, lo, hi); });
}

void swiglu(kstream *s, const swiglu_args *a) { gated<silu>(s, a); }
void swiglu_backward(kstream *s, const swiglu_backward_args *a) { gated_backward<silu>(s, a); }
void geglu(kstream *s, const geglu_args *a) { gated<gelu>(s, a); }
void geglu_backward(kstream *s, const geglu_backward_args *a) { gated_backward<gelu>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
