// matmul.cuh: dense products, for the ops that are made of them.
#ifndef CRITICRM_MATMUL_CUH
#define CRITICRM_MATMUL_CUH

#include "cuda.cuh"

namespace gpu {

// y (rows, cols) = a·b (+ add), row-major, summed in f32 and rounded once. In memory a is (rows, inner) or, transposed, (inner, rows);
// b is (inner, cols) or, transposed, (cols, inner). lda, ldb and ldy are elements from a row in memory to the next.
struct product {
    int rows, cols, inner;
    const void *a;
    int64_t lda;
    bool a_transposed;
    const void *b;
    int64_t ldb;
    bool b_transposed;
    void *y;
    const void *add;      // as y, or NULL; may be y itself
    int64_t ldy;
    kdtype in, out;       // of a and b; of y and add: as in, or K_F32
    bool inner_varies;    // inner is a number of tokens, another one in every batch; else rows is
};

// Any sizes and alignments. Workspace that it takes is free again on return: what follows on the stream runs after it.
void multiply(kstream *s, const product &p);

}  // namespace gpu
#endif
