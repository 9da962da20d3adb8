// Package kernels runs the operations that training, generation and scoring are made of, on one device.
//
// The contract is kernels.h: every op once, with its maths and shapes. A [Device] wraps one implementation of it (the CPU
// one is always there) and has a method per op, which checks shapes and calls. A wrong shape is a programmer's error and
// panics; a fault of the device is sticky and is given, once, by [Device.Sync].
package kernels

/*
#cgo CXXFLAGS: -O3 -std=gnu++17 -Wall -Wextra -Werror -Wno-psabi -fno-strict-aliasing -fopenmp-simd
#cgo LDFLAGS: -lpthread
#include <stdlib.h>
#include "kernels.h"

static inline kstream *call_open(const kernel_table *t, int32_t d, int32_t n, const char **e) { return t->open(d, n, e); }
static inline void call_close(const kernel_table *t, kstream *s) { t->close(s); }
static inline void *call_alloc(const kernel_table *t, kstream *s, size_t n) { return t->alloc(s, n); }
static inline void call_free(const kernel_table *t, kstream *s, void *p) { t->free(s, p); }
static inline void call_upload(const kernel_table *t, kstream *s, void *d, const void *h, size_t n) { t->upload(s, d, h, n); }
static inline void call_download(const kernel_table *t, kstream *s, void *h, const void *d, size_t n) { t->download(s, h, d, n); }
static inline void call_copy(const kernel_table *t, kstream *s, void *d, const void *p, size_t n) { t->copy(s, d, p, n); }
static inline void call_zero(const kernel_table *t, kstream *s, void *d, size_t n) { t->zero(s, d, n); }
static inline const char *call_sync(const kernel_table *t, kstream *s) { return t->sync(s); }

#cgo noescape call_upload
#cgo nocallback call_upload
#cgo noescape call_download
#cgo nocallback call_download
#cgo noescape call_copy
#cgo nocallback call_copy
#cgo noescape call_zero
#cgo nocallback call_zero
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Device is one implementation of the contract on one device, with its queue of ops. Its methods must not be called from
// two goroutines at once.
type Device struct {
	table  *C.kernel_table
	stream *C.kstream
	name   string
}

// OpenCPU opens the CPU implementation with a number of threads; 0 means all cores. The number of threads never changes
// a result.
func OpenCPU(threads int) (*Device, error) {
	if threads < 0 || threads > 1024 {
		return nil, fmt.Errorf("kernels: %d threads: want 0 (all cores) to 1024", threads)
	}
	return open(&C.kernels_cpu, 0, threads)
}

func open(table *C.kernel_table, device, threads int) (*Device, error) {
	var msg *C.char
	s := C.call_open(table, C.int32_t(device), C.int32_t(threads), &msg)
	if s == nil {
		return nil, fmt.Errorf("kernels: open %s: %s", C.GoString(table.name), C.GoString(msg))
	}
	return &Device{table: table, stream: s, name: C.GoString(table.name)}, nil
}

// Name is the name of the implementation: cpu or cuda.
func (d *Device) Name() string { return d.name }

// Close frees the device's own resources. Tensors must not be used afterwards.
func (d *Device) Close() {
	C.call_close(d.table, d.stream)
	d.stream = nil
}

// Alloc gives a tensor with undefined content. It panics if there is no memory: on a CPU nothing else can be done.
func (d *Device) Alloc(t DType, shape ...int) Tensor {
	x := Tensor{typ: t, rank: len(shape)}
	if len(shape) > len(x.dim) {
		panic("kernels: a tensor has at most 4 dimensions")
	}
	copy(x.dim[:], shape)
	for _, n := range shape {
		if n < 0 {
			panic(fmt.Sprintf("kernels: alloc %v: negative dimension", shape))
		}
	}
	x.ptr = C.call_alloc(d.table, d.stream, C.size_t(max(x.Bytes(), 1)))
	if x.ptr == nil {
		panic(fmt.Sprintf("kernels: out of memory: no %d bytes for a %v tensor of shape %v", x.Bytes(), t, shape))
	}
	return x
}

// Free gives the memory of a tensor from Alloc back.
func (d *Device) Free(t Tensor) {
	if t.ptr != nil {
		C.call_free(d.table, d.stream, t.ptr)
	}
}

// Upload copies host data into a tensor of as many elements. Float32 data is rounded on the way to a BF16 tensor.
func (d *Device) Upload(dst Tensor, host any) {
	var p unsafe.Pointer
	var n int
	switch h := host.(type) {
	case []float32:
		if dst.typ == BF16 {
			b := make([]uint16, len(h))
			for i, x := range h {
				b[i] = BF16FromF32(x)
			}
			d.Upload(dst, b)
			return
		}
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(dst.typ == F32, "kernels: upload: float32 data into another type")
	case []uint16:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(dst.typ == BF16, "kernels: upload: bfloat16 bits into another type")
	case []int32:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(dst.typ == I32, "kernels: upload: int32 data into another type")
	case []uint64:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(dst.typ == U64, "kernels: upload: uint64 data into another type")
	default:
		panic("kernels: upload: want []float32, []uint16, []int32 or []uint64")
	}
	must(n == dst.Len(), "kernels: upload: lengths differ")
	if n > 0 {
		C.call_upload(d.table, d.stream, dst.ptr, p, C.size_t(dst.Bytes()))
	}
}

// Download copies a tensor to host data of as many elements, after the ops before it. BF16 comes as float32 into a
// []float32 and as bits into a []uint16.
func (d *Device) Download(host any, src Tensor) {
	var p unsafe.Pointer
	var n int
	switch h := host.(type) {
	case []float32:
		if src.typ == BF16 {
			b := make([]uint16, len(h))
			d.Download(b, src)
			for i, x := range b {
				h[i] = F32FromBF16(x)
			}
			return
		}
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(src.typ == F32, "kernels: download: another type into float32")
	case []uint16:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(src.typ == BF16, "kernels: download: another type into bfloat16 bits")
	case []int32:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(src.typ == I32, "kernels: download: another type into int32")
	case []uint64:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(src.typ == U64, "kernels: download: another type into uint64")
	default:
		panic("kernels: download: want []float32, []uint16, []int32 or []uint64")
	}
	must(n == src.Len(), "kernels: download: lengths differ")
	if n > 0 {
		C.call_download(d.table, d.stream, p, src.ptr, C.size_t(src.Bytes()))
	}
}

// Copy copies src into dst, of the same type and length.
func (d *Device) Copy(dst, src Tensor) {
	must(dst.typ == src.typ && dst.Len() == src.Len(), "kernels: copy: types or lengths differ")
	C.call_copy(d.table, d.stream, dst.ptr, src.ptr, C.size_t(src.Bytes()))
}

// Zero clears a tensor.
func (d *Device) Zero(dst Tensor) { C.call_zero(d.table, d.stream, dst.ptr, C.size_t(dst.Bytes())) }

// Sync waits for all ops and gives the first fault since the last Sync.
func (d *Device) Sync() error {
	if msg := C.call_sync(d.table, d.stream); msg != nil {
		return fmt.Errorf("kernels: %s device: %s", d.name, C.GoString(msg))
	}
	return nil
}

func must(ok bool, msg string) {
	if !ok {
		panic(msg)
	}
}
