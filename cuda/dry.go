package cuda

import (
	"unsafe"

	"criticrm/kernels"
)

// Dry gives a device that stands for one of NVIDIA's with any amount of memory and does nothing: its memory is handed out as theirs, but
// has no bytes, and zeros are read from it. [StatsOf] then says how much memory what was done with it takes. It needs neither a GPU nor a
// build with CUDA.
func Dry() *kernels.Device {
	m := &dryMemory{next: 1 << 46} // far from memory that is there
	m.pool = newPool(m.reserve, func(uintptr) error { return nil })
	_, _ = m.pool.malloc(defaultWorkspace) // never fails
	return kernels.NewDry(m)
}

// dryMemory implements kernels.Memory with addresses alone.
type dryMemory struct {
	pool *pool
	next uintptr
}

func (m *dryMemory) reserve(bytes int) (uintptr, error) {
	addr := m.next
	m.next += uintptr(roundUp(bytes, segmentStep))
	return addr, nil
}

// String is what messages call the device.
func (m *dryMemory) String() string { return "a dry run" }

// Stats are the statistics so far.
func (m *dryMemory) Stats() Stats { return m.pool.stats }

func (m *dryMemory) Malloc(bytes int) (unsafe.Pointer, error) {
	addr, err := m.pool.malloc(bytes)
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr)), err
}

func (m *dryMemory) Release(p unsafe.Pointer)          { m.pool.release(uintptr(p)) }
func (m *dryMemory) CopyIn(_, _ unsafe.Pointer, _ int) {}
func (m *dryMemory) CopyOut(host, _ unsafe.Pointer, bytes int) {
	clear(unsafe.Slice((*byte)(host), bytes))
}
func (m *dryMemory) Move(_, _ unsafe.Pointer, _ int) {}
func (m *dryMemory) Clear(unsafe.Pointer, int)       {}
func (m *dryMemory) Wait() error                     { return nil }
func (m *dryMemory) Fault() error                    { return nil }
func (m *dryMemory) Close()                          {}
func (m *dryMemory) CopyOutLater(_ unsafe.Pointer, bytes int) func(func(unsafe.Pointer)) {
	zeros := make([]uint64, (bytes+7)/8)
	return func(read func(unsafe.Pointer)) { read(unsafe.Pointer(unsafe.SliceData(zeros))) }
}
