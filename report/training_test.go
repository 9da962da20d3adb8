package report

import (
	"bytes"
	"fmt"
	"os"
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

// A training that is running has a page that loads itself again, and says how far it is; margins, categories and perplexity are on it. Behind its end it has none of
// the first, and what is no training has none at all.
func TestRunningTraining(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(`{"step": 0, "max_steps": 40, "train": {"file": "t"}, "eval": {"file": "e"}}` + "\n")
	for s := 1; s <= 3; s++ {
		fmt.Fprintf(&b, `{"step": %d, "loss": 1, "critique_loss": 0.5, "critique_perplexity": 1.65, "reward_loss": 0.5, "lambda": 1, "accuracy": 0.5}`+"\n", s)
		fmt.Fprintf(&b, `{"step": %d, "eval_critique_perplexity": 1.75, "eval_accuracy": 0.75, "eval_accuracy_Code": 0.5, "eval_accuracy_Maths & more": 0.875, "eval_margin": 0.25, "eval_samples": 6, "eval_margin_histogram": {"min": -1, "max": %d, "counts": [1, 2, 3]}}`+"\n", s, s)
	}
	write(t, filepath.Join(dir, metricsFile), b.String())
	write(t, filepath.Join(dir, recipeFile), "method: bt\n")
	write(t, filepath.Join(dir, evalFile), "not read while it runs\n")
	o := DefaultOptions()
	o.Refresh = 30
	r, err := Make(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, r.HTML, `<meta http-equiv="refresh" content="30">`, "The training runs: update 3 of 40 at ", "Accuracy by category, held out", "Maths &amp; more", "87.5 %", "Perplexity of critiques", "Margins, held out", "update 1", "update 3", "1.750")
	if err := os.Remove(filepath.Join(dir, evalFile)); err != nil {
		t.Fatal(err)
	}
	if r, err = Make(dir, DefaultOptions()); err != nil || bytes.Contains(r.HTML, []byte("http-equiv=\"refresh\"")) || bytes.Contains(r.HTML, []byte("The training runs")) {
		t.Errorf("%v", err)
	}
	facts := filepath.Join(dir, modelLink, factsFile)
	write(t, facts, `{"best": {"metric": "eval_accuracy", "value": 0.75, "update": 2, "of": 3}}`)
	if r, err = Make(dir, DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	contains(t, r.HTML, "Model, of update 2 of 3: eval_accuracy 0.75 is the best.")
	write(t, facts, "{")
	if _, err := Make(dir, DefaultOptions()); err == nil || !strings.Contains(err.Error(), factsFile) {
		t.Error(err)
	}
	if err := os.Remove(facts); err != nil {
		t.Fatal(err)
	}
	scored := filepath.Join(dir, "scored.jsonl")
	write(t, scored, "")
	if _, err := Make(scored, o); err == nil {
		t.Error("a file loads itself again")
	}
	for _, line := range []string{`{"step": 4, "eval_margin_histogram": {"min": 2, "max": 1, "counts": [1]}}`, `{"step": 4, "eval_margin_histogram": [1]}`, `{"step": 4, "eval_margin_histogram": {"min": 1, "max": 2, "counts": []}}`} {
		write(t, filepath.Join(dir, metricsFile), b.String()+line+"\n")
		if _, err := Make(dir, DefaultOptions()); err == nil || !strings.Contains(err.Error(), "metrics.jsonl:8: eval_margin_histogram is no histogram") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
