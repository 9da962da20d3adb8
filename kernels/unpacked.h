// unpacked.h: products with a weight that is kept in fewer bits, and unpacked a few rows at a time: into panels or, for few rows of x, as it
// is read. Included after product.h, per instruction set.
namespace {
namespace ARCH {

INLINE float as(float x, float) { return x; }
INLINE float as(float x, bf16) {  // rounded
    bf16 t;
    from_f32(&t, x);
    return to_f32(t);
}

// The rows of a weight as f32, for product_of_few: w.unpack(d, row) writes a row of w.width() numbers.
template <class R> struct unpacked_rows {
    R w;
    const float *operator()(int64_t row, int rows, arena &scratch, int64_t *ld) const {
        const int64_t width = *ld = w.width();
        float *d = scratch.get<float>((size_t)rows * width);
        for (int r = 0; r < rows; r++) w.unpack(d + r * width, row + r);
        return d;
    }
};

// y (N, O; rows of ldy numbers) = x (N, I)·wᵀ
template <class T, class R> void multiply_unpacked(kstream *s, T *y, int64_t ldy, const T *x, R weight, int N, int O) {
    const unpacked_rows<R> w{weight};
    const int I = (int)weight.width();
    if (N <= FEW) {
        product_of_few(s, y, ldy, x, w, N, O, I);
        return;
    }
    float *b = s->scratch.get<float>((size_t)panels(O) * NR * I);
    parallel_for(s, panels(O), [=](int64_t p, arena &scratch) {
        const int j = (int)p * NR, rows = std::min(NR, O - j);
        int64_t ld;
        const float *wf = w(j, rows, scratch, &ld);  // before ld is read
        pack_columns(b + p * NR * I, wf, ld, rows, I);
    });
    product<T, T>(s, y, nullptr, ldy, x, I, b, N, O, I);
}

// dx (N, I) = dy (N, O; rows of lddy numbers)·w, or dx += …
template <class T, class R> void multiply_unpacked_dx(kstream *s, T *dx, bool accumulate, const T *dy, int64_t lddy, R weight, int N, int O) {
    const unpacked_rows<R> w{weight};
    const int I = (int)weight.width(), some = 64;
    float *b = s->scratch.get<float>((size_t)panels(I) * NR * O);
    parallel_blocks(s, O, some, [=](int64_t lo, int64_t hi, arena &scratch) {
        int64_t ld;
        const float *rows = w(lo, (int)(hi - lo), scratch, &ld);
        for (int p = 0; p < panels(I); p++) pack_rows(b + ((int64_t)p * O + lo) * NR, rows + p * NR, ld, std::min(NR, I - p * NR), (int)(hi - lo));
    });
    product<T, T>(s, dx, accumulate ? dx : nullptr, I, dy, lddy, b, N, I, O);
}

}  // namespace ARCH
}  // namespace
