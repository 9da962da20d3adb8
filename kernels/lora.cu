// lora.cu: the low-rank part of a projection, y += t·bᵀ on some columns of both, and its gradients dt = dy·b, db += dyᵀ·t.
// Products of windows of matrices: a row of the window is as far from the next as a row of the whole.
#include "matmul.cuh"

using namespace gpu;

namespace {

template <class T> const T *column(const void *m, int c) { return (const T *)m + c; }

template <class T> void forward(kstream *s, const lora_args *a) {
    T *y = (T *)a->y + a->at;
    multiply(s, {a->N, a->O, a->R, column<T>(a->t, a->from), a->P, false, a->b, a->R, true, y, y, a->C, a->dtype, a->dtype, false});
}

template <class T> void backward(kstream *s, const lora_backward_args *a) {
    const T *dy = column<T>(a->dy, a->at);
    multiply(s, {a->N, a->R, a->O, dy, a->C, false, a->b, a->R, false, (T *)a->dt + a->from, nullptr, a->P, a->dtype, a->dtype, false});
    multiply(s, {a->O, a->R, a->N, dy, a->C, true, column<T>(a->t, a->from), a->P, false, a->db, a->db, a->R, a->dtype, K_F32, true});
}

}  // namespace

void cuda_lora(kstream *s, const lora_args *a) {
    real(a->dtype, [&](auto zero) { forward<decltype(zero)>(s, a); });
}

void cuda_lora_backward(kstream *s, const lora_backward_args *a) {
    real(a->dtype, [&](auto zero) { backward<decltype(zero)>(s, a); });
}
