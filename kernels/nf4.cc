// nf4.cc: y = x·wᵀ and dx = dy·w with a weight of 4 bits, which is unpacked a few rows at a time: into panels or, for few rows of x, as it
// is read.
#ifndef ARCH
#include <algorithm>
#include <cmath>

#define ARCH_FILE "nf4.cc"
#include "rows.h"
#include "arch.h"

void cpu_matmul_nf4(kstream *s, const matmul_nf4_args *a) { ARCH_RUN(matmul_nf4, s, a); }
void cpu_matmul_nf4_dx(kstream *s, const matmul_nf4_dx_args *a) { ARCH_RUN(matmul_nf4_dx, s, a); }

#else
#include "rows.h"
#include "product.h"

namespace {
namespace ARCH {

const int BLOCK = 64;
const float nf4_values[16] = NF4_VALUES;

INLINE float as(float x, float) { return x; }
INLINE float as(float x, bf16) {  // rounded
    bf16 t;
    from_f32(&t, x);
    return to_f32(t);
}

// The weight's rows as f32, rounded to T.
template <class T, class A> struct nf4_rows {
    const A *a;
    int64_t width() const { return (int64_t)a->B * BLOCK; }
    FLAT void unpack(float *d, int64_t row) const {
        const uint8_t *code = a->code + row * a->B * (BLOCK / 2), *absmax = a->absmax + row * a->B;
        for (int64_t b = 0; b < a->B; b++, code += BLOCK / 2, d += BLOCK) {
            const float most = std::fma(a->map[absmax[b]], a->scale[(row * a->B + b) / 256], a->offset);
            float value[16];
            for (int i = 0; i < 16; i++) value[i] = as(nf4_values[i] * most, T{});
            for (int i = 0; i < BLOCK / 2; i++) {
                d[2 * i] = value[code[i] >> 4];
                d[2 * i + 1] = value[code[i] & 15];
            }
        }
    }
    const float *operator()(int64_t row, int rows, arena &scratch, int64_t *ld) const {
        float *d = scratch.get<float>((size_t)rows * width());
        for (int r = 0; r < rows; r++) unpack(d + r * width(), row + r);
        *ld = width();
        return d;
    }
};

template <class T> void matmul_nf4_of(kstream *s, const matmul_nf4_args *a) {
    const nf4_rows<T, matmul_nf4_args> w{a};
    const int N = a->N, O = a->O, I = (int)w.width();
    const T *x = (const T *)a->x;
    T *y = (T *)a->y + a->at;
    if (N <= FEW) {
        product_of_few(s, y, a->C, x, w, N, O, I);
        return;
    }
    float *b = s->scratch.get<float>((size_t)panels(O) * NR * I);
    parallel_for(s, panels(O), [=](int64_t p, arena &scratch) {
        const int j = (int)p * NR, rows = std::min(NR, O - j);
        int64_t ld;
        const float *wf = w(j, rows, scratch, &ld);  // before ld is read
        pack_columns(b + p * NR * I, wf, ld, rows, I);
    });
    product<T, T>(s, y, nullptr, a->C, x, I, b, N, O, I);
}

template <class T> void matmul_nf4_dx_of(kstream *s, const matmul_nf4_dx_args *a) {
    const nf4_rows<T, matmul_nf4_dx_args> w{a};
    const int N = a->N, O = a->O, I = (int)w.width(), block = 64;
    T *dx = (T *)a->dx;
    float *b = s->scratch.get<float>((size_t)panels(I) * NR * O);
    parallel_blocks(s, O, block, [=](int64_t lo, int64_t hi, arena &scratch) {
        int64_t ld;
        const float *rows = w(lo, (int)(hi - lo), scratch, &ld);
        for (int p = 0; p < panels(I); p++) pack_rows(b + ((int64_t)p * O + lo) * NR, rows + p * NR, ld, std::min(NR, I - p * NR), (int)(hi - lo));
    });
    product<T, T>(s, dx, a->accumulate ? dx : nullptr, I, (const T *)a->dy + a->at, a->C, b, N, I, O);
}

void matmul_nf4(kstream *s, const matmul_nf4_args *a) { a->dtype == K_BF16 ? matmul_nf4_of<bf16>(s, a) : matmul_nf4_of<float>(s, a); }
void matmul_nf4_dx(kstream *s, const matmul_nf4_dx_args *a) { a->dtype == K_BF16 ? matmul_nf4_dx_of<bf16>(s, a) : matmul_nf4_dx_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
