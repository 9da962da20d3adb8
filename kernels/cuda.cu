// cuda.cu: the table of the CUDA implementation, and what a stream needs around its ops.
#include "cuda.cuh"

#ifndef __CUDACC__
#include "emu/device.h"
#endif

namespace gpu {
void close_matrices(stream &);  // matmul.cu
}

using gpu::of;
using gpu::stream;

namespace {

#ifdef __CUDACC__
const char *text(cudaError_t e) { return e == cudaSuccess ? nullptr : cudaGetErrorString(e); }
const char *use(int device) {  // for the calling thread, on which others use other devices
    int current;
    if (cudaGetDevice(&current) == cudaSuccess && current == device) return nullptr;
    return text(cudaSetDevice(device));
}
const char *count_processors(int device, int *n) { return text(cudaDeviceGetAttribute(n, cudaDevAttrMultiProcessorCount, device)); }
const char *clear(void *p, size_t bytes, void *queue) { return text(cudaMemsetAsync(p, 0, bytes, (cudaStream_t)queue)); }
#else
const char *use(int) { return nullptr; }
const char *count_processors(int, int *n) {
    *n = 2;
    return nullptr;
}
const char *clear(void *p, size_t bytes, void *queue) {
    emu_fill(queue, p, 0, bytes);
    return nullptr;
}
#endif

// All C++ that Go calls goes through here, so no exception reaches it.
template <class F> void guard(kstream *k, const char *op, F f) {
    stream &s = of(k);
    if (s.faulted) return;
    try {
        if (const char *e = use(s.device)) throw std::runtime_error(e);
        s.used = 0;
        f();
    } catch (const std::exception &e) {
        s.faulted = true;
        s.fault = std::string(op) + ": " + e.what();
    } catch (...) {
        s.faulted = true;
        s.fault = std::string(op) + ": unknown exception";
    }
}

void cuda_close(kstream *k) {
    use(of(k).device);
    gpu::close_matrices(of(k));
    delete &of(k);
}

const char *cuda_sync(kstream *k) {
    stream &s = of(k);
    if (!s.faulted) return nullptr;
    s.faulted = false;
    s.reported.swap(s.fault);
    return s.reported.c_str();
}

#define X(op) \
    void guarded_##op(kstream *s, const op##_args *a) { guard(s, #op, [&] { cuda_##op(s, a); }); }
KERNEL_OPS(X)
#undef X

}  // namespace

kstream *cuda_open(int32_t device, void *queue, void *workspace, size_t bytes, const char **error) {
    const size_t head = gpu::counter_count * sizeof(int32_t);
    if (bytes < head) return *error = "the workspace is too small", nullptr;
    if ((*error = use(device))) return nullptr;
    stream *s = new stream;
    s->device = device, s->queue = queue;
    s->counters = (int32_t *)workspace, s->workspace = (char *)workspace + head, s->size = bytes - head;
    if (!(*error = count_processors(device, &s->processors))) *error = clear(workspace, head, queue);
    if (*error) return delete s, nullptr;
    return reinterpret_cast<kstream *>(s);
}

#define X(op) guarded_##op,
const kernel_table kernels_cuda = {"cuda", cuda_close, cuda_sync, KERNEL_OPS(X)};
#undef X
