// cublaslt.cc: compares ../cublaslt.h with NVIDIA's cublasLt.h, when it is compiled; and tries to load the library, when it is run
// (cublaslt_test.go).
#include "../cublaslt.h"

#include <stdio.h>

#ifdef HAVE_CUBLASLT
#include <cublasLt.h>

#include <type_traits>

#define SAME(ours, theirs) static_assert((int64_t)lt::ours == (int64_t)theirs, #theirs)
SAME(success, CUBLAS_STATUS_SUCCESS);
SAME(invalid_value, CUBLAS_STATUS_INVALID_VALUE);
SAME(arch_mismatch, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(not_supported, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(r_32f, CUDA_R_32F);
SAME(r_16bf, CUDA_R_16BF);
SAME(compute_32f, CUBLAS_COMPUTE_32F);
SAME(op_n, CUBLAS_OP_N);
SAME(op_t, CUBLAS_OP_T);
SAME(reduction_none, CUBLASLT_REDUCTION_SCHEME_NONE);
SAME(reduction_in_place, CUBLASLT_REDUCTION_SCHEME_INPLACE);
SAME(reduction_compute_type, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(reduction_output_type, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
SAME(layout_rows, CUBLASLT_MATRIX_LAYOUT_ROWS);
SAME(layout_cols, CUBLASLT_MATRIX_LAYOUT_COLS);
SAME(layout_ld, CUBLASLT_MATRIX_LAYOUT_LD);
SAME(product_op_a, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(product_op_b, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(wish_workspace, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(wish_reductions, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(wish_alignment_a, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(wish_alignment_b, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(wish_alignment_c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(wish_alignment_d, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(algorithm_id, CUBLASLT_ALGO_CONFIG_ID);
SAME(algorithm_parts, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
SAME(algorithm_reduction, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);

static_assert(sizeof(lt::algorithm) == sizeof(cublasLtMatmulAlgo_t), "algorithm");
static_assert(sizeof(lt::choice) == sizeof(cublasLtMatmulHeuristicResult_t), "choice");
static_assert(offsetof(lt::choice, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize), "workspace");
static_assert(offsetof(lt::choice, state) == offsetof(cublasLtMatmulHeuristicResult_t, state), "state");
static_assert(offsetof(lt::choice, waves) == offsetof(cublasLtMatmulHeuristicResult_t, wavesCount), "waves");

// Functions agree in the number of parameters and in how each is passed.
template <class A, class B> constexpr bool passes = std::is_pointer<A>::value == std::is_pointer<B>::value && sizeof(A) == sizeof(B);
template <class F, class G> struct alike;
template <class R, class... P, class S, class... Q> struct alike<R (*)(P...), S (*)(Q...)> {
    template <class... X> struct list {};
    template <class X, class Y> struct all : std::false_type {};
    template <class... X, class... Y> struct all<list<X...>, list<Y...>> {
        static constexpr bool value = (passes<X, Y> && ...);
    };
    static constexpr bool value = sizeof...(P) == sizeof...(Q) && passes<R, S> && all<list<P...>, list<Q...>>::value;
};
#define X(result, name, parameters) static_assert(alike<decltype(lt::library::name), decltype(&cublasLt##name)>::value, "cublasLt" #name);
CUBLASLT_FUNCTIONS(X)
#undef X
#endif

int main() {
    lt::handle h;
    std::string error;
    if (const lt::library *l = lt::open(&h, &error)) return printf("loaded %zu\n", l->GetVersion()), 0;
    return printf("%s\n", error.c_str()), 0;
}
