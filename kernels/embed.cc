// embed.cc: rows copied by index (embed, gather) and added back by index (their backwards).
//   out[n] = table[id[n]]        d[row] (+)= Σ_j dout[src[j]] over a range of j, in its order
// The backwards get their sources grouped by target row, so each row is summed by one item and needs no atomics.
#ifndef ARCH
#include "rows.h"

#define ARCH_FILE "embed.cc"
#include "arch.h"

static void copy_rows(kstream *s, const char *op, const char *name, void *out, const void *x, const int32_t *row, int64_t n, int64_t bound,
                      size_t bytes) {
    parallel_blocks(s, n, rows_per_item(bytes / 4), [=](int64_t lo, int64_t hi, arena &) {
        for (int64_t i = lo; i < hi; i++) {
            check_index(op, name, i, row[i], bound);
            memcpy((char *)out + i * bytes, (const char *)x + row[i] * bytes, bytes);
        }
    });
}

void cpu_embed(kstream *s, const embed_args *a) {
    copy_rows(s, "embed", "id", a->out, a->table, a->id, a->N, a->V, a->H * (a->dtype == K_BF16 ? sizeof(bf16) : sizeof(float)));
}

void cpu_gather(kstream *s, const gather_args *a) {
    copy_rows(s, "gather", "row", a->out, a->x, a->row, a->R, a->N, a->H * (a->dtype == K_BF16 ? sizeof(bf16) : sizeof(float)));
}

// ptr [0, n] must rise within [0, m]; src is only read there.
static void check_ranges(const char *op, const int32_t *ptr, int64_t n, const int32_t *src, int64_t m, int64_t bound) {
    for (int64_t i = 0; i <= n; i++)
        if (ptr[i] < (i ? ptr[i - 1] : 0) || ptr[i] > m)
            throw std::out_of_range(std::string(op) + ": ptr does not rise from 0 to the number of sources");
    for (int64_t j = 0; j < ptr[n]; j++) check_index(op, "src", j, src[j], bound);
}

void cpu_embed_backward(kstream *s, const embed_backward_args *a) {
    check_ranges("embed_backward", a->ptr, a->U, a->src, a->N, a->N);
    for (int64_t u = 0; u < a->U; u++) check_index("embed_backward", "row", u, a->row[u], a->V);
    ARCH_RUN(embed_backward, s, a);
}

void cpu_gather_backward(kstream *s, const gather_backward_args *a) {
    check_ranges("gather_backward", a->ptr, a->N, a->src, a->R, a->R);
    ARCH_RUN(gather_backward, s, a);
}

#else
#include "rows.h"

namespace {
namespace ARCH {

// put(i, width, Σ x[src[j], i…], j in [lo, hi)), in strips of K vectors that stay in registers over all j.
template <int K, class T, class Put> inline int strips(const T *x, const int32_t *src, int lo, int hi, int H, int i, Put put) {
    for (; i + W * K <= H; i += W * K) {
        vf acc[K] = {};
        for (int j = lo; j < hi; j++) {
            const T *p = x + (int64_t)src[j] * H + i;
            for (int k = 0; k < K; k++) acc[k] += load(p + W * k, W);
        }
        for (int k = 0; k < K; k++) put(i + W * k, W, acc[k]);
    }
    return i;
}

template <class T, class Put> inline void sum_rows(const T *x, const int32_t *src, int lo, int hi, int H, Put put) {
    int i = strips<8>(x, src, lo, hi, H, 0, put);
    i = strips<2>(x, src, lo, hi, H, i, put);
    i = strips<1>(x, src, lo, hi, H, i, put);
    if (i == H) return;
    vf acc = {};
    for (int j = lo; j < hi; j++) acc += load(x + (int64_t)src[j] * H + i, H - i);
    put(i, H - i, acc);
}

template <class T> inline void embed_rows(const embed_backward_args *a, int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; u++) {
        float *d = a->dtable + (int64_t)a->row[u] * a->H;
        sum_rows((const T *)a->dout, a->src, a->ptr[u], a->ptr[u + 1], a->H,
                 [=](int i, int n, vf x) { store(d + i, load(d + i, n) + x, n); });
    }
}

template <class T> inline void gather_rows(const gather_backward_args *a, int64_t lo, int64_t hi) {
    for (int64_t n = lo; n < hi; n++) {
        T *d = (T *)a->dx + n * a->H;
        if (a->ptr[n] == a->ptr[n + 1])
            memset(d, 0, a->H * sizeof(T));
        else
            sum_rows((const T *)a->dout, a->src, a->ptr[n], a->ptr[n + 1], a->H, [=](int i, int w, vf x) { store(d + i, x, w); });
    }
}

FLAT void embed_backward_rows(const embed_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? embed_rows<bf16>(a, lo, hi) : embed_rows<float>(a, lo, hi);
}

FLAT void gather_backward_rows(const gather_backward_args *a, int64_t lo, int64_t hi) {
    a->dtype == K_BF16 ? gather_rows<bf16>(a, lo, hi) : gather_rows<float>(a, lo, hi);
}

void embed_backward(kstream *s, const embed_backward_args *a) {
    parallel_blocks(s, a->U, rows_per_item(2 * a->H), [=](int64_t lo, int64_t hi, arena &) { embed_backward_rows(a, lo, hi); });
}

void gather_backward(kstream *s, const gather_backward_args *a) {
    parallel_blocks(s, a->N, rows_per_item(a->H), [=](int64_t lo, int64_t hi, arena &) { gather_backward_rows(a, lo, hi); });
}

}  // namespace ARCH
}  // namespace
#endif
