// logprobs.cc: log-probabilities of some tokens of each row of logits.  logprob[i] = x[id[i]] - log Σ_v exp(x[v])
#ifndef ARCH
#include <cmath>

#include "rows.h"

#define ARCH_FILE "logprobs.cc"
#include "arch.h"

void cpu_logprobs(kstream *s, const logprobs_args *a) {
    for (int64_t b = 0; b < a->B; b++) check_index("logprobs", "ptr", b + 1, a->ptr[b + 1], (int64_t)a->M + 1);
    for (int64_t i = 0; i < a->M; i++) check_index("logprobs", "id", i, a->id[i], a->V);
    ARCH_RUN(logprobs, s, a);
}

#else
#include "rows.h"

namespace {
namespace ARCH {

// log Σ exp(x), as max + log of the rest: *max and the return value.
FLAT double log_sum(const float *x, int V, float *max) {
    vf top = splat(-INFINITY), nan = {};
    each(V, [&](int i, int k) {
        vf v = load(x + i, k, -INFINITY);
        top = vmax(top, v);
        nan = v == v ? nan : v;
    });
    *max = maximum(top);
    if (count(nan != nan) || !isfinite(*max)) return NAN;
    dsum sum;
    each(V, [&](int i, int k) { sum.add(vexp(load(x + i, k, -INFINITY) - *max)); });
    return std::log(sum.total());
}

void logprobs(kstream *s, const logprobs_args *a) {
    parallel_for(s, a->B, [=](int64_t b, arena &) {
        if (a->ptr[b] == a->ptr[b + 1]) return;
        const float *x = a->logits + b * a->V;                           // (V)
        float max;
        const double rest = log_sum(x, a->V, &max);
        for (int i = a->ptr[b]; i < a->ptr[b + 1]; i++) a->logprob[i] = (float)((double)x[a->id[i]] - max - rest);
    });
}

}  // namespace ARCH
}  // namespace
#endif
