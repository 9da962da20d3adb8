package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/demo"
)

// TestRunTeam: a run whose rows three processes share leaves the bytes of one, and asks no helper for what asks no model.
func TestRunTeam(t *testing.T) {
	if testing.Short() {
		t.Skip("two runs")
	}
	t.Setenv(asProgram, "1")
	args, one := demoRun(t)
	small := []string{"--generate.critiques", "2", "--refine.mode", "rank", "--refine.meta_samples", "1", "--refine.max_tokens", "8", "--train.max_steps", "3", "--eval.samples", "2", "--baselines", "bt",
		"--refine.min_survivors", "0", "--filter.min_survivors", "0"}
	watched := func(name string, seed uint64) string {
		var b strings.Builder
		for _, p := range demo.Pairs(seed, 4, demo.Validation) {
			line, err := json.Marshal(map[string]string{"prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		return name + "=" + writeFile(t, filepath.Join(filepath.Dir(one), name+".jsonl"), b.String())
	}
	small = append(small, "--train.eval_file", watched("x", 7)+","+watched("y", 8), "--train.load_best_model_at_end", "--train.metric_for_best_model", "y_accuracy", "--train.lambda_schedule", "constant")
	args = append(args, small...)
	says, _ := must(t, args...)
	three := filepath.Join(filepath.Dir(one), "three")
	again := append(replaced(args, one, three), "--nproc", "3")
	got, errs := must(t, again...)
	table := func(s string) string {
		_, s, _ = strings.Cut(s, "in all\n") // how long it took
		return strings.ReplaceAll(s, three, one)
	}
	if table(got) != table(says) || !strings.Contains(table(got), "scalar RM (bt)") {
		t.Errorf("three processes say\n%s\n%s\none says\n%s", got, errs, says)
	}
	for _, name := range []string{"round-1/1-critiques.jsonl", "round-1/3-refined.jsonl", "round-1/follow/x.jsonl", "round-1/follow/y.jsonl", "round-1/eval.jsonl", "base/eval.jsonl", "bt/eval.jsonl", "results.json", "round-1/1-critiques.jsonl.stage.json"} {
		if a, b := readFile(t, filepath.Join(one, name)), readFile(t, filepath.Join(three, name)); strings.ReplaceAll(b, three, one) != a {
			t.Errorf("%s: three processes and one differ", name)
		}
	}
	for want, more := range map[string][]string{
		"--nproc is 0: want 1 to 4096":                    {"--nproc", "0"},
		"--dry_run measures one process":                  {"--nproc", "2", "--dry_run"},
		"--helps is for processes that run starts itself": {"--helps", "round-1/eval"},
	} {
		if code, _, errs := command(t, append(args[:len(args):len(args)], more...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%d %s, want %s", code, errs, want)
		}
	}
}
