package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/demo"
)

// demoRun is a small run on the demo's model as a command line, with its directory.
func demoRun(t *testing.T) (args []string, run string) {
	t.Helper()
	dir := t.TempDir()
	rows := func(name string, pairs []demo.Pair) string {
		var b strings.Builder
		for _, p := range pairs {
			line, err := json.Marshal(map[string]string{"id": p.ID, "prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text, "category": p.Question.Kind.Category()})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		return writeFile(t, filepath.Join(dir, name), b.String())
	}
	recipe := writeFile(t, filepath.Join(dir, "run.yaml"), `prompts: ../../demo/prompts
generate: {critiques: 4, temperature: 1, top_p: 1, max_tokens: 60, chunk: 2}
refine: {mode: margin, top_k: 2}
train: {max_steps: 12, batch_size: 8, accumulation: 1, lr: 1e-3, logging_steps: 1}
eval: {samples: 4, draws: 100}
`)
	run = filepath.Join(dir, "run")
	return []string{"run", "--recipe", recipe, "--model_name_or_path", "../../demo/base", "--train", rows("pairs.jsonl", demo.Pairs(5, 40, demo.Train)),
		"--eval", rows("held.jsonl", demo.Pairs(6, 24, demo.Validation)), "--output_dir", run, "--refine.top-k", "1", "--train.learning_rate=0.002"}, run
}

// TestRun: one command makes all of it; stopped in two stages by signals it goes on when it is given again, and says the result on a screen.
func TestRun(t *testing.T) {
	args, run := demoRun(t)
	file := func(name string) string { return filepath.Join(run, name) }
	if code := signalled(t, syscall.SIGINT, func() bool { return countLines(file("round-1/1-critiques.jsonl")) >= 4 }, []string{run}, args...); code != 130 {
		t.Fatalf("generate: exit code %d after SIGINT", code)
	}
	if code := signalOnce(t, syscall.SIGTERM, func() bool { return countLines(file("round-1/train/metrics.jsonl")) >= 4 }, args...); code != 143 && code != exitOK {
		t.Fatalf("train: exit code %d after SIGTERM", code)
	}
	out, errs := must(t, args...)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) > 24 || !strings.Contains(out, "\nCritic-RM ") || !strings.Contains(out, "\nLLM judge (base) ") || !strings.Contains(out, "\nlength ") {
		t.Errorf("%s\n%s", out, errs)
	}
	if strings.Contains(errs, "no eval_file") {
		t.Error("training says that there is no eval_file, and eval measures")
	}
	recipe := readFile(t, file("recipe.yaml"))
	for _, want := range []string{"\n    critiques: 4\n", "\n    keep: 1\n", "\n    learning_rate: 0.002\n", "\nmodel: ../../demo/base\n"} {
		if !strings.Contains(recipe, want) {
			t.Errorf("recipe.yaml has no %q:\n%s", want, recipe)
		}
	}
	for _, name := range []string{"state.json", "data.json", "results.json", "base/eval.json", "round-1/eval.json", "model/critic_rm.json"} {
		if !json.Valid([]byte(readFile(t, file(name)))) {
			t.Errorf("%s is no JSON", name)
		}
	}
	if again, _ := must(t, "run", "--recipe", file("recipe.yaml")); again != out {
		t.Errorf("the stored recipe gives\n%s\nwant\n%s", again, out)
	}
	if printed, _ := must(t, "run", "--recipe", file("recipe.yaml"), "--print_config"); printed != recipe {
		t.Error("the resolved recipe does not resolve to itself")
	}
	// The model knows how long its critiques are: 512 tokens more would not fit into its context.
	scored, errs := must(t, "score", "--model", file("model"), "--in", filepath.Join(filepath.Dir(run), "held.jsonl"))
	if told, _ := must(t, "inspect", file("model")); !strings.Contains(told, "critiques of at most 60 tokens") || strings.Count(scored, "\n") != 24 || !strings.Contains(scored, `"max_tokens":60`) {
		t.Errorf("%s\n%s", told, errs)
	}
	code, _, errs := command(t, append(args, "--refine.keep", "2")...)
	if code != exitUsage || !strings.Contains(errs, `stage round-1/refine is done and keep was "1", now "2"`) {
		t.Errorf("%d %s", code, errs)
	}
	if out, errs := must(t, append(args, "--train.max_steps", "4", "--restart=train", "--stage", "train")...); !strings.Contains(out, "done up to stage") || strings.Contains(errs, "== round-1/refine") {
		t.Errorf("%s\n%s", out, errs)
	}
	if _, err := os.Stat(file("round-1/eval.json")); err == nil {
		t.Error("the figures of a model that is no more are still there")
	}
	if _, err := os.Stat(file("base/eval.json")); err != nil {
		t.Error("the judge does not depend on the training")
	}
}

// A model that writes no scores stops a run within its first critiques.
func TestRunUnparsed(t *testing.T) {
	dir := t.TempDir()
	pairs, held := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(60)), writeFile(t, filepath.Join(dir, "held.jsonl"), sumPairs(8))
	run := filepath.Join(dir, "run")
	code, _, errs := command(t, "run", "--model", tinyModel(t), "--train", pairs, "--eval", held, "--output_dir", run, "--prompts", shortPrompts(t), "--generate.max_tokens", "8")
	if code != exitFailed || !strings.HasPrefix(lastLine(errs), "criticrm: round-1/generate: critic: almost no critique ends in a score: 0 of 80, want at least 5 %") || countLines(filepath.Join(run, "round-1/1-critiques.jsonl")) != 4 {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestRunUsage(t *testing.T) {
	dir := t.TempDir()
	recipe := writeFile(t, filepath.Join(dir, "r.yaml"), "model: m\ngenerate:\n  critique: 3\n")
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"run --model m --train a --eval b", "--output_dir is missing (see 'criticrm run --help')", exitUsage},
		{"run --generate.critique 3", "unknown flag --generate.critique, did you mean --generate.critiques? (see 'criticrm run --help-all')", exitUsage},
		{"run --train.device cpu", "unknown flag --train.device, did you mean", exitUsage},
		{"run --recipe " + recipe, recipe + `:3: unknown key "generate.critique", did you mean "generate.critiques"?`, exitUsage},
		{"run --model m --train a --eval b --output_dir " + dir + "/x --stage training", `stage: got "training", want one of check,`, exitUsage},
		{"run --model ../../demo/base --train a --eval b --output_dir " + dir + "/x", "stat a: no such file", exitUsage},
		{"run --recipe ../../examples/bt.yaml", `"method" is a setting of train`, exitUsage},
		{"run --model ../../demo/base --train a --train_file b --eval c --output_dir " + dir + "/x", "stat a: no such file", exitUsage},
	} {
		code, out, errs := command(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%s: exit code %d, %q, want %q", c.args, code, errs, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("something was made")
	}
	// A recipe of training alone keeps working.
	if out, _ := must(t, "train", "--recipe", "../../examples/bt.yaml", "--print_config"); !strings.Contains(out, "\nmethod: bt\n") {
		t.Error(out)
	}
}
