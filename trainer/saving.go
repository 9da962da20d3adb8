package trainer

// When a run writes checkpoints, and what happens when the disk does not take one.

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// saveMaybe writes a checkpoint after every save_steps updates. One that the disk does not take is reported and training goes on; the
// third in a row is an error. What is wrong with the state itself, or with the device, is one at once.
func (r *run) saveMaybe() error {
	if !r.saveDue() {
		return nil
	}
	err := r.save()
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

// save writes a checkpoint of the present step, unless there is one.
func (r *run) save() error {
	if r.saved == r.st.Step || !r.first() {
		return nil
	}
	r.st.Products = r.m.Dev.Algorithms()
	s, err := snapshot(r.m, r.st)
	if err != nil {
		return fmt.Errorf("trainer: checkpoint of step %d: %w", r.st.Step, err)
	}
	r.protect()
	path, err := r.store.Save(s, r.c.SaveTotalLimit)
	debug.FreeOSMemory() // what was taken for it, before the next one takes as much
	var bad unsound
	if errors.As(err, &bad) {
		return fmt.Errorf("trainer: checkpoint of step %d: %w; nothing was saved, the newest checkpoint is %s", r.st.Step, bad.error, named(r.result.Checkpoint))
	}
	if path == "" {
		r.bestSaved(r.st.Step, false)
		return notStored{fmt.Errorf("trainer: %w", err)}
	}
	if err != nil { // it is safe; something older could not be removed
		r.console.say("checkpoint of step %d: %v", r.st.Step, err)
	}
	r.bestSaved(r.st.Step, true)
	r.saved, r.result.Checkpoint = r.st.Step, path
	if err := r.writeState(r.c.OutputDir); err != nil {
		r.console.say("%v", err)
	}
	return nil
}

// interrupt writes a checkpoint and gives ErrInterrupted.
func (r *run) interrupt(ctx context.Context) error {
	stop := fmt.Errorf("%w at step %d of %d: %w", ErrInterrupted, r.st.Step, r.plan.Total, context.Cause(ctx))
	if r.c.OutputDir == "" || !r.first() {
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
