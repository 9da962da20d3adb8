// cuda.cu: the table of the CUDA implementation, and what a stream needs around its ops.
#include "cuda.cuh"

#ifndef __CUDACC__
#include "emu/device.h"
#endif

namespace gpu {  // matmul.cu
const char *open_matrices(stream &);
void close_matrices(stream &);
const char *algorithms(stream &);
const char *use_algorithms(stream &, const char *text);
}  // namespace gpu

using gpu::of;
using gpu::stream;

namespace {

#ifndef __CUDACC__
typedef int cudaError_t;
const cudaError_t cudaSuccess = 0;
cudaError_t cudaSetDevice(int device) { return emu_set_device(device); }
const char *cudaGetErrorString(cudaError_t) { return "there is no such device"; }
#endif
const char *text(cudaError_t e) { return e == cudaSuccess ? nullptr : cudaGetErrorString(e); }

// For the calling thread, on which others use other devices. Always asked for: on a thread that has made no call yet, device 0 is the
// runtime's already (cudaGetDevice) but has no current context, and cuBLASLt, which calls the driver, needs one.
const char *use(int device) { return text(cudaSetDevice(device)); }

#ifdef __CUDACC__
const char *describe(stream &s) {
    int major = 0, minor = 0, shared = 0;
    cudaError_t e = cudaDeviceGetAttribute(&s.processors, cudaDevAttrMultiProcessorCount, s.device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, s.device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, s.device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, s.device);
    s.capability = 10 * major + minor, s.shared = shared;
    return text(e);
}
const char *clear(void *p, size_t bytes, void *queue) { return text(cudaMemsetAsync(p, 0, bytes, (cudaStream_t)queue)); }
#else
const char *describe(stream &s) {
    s.processors = 2, s.shared = emu_shared(s.queue);
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

// A stream with a fault has no choices to give, and takes none.
const char *cuda_algorithms(kstream *k) {
    const char *text = "";
    guard(k, "algorithms", [&] { text = gpu::algorithms(of(k)); });
    return text;
}
const char *cuda_use_algorithms(kstream *k, const char *text) {
    const char *refused = nullptr;
    guard(k, "use algorithms", [&] { refused = gpu::use_algorithms(of(k), text); });
    return refused;
}

void cuda_fix(kstream *k, int32_t on) { of(k).fixed = on != 0; }

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
    if (!(*error = describe(*s)) && !(*error = clear(workspace, head, queue))) *error = gpu::open_matrices(*s);
    if (*error) return delete s, nullptr;
    return reinterpret_cast<kstream *>(s);
}

#define X(op) guarded_##op,
const kernel_table kernels_cuda = {"cuda", cuda_close, cuda_sync, cuda_algorithms, cuda_use_algorithms, cuda_fix, KERNEL_OPS(X)};
#undef X
