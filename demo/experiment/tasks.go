package experiment

// The tasks of the demo, as cells use them.

import (
	"context"
	"errors"
	"fmt"
	"os"

	"criticrm/demo"
	"criticrm/record"
)

// basesDir holds the base models of cells, but for the first one's if the program has it.
const basesDir = "bases"

// task is what the method is tried on.
type task struct {
	*demo.Task
	records func(split demo.Split, seed uint64, n int) []*record.Record // in place of the task's pairs
	most    sizes                                                       // that there are; 0: as many as the options say
	quiet   bool                                                        // its texts are not shown
}

// sizes are numbers of pairs.
type sizes struct{ pairs, held, valid int }

// tasksOf are the tasks of a demo.
func tasksOf(o Options) (list []*task, err error) {
	if len(o.Tasks) == 0 {
		for i, t := range demo.Tasks() {
			if i < 2 || o.Full {
				list = append(list, &task{Task: t})
			}
		}
		return list, nil
	}
	for _, name := range o.Tasks {
		t, err := demo.TaskOf(name)
		if err != nil {
			return nil, err
		}
		list = append(list, &task{Task: t})
	}
	return list, nil
}

// split are the first n pairs of the validation or the evaluation split.
func (t *task) split(split demo.Split, n int) []*record.Record {
	seed := map[demo.Split]uint64{demo.Validation: validSeed, demo.Evaluation: evalSeed}[split]
	return t.of(split, seed, n)
}

// train are the first n training pairs of a seed.
func (t *task) train(seed uint64, n int) []*record.Record {
	return t.of(demo.Train, 10000+seed, n)
}

func (t *task) of(split demo.Split, seed uint64, n int) []*record.Record {
	if t.records != nil {
		return t.records(split, seed, n)
	}
	return demo.Records(t.Pairs(seed, n, split))
}

// atMost is a number of pairs, or the task's if that is less.
func atMost(n, most int) int {
	if most > 0 {
		return min(n, most)
	}
	return n
}

// makeBase leaves the base model of a cell in a directory, which it gives: the embedded one, or one that is made for the seed, in minutes.
func (c *cell) makeBase(ctx context.Context) (string, error) {
	if c.Text != nil {
		return c.coldStart(ctx)
	}
	if c.BaseDir != "" {
		return c.BaseDir, nil
	}
	dir := c.in(fmt.Sprintf("%s/%s-%d", basesDir, c.task.Name, c.seed))
	if c.first && c.task.Embedded(c.seed) {
		dir = c.in(demo.Base)
	}
	if _, err := os.Stat(dir); err == nil && !c.task.Embedded(c.seed) {
		return dir, nil // it is there whole or not at all
	}
	making := dir + ".part" // an interruption leaves it, to go on with
	if !c.task.Embedded(c.seed) {
		c.printf("%s · seed %d · a base model of its own …", c.task.Name, c.seed)
	}
	report := func(line string) { c.printf("  %s", line) }
	if err := c.task.WriteBase(ctx, c.dev, making, c.seed, report); err != nil {
		if ctx.Err() == nil {
			return "", errors.Join(err, os.RemoveAll(making)) // what is there may be another program's
		}
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Rename(making, dir)
}
