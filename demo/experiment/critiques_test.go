package experiment

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/demo"
	"criticrm/record"
	"criticrm/stage"
)

// scored are the pairs of a split as a model's critiques of the task's truth would leave them: of replies that are better with one score, of the
// others with the other. They are kept where a run keeps them.
func scored(t *testing.T, c *cell, split demo.Split, better, worse float64) (path string) {
	t.Helper()
	seed := map[demo.Split]uint64{demo.Evaluation: evalSeed, demo.Validation: validSeed}[split]
	rs := c.task.split(split, c.Held)
	truth, err := demo.Labelled(c.task.Pairs(seed, c.Held, split), rs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		for k, side := range r.Sides() {
			score := []float64{better, worse}[k]
			for range averaged {
				*r.SideCritiques(side) = append(*r.SideCritiques(side), record.Critique{Text: truth[2*i+k].Critiques[0].Text, Score: &score})
			}
		}
	}
	if path, err = c.write(fmt.Sprintf("%s-%v-%v-%d.jsonl", c.task.Name, better, worse, seed), rs); err != nil {
		t.Fatal(err)
	}
	return dataDir + "/" + filepath.Base(path)
}

// critiqued is a cell, and a model in it with such critiques at temperature 1.
func critiqued(t *testing.T, at int, better, worse float64) (*cell, *entry) {
	t.Helper()
	c := &cell{runner: &runner{Options: Options{Dir: t.TempDir()}}, Held: 60, Valid: 60, task: &task{Task: demo.Tasks()[at]}}
	if err := os.MkdirAll(c.in(dataDir), 0o755); err != nil {
		t.Fatal(err)
	}
	return c, &entry{Valid: map[string]float64{"0": 100, "0.3": 50, "1": 60}, Files: map[string]string{
		"eval 1": scored(t, c, demo.Evaluation, better, worse), "valid 1": scored(t, c, demo.Validation, better, worse)}}
}

// TestQualityRow: critiques that tell the truth are perfect, those of the opposite verdict with the same reasoning mend as much and are never right,
// and the file gives the figures again.
func TestQualityRow(t *testing.T) {
	c, e := critiqued(t, 0, 9, 2)
	row, err := c.quality(ours, e)
	if err != nil {
		t.Fatal(err)
	}
	own := "wrong to right, critique m="
	for name, want := range map[string]float64{"score m=1: accuracy": 100, "score m=8: F1": 100, "score m=1: MCC": 100, "score m=8: AUROC": 100, unsound: 0, sound: 100,
		own + "1": 100, own + "8": 100, "right to wrong, critique m=1": 0, everyWrong + ": recall": 100, everyWrong + ": precision": 50} {
		if f, ok := row.Figures[name]; !ok || math.Abs(f.Value-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, f, want)
		}
	}
	if f := row.Figures["wrong to right, shuffled m=1"]; f.Value > 80 || f.Low >= f.High {
		t.Errorf("another prompt's critiques mend %v", f)
	}
	list, _, err := stage.ReadFile(c.in(row.File), record.ReadOptions{Reads: []string{"revisions", "reference"}})
	if err != nil || len(list) != 120 || row.Temperature != 1 || !strings.HasSuffix(row.ValidFile, "misread-0-critic-rm-margin-ours-valid.jsonl") {
		t.Errorf("%d rows in %s, valid %s, T = %v, %v", len(list), row.File, row.ValidFile, row.Temperature, err)
	}
	if tables := (&Task{Quality: []QualityRow{row, row}}).CritiqueTables(); len(tables) != 2 || len(tables[0].Rows) != 3 {
		t.Errorf("%d tables", len(tables))
	}
	c, e = critiqued(t, 0, 2, 9)
	if row, err = c.quality(ours, e); err != nil || row.Figures["score m=8: AUROC"].Value != 0 || row.Figures[own+"8"].Value != 100 {
		t.Errorf("%v %+v", err, row)
	}
}

// TestQualityRowOfWork: replies that show their work have a first wrong step and nothing to mend by reasoning.
func TestQualityRowOfWork(t *testing.T) {
	c, e := critiqued(t, 2, 9, 2)
	row, err := c.quality(ours, e)
	if err != nil || row.Figures["one critique: exact"].Value != 100 || row.Figures["one critique: none"].Value != 100 {
		t.Errorf("%v %+v", err, row)
	}
	if _, ok := row.Figures["wrong to right, critique m=1"]; ok {
		t.Error("a reply was revised that no critique's reasoning can mend")
	}
	tables := (&Task{Quality: []QualityRow{row}}).CritiqueTables()
	if len(tables) != 3 || !strings.HasPrefix(tables[1].Head[0], "first wrong step") {
		t.Errorf("%d tables", len(tables))
	}
	for _, table := range tables {
		if _, err := table.HTML(); err != nil || len(table.Head) != len(table.Rows[0].Cells) || slices.Contains(table.Head, "wrong reply becomes right") {
			t.Errorf("%v, %v", table.Head, err)
		}
	}
}
