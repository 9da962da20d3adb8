package revise

import (
	"path/filepath"
	"testing"

	"criticrm/internal/golden"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/synth"
)

// TestSharedAnswers: in sets that people have made, where they are at hand, the known answer is found in every row, and final answers agree with
// the labels.
func TestSharedAnswers(t *testing.T) {
	root := golden.Shared(t, "data")
	for _, set := range []struct {
		file, kind    string
		never         string  // a verdict that no response has
		label         string  // column that says whether the final answer is right
		fault, silent float64 // shares of rows without a known answer, and of responses without one, at most
	}{
		{"gsm8k_pairs.jsonl", Number, "chosen wrong", "", 0, .01},
		{"mrben_pairs.jsonl", Auto, "chosen wrong", "", 0, .25},
		{"critique_mrgsm8k.jsonl", Number, "", "", .03, .15}, // some are programs
		{"critique_bbmistake.jsonl", Auto, "", "answer_correct", 0, .04},
	} {
		k := &Checker{Kind: set.kind}
		records, _, err := stage.ReadFile(filepath.Join(root, "data", set.file), record.ReadOptions{Reads: k.columns()})
		if err != nil {
			t.Fatal(err)
		}
		verdicts := map[string]int{}
		var rows, faults, responses, silent, labelled, agree float64
		for i, r := range records {
			if i%3 > 0 { // a third is enough
				continue
			}
			rows++
			if _, _, err := k.reference(r); err != nil {
				faults++
				continue
			}
			for _, side := range r.Sides() {
				_, v, err := k.check(t.Context(), r, side, r.Text(side))
				if err != nil {
					t.Fatal(err)
				}
				responses++
				verdicts[SideName(side)+" "+v]++
				if v == synth.Unreadable {
					silent++
				} else if label, ok := r.Extra(set.label); ok {
					if labelled++; (string(label) == "true") == (v == synth.Right) {
						agree++
					}
				}
			}
		}
		t.Logf("%s: %.0f rows, %.0f without a known answer; %s", set.file, rows, faults, record.Counts(verdicts))
		if verdicts[set.never] > 0 || faults > set.fault*rows || silent > set.silent*responses || agree < .97*labelled {
			t.Errorf("%s: %.0f of %.0f responses without an answer, %.0f of %.0f as labelled", set.file, silent, responses, agree, labelled)
		}
	}
}
