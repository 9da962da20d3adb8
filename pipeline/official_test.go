package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/measure"
	"criticrm/modeldir"
)

// What a run prints of a benchmark's rows, and writes into the model's card, is the score by the benchmark's rule, and no average that is another one: 75 %
// of these rows are right, and 50 % by RewardBench's rule.
func TestOfficial(t *testing.T) {
	var b strings.Builder
	for i := range 80 {
		subset, chosen := "alpacaeval-easy", 1
		if i >= 60 {
			subset, chosen = "hep-go", -3
		}
		fmt.Fprintf(&b, `{"id":"%d","prompt":"p%d","chosen":"c","rejected":"r","chosen_model":"a","rejected_model":"b","subset":"%s","chosen_reward":%d,"rejected_reward":0}`+"\n", i, i, subset, chosen)
	}
	path := filepath.Join(t.TempDir(), "eval.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &run{Config: Default(), base: &modeldir.Dir{Scale: critic.DefaultScale()}}
	m, err := r.readMeasured(path)
	if err != nil {
		t.Fatal(err)
	}
	v := &rival{measured: m, method: MethodBT, pairs: 7}
	res := &Results{Benchmark: m.report.Benchmark, Rows: v.rows(), Official: v.official(true), Part: !m.bench.Whole}
	if len(res.Rows) != 1 || res.Rows[0].Mean != 0.75 {
		t.Fatalf("rows %+v", res.Rows)
	}
	if names := []string{res.Official[0].Method, res.Official[1].Method}; len(res.Official) != 2 || !slices.Equal(names, []string{MethodBT, MethodLength}) {
		t.Errorf("official scores of %v", names)
	}
	for name, text := range map[string]string{"summary": res.String(), "card": res.markdown()} {
		if strings.Contains(text, "75.") || !strings.Contains(text, "50.00 [") || !strings.Contains(text, "does not compare with published scores") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if text := res.markdown(); !strings.Contains(text, "| scalar RM (bt) | - | 50.00 [") || !strings.Contains(text, "| method | m | score | Chat |") {
		t.Error(text)
	}
	if says, err := r.measure(strings.TrimSuffix(path, ".jsonl")); err != nil || !strings.Contains(says, "reward: score by the rule of RewardBench: 50.00 [") {
		t.Error(says, err)
	}
	subsets := &measure.Report{Methods: []measure.Method{{Estimate: measure.Estimate{Categories: []measure.Category{{Name: "alpacaeval-easy"}, {Name: "hep-go"}}}}}}
	plain := &Results{Rows: res.Rows, Notice: subsets.NotOfficial()}
	for _, text := range []string{plain.String(), plain.markdown()} {
		if !strings.Contains(text, "75.0 [") || !strings.Contains(text, "are subsets of RewardBench") {
			t.Error(text)
		}
	}
}
