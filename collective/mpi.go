package collective

/*
#cgo LDFLAGS: -ldl
#include <sched.h>
#include <stdlib.h>
#include "mpi.h"
*/
import "C"

import (
	"errors"
	"slices"
	"time"
	"unsafe"
)

func yield() { C.sched_yield() }

// mpi is Open MPI, for memory of the host. A process has one, for its whole life.
type mpi struct{ size int }

// errNotStarted is the library's waiting for a rank that does not come.
var errNotStarted = errors.New("not all ranks have started Open MPI")

// openMPI opens the library, which waits until all ranks have done so. rank and size are what it says.
func openMPI(limit time.Duration) (m *mpi, rank, size int, err error) {
	opened := make(chan error, 1)
	go func() {
		var err error
		if why := C.mpi_load(); why != nil {
			err = errors.New(C.GoString(why))
		}
		opened <- err
	}()
	select {
	case err = <-opened:
	case <-time.After(limit):
		err = errNotStarted
	}
	if err != nil {
		return nil, 0, 0, err
	}
	var r, n C.int
	C.mpi_size(&r, &n)
	return &mpi{int(n)}, int(r), int(n), nil
}

func (m *mpi) String() string { return C.GoString(C.mpi_version()) }

// ints are lengths as the library takes them.
func ints(list ...[]int) []C.int {
	var out []C.int
	for _, n := range slices.Concat(list...) {
		out = append(out, C.int(n))
	}
	return out
}

func begun(code C.int) (done, error) {
	if code != 0 {
		return nil, errors.New(C.GoString(C.mpi_error()))
	}
	return func() (bool, error) {
		switch C.mpi_done() {
		case 0:
			return false, nil
		case 1:
			return true, nil
		}
		return false, errors.New(C.GoString(C.mpi_error()))
	}, nil
}

// The library keeps arrays of counts until the transfer ends, so they are C's, made for each call and freed behind it.
func (m *mpi) held(lists ...[]int) (at func(i int) *C.int, free func()) {
	all := ints(lists...)
	p := (*C.int)(C.malloc(C.size_t(len(all)) * C.size_t(unsafe.Sizeof(all[0]))))
	copy(unsafe.Slice(p, len(all)), all)
	return func(i int) *C.int {
		return (*C.int)(unsafe.Add(unsafe.Pointer(p), i*m.size*int(unsafe.Sizeof(all[0]))))
	}, func() { C.free(unsafe.Pointer(p)) }
}

// freeing frees when a transfer has ended.
func freeing(d done, err error, free func()) (done, error) {
	if err != nil {
		free()
		return nil, err
	}
	return func() (bool, error) {
		ok, err := d()
		if ok {
			free()
		}
		return ok, err
	}, nil
}

func (m *mpi) exchange(dst unsafe.Pointer, from span, src unsafe.Pointer, to span) (done, error) {
	at, free := m.held(from.n, from.at, to.n, to.at)
	d, err := begun(C.mpi_exchange(dst, at(0), at(1), src, at(2), at(3)))
	return freeing(d, err, free)
}

func (m *mpi) gather(p unsafe.Pointer, parts span) (done, error) {
	at, free := m.held(parts.n, parts.at)
	d, err := begun(C.mpi_gather(p, at(0), at(1)))
	return freeing(d, err, free)
}

func (m *mpi) broadcast(p unsafe.Pointer, bytes, root int) (done, error) {
	return begun(C.mpi_broadcast(p, C.int(bytes), C.int(root)))
}

func (m *mpi) barrier() (done, error) { return begun(C.mpi_barrier()) }

// end says good-bye, when all others do. After a failure they may never come, so nothing is waited for: the process is expected to end.
func (m *mpi) end(failed bool) {
	if !failed {
		C.mpi_end()
	}
}
