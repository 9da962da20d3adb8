// vec.h: vectors of W floats, one register of the instruction set ARCH. Included by arch.h, once per set.
namespace {
namespace ARCH {

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef float vf_mem __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t vi_mem __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint16_t vh_mem __attribute__((vector_size(2 * W), aligned(2), may_alias));

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vf load(const float *p) { return *(const vf_mem *)p; }
INLINE vi load(const int32_t *p) { return *(const vi_mem *)p; }
INLINE void store(float *p, vf x) { *(vf_mem *)p = x; }

// bf16. With AVX-512 as the odd halves of the words: a conversion of integers would be the same, but gcc cuts it to 256 bits, which is
// 1.6 times slower.
#if W == 16
typedef uint16_t vh __attribute__((vector_size(2 * W)));
typedef uint16_t vhh __attribute__((vector_size(4 * W)));
INLINE vf load(const bf16 *p) {
    return (vf)(vhh)__builtin_shufflevector(vh{}, (vh)*(const vh_mem *)p, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9,
                                            25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
INLINE void store(bf16 *p, vf x) {
    vu b = (vu)x, r = b + 0x7fff + (b >> 16 & 1);
    r = x != x ? (b | 0x400000) : r;
    *(vh_mem *)p = (vh_mem)__builtin_shufflevector((vhh)r, (vhh)r, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
#else
INLINE vf load(const bf16 *p) { return (vf)(__builtin_convertvector(*(const vh_mem *)p, vu) << 16); }
INLINE void store(bf16 *p, vf x) {
    vu b = (vu)x, r = (b + 0x7fff + (b >> 16 & 1)) >> 16;
    vu nan = (vu)((b & 0x7fffffff) > 0x7f800000);
    *(vh_mem *)p = __builtin_convertvector((nan & (b >> 16 | 0x40)) | (~nan & r), vh_mem);
}
#endif

INLINE vf splat(float x) { return x - vf{}; }
INLINE vi splat(int32_t x) { return x - vi{}; }
INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
INLINE vi lanes() {
    vi x;
    UNROLL for (int i = 0; i < W; i++) x[i] = i;
    return x;
}

// Sum and maximum over the lanes, halving the width each time.
template <class O> INLINE float reduce(vf x, O op) {
    float a[W];
    store(a, x);
    UNROLL for (int w = W / 2; w; w /= 2)
        UNROLL for (int i = 0; i < w; i++) a[i] = op(a[i], a[i + w]);
    return a[0];
}
INLINE float sum(vf x) { return reduce(x, [](float a, float b) { return a + b; }); }
INLINE float maximum(vf x) { return reduce(x, [](float a, float b) { return a > b ? a : b; }); }

// 2^x within about 1 ulp for x <= 127; 0 below -127. x is n + f with |f| <= 1/2; the polynomial is minimax in the relative error
// (1.9e-8, by Remez exchange) among those with 2^0 = 1. NaN stays NaN.
INLINE vf vexp2(vf x) {
    const vf lo = splat(-127.0f);
    vf y = x < lo ? lo : x;
    vf n = y + 12582912.0f;  // rounds to an integer in the low bits
    vi k = (vi)n;
    vf f = y - (n - 12582912.0f);
    vf p = f * 0.000169482402f + 0.00134355237f;
    p = p * f + 0.0096126385f;
    p = p * f + 0.0555020459f;
    p = p * f + 0.240226969f;
    p = p * f + 0.693147302f;
    p = p * f + 1.0f;
    vf r = (vf)((vi)p + (k << 23));
    return x < lo ? vf{} : r;
}
const float log2e = 1.44269504f, ln2 = 0.693147181f;

// tanh(x) within about 2 ulp: the polynomial of Cephes tanhf (Moshier 1992) below 0.625, 1 - 2/(e^2|x| + 1) above. NaN stays NaN.
INLINE vf vtanh(vf x) {
    const vf most = splat(30.0f);
    vf a = x < 0 ? -x : x, z = x * x;
    vf p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    vf b = 1.0f - 2.0f / (vexp2((a > most ? most : a) * (2 * log2e)) + 1.0f);
    return a < 0.625f ? p : x < 0 ? -b : b;
}

// Rows of n elements between f32 and the real type T; the tail goes element by element.
template <class T> INLINE void to_f32_row(float *d, const T *p, int n) {
    int i = 0;
    for (; i + W <= n; i += W) store(d + i, load(p + i));
    for (; i < n; i++) d[i] = to_f32(p[i]);
}
template <class T> INLINE void from_f32_row(T *d, const float *p, int n) {
    int i = 0;
    for (; i + W <= n; i += W) store(d + i, load(p + i));
    for (; i < n; i++) from_f32(d + i, p[i]);
}
// d = p + add
template <class T> INLINE void from_f32_row(T *d, const float *p, const T *add, int n) {
    int i = 0;
    for (; i + W <= n; i += W) store(d + i, load(p + i) + load(add + i));
    for (; i < n; i++) from_f32(d + i, p[i] + to_f32(add[i]));
}

// n rows of m elements, ld apart, as f32 rows of a distance that is written to *ld_out: in place, or converted in scratch.
INLINE const float *f32_rows(const float *p, int64_t ld, int, int, arena &, int64_t *ld_out) {
    *ld_out = ld;
    return p;
}
inline const float *f32_rows(const bf16 *p, int64_t ld, int n, int m, arena &scratch, int64_t *ld_out) {
    float *d = scratch.get<float>((size_t)n * m);
    for (int i = 0; i < n; i++) to_f32_row(d + (size_t)i * m, p + i * ld, m);
    *ld_out = m;
    return d;
}

}  // namespace ARCH
}  // namespace
