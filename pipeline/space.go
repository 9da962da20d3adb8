package pipeline

// What a run writes, compared with what its disk has left before hours are spent.

import (
	"cmp"
	"fmt"
	"syscall"

	"criticrm/checkpoint"
	"criticrm/cuda"
	"criticrm/trainer"
)

// Bytes of rows, at most: of a critique's token (its text, and its id), and of what stands around them in a critique.
const (
	tokenBytes    = 16
	critiqueBytes = 256
)

// space is what a run writes, in bytes: what its largest training cannot do without, and all of it at most.
func (r *run) space(train, valid, held, followed float64) (least, all uint64, err error) {
	critiques := func(rows float64, of, maxTokens int) float64 {
		return 2 * rows * float64(of) * float64(tokenBytes*cmp.Or(maxTokens, r.base.MaxTokens)+critiqueBytes)
	}
	rounds, models := float64(r.Rounds), 1.0 // the judge
	if r.wants(Cloud) {
		models++
	}
	rows := rounds*3*critiques(train, r.Generate.Critiques, r.Generate.MaxTokens) + // generate, filter, refine
		critiques(rounds*(valid+held)+models*held, r.Eval.Samples, r.Eval.MaxTokens) +
		critiques(r.followRounds()*followed, r.Generate.Critiques, r.Generate.MaxTokens)
	all = uint64(rows)
	for _, t := range r.trainings() {
		times := 1
		if t.section == "train" {
			times = r.Rounds
		}
		dev := cuda.Dry()
		s, err := trainer.Needs(dev, *t.Config, max(1, int(train)))
		dev.Close()
		if err != nil {
			return 0, 0, err
		}
		least, all = max(least, s.Least()), all+uint64(times)*s.All()
	}
	return least, all, nil
}

// fits compares what a run writes with what is free: too little for one training is an error, too little for everything a warning.
func fits(dir string, free, least, all uint64) (warning string, err error) {
	if free < least {
		return "", fmt.Errorf("a checkpoint and a model take up to %s, and the disk of %s has %s left: make room, or choose another output_dir: %w",
			checkpoint.MiB(least), dir, checkpoint.MiB(free), syscall.ENOSPC)
	}
	if free < all {
		warning = fmt.Sprintf("warning: the run writes up to %s, and the disk of %s has %s left: make room, or set train.save_total_limit", checkpoint.MiB(all), dir, checkpoint.MiB(free))
	}
	return warning, nil
}

// room looks whether the disk takes what the run will write.
func (r *run) room(train, valid, held, followed float64) error {
	least, all, err := r.space(train, valid, held, followed)
	if err != nil {
		return err
	}
	free, err := checkpoint.Free(r.dir)
	if err != nil {
		return err
	}
	warning, err := fits(r.dir, free, least, all)
	if warning != "" {
		r.say("%s", warning)
	}
	return err
}
