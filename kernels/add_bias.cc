// add_bias.cc: the bias of a projection, y[n] += b, and its gradient, db += Σ_n dy[n].
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "add_bias.cc"
#include "arch.h"

void cpu_add_bias(kstream *s, const add_bias_args *a) { ARCH_RUN(add_bias, s, a); }
void cpu_add_bias_backward(kstream *s, const add_bias_backward_args *a) { ARCH_RUN(add_bias_backward, s, a); }

#else
#include "rows.h"

namespace {
namespace ARCH {

template <class T> inline void forward(const add_bias_args *a, int64_t lo, int64_t hi) {
    const int64_t O = a->O;
    const T *b = (const T *)a->b;                                        // (O)
    for (int64_t n = lo; n < hi; n++) {
        T *y = (T *)a->y + n * O;                                        // (O)
        each(O, [&](int i, int k) { store(y + i, load(y + i, k) + load(b + i, k), k); });
    }
}

// db (O) += rows [n, n+K), which share each load and store of it.
template <int K, class T> inline void add_group(const add_bias_backward_args *a, int64_t n, float *db) {
    const int64_t O = a->O;
    const T *dy = (const T *)a->dy + n * O;                              // (K, O)
    each(O, [&](int i, int k) {
        vf acc = load(db + i, k);
        for (int r = 0; r < K; r++) acc += load(dy + r * O + i, k);
        store(db + i, acc, k);
    });
}

template <class T> inline void backward(const add_bias_backward_args *a, int64_t lo, int64_t hi, float *db) {
    int64_t n = lo;
    for (; n + 4 <= hi; n += 4) add_group<4, T>(a, n, db);
    for (; n < hi; n++) add_group<1, T>(a, n, db);
}

FLAT void forward_rows(const add_bias_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? forward<bf16>(a, lo, hi) : forward<float>(a, lo, hi);
}

FLAT void backward_rows(const add_bias_backward_args *a, int64_t lo, int64_t hi, float *db) {
    a->dtype == K_BF16 ? backward<bf16>(a, lo, hi, db) : backward<float>(a, lo, hi, db);
}

void add_bias(kstream *s, const add_bias_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->O), [=](int64_t lo, int64_t hi, arena &) { forward_rows(a, lo, hi); });
}

void add_bias_backward(kstream *s, const add_bias_backward_args *a) {
    sum_rows(s, a->db, a->N, a->O, a->O, [=](int64_t lo, int64_t hi, float *partial) { backward_rows(a, lo, hi, partial); });
}

}  // namespace ARCH
}  // namespace
#endif
