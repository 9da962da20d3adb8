package experiment

// The tables of a run that is there.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"criticrm/checkpoint"
	"criticrm/measure"
)

// Again makes results.json, the report, the files of critiques and recount.py of a demo anew from what its models wrote about each pair. Nothing
// is sampled or trained, so that it says which program made the models, and on what.
func Again(dir string) (*Results, error) {
	r := &runner{Options: Options{Dir: dir, Full: true}, finished: map[string]*entry{}, figures: map[string]*measure.Report{}, results: &Results{}}
	b, err := os.ReadFile(r.in(resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("demo: %s has no %s: no demo has measured a model there", dir, resultsFile)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, r.results); err != nil {
		return nil, fmt.Errorf("demo: %s: %w", r.in(resultsFile), err)
	}
	r.Seeds, r.Pairs, r.Held, r.Valid = r.results.Seeds, r.results.TrainPairs, r.results.EvalPairs, r.results.ValidPairs
	for _, t := range r.results.Tasks {
		r.Tasks = append(r.Tasks, t.Name)
	}
	if len(r.Tasks) == 0 || len(r.Seeds) == 0 {
		return nil, fmt.Errorf("demo: %s has no tables", r.in(resultsFile))
	}
	if err := r.what(); err != nil {
		return nil, fmt.Errorf("%w; only the tables of 'criticrm demo' are made anew, not those of its experiments on real text", err)
	}
	if err := r.readFinished(); err != nil {
		return nil, err
	}
	if len(r.finished) == 0 {
		return nil, fmt.Errorf("demo: %s is not there, or empty: what the models wrote is gone, and %s stays as it is", r.in(finishedFile), r.in(resultsFile))
	}
	if err := checkpoint.WriteFileAtomic(r.in(recountFile), recount); err != nil {
		return nil, err
	}
	return r.results, r.tables(r.cells(), true)
}

// cells are all of the run, seed by seed.
func (r *runner) cells() (list []*cell) {
	for i, seed := range r.Seeds {
		for j, t := range r.tasks {
			list = append(list, &cell{runner: r, task: t, seed: seed, first: i == 0 && j == 0,
				Pairs: atMost(r.Pairs, t.most.pairs), Held: atMost(r.Held, t.most.held), Valid: atMost(r.Valid, t.most.valid)})
		}
	}
	return list
}
