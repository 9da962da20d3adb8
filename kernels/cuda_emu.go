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
// asynchronous copies happen (0 at their wait, 1 at their issue, 2 either). No schedule may change a result, nor may the size of
// the shared memory.
type Schedule struct {
	Order, Async int
	Seed         uint64
	Shared       int // bytes of shared memory that a block may have, as on smaller GPUs; 0: 227 KiB
}

// OpenEmulated opens the CUDA implementation on the software GPU.
func OpenEmulated(s Schedule) (*Device, error) {
	const workspace = 64 << 20
	m := &emulatedMemory{stream: C.emu_stream(C.emu_schedule{order: C.emu_order(s.Order), async: C.emu_async(s.Async), seed: C.uint64_t(s.Seed)})}
	if s.Shared > 0 {
		C.emu_lower_shared(m.stream, C.size_t(s.Shared))
	}
	m.workspace = C.emu_malloc(workspace)
	d, err := NewCUDA(0, m.stream, m.workspace, workspace, m)
	if err != nil {
		m.Close()
		return nil, err
	}
	return d, nil
}

// Asked is what was asked of software GPUs through NVIDIA's driver and its libraries since the program started. A drain is a wait that
// left the device without work.
type Asked struct {
	Launches, Products, Copies, Fills, Uploads, UploadBytes, Downloads, DownloadBytes, Records, Waits, Drains int
}

// AskedSince is what was asked since an earlier time.
func AskedSince(was Asked) Asked {
	n := func(k C.emu_kind, was int) int { return int(C.emu_counted(k)) - was }
	return Asked{n(C.EMU_LAUNCHES, was.Launches), n(C.EMU_PRODUCTS, was.Products), n(C.EMU_COPIES, was.Copies), n(C.EMU_FILLS, was.Fills),
		n(C.EMU_UPLOADS, was.Uploads), n(C.EMU_UPLOADED, was.UploadBytes), n(C.EMU_DOWNLOADS, was.Downloads), n(C.EMU_DOWNLOADED, was.DownloadBytes),
		n(C.EMU_RECORDS, was.Records), n(C.EMU_WAITS, was.Waits), n(C.EMU_DRAINS, was.Drains)}
}

// Pretend makes software GPUs that are opened later count what is asked of them and do nothing else: their memory has no bytes, what is
// read from them is zero. So the host's part of a model's work can be measured at its full size. With false they work again.
func Pretend(on bool) {
	n := 0
	if on {
		n = 1
	}
	C.emu_pretend(C.int(n))
}

// NewProcess lets tests use a software GPU again after a fault, which lasts as long as the process: it stands for another process.
func NewProcess() { C.emu_new_process() }

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
