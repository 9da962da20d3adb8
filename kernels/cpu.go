package kernels

/*
#include "kernels.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// OpenCPU opens the CPU implementation with a number of threads; 0 means all cores. The number of threads never changes
// a result.
func OpenCPU(threads int) (*Device, error) {
	if threads < 0 || threads > 1024 {
		return nil, fmt.Errorf("kernels: %d threads: want 0 (all cores) to 1024", threads)
	}
	var msg *C.char
	s := C.cpu_open(C.int32_t(threads), &msg)
	if s == nil {
		return nil, fmt.Errorf("kernels: open cpu: %s", C.GoString(msg))
	}
	return newDevice(&C.kernels_cpu, s, cpuMemory{s}), nil
}

// cpuMemory is the host's own. Large copies use the device's threads.
type cpuMemory struct{ stream *C.kstream }

func (m cpuMemory) Malloc(bytes int) (unsafe.Pointer, error) {
	if p := C.cpu_alloc(C.size_t(bytes)); p != nil {
		return p, nil
	}
	return nil, errNoHostMemory
}

// MallocZero is Malloc of memory that is all zero.
func (m cpuMemory) MallocZero(bytes int) (unsafe.Pointer, error) {
	if p := C.cpu_alloc_zero(C.size_t(bytes)); p != nil {
		return p, nil
	}
	return nil, errNoHostMemory
}

var errNoHostMemory = errors.New("the host has no memory left")

func (m cpuMemory) Release(p unsafe.Pointer)                    { C.cpu_free(p) }
func (m cpuMemory) CopyIn(dst, host unsafe.Pointer, bytes int)  { m.Move(dst, host, bytes) }
func (m cpuMemory) CopyOut(host, src unsafe.Pointer, bytes int) { m.Move(host, src, bytes) }
func (m cpuMemory) CopyOutLater(src unsafe.Pointer, bytes int) func(func(unsafe.Pointer)) {
	host := make([]uint64, (bytes+7)/8)
	p := unsafe.Pointer(unsafe.SliceData(host))
	m.Move(p, src, bytes)
	return func(read func(unsafe.Pointer)) { read(p) }
}

// Beside copies on the caller's thread: ops are done when their call returns, and those that come read alike.
func (m cpuMemory) Beside() func(host, src unsafe.Pointer, bytes int) error {
	return func(host, src unsafe.Pointer, bytes int) error {
		copy(unsafe.Slice((*byte)(host), bytes), unsafe.Slice((*byte)(src), bytes))
		return nil
	}
}

// HostAlloc gives memory of the host outside of Go's heap, of any content, and the function that gives it back; nil if none is left.
func HostAlloc(bytes int) (b []byte, free func()) {
	p := C.cpu_alloc(C.size_t(max(bytes, 1)))
	if p == nil {
		return nil, nil
	}
	return unsafe.Slice((*byte)(p), bytes), func() { C.cpu_free(p) }
}

func (m cpuMemory) Move(dst, src unsafe.Pointer, bytes int) {
	C.cpu_copy(m.stream, dst, src, C.size_t(bytes))
}
func (m cpuMemory) Clear(dst unsafe.Pointer, bytes int) { C.cpu_zero(m.stream, dst, C.size_t(bytes)) }
func (m cpuMemory) Wait() error                         { return nil }
func (m cpuMemory) Fault() error                        { return nil }
func (m cpuMemory) Close()                              {}
