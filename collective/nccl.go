//go:build cuda

package collective

/*
#include <stdlib.h>
#include "nccl.h"
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"criticrm/kernels"
)

// library is NCCL, opened.
type library struct{ version int }

// openNCCL finds the library: where CRITICRM_NCCL says (a file or its folder), where the loader finds it, in NCCL_HOME, or in the wheel of the
// environment that is active.
func openNCCL(get func(string) string) (*library, error) {
	const name = "libnccl.so.2"
	var places []string
	if own := get("CRITICRM_NCCL"); own != "" {
		if info, err := os.Stat(own); err == nil && info.IsDir() {
			own = filepath.Join(own, name)
		}
		places = []string{own}
	} else {
		places = []string{name}
		for _, folder := range []string{"lib", "lib64"} {
			if home := get("NCCL_HOME"); home != "" {
				places = append(places, filepath.Join(home, folder, name))
			}
		}
		for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
			if root := get(env); root != "" {
				found, _ := filepath.Glob(filepath.Join(root, "lib", "python3*", "site-packages", "nvidia", "nccl", "lib", name))
				places = append(places, found...)
			}
		}
	}
	var why []string
	for _, place := range places {
		path := C.CString(place)
		var version C.int
		text := C.nccl_load(path, &version)
		C.free(unsafe.Pointer(path))
		if text == nil {
			return &library{int(version)}, nil
		}
		why = append(why, C.GoString(text))
	}
	return nil, fmt.Errorf("GPUs train together over NVIDIA's NCCL, 2.14 or newer (%s). Install it (apt-get install libnccl2, or pip install nvidia-nccl-cu12; "+
		"nvidia-nccl-cu13 for drivers of CUDA 13), and if it lies elsewhere, set CRITICRM_NCCL to libnccl.so.2 or its folder", strings.Join(why, "; "))
}

func (l *library) String() string {
	return fmt.Sprintf("%d.%d.%d", l.version/10000, l.version/100%100, l.version%100)
}

// newID makes the id by which the ranks of a group find each other.
func (l *library) newID() ([]byte, error) {
	var id C.nccl_id
	if code := C.nccl_new_id(&id); code != C.nccl_success {
		return nil, fmt.Errorf("NCCL makes no id: %s", C.GoString(C.nccl_text(nil, code)))
	}
	return C.GoBytes(unsafe.Pointer(&id), C.int(unsafe.Sizeof(id))), nil
}

// nccl moves memory of GPUs on a lane of the device. NCCL's own calls do not wait: one that is in progress has put nothing on the lane yet, and no
// other may be made until it has.
type nccl struct {
	rank, size int
	lane       kernels.Lane

	mu    sync.Mutex   // the control ends the communicator from another goroutine
	comm  *C.nccl_comm // in C's memory, for NCCL writes it when it has started
	ended bool
	last  *transfer
}

// transfer is what one call moves. mark is behind it, when NCCL has put it on the lane.
type transfer struct {
	e    *nccl
	mark kernels.Mark
	led  bool
}

// engine makes the communicator with all other ranks.
func (l *library) engine(g *Group, id []byte) (transport, error) {
	lane, err := g.dev.Lane()
	if err != nil {
		return nil, err
	}
	e := &nccl{rank: g.rank, size: g.size, lane: lane, comm: (*C.nccl_comm)(C.calloc(1, C.size_t(unsafe.Sizeof(C.nccl_comm(nil)))))}
	g.control.atLoss(e.abort)
	var x C.nccl_id
	if n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&x)), unsafe.Sizeof(x)), id); n != len(id) || n != int(unsafe.Sizeof(x)) {
		return nil, fmt.Errorf("rank 0 gave an id of NCCL with %d bytes", len(id))
	}
	err = e.call("start", func() C.int { return C.nccl_begin(e.comm, C.int(e.size), &x, C.int(e.rank)) })
	if err == nil {
		err = e.settleWithin(g.control.limits.Meet)
	}
	if err != nil {
		e.end(true)
		return nil, err
	}
	return e, nil
}

// call makes one of NCCL's calls, with the lock.
func (e *nccl) call(what string, f func() C.int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return errEnded
	}
	return e.lane.Do(func() error { return e.failure(what, f()) })
}

// failure is the error of a result, on the thread of its call.
func (e *nccl) failure(what string, code C.int) error {
	if code == C.nccl_success || code == C.nccl_in_progress {
		return nil
	}
	return fmt.Errorf("NCCL does not %s: %s", what, C.GoString(C.nccl_text(*e.comm, code)))
}

// settled says whether the last call is no longer in progress; then what it moves is on the lane, and is marked there. It asks for errors of all that
// runs, too.
func (e *nccl) settled() (ok bool, err error) {
	err = e.call("go on", func() C.int {
		code := C.nccl_state(*e.comm)
		ok = code == C.nccl_success
		return code
	})
	if !ok || err != nil || e.last == nil || e.last.mark != nil {
		return ok && err == nil, err
	}
	e.last.mark, err = e.lane.Mark()
	return err == nil, err
}

// settle waits until the last call is no longer in progress: other ranks have to come to it. If they do not, the control ends it.
func (e *nccl) settle() error { return e.settleWithin(0) }

// settleWithin is settle for what the control does not watch: with a limit, unless that is 0.
func (e *nccl) settleWithin(limit time.Duration) error {
	start := time.Now()
	for wait := newPatience(); ; wait.turn() {
		if ok, err := e.settled(); ok || err != nil {
			return err
		}
		if limit > 0 && time.Since(start) > limit {
			return fmt.Errorf("NCCL has not connected the ranks within %v: NCCL_DEBUG=INFO has it say what it tries, NCCL_SOCKET_IFNAME names the network", limit)
		}
	}
}

// begin queues a transfer behind all that the device was given.
func (e *nccl) begin(what string, f func(stream unsafe.Pointer) C.int) (done, error) {
	if err := e.settle(); err != nil {
		return nil, err
	}
	if err := e.lane.Follow(); err != nil {
		return nil, err
	}
	e.last = &transfer{e: e}
	if err := e.call(what, func() C.int { return f(e.lane.Queue()) }); err != nil {
		return nil, err
	}
	if _, err := e.settled(); err != nil {
		return nil, err
	}
	return e.last.done, nil
}

// done says whether the transfer has ended, as it should. From the first time on what the device is given runs behind it.
func (t *transfer) done() (bool, error) {
	if _, err := t.e.settled(); err != nil || t.mark == nil {
		return false, err
	}
	if !t.led {
		if err := t.mark.Lead(); err != nil {
			return false, err
		}
		t.led = true
	}
	passed, err := t.mark.Passed()
	if !passed || err != nil {
		return false, err
	}
	if _, err := t.e.settled(); err != nil { // it may have ended by a failure
		return false, err
	}
	return true, t.mark.Free()
}

// sizes are lengths as the library takes them.
func sizes(list []int) *C.size_t {
	out := make([]C.size_t, len(list))
	for i, n := range list {
		out[i] = C.size_t(n)
	}
	return unsafe.SliceData(out)
}

func (e *nccl) exchange(dst unsafe.Pointer, from span, src unsafe.Pointer, to span) (done, error) {
	return e.begin("exchange", func(stream unsafe.Pointer) C.int {
		return C.nccl_exchange(*e.comm, stream, C.int(e.size), (*C.char)(dst), sizes(from.n), sizes(from.at), (*C.char)(src), sizes(to.n), sizes(to.at))
	})
}

func (e *nccl) gather(p unsafe.Pointer, parts span) (done, error) {
	if !slices.ContainsFunc(parts.n, func(n int) bool { return n > 0 }) {
		return func() (bool, error) { return true, nil }, nil
	}
	return e.begin("gather", func(stream unsafe.Pointer) C.int {
		return C.nccl_gather(*e.comm, stream, C.int(e.size), C.int(e.rank), (*C.char)(p), sizes(parts.n), sizes(parts.at))
	})
}

func (e *nccl) broadcast(p unsafe.Pointer, bytes, root int) (done, error) {
	return e.begin("broadcast", func(stream unsafe.Pointer) C.int {
		return C.nccl_broadcast(*e.comm, stream, (*C.char)(p), C.size_t(bytes), C.int(root))
	})
}

// abort ends what runs, so that nothing waits for it any more, from any goroutine.
func (e *nccl) abort() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	e.ended = true
	if *e.comm != nil {
		_ = e.lane.Do(func() error { C.nccl_abort(*e.comm); return nil })
	}
}

// end gives everything back; after a failure the other ranks are not waited for.
func (e *nccl) end(failed bool) {
	if !failed {
		failed = e.call("end", func() C.int { return C.nccl_finalize(*e.comm) }) != nil || e.settle() != nil ||
			e.call("end", func() C.int { return C.nccl_destroy(*e.comm) }) != nil
	}
	if failed {
		e.abort()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if e.lane != nil {
		_ = e.lane.Close() // what has failed was told
		e.lane = nil
	}
}
