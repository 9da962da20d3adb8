// attention.h: what attention and its backward share. Included after gemm.h, per instruction set.
namespace {
namespace ARCH {

const int QB = 48;            // queries per block: whole tiles of rows
const int CHUNK = 128;        // keys whose scores exist at once: QB·CHUNK floats stay in L1 or L2
const float HIDDEN = -1e30f;  // score of a key that a query does not see: finite, so that differences of two are no NaN

// Real numbers as f32: themselves, or a converted copy.
inline const float *all_f32(kstream *, const float *p, int64_t) { return p; }
inline const float *all_f32(kstream *s, const bf16 *p, int64_t n) {
    float *d = s->scratch.get<float>(n);
    parallel_blocks(s, n, 16384, [=](int64_t lo, int64_t hi, arena &) { to_f32_row(d + lo, p + lo, (int)(hi - lo)); });
    return d;
}

}  // namespace ARCH
}  // namespace
