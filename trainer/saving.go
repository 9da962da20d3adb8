package trainer

// When a run writes checkpoints, and what happens when the disk does not take one.

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"criticrm/checkpoint"
	"criticrm/internal/trace"
)

// saveMaybe writes a checkpoint after every save_steps updates, or begins to. One that the disk does not take is reported and training goes
// on; the third in a row is an error. What is wrong with the state itself, or with the device, is one at once.
func (r *run) saveMaybe() error {
	if err := r.collect(false); err != nil {
		return err
	}
	if !r.saveDue() || r.saved == r.st.Step || r.writing != nil && r.writing.step == r.st.Step || !r.writes() {
		return nil
	}
	defer r.waited(time.Now())
	defer trace.BeginNumbered(trace.Host, "checkpoint behind update", r.st.Step).End()
	begun := time.Now()
	if w := r.writing; w != nil { // at most one is in flight
		if err := r.collect(true); err != nil {
			return err
		}
		if late := time.Since(begun); late > time.Second && !r.toldLate {
			r.toldLate = true
			r.console.say("step %d: training waited %.1f s until the checkpoint of step %d was written: save_steps is shorter than the disk is fast", r.st.Step, late.Seconds(), w.step)
		}
	}
	beside, err := r.inBackground()
	if err != nil {
		return err
	}
	if !beside {
		return r.judge(r.write())
	}
	if err := r.begin(); err != nil {
		return r.judge(err)
	}
	return nil
}

// judge says whether a run ends with what became of a checkpoint.
func (r *run) judge(err error) error {
	if err == nil {
		r.saveErrs = 0
		return nil
	}
	var disk notStored
	if r.saveErrs++; r.saveErrs >= maxSaveErrors || !errors.As(err, &disk) {
		return err
	}
	r.console.say("%v; training goes on, the newest good checkpoint is %s", err, named(r.result.Checkpoint))
	return nil
}

func (r *run) saveDue() bool {
	if r.c.OutputDir == "" || r.st.Step == 0 || r.st.Step == r.plan.Total {
		return false
	}
	switch r.c.saveStrategy() {
	case SaveEverySteps:
		if r.c.SaveSteps != 0 && r.st.Step%r.c.SaveSteps == 0 {
			return true
		}
	case SaveEachEpoch:
		if r.st.Step%r.plan.PerEpoch == 0 {
			return true
		}
	case SaveNever:
		return false
	}
	return r.bestDue()
}

// notStored is an error of the disk: the run itself is sound, and can go on.
type notStored struct{ error }

func (e notStored) Unwrap() error { return e.error }

// save writes a checkpoint of the present step, unless there is one, and waits for it.
func (r *run) save() error {
	defer r.waited(time.Now())
	defer trace.BeginNumbered(trace.Host, "checkpoint behind update", r.st.Step).End()
	if err := r.collect(true); err != nil {
		return err
	}
	if r.saved == r.st.Step || !r.writes() {
		return nil
	}
	return r.write()
}

func (r *run) write() error {
	s, _, err := r.snapshot()
	if err != nil {
		return err
	}
	if r.m.Divided() > 0 {
		path, err := r.writeTogether(s)
		return r.ended(r.st.Step, path, err)
	}
	r.protect()
	path, err := r.store.Save(s, r.c.SaveTotalLimit)
	debug.FreeOSMemory() // what was taken for it, before the next one takes as much
	return r.ended(r.st.Step, path, err)
}

func (r *run) snapshot() (*checkpoint.State, *downloads, error) {
	r.st.Products = r.m.Dev.Algorithms()
	s, from, err := snapshot(r.m, r.st)
	if err != nil {
		err = fmt.Errorf("trainer: checkpoint of step %d: %w", r.st.Step, err)
	}
	return s, from, err
}

// ended takes note of what became of the checkpoint of a step, and says what is wrong with it.
func (r *run) ended(step int, path string, err error) error {
	var bad unsound
	if errors.As(err, &bad) {
		return fmt.Errorf("trainer: checkpoint of step %d: %w; nothing was saved, the newest checkpoint is %s", step, bad.error, named(r.result.Checkpoint))
	}
	if path == "" {
		r.bestSaved(step, false)
		return notStored{fmt.Errorf("trainer: %w", err)}
	}
	if err != nil { // it is safe; something older could not be removed
		r.console.say("checkpoint of step %d: %v", step, err)
	}
	r.bestSaved(step, true)
	r.saved, r.result.Checkpoint = step, path
	if !r.first() {
		return nil
	}
	if err := r.writeState(r.c.OutputDir); err != nil {
		r.console.say("%v", err)
	}
	return nil
}

// interrupt writes a checkpoint and gives ErrInterrupted.
func (r *run) interrupt(ctx context.Context) error {
	stop := fmt.Errorf("%w at step %d of %d: %w", ErrInterrupted, r.st.Step, r.plan.Total, context.Cause(ctx))
	if r.c.OutputDir == "" || !r.writes() {
		return stop
	}
	if err := r.save(); err != nil {
		return errors.Join(stop, err)
	}
	return fmt.Errorf("%w; saved as %s, go on with resume: latest", stop, r.result.Checkpoint)
}

func named(checkpoint string) string {
	if checkpoint == "" {
		return "none"
	}
	return checkpoint
}
