package quality

import (
	"fmt"
	"path/filepath"
	"testing"

	"criticrm/internal/golden"
	"criticrm/record"
	"criticrm/stage"
)

// TestSharedSets reads labelled responses that people have made, where they are at hand: every row is an item, its first wrong step is read, and
// critiques that tell the truth, or its opposite, have the figures that they must.
func TestSharedSets(t *testing.T) {
	root := golden.Shared(t, "data")
	for _, set := range []struct {
		file         string
		items, wrong int
		steps        int // wrong responses with a step
	}{{"critique_bbmistake.jsonl", 2186, 1708, 1708}, {"critique_mrgsm8k.jsonl", 590, 590, 590}, {"critique_mrgsm8k_judged.jsonl", 851, 851, 0}} {
		records, _, err := stage.ReadFile(filepath.Join(root, "data", set.file), record.ReadOptions{Reads: Columns()})
		if err != nil {
			t.Fatal(err)
		}
		items, leftOut, err := Items(records, Reading{})
		if err != nil || len(items) != set.items || len(leftOut) != 0 {
			t.Fatalf("%s: %d items, %v, %v", set.file, len(items), leftOut, err)
		}
		wrong, steps := 0, 0
		for i, it := range items {
			said := NoError
			if !it.Right {
				wrong++
				if it.Step != nil {
					steps++
					said = *it.Step
				}
			}
			score := 9.0
			if !it.Right {
				score = 2
			}
			if i%4 == 0 { // and each fourth says the opposite, one step too far
				score, said = 11-score, said+1
			}
			it.Critiques = []Critique{{Score: &score, Step: &said}}
		}
		if wrong != set.wrong || steps != set.steps {
			t.Errorf("%s: %d wrong, %d with a step", set.file, wrong, steps)
		}
		o := options()
		o.Draws = 5
		r, err := Evaluate(items, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		all := r.Methods[0].Rows[0]
		if want := 1 - float64((set.items+3)/4)/float64(set.items); !near(*all.Accuracy.Value, want) {
			t.Errorf("%s: accuracy %v, want %v", set.file, *all.Accuracy.Value, want)
		}
		base := r.Methods[len(r.Methods)-1].Rows[0]
		if want := 2 * float64(set.wrong) / float64(set.items+set.wrong); !near(*base.F1.Value, want) {
			t.Errorf("%s: F1 of calling every response wrong %v, want %v", set.file, *base.F1.Value, want)
		}
		if (set.steps > 0) != (len(r.Steps) > 0) || set.steps > 0 && (*r.Steps[0].Within1.Value != 1 || *r.Steps[0].Exact.Value >= 1) {
			t.Errorf("%s: steps %+v", set.file, r.Steps)
		}
		if fmt.Sprint(r) == "" {
			t.Error("no table")
		}
	}
}
