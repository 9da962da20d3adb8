package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/stage"
)

// No command takes the output of a stage that is not finished, or that was changed since: 62 rows of 200 were trained on, exit 0.
func TestUnfinishedAndAltered(t *testing.T) {
	dir := t.TempDir()
	raw := writeFile(t, filepath.Join(dir, "raw.jsonl"), judged("a", []int{9}, []int{1})+judged("b", []int{7}, []int{3}))
	file := filepath.Join(dir, "f.jsonl")
	must(t, "filter", "--in", raw, "--out", file)
	rows, side := readFile(t, file), readFile(t, stage.SidecarPath(file))
	readers := map[string][]string{
		"refine":    {"refine", "--in", file, "--out", filepath.Join(dir, "r.jsonl"), "--mode", "none"},
		"train":     {"train", "--model", tinyModel(t), "--train_file", file, "--output_dir", filepath.Join(dir, "run"), "--prompts", shortPrompts(t), "--max_steps", "1"},
		"eval_file": {"train", "--model", tinyModel(t), "--train_file", raw, "--eval_file", file, "--output_dir", filepath.Join(dir, "run"), "--prompts", shortPrompts(t), "--max_steps", "1"},
		"score":     {"score", "--model", rewardModel(t, "bt"), "--in", file},
		"eval":      {"eval", "--model", rewardModel(t, "bt"), "--in", file},
		"judged":    {"eval", "--in", file},
	}
	expect := func(want string) {
		t.Helper()
		for name, args := range readers {
			if code, out, errs := command(t, args...); code != exitUsage || out != "" || !strings.Contains(errs, file+want) {
				t.Errorf("%s: exit code %d, %q, %q, want %q", name, code, out, errs, file+want)
			}
		}
		if out, _ := must(t, "inspect", file); !strings.Contains(out, "warning: "+file+want) {
			t.Errorf("inspect: %q", out)
		}
	}
	writeFile(t, stage.SidecarPath(file), strings.Replace(side, `"complete": true`, `"complete": false`, 1))
	expect(" is not complete: finish the stage that writes it first")
	writeFile(t, stage.SidecarPath(file), side)
	first, _, _ := strings.Cut(rows, "\n")
	writeFile(t, file, first+"\n")
	expect(" is not as stage filter has left it")
	writeFile(t, file, strings.Replace(rows, `"id":"a"`, `"id":"c"`, 1))
	expect(" is not as stage filter has left it")
	if err := os.Remove(stage.SidecarPath(file)); err != nil { // the change is meant
		t.Fatal(err)
	}
	must(t, readers["refine"]...)
}
