//go:build cuda && emu

package kernels

/*
#cgo CXXFLAGS: -Wno-unknown-pragmas
#include <stdlib.h>
#include "emu/device.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Schedule says how the software GPU runs: in which order threads and warps run (0 forward, 1 reverse, 2 random), and when
// asynchronous copies happen (0 at their wait, 1 at their issue, 2 either). No schedule may change a result.
type Schedule struct {
	Order, Async int
	Seed         uint64
}

// OpenEmulated opens the CUDA implementation on the software GPU.
func OpenEmulated(s Schedule) (*Device, error) {
	const workspace = 64 << 20
	m := &emulatedMemory{stream: C.emu_stream(C.emu_schedule{order: C.emu_order(s.Order), async: C.emu_async(s.Async), seed: C.uint64_t(s.Seed)})}
	m.workspace = C.emu_malloc(workspace)
	d, err := NewCUDA(0, m.stream, m.workspace, workspace, m)
	if err != nil {
		m.Close()
		return nil, err
	}
	return d, nil
}

type emulatedMemory struct {
	stream, workspace unsafe.Pointer
	fault             error
}

func (m *emulatedMemory) fail(msg *C.char) {
	if msg != nil && m.fault == nil {
		m.fault = errors.New(C.GoString(msg))
	}
}

func (m *emulatedMemory) Malloc(bytes int) (unsafe.Pointer, error) {
	if p := C.emu_malloc(C.size_t(bytes)); p != nil {
		return p, nil
	}
	return nil, errNoHostMemory
}

func (m *emulatedMemory) Release(p unsafe.Pointer) {
	m.fail(C.emu_wait(m.stream))
	m.fail(C.emu_release(p))
}

func (m *emulatedMemory) CopyIn(dst, host unsafe.Pointer, bytes int) {
	m.Move(dst, host, bytes)
	m.fail(C.emu_wait(m.stream))
}

func (m *emulatedMemory) CopyOut(host, src unsafe.Pointer, bytes int) { m.CopyIn(host, src, bytes) }

func (m *emulatedMemory) CopyOutLater(src unsafe.Pointer, bytes int) func(func(unsafe.Pointer)) {
	host := C.malloc(C.size_t(bytes))
	m.Move(host, src, bytes)
	return func(read func(unsafe.Pointer)) {
		m.fail(C.emu_wait(m.stream))
		read(host)
		C.free(host)
	}
}

func (m *emulatedMemory) Move(dst, src unsafe.Pointer, bytes int) {
	C.emu_copy(m.stream, dst, src, C.size_t(bytes))
}

func (m *emulatedMemory) Clear(dst unsafe.Pointer, bytes int) {
	C.emu_fill(m.stream, dst, 0, C.size_t(bytes))
}

func (m *emulatedMemory) Wait() error {
	m.fail(C.emu_wait(m.stream))
	return m.Fault()
}

func (m *emulatedMemory) Fault() error {
	err := m.fault
	m.fault = nil
	return err
}

func (m *emulatedMemory) Close() {
	C.emu_release(m.workspace)
	C.emu_stream_end(m.stream)
}
