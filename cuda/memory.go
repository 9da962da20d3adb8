//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// memory is a device's memory, with the stream that everything on the device is queued on. It implements kernels.Memory.
type memory struct {
	info   Info
	device cu.Device
	ctx    cu.CUContext
	stream cu.Stream
	pool   *pool
	up     uploads
	down   [2]buffer // of CopyOut
	later  []*buffer // of CopyOutLater
	spare  []*buffer // of them, those that nobody uses
	side   side      // of Beside
	lanes  []*lane
	fault  error // the first since the last Wait
}

func openMemory(info Info) (*memory, error) {
	m := &memory{info: info, device: cu.Device(info.Ordinal)}
	m.pool = newPool(m.reserve, m.giveUp)
	var err error
	if m.ctx, err = m.device.RetainPrimaryCtx(); err != nil {
		return nil, err
	}
	m.do("make a stream", func() (err error) {
		m.stream, err = cu.MakeStream(cu.NonBlocking)
		return err
	})
	if m.fault != nil {
		return nil, errors.Join(m.fault, m.device.ReleasePrimaryCtx())
	}
	return m, nil
}

func (m *memory) String() string { return fmt.Sprintf("cuda:%d (%s)", m.info.Ordinal, m.info.Name) }

// Stats are the statistics so far.
func (m *memory) Stats() Stats { return m.pool.stats }

func (m *memory) queue() unsafe.Pointer { return unsafe.Pointer(m.stream.C()) }

// do makes the device current for the calling thread, on which a goroutine stays for this long only, and calls f. Its error is
// kept for Wait.
func (m *memory) do(what string, f func() error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cu.SetCurrentContext(m.ctx)
	if err == nil {
		err = f()
	}
	if err != nil && m.fault == nil {
		m.fault = fmt.Errorf("%s: %w", what, explain(err))
	}
}

// Malloc gives memory from the pool.
func (m *memory) Malloc(bytes int) (p unsafe.Pointer, err error) {
	m.do("allocate", func() error {
		var addr uintptr
		if addr, err = m.pool.malloc(bytes); err != nil {
			if err == error(cu.OutOfMemory) {
				free, total, _ := cu.MemInfo() // only for the message
				err = full{m.String(), bytes, int(free), int(total), m.pool.stats}
			}
			return nil // the caller gets it
		}
		p = pointer(cu.DevicePtr(addr))
		return m.poison(cu.DevicePtr(addr), bytes)
	})
	if p == nil && err == nil {
		err = m.fault
	}
	return p, err
}

// poison fills new memory with NaNs on the software GPU, where a read of what nothing has written must show.
func (m *memory) poison(p cu.DevicePtr, bytes int) error {
	if !emulated {
		return nil
	}
	return cu.MemsetD8Async(p, 0xff, int64(bytes), m.stream)
}

func (m *memory) reserve(bytes int) (uintptr, error) {
	p, err := cu.MemAlloc(int64(bytes))
	return uintptr(p), err
}

func (m *memory) giveUp(addr uintptr) error {
	m.side.mu.Lock()
	defer m.side.mu.Unlock()
	if err := m.stream.Synchronize(); err != nil {
		return err
	}
	for _, l := range m.lanes {
		if err := l.stream.Synchronize(); err != nil {
			return err
		}
	}
	return cu.MemFree(cu.DevicePtr(addr))
}

// Release gives memory back to the pool. What is queued may still use it: whoever gets it next is queued behind.
func (m *memory) Release(p unsafe.Pointer) { m.pool.release(uintptr(p)) }

// Move copies on the device.
func (m *memory) Move(dst, src unsafe.Pointer, bytes int) {
	if bytes > 0 {
		m.do("copy", func() error { return cu.MemcpyDtoDAsync(address(dst), address(src), int64(bytes), m.stream) })
	}
}

// Clear fills with zeros.
func (m *memory) Clear(dst unsafe.Pointer, bytes int) {
	if bytes > 0 {
		m.do("clear", func() error { return cu.MemsetD8Async(address(dst), 0, int64(bytes), m.stream) })
	}
}

// Wait waits for the stream and gives the first fault since the last Wait.
func (m *memory) Wait() error {
	m.do("wait", m.stream.Synchronize)
	return m.Fault()
}

// Fault gives the first failure of a call since the last time.
func (m *memory) Fault() error {
	err := m.fault
	m.fault = nil
	return err
}

// Close gives everything back to the driver.
func (m *memory) Close() {
	m.do("close", func() error {
		errs := []error{m.stream.Synchronize(), m.up.free(), m.side.free(), m.pool.drop()}
		for i := range m.down {
			errs = append(errs, m.down[i].free())
		}
		for _, b := range m.later {
			errs = append(errs, b.free())
		}
		return errors.Join(append(errs, m.stream.Destroy())...)
	})
	m.do("close", m.device.ReleasePrimaryCtx)
}
