package experiment

// The tasks of the demo.

import (
	"context"
	"path/filepath"

	"criticrm/demo"
	"criticrm/record"
)

// task is what the method is tried on.
type task struct {
	name, title string
	maxTokens   int // of a critique; 0: the recipe's
	pairs       func(seed uint64, n int, split demo.Split) []demo.Pair
}

// tasks are those of a demo.
func tasks(full bool) []*task {
	return []*task{{name: "misread", title: "a critic that misreads less than half of the time", pairs: demo.Pairs}}
}

// split are the first n pairs of the validation or the evaluation split.
func (t *task) split(split demo.Split, n int) []*record.Record {
	seed := map[demo.Split]uint64{demo.Validation: validSeed, demo.Evaluation: evalSeed}[split]
	return demo.Records(t.pairs(seed, n, split))
}

// train are the first n training pairs of a seed.
func (t *task) train(seed uint64, n int) []*record.Record {
	return demo.Records(t.pairs(10000+seed, n, demo.Train))
}

// makeBase leaves the base model of a cell in a directory, which it gives.
func (c *cell) makeBase(ctx context.Context) (string, error) {
	if c.BaseDir != "" {
		return c.BaseDir, nil
	}
	dir := filepath.Join(c.Dir, demo.Base)
	return dir, demo.Extract(demo.Base, dir)
}
