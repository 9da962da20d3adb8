//go:build cuda && emu

package kernels

// #include "emu/device.h"
import "C"

import (
	"errors"
	"unsafe"
)

// emulatedLane is a stream of the software GPU beside that of its ops.
type emulatedLane struct {
	device, stream unsafe.Pointer
}

type emulatedMark struct {
	lane *emulatedLane
	at   C.emu_event
}

func sentence(msg *C.char) error {
	if msg == nil {
		return nil
	}
	return errors.New(C.GoString(msg))
}

func (m *emulatedMemory) Lane() (Lane, error) {
	return &emulatedLane{m.stream, C.emu_stream(C.emu_schedule{order: C.EMU_FORWARD, async: C.EMU_LAZY})}, nil
}

func (l *emulatedLane) Queue() unsafe.Pointer   { return l.stream }
func (l *emulatedLane) Do(f func() error) error { return f() }

func (l *emulatedLane) Follow() error {
	C.emu_follow(l.stream, C.emu_record(l.device))
	return nil
}

func (l *emulatedLane) Mark() (Mark, error) { return &emulatedMark{l, C.emu_record(l.stream)}, nil }

func (l *emulatedLane) Close() error {
	err := sentence(C.emu_wait(l.stream))
	C.emu_stream_end(l.stream)
	return err
}

func (m *emulatedMark) Passed() (bool, error) {
	var msg *C.char
	passed := C.emu_pursue(m.at, &msg) != 0
	return passed, sentence(msg)
}

func (m *emulatedMark) Lead() error {
	C.emu_follow(m.lane.device, m.at)
	return nil
}

func (m *emulatedMark) Free() error { return nil }
