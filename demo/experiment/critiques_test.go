package experiment

import (
	"math"
	"strings"
	"testing"

	"criticrm/demo"
	"criticrm/record"
	"criticrm/stage"
)

// TestQualityRow: critiques that tell the truth are perfect, those of the opposite verdict with the same reasoning mend as much and are never right,
// and the file gives the figures again.
func TestQualityRow(t *testing.T) {
	c := &cell{runner: &runner{Options: Options{Dir: t.TempDir(), Held: 60}}, Held: 60, task: &task{Task: demo.Tasks()[0]}}
	d := &measured{records: c.task.split(demo.Evaluation, c.Held)}
	truth, err := demo.Labelled(c.task.Pairs(evalSeed, c.Held, demo.Evaluation), d.records)
	if err != nil {
		t.Fatal(err)
	}
	write := func(right, wrong float64) {
		for i, r := range d.records {
			for k, side := range r.Sides() {
				score := []float64{right, wrong}[k]
				text := truth[2*i+k].Critiques[0].Text
				*r.SideCritiques(side) = nil
				for range averaged {
					*r.SideCritiques(side) = append(*r.SideCritiques(side), record.Critique{Text: text, Score: &score})
				}
			}
		}
	}
	write(9, 2)
	row, err := c.quality("a model", d)
	if err != nil {
		t.Fatal(err)
	}
	full := [2]float64{100, 100}
	if row.Parsed != 100 || row.Verdict != 100 || row.F1 != full || row.Unsound != 0 || *row.Mended != full || *row.Spoilt != [2]float64{} || *row.ShuffledTo > 80 || row.Categories["Reasoning"] != 100 {
		t.Errorf("%+v", row)
	}
	list, _, err := stage.ReadFile(c.in(row.File), record.ReadOptions{Reads: []string{"revisions", "reference"}})
	if err != nil || len(list) != 120 || !strings.HasSuffix(row.File, "misread-0-a-model.jsonl") {
		t.Errorf("%d rows in %s, %v", len(list), row.File, err)
	}
	write(2, 9)
	if row, err = c.quality("a model", d); err != nil || row.Verdict != 0 || *row.Mended != full || math.IsNaN(row.Unsound) {
		t.Errorf("%v %+v", err, row)
	}
}

// TestQualityRowOfWork: replies that show their work have a first wrong step and nothing to mend by reasoning.
func TestQualityRowOfWork(t *testing.T) {
	c := &cell{runner: &runner{Options: Options{Dir: t.TempDir(), Held: 30}}, Held: 30, task: &task{Task: demo.Tasks()[2]}}
	d := &measured{records: c.task.split(demo.Evaluation, c.Held)}
	nine := 9.0
	for _, r := range d.records {
		for _, side := range r.Sides() {
			*r.SideCritiques(side) = []record.Critique{{Text: "Start=1. Score: 9", Score: &nine}}
		}
	}
	row, err := c.quality("base", d)
	if err != nil || row.Mended != nil || row.Verdict > 40 {
		t.Errorf("%v %+v", err, row)
	}
	if _, err := (&Task{Quality: []QualityRow{row}}).qualityTable().HTML(); err != nil {
		t.Error(err)
	}
}
