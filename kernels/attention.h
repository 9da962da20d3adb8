// attention.h: what attention and its backward share. Included after gemm.h, per instruction set.
namespace {
namespace ARCH {

const int QB = 48;            // queries per block: whole tiles of rows
const int CHUNK = 128;        // keys whose scores exist at once: QB·CHUNK floats stay in L1 or L2
const float LOWEST = -1e30f;  // maximum over no keys: finite, so that a difference with the score of a hidden key is no NaN
const float HIDDEN = -INFINITY;  // score of a key that a query does not see

// The cap of products before they are scaled: x becomes cap·tanh(x/cap). 0: none.
struct soft_cap {
    float cap, inverse;

    soft_cap(float scale, float of_scores) : cap(of_scores / scale), inverse(of_scores > 0 ? scale / of_scores : 0) {}
    INLINE vf soft(vf x) const { return cap > 0 ? vtanh(x * inverse) * cap : x; }
    INLINE vf slope(vf soft) const { return 1.0f - soft * inverse * (soft * inverse); }  // of soft by x, from its result; 1 without a cap
};

// Real numbers as f32: themselves, or a converted copy.
inline const float *all_f32(kstream *, const float *p, int64_t) { return p; }
inline const float *all_f32(kstream *s, const bf16 *p, int64_t n) {
    float *d = s->scratch.get<float>(n);
    parallel_blocks(s, n, 16384, [=](int64_t lo, int64_t hi, arena &) { to_f32_row(d + lo, p + lo, (int)(hi - lo)); });
    return d;
}

}  // namespace ARCH
}  // namespace
