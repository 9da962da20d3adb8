// dry.cc: ops that do nothing, for what the host and the memory have to do with a model's work.
#include "kernels.h"

namespace {

#define X(op) \
    void dry_##op(kstream *, const op##_args *) {}
KERNEL_OPS(X)
#undef X

void close(kstream *) {}
const char *sync(kstream *) { return nullptr; }
const char *algorithms(kstream *) { return ""; }
const char *use_algorithms(kstream *, const char *) { return nullptr; }
void fix(kstream *, int32_t) {}

}  // namespace

#define X(op) dry_##op,
const kernel_table kernels_dry = {"cuda", close, sync, algorithms, use_algorithms, fix, KERNEL_OPS(X)};
#undef X
