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
	"sync"
	"time"
	"unsafe"
)

func yield() { C.sched_yield() }

// mpi is Open MPI, for memory of the host. A process has one, for its whole life.
type mpi struct {
	size int
	lost func() error // why the group has failed

	mu   sync.Mutex // one call at a time
	over chan struct{}
}

// turn is how often the library is called when nobody else calls it. What a rank has given away by a call that has ended may still lie in its
// own queues, and goes on only inside of the library: others would wait for it until this rank's next call, or for ever, if this one waits for them
// elsewhere.
const turn = time.Millisecond

// turns calls the library until the end.
func (m *mpi) turns() {
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		select {
		case <-m.over:
			return
		case <-tick.C:
			m.mu.Lock()
			select {
			case <-m.over:
			default:
				C.mpi_turn()
			}
			m.mu.Unlock()
		}
	}
}

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
	m = &mpi{size: int(n), over: make(chan struct{})}
	go m.turns()
	return m, int(r), int(n), nil
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

// begin makes a transfer begin. The library keeps arrays of counts until it ends, so they are C's, as its name is, and freed behind it.
func (m *mpi) begin(call func(counts func(i int) *C.int, request *unsafe.Pointer) C.int, counts ...[]int) (done, error) {
	all := ints(counts...)
	name := unsafe.Sizeof(unsafe.Pointer(nil))
	held := C.malloc(C.size_t(name) + C.size_t(len(all))*C.size_t(unsafe.Sizeof(C.int(0))))
	request, first := (*unsafe.Pointer)(held), unsafe.Add(held, name)
	copy(unsafe.Slice((*C.int)(first), len(all)), all)
	at := func(i int) *C.int { return (*C.int)(unsafe.Add(first, i*m.size*int(unsafe.Sizeof(C.int(0))))) }
	m.mu.Lock()
	defer m.mu.Unlock()
	if call(at, request) != 0 {
		C.free(held)
		return nil, errors.New(C.GoString(C.mpi_error()))
	}
	return func() (bool, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		switch C.mpi_done(request) {
		case 0:
			return false, nil
		case 1:
			C.free(held)
			return true, nil
		}
		return false, errors.New(C.GoString(C.mpi_error()))
	}, nil
}

func (m *mpi) exchange(dst unsafe.Pointer, from span, src unsafe.Pointer, to span) (done, error) {
	return m.begin(func(at func(i int) *C.int, request *unsafe.Pointer) C.int {
		return C.mpi_exchange(dst, at(0), at(1), src, at(2), at(3), request)
	}, from.n, from.at, to.n, to.at)
}

func (m *mpi) gather(p unsafe.Pointer, parts span) (done, error) {
	return m.begin(func(at func(i int) *C.int, request *unsafe.Pointer) C.int {
		return C.mpi_gather(p, at(0), at(1), request)
	}, parts.n, parts.at)
}

func (m *mpi) broadcast(p unsafe.Pointer, bytes, root int) (done, error) {
	return m.begin(func(_ func(i int) *C.int, request *unsafe.Pointer) C.int {
		return C.mpi_broadcast(p, C.int(bytes), C.int(root), request)
	})
}

// end says good-bye and waits until all others do, as long as they are there. After a failure they may never come: the process is expected to end.
func (m *mpi) end(failed bool) {
	m.mu.Lock()
	close(m.over)
	m.mu.Unlock()
	if failed {
		return
	}
	parted := make(chan struct{})
	go func() { C.mpi_end(); close(parted) }()
	for {
		select {
		case <-parted:
			return
		case <-time.After(beat / 10):
			if m.lost() != nil {
				return
			}
		}
	}
}
