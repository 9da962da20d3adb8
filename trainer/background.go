package trainer

// Checkpoints that are written while training goes on: the state is copied to the host's memory while the next gradients are computed,
// which only read it, and compressed and written from there.

import (
	"runtime/debug"
	"time"

	"criticrm/checkpoint"
	"criticrm/internal/trace"
	"criticrm/kernels"
)

// What tests put something else in the place of.
var (
	openStore  = checkpoint.Open
	hostMemory = freeMemory
	beforeCopy = func() {}
)

// How checkpoints are written.
const (
	AsyncAuto = "auto"
	AsyncYes  = "yes"
	AsyncNo   = "no"
)

// background is what a run has under way beside its steps.
type background struct {
	writing    *writing // the checkpoint in flight
	copy       hostCopy
	toldNoCopy bool
	toldLate   bool
	allWritten bool // all ranks have written their parts of it, and know that of each other
}

// writing is a checkpoint that is on its way to the disk.
type writing struct {
	step   int
	copied chan struct{} // closed when the state may change again
	done   chan written
	parts  *together // nil: this process writes all of it
}

// ended says whether this process has done its part.
func (w *writing) ended() bool { return w != nil && len(w.done) == 1 }

type written struct {
	path string
	err  error
}

// hostCopy is memory for a copy of the state, which a run keeps until its end.
type hostCopy struct {
	bytes []byte
	free  func()
}

func (c *hostCopy) giveBack() {
	if c.free != nil {
		c.free()
		*c = hostCopy{}
	}
}

// inBackground says whether there is memory for a copy of the state, or of every rank's parts; it is taken at the first checkpoint, when all else has its own.
func (r *run) inBackground() (bool, error) {
	if r.c.AsyncSave == AsyncNo || r.copy.bytes != nil {
		return r.copy.bytes != nil, nil
	}
	need, ranks := copyBytes(r.m), uint64(1)
	if r.m.Divided() > 0 {
		ranks = uint64(r.group.Size()) // all of them may be on this host
	}
	left, known := hostMemory()
	if r.c.AsyncSave == AsyncYes || !known || left >= ranks*(uint64(need)+uint64(need)/8+checkpoint.SaveMemory()) {
		r.copy.bytes, r.copy.free = kernels.HostAlloc(need)
	}
	if r.m.Divided() > 0 {
		if err := r.agreeOnCopy(); err != nil {
			return false, err
		}
	}
	if r.copy.bytes == nil && !r.toldNoCopy {
		r.toldNoCopy = true
		r.console.say("checkpoints are written while training waits: a copy of the state takes %s of the host's memory, which has %s left", checkpoint.MiB(uint64(need)), checkpoint.MiB(left))
	}
	return r.copy.bytes != nil, nil
}

// agreeOnCopy gives the memory back where another rank has none: all write in the background, or none does.
func (r *run) agreeOnCopy() error {
	own := 0.0
	if r.copy.bytes != nil {
		own = 1
	}
	all, err := r.group.Share("the memory for a copy of the state", []float64{own})
	for _, x := range all {
		if x[0] == 0 {
			r.copy.giveBack()
		}
	}
	return err
}

// begin copies the state, or has it copied, and writes it in the background.
func (r *run) begin() error {
	s, from, err := r.snapshot()
	if err != nil {
		return err
	}
	w := &writing{step: r.st.Step, copied: make(chan struct{}), done: make(chan written, 1)}
	if r.m.Divided() == 0 {
		r.protect()
	} else if w.parts, err = r.beginTogether(s); err != nil {
		return r.ended(w.step, "", err)
	}
	r.allWritten = false
	store, keep, host, beside := r.store, r.c.SaveTotalLimit, r.copy.bytes, r.m.Dev.Beside()
	rank := r.group.Rank()
	if beside == nil {
		if err := from.copyTo(host, nil); err != nil { // the device is gone
			return r.ended(w.step, "", unsound{err})
		}
		close(w.copied)
	}
	r.writing = w
	go func() {
		defer trace.BeginNumbered(trace.Writing, "checkpoint of update", w.step).End()
		var x written
		if beside != nil {
			beforeCopy()
			x.err = from.copyTo(host, beside)
			close(w.copied)
		}
		switch {
		case x.err != nil:
			x.err = unsound{x.err}
		case w.parts != nil:
			x.err = checkpoint.WritePart(w.parts.dir, rank, s)
		default:
			x.path, x.err = store.Save(s, keep)
		}
		debug.FreeOSMemory() // what was taken for it, before the next one takes as much
		w.done <- x
	}()
	return nil
}

// mayChange waits until a checkpoint in flight no longer reads the state.
func (r *run) mayChange() {
	if r.writing != nil {
		defer r.waited(time.Now())
		<-r.writing.copied
	}
}

// collect takes note of what became of the checkpoint in flight: when it has ended, or waiting for that. Where ranks write it together, all of them call it
// at the same place, and it has ended when all know that all have written.
func (r *run) collect(wait bool) error {
	w := r.writing
	if w == nil {
		return nil
	}
	if ended := w.ended(); !wait && (w.parts == nil && !ended || w.parts != nil && !r.allWritten) {
		return nil
	}
	x := <-w.done
	r.writing = nil
	if w.parts != nil {
		x.path, x.err = r.endTogether(w.parts, x.err)
	}
	return r.judge(r.ended(w.step, x.path, x.err))
}

// abandon waits for a checkpoint in flight as a run ends. One that ranks write together is given up: they may no longer meet.
func (r *run) abandon() error {
	w := r.writing
	if w == nil || w.parts == nil {
		return r.collect(true)
	}
	<-w.done
	r.writing = nil
	w.parts.abandon()
	return nil
}

// newest is the newest checkpoint, for the error that a run ends with.
func (r *run) newest() string {
	if w := r.writing; w != nil && w.parts != nil { // ranks may no longer meet
		return named(r.result.Checkpoint)
	}
	if err := r.collect(true); err != nil {
		r.console.say("%v", err)
	}
	return named(r.result.Checkpoint)
}

// waited counts time in which training waits for checkpoints.
func (r *run) waited(since time.Time) { r.result.SaveSeconds += time.Since(since).Seconds() }
