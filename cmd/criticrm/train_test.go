package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"criticrm/trainer"
)

// TestTrainFlags: every field of a recipe is a flag, flags win over the file, and what is printed is a recipe again.
func TestTrainFlags(t *testing.T) {
	recipe := writeFile(t, filepath.Join(t.TempDir(), "r.yaml"), "lr: 0.25\nmax_steps: 7\nmethod: bt\n")
	printed, _ := must(t, "train", "--config", recipe, "--max_steps", "9", "--prompts", "p", "--print-config")
	c := trainer.Default()
	if err := trainer.ParseRecipe([]byte(printed), &c); err != nil {
		t.Fatal(err)
	}
	want := trainer.Default()
	want.LearningRate, want.MaxSteps, want.Method, want.PromptDir = 0.25, 9, "bt", "p"
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	flags := newTrain().Flags()
	for _, f := range trainer.Fields() {
		if flag := flags.Lookup(f.Name); flag == nil || flag.Usage != f.Help || flag.DefValue != f.Default {
			t.Errorf("%s: %+v", f.Name, flag)
		}
		for _, a := range f.Aliases {
			value := f.Default
			switch {
			case f.Name == "eval_strategy":
				value = trainer.EvalNever
			case value == "":
				value = "x"
			}
			if _, errs := must(t, "train", "--"+a+"="+value, "--output_dir=x", "--print_config"); errs != "" {
				t.Errorf("%s: %s", a, errs)
			}
		}
	}
}

// steps are the losses of metrics.jsonl, in order; each step must be there once.
func steps(t *testing.T, run string) []float64 {
	t.Helper()
	var losses []float64
	for _, line := range strings.Split(strings.TrimSpace(readFile(t, filepath.Join(run, "metrics.jsonl"))), "\n") {
		var m struct {
			Step int
			Loss *float64
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m.Loss == nil {
			continue // an evaluation
		}
		if losses = append(losses, *m.Loss); m.Step != len(losses) {
			t.Fatalf("%s: step %d on line %d", run, m.Step, len(losses))
		}
	}
	return losses
}

// TestTrainPage: a training leaves the report that 'criticrm report' makes of it, and its page no longer loads itself again.
func TestTrainPage(t *testing.T) {
	dir := t.TempDir()
	in, run := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(8)), filepath.Join(dir, "run")
	must(t, "train", "--model", tinyModel(t), "--method", "bt", "--train_file", in, "--eval_file", in, "--output_dir", run, "--max_steps", "4", "--eval_steps", "2", "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "1")
	page := readFile(t, filepath.Join(run, "report.html"))
	if !strings.Contains(page, "(4 updates)") || !strings.Contains(page, "Margins, held out") || strings.Contains(page, "The training runs") {
		t.Errorf("%.2000s", page)
	}
	must(t, "report", "--in", run)
	if readFile(t, filepath.Join(run, "report.html")) != page {
		t.Error("'criticrm report' makes another page")
	}
}

// TestTrainResume: a process stopped by SIGTERM and a run stopped in process go on and end with the bytes of an
// uninterrupted run; the loss falls.
func TestTrainResume(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "3.jsonl"), judged("a", []int{9, 8}, []int{1, 2})+judged("b", []int{7}, []int{3})+judged("c", []int{9}, []int{2})+judged("d", []int{6}, []int{2}))
	args := func(out string, more ...string) []string {
		return append([]string{"train", "--model", tinyModel(t), "--train_file", file, "--eval_file", file, "--output_dir", filepath.Join(dir, out), "--prompts", filepath.Dir(file),
			"--max_steps", "60", "--batch_size", "2", "--accumulation", "1", "--lr", "0.005", "--save_steps", "16", "--eval_steps", "30", "--logging_steps", "5", "--lambda_schedule", "constant"}, more...)
	}
	writeFile(t, filepath.Join(dir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nReview.\n")
	out, errs := must(t, args("whole")...)
	if !strings.HasPrefix(out, "step 60: loss ") || !strings.HasSuffix(out, "model: "+filepath.Join(dir, "whole", "model")+"\n") || !strings.Contains(out, "held out: ") {
		t.Errorf("%q", out)
	}
	if !strings.Contains(errs, "{'epoch': ") || !strings.Contains(errs, "warning: 4 of 4 evaluation examples are also trained on") {
		t.Errorf("%q", errs)
	}
	whole := steps(t, filepath.Join(dir, "whole"))
	if len(whole) != 60 || !(whole[59] < 0.5*whole[0]) {
		t.Errorf("%d steps, loss %v → %v", len(whole), whole[0], whole[len(whole)-1])
	}
	metrics := filepath.Join(dir, "killed", "metrics.jsonl")
	if code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= 10 }, []string{filepath.Dir(metrics)}, args("killed")...); code != 143 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	if code, _, errs := command(t, args("killed")...); code != exitUsage || !strings.Contains(errs, "set resume to latest to go on, or take another directory") {
		t.Errorf("%d %q", code, errs)
	}
	must(t, args("killed", "--resume", "latest")...)
	ctx, watch := stopAfter("{'epoch': '10'")
	code, _, errs := commandContext(t, ctx, watch, args("stopped")...)
	if code != 143 || !strings.Contains(lastLine(errs), "stopped by terminated; saved as ") {
		t.Fatalf("%d %q", code, errs)
	}
	must(t, args("stopped", "--resume_from_checkpoint", "auto")...)
	for _, run := range []string{"killed", "stopped"} {
		if got := steps(t, filepath.Join(dir, run)); len(got) != 60 || got[59] != whole[59] {
			t.Errorf("%s: %d steps, last loss %v, want %v", run, len(got), got[len(got)-1], whole[59])
		}
		for _, name := range []string{"model.safetensors", "reward_head.safetensors"} {
			if readFile(t, filepath.Join(dir, run, "model", name)) != readFile(t, filepath.Join(dir, "whole", "model", name)) {
				t.Errorf("%s: %s differs from the uninterrupted run", run, name)
			}
		}
	}
	out, errs = must(t, args("stopped", "--resume", "latest")...)
	if !strings.HasPrefix(out, "step 60: the run was finished before, nothing was trained\n") || strings.Contains(errs, "0.00 times the tokens") {
		t.Errorf("a finished run: %q, %q", out, errs)
	}
	if code, _, errs := command(t, args("stopped", "--resume", "latest", "--lr", "0.01")...); code != exitUsage ||
		!strings.Contains(lastLine(errs), "cannot resume: learning_rate was 0.005, now 0.01") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestDryRun: a run's input is checked and its memory is told; nothing is written and no weights are read.
func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "3.jsonl"), judged("a", []int{9, 8}, []int{1, 2})+judged("b", []int{7}, []int{3}))
	writeFile(t, filepath.Join(dir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nReview.\n")
	model := copyDir(t, tinyModel(t))
	if err := os.Remove(filepath.Join(model, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	args := []string{"train", "--dry_run", "--model", model, "--train_file", file, "--eval_file", file, "--prompts", dir, "--batch_size", "2", "--accumulation", "1"}
	out, _ := must(t, args...)
	if !regexp.MustCompile(`^memory on a GPU: [0-9.]+ MiB, of which weights, gradients and the optimizer's state are [0-9.]+ MiB\n\(1 updates in 1 micro-batches, \d+ tokens; `).MatchString(out) {
		t.Errorf("%q", out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("a dry run left something: %v %v", left, err)
	}
	if code, _, errs := command(t, append(args, "--max_length", "5")...); code != exitData || !strings.Contains(errs, "the limit is 5") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestRecipes: the examples are valid recipes.
func TestRecipes(t *testing.T) {
	list, err := filepath.Glob(filepath.Join("..", "..", "examples", "*.yaml"))
	if err != nil || len(list) < 3 {
		t.Fatalf("%v %v", list, err)
	}
	for _, path := range list {
		if want := map[string]string{"run.yaml": "\nbaselines: bt,cloud\n", "try.yaml": "\ntrain_file: examples/pairs.jsonl\n"}[filepath.Base(path)]; want != "" {
			if out, _ := must(t, "run", "--recipe", path, "--print_config"); !strings.Contains(out, want) {
				t.Errorf("%s: %q", path, out)
			}
			continue
		}
		c, err := trainer.LoadRecipe(path)
		if err != nil {
			t.Error(err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if out, _ := must(t, "train", "--recipe", path, "--print_config"); !strings.Contains(out, "method: "+c.Method) {
			t.Errorf("%s: %q", path, out)
		}
	}
}

// TestTrainOverlong: each policy for rows over the limit, and its count.
func TestTrainOverlong(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x1", 400)
	response := writeFile(t, filepath.Join(dir, "response.jsonl"), sumPairs(2)+`{"prompt":"p","chosen":"`+long+`","rejected":"b"}`+"\n")
	prompt := writeFile(t, filepath.Join(dir, "prompt.jsonl"), sumPairs(2)+`{"prompt":"`+long+`","chosen":"a","rejected":"b"}`+"\n")
	for _, c := range []struct{ policy, file, want string }{
		{"drop", response, "3 rows, 2 examples, 1 dropped (too long)"},
		{"truncate-right", response, "3 rows, 3 examples, 1 shortened"},
		{"truncate-left", prompt, "3 rows, 3 examples, 1 shortened"},
	} {
		_, errs := must(t, "train", "--model", tinyModel(t), "--train_file", c.file, "--method", "bt", "--overlong", c.policy, "--output_dir", filepath.Join(t.TempDir(), "run"),
			"--max_steps", "2", "--batch_size", "3", "--accumulation", "1")
		if !strings.Contains(errs, "train: "+c.file+": "+c.want+"\n") {
			t.Errorf("%s: %q", c.policy, errs)
		}
	}
	if code, _, errs := command(t, "train", "--model", tinyModel(t), "--train_file", response, "--method", "bt", "--output_dir", filepath.Join(dir, "run")); code != exitData ||
		lastLine(errs) != "criticrm: trainer: "+response+`:3: record "row-3": 812 tokens, the limit is 512 (set overlong to drop, truncate-left or truncate-right)` {
		t.Errorf("%d %q", code, errs)
	}
}
