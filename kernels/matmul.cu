// matmul.cu: y = x·wᵀ, dx = dy·w, dw += dyᵀ·x, by cuBLASLt, which chooses an algorithm for each kind of product.
//
// Sums in another order have other last bits, so a choice must not depend on what ran before. It is made by the library's heuristic,
// never by measuring, and depends on the sizes, of which the number of tokens is rounded up: the choices are few, and can be stored with a
// run. Partial sums of split products are added up in float32 by a kernel of their own: never in the output, never in an order of chance.
#include "matmul.cuh"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

#include "cublaslt.h"

namespace gpu {

namespace {

// ---- what cuBLASLt does not take: a plain tiled kernel, far from the hardware's rate

const int tile = 64, depth = 16, threads = 256;

struct plain_matrix {  // element (i, j) at i·down + j·right
    int64_t down, right;
};

// (depth, tile) of a (…, inner) matrix m, rows from i0 and inner indices from k0 on, with zeros outside. Neighbouring threads read neighbours.
template <class T>
static __device__ __forceinline__ void fill(float (&out)[depth][tile + 1], const T *m, plain_matrix at, int64_t i0, int rows, int k0, int inner) {
    for (int t = threadIdx.x; t < depth * tile; t += threads) {
        const int k = at.right == 1 ? t % depth : t / tile, i = at.right == 1 ? t / depth : t % tile;
        out[k][i] = i0 + i < rows && k0 + k < inner ? to_f32(m[(i0 + i) * at.down + (k0 + k) * at.right]) : 0;
    }
}

template <class T, class Y>
__global__ void __launch_bounds__(threads) matmul_plain_kernel(Y *y,                // (rows, cols), ldy
                                                               const Y *add,        // as y, or NULL
                                                               int64_t ldy,
                                                               const T *a,          // (rows, inner)
                                                               plain_matrix a_at,
                                                               const T *b,          // (cols, inner)
                                                               plain_matrix b_at, int rows, int cols, int inner) {
    __shared__ float as[depth][tile + 1], bs[depth][tile + 1];
    const int64_t row0 = (int64_t)blockIdx.x * tile, col0 = (int64_t)blockIdx.y * tile;
    const int r = threadIdx.x / 16, c = threadIdx.x % 16;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < inner; k0 += depth) {
        fill(as, a, a_at, row0, rows, k0, inner);
        fill(bs, b, b_at, col0, cols, k0, inner);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < depth; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += as[k][r + 16 * i] * bs[k][c + 16 * j];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64_t row = row0 + r + 16 * i, col = col0 + c + 16 * j;
            if (row < rows && col < cols) from_f32(y + row * ldy + col, sum[i][j] + (add ? to_f32(add[row * ldy + col]) : 0));
        }
}

void plain(kstream *s, const product &p) {
    const plain_matrix a = {p.a_transposed ? 1 : p.lda, p.a_transposed ? p.lda : 1}, b = {p.b_transposed ? p.ldb : 1, p.b_transposed ? 1 : p.ldb};
    auto run = [&](auto in, auto out) {
        using T = decltype(in);
        using Y = decltype(out);
        const dim3 grid((p.rows + tile - 1) / tile, (p.cols + tile - 1) / tile);
        launch(s, matmul_plain_kernel<T, Y>, grid, threads, 0, (Y *)p.y, (const Y *)p.add, p.ldy, (const T *)p.a, a, (const T *)p.b, b, p.rows, p.cols, p.inner);
    };
    if (p.in == K_F32) run(float{}, float{});
    else real(p.out, [&](auto out) { run(bf16{}, out); });
}

// ---- cuBLASLt. Its matrices are column-major: it computes yᵀ (m, n) = op(b) (m, k) · op(a) (k, n).

enum { M, N, K, OP_A, OP_B, LD_A, LD_B, LD_Y, IN, OUT, ALIGN_A, ALIGN_B, ALIGN_ADD, ALIGN_Y, fields };
typedef std::array<int64_t, fields> shape;  // a and b are the library's: our b and a

const int64_t allocation = 64;  // what all memory is aligned to: more would depend on where it happens to lie

int64_t alignment(const void *p) {
    int64_t at = (int64_t)(uintptr_t)p;
    return at % allocation ? at & -at : allocation;
}

shape shape_of(const product &p) {
    shape f;
    f[M] = p.cols, f[N] = p.rows, f[K] = p.inner;
    f[OP_A] = p.b_transposed ? lt::op_t : lt::op_n, f[OP_B] = p.a_transposed ? lt::op_t : lt::op_n;
    f[LD_A] = p.ldb, f[LD_B] = p.lda, f[LD_Y] = p.ldy;
    f[IN] = p.in == K_BF16 ? lt::r_16bf : lt::r_32f, f[OUT] = p.out == K_BF16 ? lt::r_16bf : lt::r_32f;
    f[ALIGN_A] = alignment(p.b), f[ALIGN_B] = alignment(p.a), f[ALIGN_ADD] = alignment(p.add ? p.add : p.y), f[ALIGN_Y] = alignment(p.y);
    return f;
}

// Rounds up to one of 8 sizes for each power of two.
int64_t bucket(int64_t n) {
    int64_t step = 1;
    while (8 * 2 * step < n) step *= 2;
    return (n + step - 1) / step * step;
}

}  // namespace

// The library's descriptions of one kind of product, and its algorithm.
struct plan {
    const lt::library *l;
    lt::product what = nullptr;
    lt::layout a = nullptr, b = nullptr, y = nullptr;
    shape sizes;            // those of the layouts
    lt::algorithm algorithm;
    size_t workspace = 0;
    bool none = false;      // the library has no algorithm
    int32_t id = -1;        // the algorithm's, and in how many parts it adds; as far as the library tells
    uint32_t parts = 1;

    plan(const lt::library *l, const shape &f) : l(l), sizes(f) {}
    plan(const plan &) = delete;
    ~plan() {
        if (what) l->MatmulDescDestroy(what);
        for (lt::layout m : {a, b, y})
            if (m) l->MatrixLayoutDestroy(m);
    }
};

struct blas {
    const lt::library *l;
    lt::handle handle;
    std::string machine;    // what a choice is for
    size_t most_workspace;
    std::map<shape, plan> plans;
    std::string text;       // what was last given to a caller

    ~blas() {
        plans.clear();
        l->Destroy(handle);
    }
};

namespace {

void check(const lt::library *l, int32_t status, const char *what) {
    if (status != lt::success) throw std::runtime_error(std::string("cublasLt") + what + ": " + l->GetStatusString(status));
}
#define LT(l, f, ...) check(l, (l)->f(__VA_ARGS__), #f)

plan &describe(blas &z, const shape &f) {
    const lt::library *l = z.l;
    const int32_t op_a = (int32_t)f[OP_A], op_b = (int32_t)f[OP_B];
    const bool ta = op_a == lt::op_t, tb = op_b == lt::op_t;
    plan &p = z.plans.emplace(std::piecewise_construct, std::forward_as_tuple(f), std::forward_as_tuple(l, f)).first->second;
    LT(l, MatmulDescCreate, &p.what, lt::compute_32f, lt::r_32f);
    LT(l, MatmulDescSetAttribute, p.what, lt::product_op_a, &op_a, sizeof op_a);
    LT(l, MatmulDescSetAttribute, p.what, lt::product_op_b, &op_b, sizeof op_b);
    LT(l, MatrixLayoutCreate, &p.a, (int32_t)f[IN], f[ta ? K : M], f[ta ? M : K], f[LD_A]);
    LT(l, MatrixLayoutCreate, &p.b, (int32_t)f[IN], f[tb ? N : K], f[tb ? K : N], f[LD_B]);
    LT(l, MatrixLayoutCreate, &p.y, (int32_t)f[OUT], f[M], f[N], f[LD_Y]);
    return p;
}

void resize(plan &p, const shape &f) {
    if (p.sizes[M] == f[M] && p.sizes[N] == f[N] && p.sizes[K] == f[K]) return;
    auto set = [&](lt::layout m, int64_t rows, int64_t cols) {
        const uint64_t r = (uint64_t)rows, c = (uint64_t)cols;
        LT(p.l, MatrixLayoutSetAttribute, m, lt::layout_rows, &r, sizeof r);
        LT(p.l, MatrixLayoutSetAttribute, m, lt::layout_cols, &c, sizeof c);
    };
    const bool ta = f[OP_A] == lt::op_t, tb = f[OP_B] == lt::op_t;
    set(p.a, f[ta ? K : M], f[ta ? M : K]);
    set(p.b, f[tb ? N : K], f[tb ? K : N]);
    set(p.y, f[M], f[N]);
    p.sizes = f;
}

// What the library tells of an algorithm.
void take(plan &p, const lt::algorithm &a, size_t workspace) {
    p.algorithm = a, p.workspace = workspace, p.none = false, p.id = -1, p.parts = 1;
    auto ask = [&](int32_t attribute, auto *value) {
        auto told = *value;
        size_t bytes = 0;
        if (p.l->MatmulAlgoConfigGetAttribute(&a, attribute, &told, sizeof told, &bytes) == lt::success) *value = told;
    };
    ask(lt::algorithm_id, &p.id);
    ask(lt::algorithm_parts, &p.parts);
}

bool drops_tail(const plan &p, const shape &f) { return !p.none && lt::drops_tail(p.id, p.parts, f[K]); }

// Takes the first of the library's suggestions that keeps the order of sums and adds all that is to be added.
void choose(blas &z, plan &p, const shape &f) {
    const lt::library *l = z.l;
    lt::wishes w;
    LT(l, MatmulPreferenceCreate, &w);
    auto wish = [&](int32_t attribute, auto value) { LT(l, MatmulPreferenceSetAttribute, w, attribute, &value, sizeof value); };
    wish(lt::wish_workspace, (uint64_t)z.most_workspace);
    wish(lt::wish_reductions, (uint32_t)lt::reduction_compute_type);
    wish(lt::wish_alignment_a, (uint32_t)f[ALIGN_A]);
    wish(lt::wish_alignment_b, (uint32_t)f[ALIGN_B]);
    wish(lt::wish_alignment_c, (uint32_t)f[ALIGN_ADD]);
    wish(lt::wish_alignment_d, (uint32_t)f[ALIGN_Y]);
    lt::choice found[8];
    int32_t n = 0;
    const int32_t status = l->MatmulAlgoGetHeuristic(z.handle, p.what, p.a, p.b, p.y, p.y, w, sizeof found / sizeof *found, found, &n);
    LT(l, MatmulPreferenceDestroy, w);
    p.none = true;
    if (status == lt::not_supported) return;
    check(l, status, "MatmulAlgoGetHeuristic");
    for (int i = 0; i < n && p.none; i++) {
        uint32_t reduction = lt::reduction_none;
        size_t bytes = 0;
        if (found[i].state != lt::success || found[i].workspace > z.most_workspace) continue;
        const int32_t told = l->MatmulAlgoConfigGetAttribute(&found[i].which, lt::algorithm_reduction, &reduction, sizeof reduction, &bytes);
        if (told == lt::success && (reduction & ~(uint32_t)lt::reduction_compute_type)) continue;  // against the wish
        take(p, found[i].which, found[i].workspace);
        p.none = drops_tail(p, f);
    }
}

plan &plan_for(blas &z, const shape &f) {
    auto at = z.plans.find(f);
    if (at != z.plans.end()) return at->second;
    try {
        plan &p = describe(z, f);
        choose(z, p, f);
        return p;
    } catch (...) {
        z.plans.erase(f);
        throw;
    }
}

// Gives invalid_value or not_supported if the algorithm does not do this size.
int32_t run(kstream *s, blas &z, plan &p, const shape &f, const product &q) {
    const float one = 1, beta = q.add ? 1 : 0;
    resize(p, f);
    const size_t used = of(s).used;
    void *workspace = p.workspace ? scratch<char>(s, p.workspace) : nullptr;
    of(s).used = used;
    const int32_t status = z.l->Matmul(z.handle, p.what, &one, q.b, p.a, q.a, p.b, &beta, q.add ? q.add : q.y, p.y, q.y, p.y, &p.algorithm, workspace,
                                       p.workspace, of(s).queue);
    if (status != lt::invalid_value && status != lt::not_supported) check(z.l, status, "Matmul");
    return status;
}

}  // namespace

void multiply(kstream *s, const product &p) {
    if (p.rows == 0 || p.cols == 0) return;
    if (p.inner == 0 || (of(s).fixed && !p.inner_varies)) return plain(s, p);  // which adds by rising k, whatever the sizes
    blas &z = *of(s).matrices;
    shape exact = shape_of(p), rounded = exact;
    int64_t &tokens = rounded[p.inner_varies ? K : N];
    tokens = bucket(tokens);
    int32_t status = lt::success;
    for (const shape *f : {&rounded, &exact}) {  // what was chosen for more tokens may not do these
        plan &q = plan_for(z, *f);
        if (q.none) return plain(s, p);
        if (drops_tail(q, exact)) {  // never for the exact sizes, for which it would not have been chosen
            status = lt::not_supported;
            continue;
        }
        status = run(s, z, q, exact, p);
        if (status == lt::success) return;
    }
    check(z.l, status, "Matmul");
}

// ---- the choices as text: a line with what they are for, then a line for each

const char *open_matrices(stream &s) {  // what is wrong, or nullptr
    static thread_local std::string error;
    lt::handle handle;
    const lt::library *l = lt::open(&handle, &error);
    if (!l) return error.c_str();
    const std::string machine = "cublaslt " + std::to_string(l->GetVersion()) + " sm_" + std::to_string(s.capability) + " processors " + std::to_string(s.processors);
    const size_t most = std::min(s.size / 2, (size_t)32 << 20);  // what NVIDIA advises for its largest devices
    s.matrices = new blas{l, handle, machine + " workspace " + std::to_string(most), most, {}, {}};
    return nullptr;
}

void close_matrices(stream &s) { delete s.matrices; }

const char *algorithms(stream &s) {
    blas &z = *s.matrices;
    std::ostringstream out;
    out << z.machine << '\n';
    for (const auto &[f, p] : z.plans) {
        for (int64_t x : f) out << x << ' ';
        if (p.none) out << "none";
        for (int i = 0; i < 8 && !p.none; i++) out << (i ? "." : "") << std::hex << p.algorithm.data[i] << std::dec;
        if (!p.none) out << " id " << p.id << " parts " << p.parts;  // for people: read() skips it
        out << '\n';
    }
    z.text = out.str();
    return z.text.c_str();
}

namespace {

bool read(std::istringstream &in, shape *f, bool *none, lt::algorithm *a) {
    for (int64_t &x : *f)
        if (!(in >> x)) return false;
    std::string word;
    if (!(in >> word)) return false;
    *none = word == "none";
    std::istringstream parts(word);
    parts >> std::hex;
    char dot;
    for (int i = 0; i < 8 && !*none; i++)
        if ((i && !(parts >> dot)) || !(parts >> a->data[i])) return false;
    return true;
}

}  // namespace

const char *use_algorithms(stream &s, const char *text) {
    blas &z = *s.matrices;
    z.plans.clear();
    std::istringstream lines(text);
    std::string line;
    if (!std::getline(lines, line)) return nullptr;  // nothing had been chosen
    if (line != z.machine) {
        z.text = "the stored algorithms of matrix products are for \"" + line + "\", and this is \"" + z.machine + "\"";
        return z.text.c_str();
    }
    int refused = 0, all = 0;
    for (; std::getline(lines, line); all++) {
        shape f;
        bool none;
        lt::algorithm stored;
        std::istringstream in(line);
        if (!read(in, &f, &none, &stored)) {
            z.plans.clear();
            z.text = "the stored algorithms of matrix products are damaged: \"" + line + "\"";
            return z.text.c_str();
        }
        plan &p = describe(z, f);
        p.none = none;
        lt::choice checked;
        if (none) continue;
        const bool works = z.l->MatmulAlgoCheck(z.handle, p.what, p.a, p.b, p.y, p.y, &stored, &checked) == lt::success && checked.workspace <= z.most_workspace;
        if (works) take(p, stored, checked.workspace);
        if (!works || drops_tail(p, f)) {  // an older program may have chosen such a one
            refused++;
            z.plans.erase(f);
        }
    }
    if (!refused) return nullptr;
    z.text = std::to_string(refused) + " of " + std::to_string(all) + " stored algorithms of matrix products do not work on this device";
    return z.text.c_str();
}

}  // namespace gpu

using gpu::multiply;

void cuda_matmul(kstream *s, const matmul_args *a) {
    multiply(s, {a->N, a->O, a->I, a->x, a->I, false, a->w, a->I, true, a->y, a->add, a->O, a->dtype, a->y_f32 ? K_F32 : a->dtype, false});
}

void cuda_matmul_dx(kstream *s, const matmul_dx_args *a) {
    multiply(s, {a->N, a->I, a->O, a->dy, a->O, false, a->w, a->I, false, a->dx, a->accumulate ? a->dx : nullptr, a->I, a->dtype, a->dtype, false});
}

void cuda_matmul_dw(kstream *s, const matmul_dw_args *a) {
    multiply(s, {a->O, a->I, a->N, a->dy, a->O, true, a->x, a->I, false, a->dw, a->dw, a->I, a->dtype, K_F32, true});
}
