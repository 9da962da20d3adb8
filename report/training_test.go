package report

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Held-out files with names have curves of their own, and a picture a bounded number of them.
func TestNamedHeldOut(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(`{"step": 0, "train": {"file": "t"}, "eval_easy": {"file": "e"}}` + "\n")
	for s := 1; s <= 3; s++ {
		fmt.Fprintf(&b, `{"step": %d, "loss": 1, "reward_loss": 0.5, "lambda": 1, "accuracy": 0.5}`+"\n", s)
		for i := range 8 {
			fmt.Fprintf(&b, `{"step": %d, "eval_set%d_reward_loss": 0.5, "eval_set%d_accuracy": 0.75, "eval_set%d_accuracy_Code": 0.5}`+"\n", s, i, i, i)
		}
	}
	write(t, filepath.Join(dir, metricsFile), b.String())
	got, err := readTraining(dir, metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	plots := got.lossPlots("")
	var names []string
	for _, s := range plots[1].Series {
		names = append(names, s.Name)
		if len(s.Points) != 3 {
			t.Errorf("%s: %d points", s.Name, len(s.Points))
		}
	}
	if want := "λ (weight of the critique loss)|accuracy on the batch|accuracy, set0|accuracy, set1|accuracy, set2|accuracy, set3|accuracy, set4|accuracy, set5"; strings.Join(names, "|") != want {
		t.Errorf("%q, want %q", names, want)
	}
	if plots[0].Note != "2 more held-out files are not drawn." {
		t.Errorf("note %q", plots[0].Note)
	}
	if n := len(got.data); n != 2 {
		t.Errorf("%d facts of files", n)
	}
}
