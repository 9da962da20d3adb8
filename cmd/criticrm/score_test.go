package main

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"criticrm/record"
)

// trained is a small Critic-RM and a scalar model, made once.
var trained = sync.OnceValues(func() (string, error) {
	dir, err := tiny()
	return filepath.Join(filepath.Dir(dir), "trained"), err
})

var trainOnce sync.Once

// rewardModel gives the directory of a trained model: "critic" or "bt".
func rewardModel(t *testing.T, method string) string {
	t.Helper()
	dir, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	trainOnce.Do(func() {
		file := writeFile(t, filepath.Join(t.TempDir(), "3.jsonl"), judged("a", []int{9}, []int{1})+judged("b", []int{7}, []int{3}))
		for _, m := range []string{"critic", "bt"} {
			must(t, "train", "--method", m, "--model", tinyModel(t), "--train_file", file, "--output_dir", filepath.Join(dir, m), "--prompts", shortPrompts(t),
				"--max_steps", "10", "--batch_size", "2", "--accumulation", "1", "--lr", "0.01", "--lambda_schedule", "constant")
		}
	})
	return filepath.Join(dir, method, "model")
}

// TestScore: the reward is the mean over the critiques; a file and standard output get the same; the
// records may be pairs or single responses.
func TestScore(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(6))
	args := []string{"score", "--model", rewardModel(t, "critic"), "--in", in, "--samples", "3", "--max_tokens", "8", "--chunk", "2", "--prompts", shortPrompts(t)}
	stdout, _ := must(t, args...)
	file := filepath.Join(dir, "out.jsonl")
	must(t, append(args, "--out", file)...)
	if stdout != readFile(t, file) {
		t.Error("standard output and file differ")
	}
	records := parse(t, stdout)
	if len(records) != 6 {
		t.Fatalf("%d records", len(records))
	}
	for _, r := range records {
		for _, side := range r.Sides() {
			sum := 0.0
			for _, c := range *r.SideCritiques(side) {
				sum += float64(*c.Reward)
			}
			if n := len(*r.SideCritiques(side)); n != 3 || **r.SideReward(side) != sum/3 {
				t.Errorf("%s: %d critiques, reward %v, want %v", r.ID, n, **r.SideReward(side), sum/3)
			}
		}
	}
	single := writeFile(t, filepath.Join(dir, "single.jsonl"), `{"prompt":"What is 1 + 1?","response":"2"}`+"\n")
	if out, _ := must(t, replaced(args, in, single)...); parse(t, out)[0].Reward == nil {
		t.Errorf("%q", out)
	}
	code, _, errs := command(t, append(args, "--model", tinyModel(t))...)
	if want := "criticrm: engine: " + tinyModel(t) + ": the model has no reward head: train one with 'criticrm train', or give a …ForSequenceClassification model\n"; code != exitUsage || errs != want {
		t.Errorf("%d %q", code, errs)
	}
}

// TestScorePlain: a scalar model is recognised, and its reward does not depend on what else is scored.
func TestScorePlain(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(6))
	out, errs := must(t, "score", "--model", rewardModel(t, "bt"), "--in", in)
	if !strings.HasPrefix(errs, "the model is a scalar one (method bt)") {
		t.Errorf("%q", errs)
	}
	for _, r := range parse(t, out) {
		if r.ChosenReward == nil || len(r.ChosenCritiques) > 0 {
			t.Errorf("%+v", r)
		}
	}
	one := writeFile(t, filepath.Join(dir, "one.jsonl"), strings.SplitAfter(sumPairs(6), "\n")[3])
	alone, _ := must(t, "score", "--model", rewardModel(t, "bt"), "--in", one, "--plain")
	if a, b := *parse(t, alone)[0].ChosenReward, *parse(t, out)[3].ChosenReward; a != b {
		t.Errorf("alone %v, in a batch %v", a, b)
	}
}

func parse(t *testing.T, jsonl string) (out []*record.Record) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader([]byte(jsonl)), "output", record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
}

// TestScoreDoesNotDependOnCompany: a row's critiques and rewards are the same bytes whatever it is scored with (attack F8).
func TestScoreDoesNotDependOnCompany(t *testing.T) {
	rows := strings.SplitAfter(sumPairs(9), "\n")[:9]
	score := func(rows []string, more ...string) map[string]string {
		in := writeFile(t, filepath.Join(t.TempDir(), "in.jsonl"), strings.Join(rows, ""))
		out, _ := must(t, append([]string{"score", "--model", rewardModel(t, "critic"), "--in", in, "--samples", "5", "--max_tokens", "20"}, more...)...)
		of := map[string]string{}
		for line := range strings.Lines(out) {
			of[parse(t, line)[0].ID] = line
		}
		return of
	}
	backwards := slices.Clone(rows)
	slices.Reverse(backwards)
	for _, bf16 := range []string{"--bf16=false", "--bf16"} {
		want := score(rows, bf16)
		for what, got := range map[string]map[string]string{
			"--chunk 1": score(rows, bf16, "--chunk", "1"), "--max_sequences 3": score(rows, bf16, "--max_sequences", "3"),
			"other order": score(backwards, bf16, "--chunk", "4"), "one row": score(rows[4:5], bf16), "one thread": score(rows, bf16, "--threads", "1"),
		} {
			for id, line := range got {
				if line != want[id] {
					t.Errorf("%s, %s: row %s is\n%swant\n%s", bf16, what, id, line, want[id])
				}
			}
		}
	}
}
