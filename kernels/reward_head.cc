// reward_head.cc: the scalar reward of a position, a dot product with the final hidden state, and its backward.
//   reward[l] = x[row[l]]·w       dx[row[l]] += dreward[l]·w,  dw += Σ_l dreward[l]·x[row[l]]
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "reward_head.cc"
#include "arch.h"

void cpu_reward_head(kstream *s, const reward_head_args *a) {
    for (int64_t l = 0; l < a->L; l++) check_index("reward_head", "row", l, a->row[l], a->N);
    ARCH_RUN(reward_head, s, a);
}

void cpu_reward_head_backward(kstream *s, const reward_head_backward_args *a) {
    for (int64_t l = 0; l < a->L; l++) check_index("reward_head_backward", "row", l, a->row[l], a->N);
    ARCH_RUN(reward_head_backward, s, a);
}

#else
#include "rows.h"

namespace {
namespace ARCH {

template <class T> inline void forward(const reward_head_args *a, int64_t lo, int64_t hi) {
    for (int64_t l = lo; l < hi; l++) {
        const T *x = (const T *)a->x + (int64_t)a->row[l] * a->H;        // (H)
        vf dot = {};
        each(a->H, [&](int i, int k) { dot += load(x + i, k) * load(a->w + i, k); });
        a->reward[l] = sum(dot);
    }
}

// Columns [lo, hi) of both gradients. One item has all leaves of its columns, in order, so dw needs no second stage.
template <class T> inline void backward(const reward_head_backward_args *a, int64_t lo, int64_t hi) {
    each(hi - lo, [&](int64_t i, int k) {
        const int64_t c = lo + i;
        const vf w = load(a->w + c, k);
        vf acc = {};
        for (int64_t l = 0; l < a->L; l++) {
            const int64_t at = (int64_t)a->row[l] * a->H + c;
            T *dx = (T *)a->dx + at;
            acc += load((const T *)a->x + at, k) * a->dreward[l];
            store(dx, load(dx, k) + w * a->dreward[l], k);
        }
        store(a->dw + c, load(a->dw + c, k) + acc, k);
    });
}

FLAT void forward_rows(const reward_head_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

FLAT void backward_columns(const reward_head_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi) : backward<float>(a, lo, hi);
}

void reward_head(kstream *s, const reward_head_args *a) {
    parallel_blocks(s, a->L, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

void reward_head_backward(kstream *s, const reward_head_backward_args *a) {
    parallel_blocks(s, a->H, 64, [=](int64_t lo, int64_t hi, arena &) { backward_columns(a, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
