// attention.h: what attention and its backward share: panels of keys, which of them a block of queries sees, and masks.
// Included after gemm.h, per instruction set.
namespace {
namespace ARCH {

const int QB = 48;            // queries per block: whole tiles of rows
const int CHUNK = 128;        // keys whose scores exist at once: QB·CHUNK floats stay in L1 or L2
const float HIDDEN = -1e30f;  // score of a key that a query does not see: finite, so that differences of two are no NaN

enum sight { NONE, SOME, ALL };

// The forest by panels of NR keys.
struct key_panels {
    int N, count;
    int32_t *end;       // (count·NR) padded with 0: seen by nobody
    int32_t *lo, *hi;   // (count) smallest and largest end

    key_panels(kstream *s, const int32_t *e, int n) : N(n), count(panels(n)) {
        end = s->scratch.get<int32_t>((size_t)count * NR);
        lo = s->scratch.get<int32_t>(count);
        hi = s->scratch.get<int32_t>(count);
        for (int i = 0; i < count * NR; i++) end[i] = i < n ? e[i] : 0;
        for (int p = 0; p < count; p++) {
            lo[p] = *std::min_element(end + p * NR, end + (p + 1) * NR);
            hi[p] = *std::max_element(end + p * NR, end + (p + 1) * NR);
        }
    }
    // What queries [q0, q1) see of panel p.
    sight of(int p, int q0, int q1) const {
        int k0 = p * NR;
        if (k0 >= q1 || hi[p] <= q0) return NONE;
        return k0 + NR - 1 <= q0 && lo[p] >= q1 ? ALL : SOME;
    }
};

// Scores (NR) of query q against panel p: HIDDEN where it does not see the key.
INLINE void mask(float *score, const key_panels &keys, int p, int q) {
    UNROLL for (int v = 0; v < NV; v++) {
        int k = p * NR + v * W;
        vi index = splat((int32_t)k) + lanes(), end = load(keys.end + k), at = splat((int32_t)q);
        store(score + v * W, (index <= at) & (end > at) ? load(score + v * W) : splat(HIDDEN));
    }
}

// Real numbers as f32: themselves, or a converted copy.
inline const float *all_f32(kstream *, const float *p, int64_t) { return p; }
inline const float *all_f32(kstream *s, const bf16 *p, int64_t n) {
    float *d = s->scratch.get<float>(n);
    parallel_blocks(s, n, 16384, [=](int64_t lo, int64_t hi, arena &) { to_f32_row(d + lo, p + lo, (int)(hi - lo)); });
    return d;
}

// heads matrices (N, D) that begin D apart in rows of ld, packed by columns: panel p of head h, (D, NR), is at (h·panels(N) + p)·NR·D.
inline float *pack_head_columns(kstream *s, const float *x, int64_t ld, int heads, int N, int D) {
    const int P = panels(N);
    float *d = s->scratch.get<float>((size_t)heads * P * NR * D);
    parallel_for(s, (int64_t)heads * P, [=](int64_t i, arena &) {
        int h = (int)(i / P), j = (int)(i % P) * NR;
        pack_columns(d + i * NR * D, x + j * ld + h * D, ld, std::min(NR, N - j), D);
    });
    return d;
}

// The same packed by rows: row n of panel p of head h, (NR), is at head_rows(h, p) + n·NR; rows beyond N are zero.
struct head_rows {
    float *d;
    int64_t rows;  // N rounded up to NR
    int panel_count;

    head_rows(kstream *s, const float *x, int64_t ld, int heads, int N, int D) {
        rows = (int64_t)panels(N) * NR;
        panel_count = panels(D);
        d = s->scratch.get<float>((size_t)heads * panel_count * rows * NR);
        parallel_for(s, (int64_t)heads * panels(N), [&](int64_t i, arena &) {
            int h = (int)(i / panels(N)), n = (int)(i % panels(N)) * NR, m = std::min(NR, N - n);
            for (int p = 0; p < panel_count; p++) {
                float *to = d + offset(h, p) + (int64_t)n * NR;
                pack_rows(to, x + n * ld + h * D + p * NR, ld, std::min(NR, D - p * NR), m);
                std::fill(to + m * NR, to + NR * NR, 0.0f);
            }
        });
    }
    int64_t offset(int h, int p) const { return ((int64_t)h * panel_count + p) * stride(); }
    const float *at(int h, int64_t row) const { return d + offset(h, 0) + row * NR; }
    int64_t stride() const { return rows * NR; }  // between the panels of a head
};

}  // namespace ARCH
}  // namespace
