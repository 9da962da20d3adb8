package experiment

import (
	"errors"
	"fmt"
	"slices"
)

// Join takes what another run has and this one has not: rows and differences, such as the controls of one seed beside main rows of three. Both must be of
// one program and of the same sizes, and where they have measured the same thing at the same seed it must be the same figure, to the last digit.
func (r *Results) Join(other *Results) error {
	if r.Version != other.Version || r.TrainPairs != other.TrainPairs || r.ValidPairs != other.ValidPairs || r.EvalPairs != other.EvalPairs {
		return fmt.Errorf("demo: the runs are not of one kind: program %s and %s; %d, %d, %d and %d, %d, %d pairs",
			r.Version, other.Version, r.TrainPairs, r.ValidPairs, r.EvalPairs, other.TrainPairs, other.ValidPairs, other.EvalPairs)
	}
	for _, theirs := range other.Tasks {
		i := slices.IndexFunc(r.Tasks, func(t *Task) bool { return t.Name == theirs.Name })
		if i < 0 {
			return errors.New("demo: the first run has no task " + theirs.Name)
		}
		if err := r.Tasks[i].join(theirs); err != nil {
			return err
		}
	}
	if r.Validation == nil {
		r.Validation = other.Validation
	}
	r.Full = r.Full || other.Full
	r.Complete = false
	return nil
}

func (t *Task) join(other *Task) error {
	if t.Quality == nil {
		t.Quality = other.Quality
	}
	for _, theirs := range other.Rows {
		i := slices.IndexFunc(t.Rows, func(row *Row) bool {
			return row.Method == theirs.Method && row.Ablation == theirs.Ablation && row.Reading == theirs.Reading && row.At == theirs.At && row.Pairs == theirs.Pairs
		})
		if i < 0 {
			t.Rows = append(t.Rows, theirs)
			continue
		}
		for _, x := range theirs.Seeds {
			for _, y := range t.Rows[i].Seeds {
				if x.Seed == y.Seed && (x.Accuracy != y.Accuracy || x.Valid != y.Valid) {
					return fmt.Errorf("demo: %s, %s, seed %d: %v in one run, %v in the other", t.Name, theirs.Name(), x.Seed, y.Accuracy, x.Accuracy)
				}
			}
		}
	}
	for _, theirs := range other.Differences {
		if !slices.ContainsFunc(t.Differences, func(d Difference) bool { return d.What == theirs.What }) {
			t.Differences = append(t.Differences, theirs)
		}
	}
	if len(t.Notes) == 0 {
		t.Notes = other.Notes
	}
	return nil
}

// SeedCount is how many seeds the task's headline row is a mean of; rows and differences of fewer are marked where they are shown.
func (t *Task) SeedCount() int {
	for _, row := range t.Rows {
		if row.Headline() {
			return len(row.Seeds)
		}
	}
	return 0
}
