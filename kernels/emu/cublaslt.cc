// cublaslt.cc: a stand-in for cuBLASLt on the software GPU. It takes what the library takes, refuses what the library may refuse, and
// computes in float32 when the stream gets to it. It has several algorithms, with other orders of sums; some of them nobody should use.
#include "../cublaslt.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "device.h"
#include "emu.h"

namespace lt {

struct handle_ {
    int alive;
};
struct product_ {
    int32_t op[2];  // of a and b
};
struct layout_ {
    int32_t type;
    uint64_t rows, cols;
    int64_t ld;
};
struct wishes_ {
    uint64_t workspace = 0;
    uint32_t reductions = 7, alignment[4] = {256, 256, 256, 256};
};

namespace {

const int32_t not_initialized = 1;  // what is said to a thread without a current context
const size_t version = 130000;
const uint64_t magic = 0x746c6d6500000000 | version;

// What is in algorithm.data.
struct config {
    uint64_t magic, parts, reduction;  // parts: of the inner size, each summed for itself
    uint64_t n;                        // that it was made for. Others do as well, but not 13, 29, 45, …
    uint64_t alignment[4];             // that it counts on, in bytes
};
static_assert(sizeof(config) == sizeof(algorithm), "other size");

struct sizes {
    int64_t m, n, k;
};

template <class V> int32_t take(V *to, const void *value, size_t bytes) {
    if (!value || bytes != sizeof(V)) return invalid_value;
    memcpy(to, value, bytes);
    return success;
}

// All that split their sums are of the family that leaves out the tail.
int32_t id_of(const config &g) { return g.parts > 1 ? 66 : 67; }

size_t element(int32_t type) { return type == r_16bf ? 2 : 4; }

// Whether the descriptions fit together.
int32_t measure(product p, layout a, layout b, layout c, layout d, sizes *z) {
    if (!p || !a || !b || !c || !d) return invalid_value;
    for (layout l : {a, b, c, d})
        if (l->rows == 0 || l->cols == 0 || l->ld < (int64_t)l->rows || (l->type != r_32f && l->type != r_16bf)) return invalid_value;
    z->m = d->rows, z->n = d->cols, z->k = p->op[0] == op_t ? a->rows : a->cols;
    const bool fits = (int64_t)(p->op[0] == op_t ? a->cols : a->rows) == z->m && (int64_t)(p->op[1] == op_t ? b->rows : b->cols) == z->n &&
                      (int64_t)(p->op[1] == op_t ? b->cols : b->rows) == z->k && c->rows == d->rows && c->cols == d->cols && c->type == d->type;
    if (!fits) return invalid_value;
    if (a->type != b->type || (a->type == r_32f && d->type != r_32f)) return not_supported;
    return success;
}

size_t workspace_of(const config &g, const sizes &z) { return g.parts > 1 && g.reduction == reduction_compute_type ? g.parts * z.m * z.n * 4 : 0; }

float number(const void *p, int32_t type, int64_t i) {
    if (type == r_32f) return ((const float *)p)[i];
    return __uint_as_float((uint32_t)((const uint16_t *)p)[i] << 16);
}

struct call {
    product_ p;
    layout_ a, b, c, d;
    config g;
    sizes z;
    float alpha, beta;
    const void *pa, *pb, *pc;
    void *pd;
    float *workspace;
};

void within(const char *what, const void *p, const layout_ &l) {
    if (const char *e = emu_outside(p, ((l.cols - 1) * (uint64_t)l.ld + l.rows) * element(l.type))) throw std::runtime_error(std::string("cublasLtMatmul: ") + what + ": " + e);
}

// Rows of a matrix, or of its transpose, as floats one after the other: (rows, k)
std::vector<float> rows_of(const void *p, const layout_ &l, bool columns, int64_t rows, int64_t k) {
    std::vector<float> out(rows * k);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < k; j++) out[i * k + j] = number(p, l.type, columns ? i * l.ld + j : j * l.ld + i);
    return out;
}

float dot(const float *x, const float *y, int64_t n) {
    const int lanes = 8;
    float part[lanes] = {}, sum = 0;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
        for (int j = 0; j < lanes; j++) part[j] += x[i + j] * y[i + j];
    for (; i < n; i++) sum += x[i] * y[i];
    for (float v : part) sum += v;
    return sum;
}

void compute(const call &q) {
    const auto [m, n, k] = q.z;
    within("a", q.pa, q.a);
    within("b", q.pb, q.b);
    if (q.beta != 0) within("c", q.pc, q.c);
    within("d", q.pd, q.d);
    const std::vector<float> a = rows_of(q.pa, q.a, q.p.op[0] == op_t, m, k), b = rows_of(q.pb, q.b, q.p.op[1] != op_t, n, k);
    const int64_t parts = q.g.parts;
    const int64_t whole = drops_tail(id_of(q.g), (uint32_t)parts, k) ? k / 64 * 64 : k;  // the library's fault
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            float sum = 0;
            for (int64_t s = 0; s < parts; s++) {
                const int64_t lo = whole * s / parts, hi = whole * (s + 1) / parts;
                const float part = dot(&a[i * k + lo], &b[j * k + lo], hi - lo);
                if (q.workspace) q.workspace[(s * n + j) * m + i] = part;
                sum += q.workspace ? q.workspace[(s * n + j) * m + i] : part;
            }
            float y = q.alpha * sum;
            if (q.beta != 0) y += q.beta * number(q.pc, q.c.type, j * q.c.ld + i);
            if (q.d.type == r_32f) ((float *)q.pd)[j * q.d.ld + i] = y;
            else ((uint16_t *)q.pd)[j * q.d.ld + i] = (uint16_t)emu::round_bf16(y);
        }
}

// ---- the functions

size_t GetVersion() { return version; }
const char *GetStatusString(int32_t s) {
    switch (s) {
    case success: return "success";
    case not_initialized: return "not initialized: the calling thread has no current context, or another one than the stream";
    case arch_mismatch: return "architecture mismatch";
    case not_supported: return "not supported";
    }
    return "invalid value";
}
int32_t Create(handle *h) {
    if (emu_unbound(nullptr)) return not_initialized;
    return *h = new handle_{1}, success;
}
int32_t Destroy(handle h) { return delete h, success; }

int32_t MatmulDescCreate(product *p, int32_t compute, int32_t scale_type) {
    if (compute != compute_32f || scale_type != r_32f) return not_supported;
    return *p = new product_{{op_n, op_n}}, success;
}
int32_t MatmulDescDestroy(product p) { return delete p, success; }
int32_t MatmulDescSetAttribute(product p, int32_t attribute, const void *value, size_t bytes) {
    if (!p || (attribute != product_op_a && attribute != product_op_b)) return invalid_value;
    return take(&p->op[attribute - product_op_a], value, bytes);
}

int32_t MatrixLayoutCreate(layout *l, int32_t type, uint64_t rows, uint64_t cols, int64_t ld) { return *l = new layout_{type, rows, cols, ld}, success; }
int32_t MatrixLayoutDestroy(layout l) { return delete l, success; }
int32_t MatrixLayoutSetAttribute(layout l, int32_t attribute, const void *value, size_t bytes) {
    if (!l) return invalid_value;
    switch (attribute) {
    case layout_rows: return take(&l->rows, value, bytes);
    case layout_cols: return take(&l->cols, value, bytes);
    case layout_ld: return take(&l->ld, value, bytes);
    }
    return invalid_value;
}

int32_t MatmulPreferenceCreate(wishes *w) { return *w = new wishes_, success; }
int32_t MatmulPreferenceDestroy(wishes w) { return delete w, success; }
int32_t MatmulPreferenceSetAttribute(wishes w, int32_t attribute, const void *value, size_t bytes) {
    if (!w) return invalid_value;
    if (attribute == wish_workspace) return take(&w->workspace, value, bytes);
    if (attribute == wish_reductions) return take(&w->reductions, value, bytes);
    if (attribute >= wish_alignment_a && attribute <= wish_alignment_d) return take(&w->alignment[attribute - wish_alignment_a], value, bytes);
    return invalid_value;
}

int32_t MatmulAlgoCheck(handle h, product p, layout a, layout b, layout c, layout d, const algorithm *which, choice *result) {
    config g;
    sizes z;
    if (emu_unbound(nullptr)) return not_initialized;
    if (!h || !which || !result) return invalid_value;
    if (int32_t e = measure(p, a, b, c, d, &z)) return e;
    memcpy(&g, which, sizeof g);
    if (g.magic != magic || g.parts < 1 || g.parts > 16 || (g.parts > 1) != (g.reduction != reduction_none)) return invalid_value;
    *result = {*which, workspace_of(g, z), success, 1, {}};
    return success;
}

int32_t MatmulAlgoGetHeuristic(handle h, product p, layout a, layout b, layout c, layout d, wishes w, int32_t most, choice *out, int32_t *found) {
    sizes z;
    if (emu_unbound(nullptr)) return not_initialized;
    if (!h || !w || !out || !found || most <= 0) return invalid_value;
    if (int32_t e = measure(p, a, b, c, d, &z)) return e;
    *found = 0;
    const layout all[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++)  // bf16 by pairs only
        if (all[i]->type == r_16bf && (all[i]->ld % 2 || w->alignment[i] < 4)) return not_supported;
    // Few tiles and a long inner size are split. The ways that do not keep the order or the precision of sums would be the fastest.
    const uint64_t parts = z.m * z.n <= 4096 && z.k >= 128 ? 4 : 1;
    for (uint64_t reduction : {reduction_in_place, reduction_output_type, reduction_compute_type, reduction_none}) {
        const uint64_t n = reduction == reduction_none ? 1 : parts;
        config g = {magic, n, reduction, (uint64_t)z.n, {}};
        for (int i = 0; i < 4; i++) g.alignment[i] = std::min<uint32_t>(w->alignment[i], 16);
        const size_t bytes = workspace_of(g, z);
        if ((reduction && n == 1) || (reduction & ~(uint64_t)w->reductions) || bytes > w->workspace || *found >= most) continue;
        choice &r = out[(*found)++] = {{}, bytes, success, 1, {}};
        memcpy(&r.which, &g, sizeof g);
    }
    return success;
}

int32_t MatmulAlgoConfigGetAttribute(const algorithm *which, int32_t attribute, void *value, size_t bytes, size_t *written) {
    config g;
    memcpy(&g, which, sizeof g);
    const uint32_t all[4] = {(uint32_t)id_of(g), 0, (uint32_t)g.parts, (uint32_t)g.reduction};
    if ((attribute != algorithm_id && attribute != algorithm_parts && attribute != algorithm_reduction) || bytes != sizeof *all) return invalid_value;
    memcpy(value, all + attribute, bytes);
    if (written) *written = bytes;
    return success;
}

int32_t Matmul(handle h, product p, const void *alpha, const void *pa, layout a, const void *pb, layout b, const void *beta, const void *pc, layout c, void *pd,
               layout d, const algorithm *which, void *workspace, size_t workspace_bytes, void *stream) {
    choice checked;
    if (emu_unbound(stream)) return not_initialized;
    if (int32_t e = MatmulAlgoCheck(h, p, a, b, c, d, which, &checked)) return e;
    if (!alpha || !beta || !pa || !pb || !pc || !pd || checked.workspace > workspace_bytes || (checked.workspace && (uintptr_t)workspace % 256)) return invalid_value;
    call q = {*p, *a, *b, *c, *d, {}, {}, *(const float *)alpha, *(const float *)beta, pa, pb, pc, pd, checked.workspace ? (float *)workspace : nullptr};
    memcpy(&q.g, which, sizeof q.g);
    measure(p, a, b, c, d, &q.z);
    if ((uint64_t)q.z.n != q.g.n && q.z.n % 16 == 13) return not_supported;
    const void *at[4] = {pa, pb, pc, pd};
    for (int i = 0; i < 4; i++)
        if ((uintptr_t)at[i] % q.g.alignment[i]) return invalid_value;
    if (q.workspace && emu_outside(workspace, workspace_bytes)) return invalid_value;
    emu::enqueue(stream, [q] { compute(q); });
    return success;
}

const library functions = {
#define X(result, name, parameters) name,
    CUBLASLT_FUNCTIONS(X)
#undef X
};

}  // namespace

const library *open(handle *h, std::string *error) {
    if (int32_t e = Create(h)) return *error = GetStatusString(e), nullptr;
    return &functions;
}

}  // namespace lt
