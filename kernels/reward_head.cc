// reward_head.cc: the scalar reward of a position, a dot product with the final hidden state, and its backward.
//   reward[l] = x[row[l]]·w       dx[row[l]] += dreward[l]·w,  dw += Σ_l dreward[l]·x[row[l]]
#include "rows.h"

template <class T> static inline void forward(const reward_head_args *a, int64_t lo, int64_t hi) {
    for (int64_t l = lo; l < hi; l++) {
        const T *x = (const T *)a->x + (int64_t)a->row[l] * a->H;        // (H)
        v16 dot = {};
        each16(a->H, [&](int i, int k) { dot += load(x + i, k) * load(a->w + i, k); });
        a->reward[l] = sum(dot);
    }
}

// Columns [lo, hi) of both gradients. One item has all leaves of its columns, in order, so dw needs no second stage.
template <class T> static inline void backward(const reward_head_backward_args *a, int64_t lo, int64_t hi) {
    each16(hi - lo, [&](int64_t i, int k) {
        const int64_t c = lo + i;
        const v16 w = load(a->w + c, k);
        v16 acc = {};
        for (int64_t l = 0; l < a->L; l++) {
            const int64_t at = (int64_t)a->row[l] * a->H + c;
            T *dx = (T *)a->dx + at;
            acc += load((const T *)a->x + at, k) * a->dreward[l];
            store(dx, load(dx, k) + w * a->dreward[l], k);
        }
        store(a->dw + c, load(a->dw + c, k) + acc, k);
    });
}

MULTIARCH static void forward_rows(const reward_head_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

MULTIARCH static void backward_columns(const reward_head_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi) : backward<float>(a, lo, hi);
}

void cpu_reward_head(kstream *s, const reward_head_args *a) {
    for (int64_t l = 0; l < a->L; l++) check_index("reward_head", "row", l, a->row[l], a->N);
    parallel_blocks(s, a->L, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

void cpu_reward_head_backward(kstream *s, const reward_head_backward_args *a) {
    for (int64_t l = 0; l < a->L; l++) check_index("reward_head_backward", "row", l, a->row[l], a->N);
    parallel_blocks(s, a->H, 64, [=](int64_t lo, int64_t hi, arena &) { backward_columns(a, lo, hi); });
}
