// tensor.cc: cp.async, ldmatrix and mma.
#include "core.h"

namespace emu {

// ---- cp.async. A copy is made at its issue or at its thread's wait, as the schedule says; what is not waited for is an error.

namespace {
void make(copy &c) {
    TSAN(write16(c.dst));
    if (c.valid) TSAN(read16(const_cast<char *>(c.src)));
    *(uint4 *)c.dst = c.valid ? *(const uint4 *)c.src : uint4{};
    c.done = true;
}
}  // namespace

void cp_async(uint32_t dst, const void *src, bool valid) {
    worker &w = *self;
    thread &t = *w.running;
    copy c = {shared_bytes(dst, 16, "cp.async"), (const char *)src, valid, false, t.group};
    if (valid) check_global(src, 16, "cp.async");
    else if ((uintptr_t)src % 16) fail("cp.async: the source of zeros is not aligned to 16 bytes");
    emu_async when = w.launch->schedule.async;
    if (when == EMU_EAGER || (when == EMU_MIXED && draw(w.random) & 1)) make(c);
    unseen hide;
    t.copies.push_back(c);
}

void cp_async_commit() { self->running->group++; }

void cp_async_wait(int newest) {
    thread &t = *self->running;
    size_t n = 0;
    for (; n < t.copies.size() && (int64_t)t.copies[n].group < (int64_t)t.group - newest; n++) {
        if (!t.copies[n].done) make(t.copies[n]);
    }
    unseen hide;
    t.copies.erase(t.copies.begin(), t.copies.begin() + (ptrdiff_t)n);
}

// ---- matrices

void ldmatrix_x4(uint32_t (&r)[4], uint32_t row, bool transposed) {
    instruction what = transposed ? ildmatrix_trans : ildmatrix;
    worker &w = *self;
    int lane = w.running->lane;
    warp &p = *w.of;
    const char *bytes = shared_bytes(row, 16, names[what]);
    TSAN(read16(const_cast<char *>(bytes)));
    p.in[lane] = (uint64_t)bytes;
    p.argument[lane] = r;
    if (meeting *m = arrive_at(what)) {
        uint16_t x[8][8];
        for (int k = 0; k < 4; k++) {
            for (int i = 0; i < 8; i++) memcpy(x[i], (const char *)p.in[k * 8 + i], 16);
            for (int l = 0; l < 32; l++) {
                int i = l / 4, j = l % 4 * 2;
                uint32_t *to = (uint32_t *)p.argument[l];
                to[k] = transposed ? x[j][i] | (uint32_t)x[j + 1][i] << 16 : x[i][j] | (uint32_t)x[i][j + 1] << 16;
            }
        }
        leave_from(m);
    }
}

namespace {
struct product {
    float *d;
    const uint32_t *a;
    uint32_t b[2];
};
float lower(uint32_t x) { return __uint_as_float(x << 16); }
float upper(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }
}  // namespace

// Sums in float32, in the order of k.
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    typedef float vector __attribute__((vector_size(32)));
    worker &w = *self;
    warp &p = *w.of;
    product mine = {d, a, {b0, b1}};
    p.argument[w.running->lane] = &mine;
    meeting *m = arrive_at(imma_bf16);
    if (!m) return;
    alignas(32) float A[16][16], B[16][8], D[16][8];
    for (int l = 0; l < 32; l++) {
        const product &x = *(const product *)p.argument[l];
        int g = l / 4, t = l % 4 * 2;
        for (int h = 0; h < 2; h++) {
            for (int r = 0; r < 2; r++) A[g + 8 * r][t + 8 * h] = lower(x.a[2 * h + r]), A[g + 8 * r][t + 8 * h + 1] = upper(x.a[2 * h + r]);
            B[t + 8 * h][g] = lower(x.b[h]), B[t + 8 * h + 1][g] = upper(x.b[h]);
            D[g + 8 * h][t] = x.d[2 * h], D[g + 8 * h][t + 1] = x.d[2 * h + 1];
        }
    }
    for (int i = 0; i < 16; i += 2) {
        vector sum[2];
        memcpy(sum, D[i], sizeof sum);
        for (int k = 0; k < 16; k++) {
            vector row;
            memcpy(&row, B[k], sizeof row);
            sum[0] += A[i][k] * row;
            sum[1] += A[i + 1][k] * row;
        }
        memcpy(D[i], sum, sizeof sum);
    }
    for (int l = 0; l < 32; l++) {
        const product &x = *(const product *)p.argument[l];
        int g = l / 4, t = l % 4 * 2;
        for (int h = 0; h < 2; h++) x.d[2 * h] = D[g + 8 * h][t], x.d[2 * h + 1] = D[g + 8 * h][t + 1];
    }
    leave_from(m);
}

uint32_t round_bf16(float x) {
    uint32_t b = __float_as_uint(x);
    if ((b & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // what cvt.rn gives for a NaN
    return (b + 0x7fff + (b >> 16 & 1)) >> 16;
}

float exp2_approx(float x) {
    float y = exp2f(x);
    return y < 1.17549435e-38f ? 0.f : y;
}

}  // namespace emu
