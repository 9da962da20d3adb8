// Package kernels runs the operations that training, generation and scoring are made of, on one device.
//
// The contract is kernels.h: every op once, with its maths and shapes. A [Device] wraps one implementation of it (the CPU
// one is always there) and has a method per op, which checks shapes and calls. A wrong shape is a programmer's error and
// panics; a fault of the device is sticky and is given, once, by [Device.Sync].
package kernels

/*
#cgo CXXFLAGS: -O3 -std=gnu++17 -Wall -Wextra -Wno-psabi -fno-strict-aliasing -fopenmp-simd
// Compilers that know newer processors take a·b + c apart where a sum is a single chain (gcc's avoid-fma-max-bits), and round it otherwise than where
// it is one of several: an element of a product would depend on the rows beside it. They do not for this processor.
#cgo amd64 CXXFLAGS: -mtune=haswell
#cgo LDFLAGS: -lpthread
#include <stdlib.h>
#include "kernels.h"

static inline void call_close(const kernel_table *t, kstream *s) { t->close(s); }
static inline const char *call_sync(const kernel_table *t, kstream *s) { return t->sync(s); }
static inline const char *call_algorithms(const kernel_table *t, kstream *s) { return t->algorithms(s); }
static inline const char *call_use_algorithms(const kernel_table *t, kstream *s, const char *text) { return t->use_algorithms(s, text); }
static inline void call_fix(const kernel_table *t, kstream *s, int32_t on) { t->fix(s, on); }
*/
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// Device is one implementation of the contract on one device, with its queue of ops. Its methods must not be called from
// two goroutines at once.
type Device struct {
	mem    Memory
	table  *C.kernel_table
	stream *C.kstream
	name   string
}

// Memory is where a device's tensors live and how data comes there. What it does is ordered with the device's ops; host
// memory may be used again when a call returns. Failures are sticky, as those of ops are, and given by its Sync.
type Memory interface {
	Malloc(bytes int) (unsafe.Pointer, error) // 64-byte aligned, not cleared
	Release(p unsafe.Pointer)                 // of what Malloc gave
	CopyIn(dst, host unsafe.Pointer, bytes int)
	CopyOut(host, src unsafe.Pointer, bytes int) // waits for the ops before it
	// CopyOutLater queues a copy and gives the function that waits for it, but not for what was queued after it, and hands
	// the bytes to read. It is called once.
	CopyOutLater(src unsafe.Pointer, bytes int) func(read func(host unsafe.Pointer))
	Move(dst, src unsafe.Pointer, bytes int)
	Clear(dst unsafe.Pointer, bytes int)
	Wait() error  // for all that was queued; gives the first failure since the last time
	Fault() error // the same without waiting: a failure that is known by now
	Close()       // after the device's own end
}

func newDevice(table *C.kernel_table, stream *C.kstream, m Memory) *Device {
	return &Device{mem: m, table: table, stream: stream, name: C.GoString(table.name)}
}

// Name is the name of the implementation: cpu or cuda.
func (d *Device) Name() string { return d.name }

// String names the device itself, for people: cpu, or cuda:0 with what NVIDIA calls it.
func (d *Device) String() string {
	if m, ok := d.mem.(fmt.Stringer); ok {
		return m.String()
	}
	return d.name
}

// Memory is where the tensors live.
func (d *Device) Memory() Memory { return d.mem }

// Close frees the device's own resources, when its ops are done. Tensors must not be used afterwards.
func (d *Device) Close() {
	_ = d.mem.Wait() // a fault that nobody asked for
	C.call_close(d.table, d.stream)
	d.stream = nil
	d.mem.Close()
}

// Alloc gives a tensor with undefined content. If there is no memory it panics with an [OutOfMemory], which [Recover] turns into
// an error.
func (d *Device) Alloc(t DType, shape ...int) Tensor { return d.alloc(d.mem.Malloc, t, shape...) }

// AllocZero is Alloc and Zero. On the CPU large memory comes cleared from the system, page by page when it is first touched.
func (d *Device) AllocZero(t DType, shape ...int) Tensor {
	if m, ok := d.mem.(interface {
		MallocZero(bytes int) (unsafe.Pointer, error)
	}); ok {
		return d.alloc(m.MallocZero, t, shape...)
	}
	x := d.Alloc(t, shape...)
	d.Zero(x)
	return x
}

func (d *Device) alloc(malloc func(bytes int) (unsafe.Pointer, error), t DType, shape ...int) Tensor {
	x := Tensor{typ: t, rank: len(shape)}
	if len(shape) > len(x.dim) {
		panic("kernels: a tensor has at most 4 dimensions")
	}
	copy(x.dim[:], shape)
	for _, n := range shape {
		if n < 0 {
			panic(fmt.Sprintf("kernels: alloc %v: negative dimension", slices.Clone(shape)))
		}
	}
	var err error
	if x.ptr, err = malloc(max(x.Bytes(), 1)); err != nil {
		panic(OutOfMemory{Type: t, Shape: slices.Clone(shape), Err: err})
	}
	return x
}

// OutOfMemory says which tensor had no place.
type OutOfMemory struct {
	Type  DType
	Shape []int
	Err   error
}

func (e OutOfMemory) Error() string {
	return fmt.Sprintf("kernels: out of memory for a %v tensor of shape %v: %v", e.Type, e.Shape, e.Err)
}

func (e OutOfMemory) Unwrap() error { return e.Err }

// Recover, deferred, turns a panic with [OutOfMemory] into the error that a function returns. Other panics go on.
func Recover(err *error) {
	switch p := recover().(type) {
	case nil:
	case OutOfMemory:
		*err = errors.Join(p, *err)
	default:
		panic(p)
	}
}

// Free gives the memory of a tensor from Alloc back.
func (d *Device) Free(t Tensor) {
	if t.ptr != nil {
		d.mem.Release(t.ptr)
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
	case []uint8:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(dst.typ == U8, "kernels: upload: uint8 data into another type")
	default:
		panic("kernels: upload: want []float32, []uint16, []int32, []uint64 or []uint8")
	}
	must(n == dst.Len(), "kernels: upload: lengths differ")
	if n > 0 {
		d.mem.CopyIn(dst.ptr, p, dst.Bytes())
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
	case []uint8:
		p, n = unsafe.Pointer(unsafe.SliceData(h)), len(h)
		must(src.typ == U8, "kernels: download: another type into uint8")
	default:
		panic("kernels: download: want []float32, []uint16, []int32, []uint64 or []uint8")
	}
	must(n == src.Len(), "kernels: download: lengths differ")
	if n > 0 {
		d.mem.CopyOut(p, src.ptr, src.Bytes())
	}
}

// UploadBytes copies elements as they lie in memory, little-endian, into a tensor of as many.
func (d *Device) UploadBytes(dst Tensor, host []byte) {
	must(len(host) == dst.Bytes(), "kernels: upload bytes: lengths differ")
	if len(host) > 0 {
		d.mem.CopyIn(dst.ptr, unsafe.Pointer(unsafe.SliceData(host)), len(host))
	}
}

// DownloadBytes is the other way, after the ops before it.
func (d *Device) DownloadBytes(host []byte, src Tensor) {
	must(len(host) == src.Bytes(), "kernels: download bytes: lengths differ")
	if len(host) > 0 {
		d.mem.CopyOut(unsafe.Pointer(unsafe.SliceData(host)), src.ptr, len(host))
	}
}

// Beside gives the function that copies tensors' bytes to the host on any goroutine, as they are behind all ops so far, while the device
// goes on with ops that do not change them; nil where the device has no such thing, or behind a fault.
func (d *Device) Beside() func(host []byte, src Tensor) error {
	m, ok := d.mem.(interface {
		Beside() func(host, src unsafe.Pointer, bytes int) error
	})
	if !ok {
		return nil
	}
	out := m.Beside()
	if out == nil {
		return nil
	}
	return func(host []byte, src Tensor) error {
		must(len(host) == src.Bytes(), "kernels: beside: lengths differ")
		return out(unsafe.Pointer(unsafe.SliceData(host)), src.ptr, len(host))
	}
}

// DownloadLater queues the download of a float32 tensor and gives the function that waits for it, but not for ops that were
// queued after it: results can be read while the next work runs. It must be called once.
func (d *Device) DownloadLater(src Tensor) func() []float32 {
	must(src.typ == F32, "kernels: download later: not float32")
	n := src.Len()
	wait := d.mem.CopyOutLater(src.ptr, src.Bytes())
	return func() []float32 {
		out := make([]float32, n)
		wait(func(host unsafe.Pointer) { copy(out, unsafe.Slice((*float32)(host), n)) })
		return out
	}
}

// Copy copies src into dst, of the same type and length.
func (d *Device) Copy(dst, src Tensor) {
	must(dst.typ == src.typ && dst.Len() == src.Len(), "kernels: copy: types or lengths differ")
	d.mem.Move(dst.ptr, src.ptr, src.Bytes())
}

// Zero clears a tensor.
func (d *Device) Zero(dst Tensor) { d.mem.Clear(dst.ptr, dst.Bytes()) }

// Sync waits for all ops and gives the first fault since the last Sync.
func (d *Device) Sync() error { return d.fault(d.mem.Wait()) }

// Fault gives the first fault since the last Sync that is known by now, without waiting.
func (d *Device) Fault() error { return d.fault(d.mem.Fault()) }

func (d *Device) fault(err error) error {
	if msg := C.call_sync(d.table, d.stream); msg != nil {
		if err == nil { // an op only has words: whether the device is lost its memory tells
			err = d.mem.Wait()
		}
		err = errors.Join(errors.New(C.GoString(msg)), err)
	}
	if err != nil {
		return fmt.Errorf("kernels: %s device: %w", d.name, err)
	}
	return nil
}

// Algorithms says which algorithms the device has chosen for its matrix products so far, as lines of text; the CPU has none to choose.
// Other algorithms add in another order: a run that goes on later gives the text to [Device.UseAlgorithms], and its bits stay the same.
func (d *Device) Algorithms() string { return C.GoString(C.call_algorithms(d.table, d.stream)) }

// UseAlgorithms makes the choices of an earlier device, before the first op. What this device cannot use, because it is another GPU or
// has another version of cuBLAS, it chooses anew; refused says so, and is empty if all is as it was.
func (d *Device) UseAlgorithms(text string) (refused string) {
	t := C.CString(text)
	defer C.free(unsafe.Pointer(t))
	if msg := C.call_use_algorithms(d.table, d.stream, t); msg != nil {
		return C.GoString(msg)
	}
	return ""
}

// Fix makes what the device computes for a token independent of what is computed with it, to the bit, from here on: products and attention go
// by plain kernels that add in one order, without tensor cores, and are many times slower on large models. Gradients of weights are as
// without it. The CPU always does so, and changes nothing.
func (d *Device) Fix(on bool) {
	var fixed C.int32_t
	if on {
		fixed = 1
	}
	C.call_fix(d.table, d.stream, fixed)
}

// Lost is the fault of a device after which its driver refuses everything that this process asks of it.
type Lost struct{ Err error }

func (e Lost) Error() string {
	return e.Err.Error() + ": the device is lost to this process, with what it had there; only a new process can use it again"
}

func (e Lost) Unwrap() error { return e.Err }

func must(ok bool, msg string) {
	if !ok {
		panic(msg)
	}
}
