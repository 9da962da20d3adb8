package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	for i := range 12 {
		rows.WriteString(judged(fmt.Sprint("row ", i), []int{9 - i%3}, []int{1 + i%4}))
	}
	file := writeFile(t, filepath.Join(dir, "3.jsonl"), rows.String())
	writeFile(t, filepath.Join(dir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nReview.\n")
	run := filepath.Join(dir, "run")
	out, _ := must(t, "train", "--model", tinyModel(t), "--train_file", file, "--eval_file", "same="+file+",again="+file, "--output_dir", run, "--prompts", dir, "--max_steps", "20",
		"--batch_size", "4", "--accumulation", "1", "--lr", "0.005", "--eval_steps", "5", "--save_steps", "5", "--lambda_schedule", "constant", "--load_best_model_at_end", "--metric_for_best_model", "eval_same_reward_loss",
		"--report_to", "none", "--eval_on_start")
	for _, want := range []string{"held out same: loss ", "held out again: loss ", "model: " + filepath.Join(run, "model") + ", of update ", "eval_same_reward_loss "} {
		if !strings.Contains(out, want) {
			t.Errorf("train prints no %q:\n%s", want, out)
		}
	}
	for _, args := range [][]string{{"watch", run, "--once"}, {"watch", run}} { // it is over
		out, _ := must(t, args...)
		for _, want := range []string{run + "   update 20 of 20 (100 %)", "same       accuracy ", "the model is in " + filepath.Join(run, "model"), "loss, again", "┤"} {
			if !strings.Contains(out, want) && args[len(args)-1] == "--once" || strings.Contains(out, "\x1b") {
				t.Errorf("%v prints no %q:\n%s", args, want, out)
			}
		}
	}
	for args, want := range map[string]string{
		"watch":                          "want one directory",
		"watch a b":                      "want one directory",
		"watch " + dir + "/none":         "no such file or directory",
		"watch " + dir + " --once":       "no metrics.jsonl of a training",
		"watch " + run + " --interval 0": "--interval: got 0",
	} {
		if code, _, errs := command(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q, want %q", args, code, errs, want)
		}
	}
}
