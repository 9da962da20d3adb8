package experiment

import (
	"strings"
	"testing"
)

// Rows that one of two runs lacks are taken over; what both have must agree.
func TestJoin(t *testing.T) {
	run := func(accuracy float64, rows ...string) *Results {
		task := &Task{Name: "misread"}
		for _, name := range rows {
			task.Rows = append(task.Rows, &Row{Method: name, Reading: readReward, At: atChosen, Seeds: []SeedRow{{Seed: 0, Accuracy: accuracy}}})
			task.Differences = append(task.Differences, Difference{What: name + " − x"})
		}
		return &Results{Version: "1", EvalPairs: 500, Tasks: []*Task{task}}
	}
	a := run(90, ours, scalarRM)
	a.Tasks[0].Rows[0].Seeds = append(a.Tasks[0].Rows[0].Seeds, SeedRow{Seed: 1, Accuracy: 80})
	if err := a.Join(run(90, ours, placebo)); err != nil {
		t.Fatal(err)
	}
	if rows := a.Tasks[0].Rows; len(rows) != 3 || rows[2].Method != placebo || len(rows[0].Seeds) != 2 || len(a.Tasks[0].Differences) != 3 || a.Tasks[0].SeedCount() != 2 {
		t.Errorf("%+v", a.Tasks[0])
	}
	if err := a.Join(run(91, ours)); err == nil || !strings.Contains(err.Error(), "seed 0: 90 in one run, 91 in the other") {
		t.Error(err)
	}
	b := run(90, ours)
	b.Version = "2"
	if err := a.Join(b); err == nil || !strings.Contains(err.Error(), "program 1 and 2") {
		t.Error(err)
	}
}
