// blocks.cc: y = x·wᵀ and dx = dy·w with a weight in ggml's blocks, see blocks.h and unpacked.h.
#ifndef ARCH
#include <algorithm>

#include "blocks.h"
#define ARCH_FILE "blocks.cc"
#include "rows.h"
#include "arch.h"

void cpu_matmul_blocks(kstream *s, const matmul_blocks_args *a) { ARCH_RUN(matmul_blocks, s, a); }
void cpu_matmul_blocks_dx(kstream *s, const matmul_blocks_dx_args *a) { ARCH_RUN(matmul_blocks_dx, s, a); }

#else
#include "rows.h"
#include "product.h"
#include "unpacked.h"

namespace {
namespace ARCH {

// A row of so many bytes as f32, rounded to T.
template <class T, class B> FLAT void unpack_blocks(float *__restrict d, const uint8_t *__restrict b, const uint8_t *end) {
    const int n = 16;
    for (; b < end; b += B::bytes)
        for (int at = 0; at < B::elements; at += n, d += n) {
            float x[n];
            B::template read<n>(b, at, x);
            for (int i = 0; i < n; i++) d[i] = as(x[i], T{});
        }
}

struct block_rows {
    void (*of_row)(float *d, const uint8_t *b, const uint8_t *end);
    const uint8_t *code;
    int I, R;
    int64_t width() const { return I; }
    void unpack(float *d, int64_t row) const { of_row(d, code + row * R, code + (row + 1) * R); }
};

template <class T, class A> block_rows rows_of(const A *a) {
    block_rows r = {nullptr, a->code, a->I, a->R};
    with_block(a->type, [&](auto b) { r.of_row = unpack_blocks<T, decltype(b)>; });
    return r;
}

template <class T> void matmul_blocks_of(kstream *s, const matmul_blocks_args *a) {
    multiply_unpacked(s, (T *)a->y + a->at, a->C, (const T *)a->x, rows_of<T>(a), a->N, a->O);
}

template <class T> void matmul_blocks_dx_of(kstream *s, const matmul_blocks_dx_args *a) {
    multiply_unpacked_dx(s, (T *)a->dx, a->accumulate, (const T *)a->dy + a->at, a->C, rows_of<T>(a), a->N, a->O);
}

void matmul_blocks(kstream *s, const matmul_blocks_args *a) { a->dtype == K_BF16 ? matmul_blocks_of<bf16>(s, a) : matmul_blocks_of<float>(s, a); }
void matmul_blocks_dx(kstream *s, const matmul_blocks_dx_args *a) { a->dtype == K_BF16 ? matmul_blocks_dx_of<bf16>(s, a) : matmul_blocks_dx_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
