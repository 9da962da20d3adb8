//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"gorgonia.org/cu"

	"criticrm/kernels"
)

// lane is a stream beside that of the device's ops, with events both ways. It implements kernels.Lane.
type lane struct {
	m      *memory
	stream cu.Stream
	behind cu.Event   // the device's place that the lane follows
	spare  []cu.Event // of marks that are free
}

type mark struct {
	lane  *lane
	event cu.Event
}

// Lane makes a stream of its own.
func (m *memory) Lane() (kernels.Lane, error) {
	l := &lane{m: m}
	err := l.Do(func() (err error) {
		if l.behind, err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return fmt.Errorf("make an event: %w", explain(err))
		}
		if l.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
			return fmt.Errorf("make a stream: %w", explain(err))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	m.lanes = append(m.lanes, l)
	return l, nil
}

func (l *lane) Queue() unsafe.Pointer { return unsafe.Pointer(l.stream.C()) }

func (l *lane) Do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(l.m.ctx); err != nil {
		return explain(err)
	}
	return f()
}

// driven is Do for calls of the driver.
func (l *lane) driven(what string, f func() error) error {
	return l.Do(func() error {
		if err := f(); err != nil {
			return fmt.Errorf("cuda: %s: %w", what, explain(err))
		}
		return nil
	})
}

func (l *lane) Follow() error {
	return l.driven("follow the device", func() error {
		if err := l.behind.Record(l.m.stream); err != nil {
			return err
		}
		return l.stream.Wait(l.behind, 0)
	})
}

func (l *lane) Mark() (kernels.Mark, error) {
	m := &mark{lane: l}
	return m, l.driven("mark a stream", func() (err error) {
		if n := len(l.spare); n > 0 {
			m.event, l.spare = l.spare[n-1], l.spare[:n-1]
		} else if m.event, err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return err
		}
		return m.event.Record(l.stream)
	})
}

func (m *mark) Passed() (passed bool, err error) {
	err = m.lane.driven("ask a stream", func() error {
		err := m.event.Query()
		passed = err == nil
		if err == error(cu.NotReady) {
			return nil
		}
		return err
	})
	return passed, err
}

func (m *mark) Lead() error {
	return m.lane.driven("follow a stream", func() error { return m.lane.m.stream.Wait(m.event, 0) })
}

// Free lets another mark use the event: who waits for it has been told its place.
func (m *mark) Free() error {
	m.lane.spare = append(m.lane.spare, m.event)
	return nil
}

// Close waits for the lane.
func (l *lane) Close() error {
	l.m.lanes = slices.DeleteFunc(l.m.lanes, func(x *lane) bool { return x == l })
	return l.driven("close a stream", func() error {
		err := l.stream.Synchronize()
		for _, e := range append(l.spare, l.behind) {
			if failed := cu.DestroyEvent(&e); err == nil {
				err = failed
			}
		}
		if failed := l.stream.Destroy(); err == nil {
			err = failed
		}
		return err
	})
}
