//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// side copies to the host beside the stream that all else is queued on.
type side struct {
	mu     sync.Mutex // held while the device copies: memory is given back to the driver at other times
	ctx    cu.CUContext
	stream cu.Stream
	buffer buffer
}

// besideBytes is what is copied at a time, and besideParts how many goroutines move it on from the page-locked memory.
const (
	besideBytes = 16 << 20
	besideParts = 4
)

// Beside waits for what is queued, and gives the function that copies on a stream of its own, from any goroutine but not from two at once.
// It is nil behind a fault, which Wait then tells.
func (m *memory) Beside() func(host, src unsafe.Pointer, bytes int) error {
	s := &m.side
	m.do("copy beside", func() (err error) {
		if s.buffer.host == nil {
			s.ctx = m.ctx
			if s.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
				return err
			}
			if err = s.buffer.make(besideBytes); err != nil {
				return err
			}
		}
		return m.stream.Synchronize()
	})
	if m.fault != nil {
		return nil
	}
	return s.copyOut
}

func (s *side) copyOut(host, src unsafe.Pointer, bytes int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(s.ctx); err != nil {
		return fmt.Errorf("copy beside: %w", explain(err))
	}
	for done := 0; done < bytes; done += besideBytes {
		n := min(besideBytes, bytes-done)
		if err := s.fetch(address(src)+cu.DevicePtr(done), n); err != nil {
			return fmt.Errorf("copy beside: %w", explain(err))
		}
		var all sync.WaitGroup
		part := (n + besideParts - 1) / besideParts
		for at := 0; at < n; at += part {
			all.Go(func() { copy(bytesAt(host, done+at, min(part, n-at)), bytesAt(s.buffer.host, at, min(part, n-at))) })
		}
		all.Wait()
	}
	return nil
}

// fetch fills the buffer.
func (s *side) fetch(src cu.DevicePtr, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cu.MemcpyDtoHAsync(s.buffer.host, src, int64(n), s.stream); err != nil {
		return err
	}
	if err := s.buffer.mark(s.stream); err != nil {
		return err
	}
	return s.buffer.wait()
}

// free gives back what Beside took.
func (s *side) free() error {
	if s.buffer.host == nil {
		return nil
	}
	err := s.buffer.free()
	if e := s.stream.Destroy(); err == nil {
		err = e
	}
	return err
}
