package trainer

// What a run writes, compared with what its disk has left before the first step, and what memory of the host that takes.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

// Space is what a run writes into output_dir, in bytes, before compression, and the memory of the host that it takes for it.
type Space struct {
	Checkpoint, Model uint64 // one of each
	Kept              int    // the most checkpoints that lie there at once

	Copy  uint64 // memory for a copy of the state, if training goes on while checkpoints are written
	Files uint64 // memory for the files that are compressed at once
}

// SpaceOf is the space of a run with a model.
func SpaceOf(m *model.Model, c Config, p Plan) (s Space) {
	for _, param := range m.Params() {
		for _, b := range buffers(param) {
			s.Checkpoint += uint64(b.t.Bytes() * m.Ranks()) // parts are of one size, but for 256 elements
		}
		if !m.HasAdapter() {
			s.Model += uint64(param.W.Bytes())
		} else if !stays(param) { // in float32
			s.Model += uint64(4 * param.W.Len())
		}
	}
	s.Kept = 1 // at the end
	if every := c.savesEvery(p); every > 0 {
		s.Kept += max(0, p.Total-1) / every
	}
	s.Files = checkpoint.SaveMemory()
	if s.Kept > 1 && c.AsyncSave != AsyncNo {
		s.Copy = s.Checkpoint
	}
	if c.SaveTotalLimit > 0 {
		s.Kept = min(s.Kept, c.SaveTotalLimit+1) // the oldest goes when the newest is there
	}
	return s
}

// savesEvery is how many updates lie between two checkpoints at least; 0: there is none before the end.
func (c Config) savesEvery(p Plan) int {
	switch strategy := c.saveStrategy(); {
	case c.LoadBest || strategy == SaveBest: // each evaluation may be the best
		return c.evalEvery(p.PerEpoch)
	case strategy == SaveEverySteps:
		return c.SaveSteps
	case strategy == SaveEachEpoch:
		return p.PerEpoch
	}
	return 0
}

// Least is what a run cannot do without.
func (s Space) Least() uint64 { return s.Checkpoint + s.Model }

// All is what it writes at most.
func (s Space) All() uint64 { return uint64(s.Kept)*s.Checkpoint + s.Model }

// Fits compares the space with what is free: too little for one checkpoint and the model is an error, too little for all of them a warning.
func (s Space) Fits(dir string, free uint64) (warning string, err error) {
	if free < s.Least() {
		return "", fmt.Errorf("trainer: output_dir: a checkpoint and the model take up to %s, and the disk of %s has %s left: make room, or take another disk: %w",
			checkpoint.MiB(s.Least()), dir, checkpoint.MiB(free), syscall.ENOSPC)
	}
	if free < s.All() {
		warning = fmt.Sprintf("warning: %d checkpoints and the model take up to %s, and the disk of %s has %s left: make room, or set save_total_limit or a larger save_steps",
			s.Kept, checkpoint.MiB(s.All()), dir, checkpoint.MiB(free))
	}
	return warning, nil
}

// Needs is the space of a run with so many examples. Of the model it reads the configuration alone; dev is one that computes nothing.
func Needs(dev *kernels.Device, c Config, examples int) (s Space, err error) {
	config, err := model.LoadConfig(c.Model)
	if err != nil {
		return s, err
	}
	m, err := model.Blank(dev, config, c.optionsFor(config))
	if err != nil {
		return s, err
	}
	defer m.Close()
	return SpaceOf(m, c, NewPlan(c, examples)), nil
}

// room looks whether the disk takes what a new run will write. A disk that does not tell is asked again by each checkpoint.
func (r *run) room() error {
	if _, err := os.Stat(r.checkpoints()); !errors.Is(err, fs.ErrNotExist) {
		return nil // the run is no new one
	}
	free, err := checkpoint.Free(r.c.OutputDir)
	if err != nil {
		return nil
	}
	warning, err := SpaceOf(r.m, r.c, r.plan).Fits(r.c.OutputDir, free)
	if warning != "" {
		r.report.say("%s", warning)
	}
	return err
}
