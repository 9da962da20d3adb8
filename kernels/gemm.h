// gemm.h: C = (add) + A·B in f32, the core of matmul, attention and the critique loss. Included after vec.h, per instruction set.
//
// B is packed into panels of NR columns: panel p holds B[k][p·NR … + NR] as rows k of NR floats, zero beyond the last column. A is
// read where it lies: rows (A[m][k] at a[m·lda + k]; STREAM: rows that come from memory, each for one tile) or, for a transposed factor,
// columns (a[k·lda + m]), which gemm_columns copies to slivers first: R columns side by side, k by k, for a tile of R rows of C. A tile of MR × NR sums
// stays in registers; each element of C is one chain of sums over k, so where tiles are cut never changes its bits. Only the blocks
// of k do, and they are KC long everywhere. gemm_chain's sums go on from C, so that no cut of k changes one.

namespace {
namespace ARCH {

#if W == 16
const int MR = 12, NV = 2;  // 24 sums, 2 of B, 6 spare of 32 registers
#else
const int MR = 6, NV = 2;   // 12 sums, 2 of B, 2 spare of 16 registers
#endif
const int NR = NV * W, KC = 512;

enum layout { ROWS, STREAM, COLUMNS, SLIVERS };

constexpr bool by_rows(layout l) { return l == ROWS || l == STREAM; }

// c[R][V·W] = add + a·b; add is NULL, another matrix, or c itself. With CHAIN the sums begin with add, else it comes last.
template <layout L, int R, int V, bool CHAIN = false>
INLINE void micro(float *c, int64_t ldc, const float *add, int64_t ldadd, const float *a, int64_t lda, const float *b, int K) {
    const int64_t rs = by_rows(L) ? lda : 1, ks = by_rows(L) ? 1 : L == COLUMNS ? lda : R;
    vf s[R][V];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < V; v++) s[r][v] = CHAIN && add ? load(add + r * ldadd + v * W) : vf{};
    const int line = 16;  // floats: of each row, a cache line of the next tile is asked for
    for (int k = 0; k < K;) {
        if (L == STREAM)
            for (int r = 0; r < R; r++) __builtin_prefetch(a + (R + r) * rs, 0, 2);
        for (const int end = L == STREAM ? std::min(K, k + line) : K; k < end; k++, a += ks, b += NR) {
            vf bv[V];
            UNROLL for (int v = 0; v < V; v++) bv[v] = load(b + v * W);
            UNROLL for (int r = 0; r < R; r++) {
                vf x = splat(a[r * rs]);
                UNROLL for (int v = 0; v < V; v++) s[r][v] += x * bv[v];
            }
        }
    }
    if (!CHAIN && add) {
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < V; v++) s[r][v] += load(add + r * ldadd + v * W);
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < V; v++) store(c + r * ldc + v * W, s[r][v]);
}

// One panel of C, n <= NR columns of it.
template <layout L, int R>
inline void tile(float *c, int64_t ldc, const float *add, int64_t ldadd, const float *a, int64_t lda, const float *b, int K, int n) {
    if (n == NR) {
        micro<L, R, NV>(c, ldc, add, ldadd, a, lda, b, K);
        return;
    }
    float t[R * NR] = {};  // g++ 13 does not see that what is read is written
    if (n <= W) micro<L, R, 1>(t, NR, nullptr, 0, a, lda, b, K);
    else micro<L, R, NV>(t, NR, nullptr, 0, a, lda, b, K);
    for (int r = 0; r < R; r++)
        for (int j = 0; j < n; j++) c[r * ldc + j] = t[r * NR + j] + (add ? add[r * ldadd + j] : 0);
}

// Rows of C in tiles: as many as fit of each height, the highest first.
#undef ALL_TILES
#if W == 16
#define ALL_TILES TILES(MR) TILES(8) TILES(4) TILES(2) TILES(1)
#else
#define ALL_TILES TILES(MR) TILES(4) TILES(2) TILES(1)
#endif

// C (M, N) = add + A (M, K)·B (K, N); panels of b are stride floats apart. K <= KC, or the caller wants one chain.
template <layout L>
void gemm_block(float *c, int64_t ldc, const float *add, int64_t ldadd, const float *a, int64_t lda, const float *b, int64_t stride,
                int M, int N, int K) {
    const int64_t rs = by_rows(L) ? lda : L == COLUMNS ? 1 : K;
    for (int j = 0; j < N; j += NR, b += stride) {
        int n = std::min(NR, N - j), m = 0;
        const float *d = add ? add + j : nullptr;
#define TILES(R)                                                                                                      \
    for (; m + (R) <= M; m += (R))                                                                                    \
        tile<L, (R)>(c + m * ldc + j, ldc, d ? d + m * ldadd : nullptr, ldadd, a + m * rs, lda, b, K, n);
        ALL_TILES
#undef TILES
    }
}

// The same for any K and rows of A.
inline void gemm(float *c, int64_t ldc, const float *add, int64_t ldadd, const float *a, int64_t lda, const float *b, int64_t stride, int M,
                 int N, int K) {
    int k = 0;
    do {
        int kc = std::min(KC, K - k);
        gemm_block<ROWS>(c, ldc, k ? c : add, k ? ldc : ldadd, a + k, lda, b + (int64_t)k * NR, stride, M, N, kc);
        k += kc;
    } while (k < K);
}

// R columns of A become a sliver: side by side, k by k.
template <int R, class T> INLINE void sliver(float *__restrict d, const T *__restrict a) {
    float t[R];
    UNROLL for (int r = 0; r < R; r++) t[r] = to_f32(a[r]);
    memcpy(d, t, sizeof t);
}

// M columns of A, K long, as the slivers of their tiles, each m·K floats after the start. All slivers grow together, for the sake of
// the cache lines and pages that the columns share.
template <class T> void pack_slivers(float *d, const T *a, int64_t lda, int M, int K) {
    const int ahead = 8;
    for (int k = 0; k < K; k++, a += lda) {
        if (k + ahead < K)
            for (int m = 0; m < M; m += 64 / (int)sizeof(T)) __builtin_prefetch(a + ahead * lda + m);
        int m = 0;
#define TILES(R) \
    for (; m + (R) <= M; m += (R)) sliver<(R)>(d + (int64_t)m * K + k * (R), a + m);
        ALL_TILES
#undef TILES
    }
}

// The same for columns of A: read where they lie, each element would touch a cache line and often a page of its own.
template <class T>
void gemm_columns(float *c, int64_t ldc, const float *add, int64_t ldadd, const T *a, int64_t lda, const float *b, int64_t stride, int M,
                  int N, int K, arena &scratch) {
    float *slivers = scratch.get<float>((size_t)M * std::min(KC, K));
    int k = 0;
    do {
        int kc = std::min(KC, K - k);
        pack_slivers(slivers, a + (int64_t)k * lda, lda, M, kc);
        gemm_block<SLIVERS>(c, ldc, k ? c : add, k ? ldc : ldadd, slivers, 0, b + (int64_t)k * NR, stride, M, N, kc);
        k += kc;
    } while (k < K);
}

// C (M, N) = add + A (M, K)·B (K, N) in whole panels, each sum going on from add, which may be NULL or c: calls for the pieces of K, one
// after the other, give the bits of one call for all of it.
inline void gemm_chain(float *c, int64_t ldc, const float *add, const float *a, int64_t lda, const float *b, int64_t stride, int M, int N, int K) {
    for (int j = 0; j < N; j += NR, b += stride) {
        int m = 0;
#define TILES(R) \
    for (; m + (R) <= M; m += (R)) micro<ROWS, (R), NV, true>(c + m * ldc + j, ldc, add ? add + m * ldc + j : nullptr, ldc, a + m * lda, lda, b, K);
        ALL_TILES
#undef TILES
    }
}

// One panel of C of which V·W columns are wanted; c is NR wide, add is NULL or c.
template <layout L, int V, bool CHAIN = false>
void gemm_panel(float *c, const float *add, const float *a, int64_t lda, const float *b, int M, int K) {
    const int64_t rs = by_rows(L) ? lda : 1;
    int m = 0;
#define TILES(R) \
    for (; m + (R) <= M; m += (R)) micro<L, (R), V, CHAIN>(c + m * NR, NR, add ? add + m * NR : nullptr, NR, a + m * rs, lda, b, K);
    TILES(MR)
    TILES(4)
    TILES(1)
#undef TILES
}

template <int H> INLINE void transpose_stage(vf *r) {
    vi lo{}, hi{};
    UNROLL for (int l = 0; l < W; l++) {
        lo[l] = l & H ? W + l - H : l;
        hi[l] = l & H ? W + l : l + H;
    }
    UNROLL for (int i = 0; i < W; i++) {
        if (i & H) continue;
        vf a = r[i], b = r[i + H];
        r[i] = __builtin_shuffle(a, b, lo);
        r[i + H] = __builtin_shuffle(a, b, hi);
    }
}

// W rows of W floats, in place.
INLINE void transpose(vf *r) {
#if W == 16
    transpose_stage<8>(r);
#endif
#if W >= 8
    transpose_stage<4>(r);
#endif
    transpose_stage<2>(r);
    transpose_stage<1>(r);
}

// Panel of B = Xᵀ: n <= NR rows of x, K long, become columns.
template <class T> void pack_columns(float *d, const T *x, int64_t ld, int n, int K) {
    for (int j = 0; j < NR; j += W) {
        int k = 0, m = std::min(W, n - j);
        if (m == W) {
            for (; k + W <= K; k += W) {
                vf r[W];
                UNROLL for (int i = 0; i < W; i++) r[i] = load(x + (j + i) * ld + k);
                transpose(r);
                UNROLL for (int i = 0; i < W; i++) store(d + (int64_t)(k + i) * NR + j, r[i]);
            }
        }
        for (; k < K; k++)
            for (int i = 0; i < W; i++) d[(int64_t)k * NR + j + i] = i < m ? to_f32(x[(j + i) * ld + k]) : 0;
    }
}

// Panel of B = X: n <= NR columns of K rows.
template <class T> void pack_rows(float *d, const T *x, int64_t ld, int n, int K) {
    for (int k = 0; k < K; k++, d += NR, x += ld) {
        if (n == NR) {
            UNROLL for (int v = 0; v < NV; v++) store(d + v * W, load(x + v * W));
        } else {
            for (int j = 0; j < NR; j++) d[j] = j < n ? to_f32(x[j]) : 0;
        }
    }
}

inline int panels(int n) { return (n + NR - 1) / NR; }

// All panels of B = Xᵀ, X (N, K); on all threads.
template <class T> float *pack_transposed(kstream *s, const T *x, int64_t ld, int N, int K) {
    float *d = s->scratch.get<float>((size_t)panels(N) * NR * K);
    parallel_for(s, panels(N), [=](int64_t p, arena &) {
        int j = (int)p * NR;
        pack_columns(d + p * NR * K, x + j * ld, ld, std::min(NR, N - j), K);
    });
    return d;
}

// All panels of B = X, X (K, N); on all threads.
template <class T> float *pack(kstream *s, const T *x, int64_t ld, int N, int K) {
    const int block = 256;
    float *d = s->scratch.get<float>((size_t)panels(N) * NR * K);
    parallel_blocks(s, K, block, [=](int64_t lo, int64_t hi, arena &) {
        for (int p = 0; p < panels(N); p++)
            pack_rows(d + ((int64_t)p * K + lo) * NR, x + lo * ld + p * NR, ld, std::min(NR, N - p * NR), (int)(hi - lo));
    });
    return d;
}

// f(m, rows, panel, panels, scratch) for tiles that cover M rows and N columns: enough for the threads, large enough to reuse the
// panels. The cut depends on the number of threads; no bit of a result does (see above).
template <class F> void parallel_tiles(kstream *s, int M, int N, F f) {
    int want = s->pool.size() == 1 ? 1 : 4 * s->pool.size(), P = panels(N), rows = 96;
    while (rows > 48 && (M + rows - 1) / rows < want) rows /= 2;
    if (rows == 48 && (int64_t)(M + rows - 1) / rows * P < want) rows = 24;
    int nm = (M + rows - 1) / rows, np = std::max(1, std::min(P, want / std::max(nm, 1)));
    int width = (P + np - 1) / std::max(np, 1);
    if (width < 1) return;
    np = (P + width - 1) / width;
    parallel_for(s, (int64_t)nm * np, [&](int64_t i, arena &scratch) {
        int m = (int)(i / np) * rows, p = (int)(i % np) * width;
        f(m, std::min(rows, M - m), p, std::min(width, P - p), scratch);
    });
}

}  // namespace ARCH
}  // namespace
