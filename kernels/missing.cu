// missing.cu: ops that have no .cu yet. Weak: a real definition takes its place. This file goes when all are there.
#include "cuda.cuh"

#define X(op) \
    __attribute__((weak)) void cuda_##op(kstream *, const op##_args *) { throw std::runtime_error("not written yet"); }
KERNEL_OPS(X)
#undef X
