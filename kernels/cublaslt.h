// cublaslt.h: the part of NVIDIA's cuBLASLt that matmul.cu calls, and how it is found. The library is half a gigabyte, so it is
// loaded when a CUDA device is opened and not linked: the same binary runs without it on the CPU.
//
// Types and values are those of the public interface and are the same in cuBLAS 12.4 to 13.x; names are shorter. testdata/cublaslt.cc
// compares them with NVIDIA's header. Matrices are column-major.
#ifndef CRITICRM_CUBLASLT_H
#define CRITICRM_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

#include <string>

namespace lt {

const size_t oldest = 120400;                              // in the form of GetVersion: 12.4.0
enum status : int32_t { success = 0, invalid_value = 7, arch_mismatch = 8, not_supported = 15 };

enum type : int32_t { r_32f = 0, r_16bf = 14 };
enum : int32_t { compute_32f = 68 };                       // float32 from end to end: no TF32
enum : int32_t { op_n = 0, op_t = 1 };                     // as it is, transposed
enum : uint32_t { reduction_none = 0, reduction_in_place = 1, reduction_compute_type = 2, reduction_output_type = 4 };

// Attributes, with the type of their values.
enum : int32_t { layout_rows = 2, layout_cols = 3, layout_ld = 4 };                                   // uint64_t, uint64_t, int64_t
enum : int32_t { product_op_a = 3, product_op_b = 4 };                                                // int32_t
enum : int32_t { wish_workspace = 1, wish_reductions = 3 };                                           // uint64_t, uint32_t (mask)
enum : int32_t { wish_alignment_a = 5, wish_alignment_b = 6, wish_alignment_c = 7, wish_alignment_d = 8 };  // uint32_t, in bytes
enum : int32_t { algorithm_id = 0, algorithm_parts = 2, algorithm_reduction = 3 };                    // int32_t, uint32_t, uint32_t

typedef struct handle_ *handle;
typedef struct product_ *product;                          // what is to be computed: d = alpha·op(a)·op(b) + beta·c
typedef struct layout_ *layout;                            // of a matrix
typedef struct wishes_ *wishes;                            // what an algorithm must not or may do

struct algorithm {                                         // may be stored, for the same version of the library
    uint64_t data[8];
};
struct choice {
    algorithm which;
    size_t workspace;                                      // bytes that it needs
    int32_t state;                                         // a status
    float waves;
    int32_t reserved[4];
};

// X(result, name, parameters): the library's function is cublasLt<name>.
#define CUBLASLT_FUNCTIONS(X)                                                                                                              \
    X(size_t, GetVersion, (void))                                              /* 10000·major + 100·minor + patch */                       \
    X(const char *, GetStatusString, (int32_t))                                                                                            \
    X(int32_t, Create, (handle *))                                                                                                         \
    X(int32_t, Destroy, (handle))                                                                                                          \
    X(int32_t, MatmulDescCreate, (product *, int32_t compute, int32_t scale_type))                                                         \
    X(int32_t, MatmulDescDestroy, (product))                                                                                               \
    X(int32_t, MatmulDescSetAttribute, (product, int32_t attribute, const void *value, size_t bytes))                                      \
    X(int32_t, MatrixLayoutCreate, (layout *, int32_t type, uint64_t rows, uint64_t cols, int64_t ld))                                     \
    X(int32_t, MatrixLayoutDestroy, (layout))                                                                                              \
    X(int32_t, MatrixLayoutSetAttribute, (layout, int32_t attribute, const void *value, size_t bytes))                                     \
    X(int32_t, MatmulPreferenceCreate, (wishes *))                                                                                         \
    X(int32_t, MatmulPreferenceDestroy, (wishes))                                                                                          \
    X(int32_t, MatmulPreferenceSetAttribute, (wishes, int32_t attribute, const void *value, size_t bytes))                                 \
    X(int32_t, MatmulAlgoGetHeuristic, (handle, product, layout a, layout b, layout c, layout d, wishes, int32_t most, choice *, int32_t *found)) \
    X(int32_t, MatmulAlgoCheck, (handle, product, layout a, layout b, layout c, layout d, const algorithm *, choice *))                    \
    X(int32_t, MatmulAlgoConfigGetAttribute, (const algorithm *, int32_t attribute, void *value, size_t bytes, size_t *written))           \
    X(int32_t, Matmul, (handle, product, const void *alpha, const void *a, layout, const void *b, layout, const void *beta, const void *c, \
                        layout, void *d, layout, const algorithm *, void *workspace, size_t workspace_bytes, void *stream))

// Whether a product over k with this algorithm leaves out its last k % 64 values: algorithm 66 (nvjet, on compute capability 9.0 and newer)
// does, when the inner size is split into so many parts that fit the whole blocks of 64. A fault of cuBLAS 12.8 and 13.1, which
// facebookexperimental/triton PR 2767 found: over 1.5 million products on an H100 this condition held exactly for those with the fault.
// It is asked on any version and device: the next algorithm costs little.
inline bool drops_tail(int32_t id, uint32_t parts, int64_t k) {
    const int64_t tail = k % 64;
    return id == 66 && parts > 1 && tail != 0 && k / 64 % parts == 0 && parts > tail;
}

struct library {
#define X(result, name, parameters) result(*name) parameters;
    CUBLASLT_FUNCTIONS(X)
#undef X
};

// The library with a handle for the current device, or nullptr and what to do about it. It stays loaded.
const library *open(handle *, std::string *error);

}  // namespace lt
#endif
