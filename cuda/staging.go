//go:build cuda

package cuda

import (
	"unsafe"

	"gorgonia.org/cu"
)

// buffer is page-locked host memory with an event behind the last copy from or to it.
type buffer struct {
	host  unsafe.Pointer
	bytes int
	event cu.Event
	busy  bool // the event is recorded and nobody has waited for it
}

// make allocates the buffer, once.
func (b *buffer) make(bytes int) (err error) {
	if b.host != nil {
		return nil
	}
	if b.event, err = cu.MakeEvent(cu.DisableTiming); err != nil {
		return err
	}
	if b.host, err = pinned(bytes); err != nil {
		return err
	}
	b.bytes = bytes
	return nil
}

// mark notes that the copies up to now use the buffer.
func (b *buffer) mark(s cu.Stream) error {
	b.busy = true
	return b.event.Record(s)
}

// wait waits until the copies are done.
func (b *buffer) wait() error {
	if !b.busy {
		return nil
	}
	b.busy = false
	return b.event.Synchronize()
}

func (b *buffer) free() error {
	if b.host == nil {
		return nil
	}
	err := cu.MemFreeHost(b.host)
	if e := cu.DestroyEvent(&b.event); err == nil {
		err = e
	}
	*b = buffer{}
	return err
}

// bytesAt is host memory as a slice.
func bytesAt(p unsafe.Pointer, offset, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(p, offset)), n)
}

const (
	slotBytes = 4 << 20
	slotCount = 8
	lineBytes = 64 // uploads begin on their own cache line
)

// uploads is a ring of buffers. Many small uploads share one; when it is full the next one is taken, after a wait if the device
// still reads what it held a round ago.
type uploads struct {
	slots [slotCount]buffer
	at    int // the slot in use
	fill  int // bytes of it
}

// room gives the slot in use, with space in it.
func (u *uploads) room(s cu.Stream) (*buffer, error) {
	if u.fill >= slotBytes {
		if err := u.slots[u.at].mark(s); err != nil {
			return nil, err
		}
		u.at, u.fill = (u.at+1)%slotCount, 0
		if err := u.slots[u.at].wait(); err != nil {
			return nil, err
		}
	}
	b := &u.slots[u.at]
	return b, b.make(slotBytes)
}

func (u *uploads) free() (err error) {
	for i := range u.slots {
		if e := u.slots[i].free(); err == nil {
			err = e
		}
	}
	return err
}

// CopyIn copies host memory to the device. It waits for the device only when it is a whole ring ahead.
func (m *memory) CopyIn(dst, host unsafe.Pointer, bytes int) {
	m.do("upload", func() error {
		for done := 0; done < bytes; {
			b, err := m.up.room(m.stream)
			if err != nil {
				return err
			}
			n := min(bytes-done, slotBytes-m.up.fill)
			copy(bytesAt(b.host, m.up.fill, n), bytesAt(host, done, n))
			if err := cu.MemcpyHtoDAsync(address(dst)+cu.DevicePtr(done), unsafe.Add(b.host, m.up.fill), int64(n), m.stream); err != nil {
				return err
			}
			m.up.fill += roundUp(n, lineBytes)
			done += n
		}
		return nil
	})
}

// CopyOut copies device memory to the host, after everything that is queued. One buffer is emptied while the device fills the
// other.
func (m *memory) CopyOut(host, src unsafe.Pointer, bytes int) {
	m.do("download", func() error {
		var from, held [len(m.down)]int // where the bytes in a buffer belong, and how many they are
		empty := func(k int) error {
			if held[k] == 0 {
				return nil
			}
			b := &m.down[k]
			if err := b.wait(); err != nil {
				return err
			}
			copy(bytesAt(host, from[k], held[k]), bytesAt(b.host, 0, held[k]))
			held[k] = 0
			return nil
		}
		k := 0
		for done := 0; done < bytes; done, k = done+slotBytes, 1-k {
			b := &m.down[k]
			if err := b.make(slotBytes); err != nil {
				return err
			}
			if err := empty(k); err != nil {
				return err
			}
			from[k], held[k] = done, min(slotBytes, bytes-done)
			if err := cu.MemcpyDtoHAsync(b.host, address(src)+cu.DevicePtr(done), int64(held[k]), m.stream); err != nil {
				return err
			}
			if err := b.mark(m.stream); err != nil {
				return err
			}
		}
		if err := empty(k); err != nil { // the older one
			return err
		}
		return empty(1 - k)
	})
}

// CopyOutLater queues a copy into a buffer of its own.
func (m *memory) CopyOutLater(src unsafe.Pointer, bytes int) func(read func(host unsafe.Pointer)) {
	b := m.take(bytes)
	m.do("download", func() error {
		if err := b.make(max(roundUp(bytes, granule), granule)); err != nil {
			return err
		}
		if err := cu.MemcpyDtoHAsync(b.host, address(src), int64(bytes), m.stream); err != nil {
			return err
		}
		return b.mark(m.stream)
	})
	return func(read func(unsafe.Pointer)) {
		m.do("download", b.wait)
		if b.host == nil { // there is a fault, and nothing to read
			none := make([]uint64, (bytes+7)/8)
			read(unsafe.Pointer(unsafe.SliceData(none)))
			return
		}
		read(b.host)
		m.spare = append(m.spare, b)
	}
}

// take gives a spare buffer that is large enough, or an empty one.
func (m *memory) take(bytes int) *buffer {
	for i, b := range m.spare {
		if b.bytes >= bytes {
			m.spare = append(m.spare[:i], m.spare[i+1:]...)
			return b
		}
	}
	b := &buffer{}
	m.later = append(m.later, b)
	return b
}
