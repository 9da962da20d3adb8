// cuda.h: the toolkit's own cuda.h, with the signatures that gorgonia.org/cu v0.9.6 knows.
//
// CUDA 13 gave five functions new parameters and a new version each; the driver keeps the old entry points. The old prototypes
// are declared here under names of their own, bound to those entry points, and take over the plain names.
#ifndef CRITICRM_CUDA_H
#define CRITICRM_CUDA_H

#include_next <cuda.h>

#if CUDA_VERSION < 12040
#error "CUDA 12.4 or newer is needed"
#endif

#if CUDA_VERSION >= 13000
CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned flags, CUdevice device);
CUresult criticrm_mem_advise(CUdeviceptr p, size_t bytes, CUmem_advise advice, CUdevice device) __asm__("cuMemAdvise");
CUresult criticrm_mem_prefetch(CUdeviceptr p, size_t bytes, CUdevice to, CUstream stream) __asm__("cuMemPrefetchAsync");
CUresult criticrm_graph_add_dependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t n) __asm__("cuGraphAddDependencies");
CUresult criticrm_graph_edges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n) __asm__("cuGraphGetEdges");

#undef cuCtxCreate
#undef cuMemAdvise
#undef cuMemPrefetchAsync
#undef cuGraphAddDependencies
#undef cuGraphGetEdges
#define cuCtxCreate cuCtxCreate_v2
#define cuMemAdvise criticrm_mem_advise
#define cuMemPrefetchAsync criticrm_mem_prefetch
#define cuGraphAddDependencies criticrm_graph_add_dependencies
#define cuGraphGetEdges criticrm_graph_edges
#endif

#endif
