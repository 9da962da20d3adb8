// nf4.cc: y = x·wᵀ and dx = dy·w with a weight of 4 bits, see unpacked.h.
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
#include "unpacked.h"

namespace {
namespace ARCH {

const int BLOCK = 64;
const float nf4_values[16] = NF4_VALUES;

// The weight's rows, rounded to T.
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
};

template <class T> void matmul_nf4_of(kstream *s, const matmul_nf4_args *a) {
    multiply_unpacked(s, (T *)a->y + a->at, a->C, (const T *)a->x, nf4_rows<T, matmul_nf4_args>{a}, a->N, a->O);
}

template <class T> void matmul_nf4_dx_of(kstream *s, const matmul_nf4_dx_args *a) {
    multiply_unpacked_dx(s, (T *)a->dx, a->accumulate, (const T *)a->dy + a->at, a->C, nf4_rows<T, matmul_nf4_dx_args>{a}, a->N, a->O);
}

void matmul_nf4(kstream *s, const matmul_nf4_args *a) { a->dtype == K_BF16 ? matmul_nf4_of<bf16>(s, a) : matmul_nf4_of<float>(s, a); }
void matmul_nf4_dx(kstream *s, const matmul_nf4_dx_args *a) { a->dtype == K_BF16 ? matmul_nf4_dx_of<bf16>(s, a) : matmul_nf4_dx_of<float>(s, a); }

}  // namespace ARCH
}  // namespace
#endif
