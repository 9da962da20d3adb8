// reward_head.cc: the scalar reward of a position, a dot product with the final hidden state.  reward[l] = x[row[l]]·w
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "reward_head.cc"
#include "arch.h"

void cpu_reward_head(kstream *s, const reward_head_args *a) {
    for (int64_t l = 0; l < a->L; l++) check_index("reward_head", "row", l, a->row[l], a->N);
    ARCH_RUN(reward_head, s, a);
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

FLAT void forward_rows(const reward_head_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

void reward_head(kstream *s, const reward_head_args *a) {
    parallel_blocks(s, a->L, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
