package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/demo"
	"criticrm/device/devicetest"
	"criticrm/trainer"
)

// sums is a file of pairs of worked answers, half of whose wrong ones have a step that does not add up.
func sums(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		x, y := i%89+2, i/7+3
		wrong := fmt.Sprintf("%d+%d = %d", x, y, x+y+1)
		if i%2 == 0 {
			wrong = fmt.Sprintf("%d-%d = %d", x, y, x-y)
		}
		fmt.Fprintf(&b, `{"prompt":"Add %d and %d, %d.","chosen":"%d+%d = %d","rejected":"%s"}`+"\n", x, y, i, x, y, x+y, wrong)
	}
	path := filepath.Join(t.TempDir(), "sums.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The experiment on real text, with the demo's small model: it ends in a table with all arms, goes on where it was stopped, and the script makes
// the figures again from the files.
func TestText(t *testing.T) {
	base := t.TempDir()
	if err := demo.Extract(demo.Base, base); err != nil {
		t.Fatal(err)
	}
	// Its own template knows no answer behind a critique's question.
	chat := `{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`
	if err := os.WriteFile(filepath.Join(base, "chat_template.jinja"), []byte(chat), 0o600); err != nil {
		t.Fatal(err)
	}
	file := sums(t, 500)
	dir := t.TempDir()
	o := func(log *watched) Options {
		return Options{Dir: dir, Seeds: []uint64{3}, Threads: 2, Version: "test", Log: log,
			Text: &Text{Model: base, Pairs: file, Other: sums(t, 700), Null: sums(t, 150), Size: "quick"}}
	}
	ctx, stop := context.WithCancel(t.Context())
	log := &watched{at: ours + " …", seen: stop}
	if _, err := Run(ctx, devicetest.CPU(t, 2), o(log)); !errors.Is(err, trainer.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		t.Fatalf("%v\n%s", err, &log.Buffer)
	}
	log = &watched{at: "never", seen: func() {}}
	r, err := Run(t.Context(), devicetest.CPU(t, 2), o(log))
	if err != nil || strings.Contains(log.String(), "· cold start") || strings.Contains(log.String(), llmJudge+" …\n") && strings.Contains(log.String(), textTask+" · seed 3 · "+llmJudge+" …") {
		t.Fatalf("%v\n%s", err, &log.Buffer)
	}
	table := r.Markdown()
	for _, want := range []string{readLength, llmJudge, scalarRM, ours, ours + ", own score", sft, placebo, cloud, synthetic, otherPairs} {
		if !strings.Contains(table, "| "+want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, tableFile)); err != nil || string(b) != table {
		t.Errorf("%s is not the table: %v", tableFile, err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	if out, err := exec.CommandContext(t.Context(), python, filepath.Join(dir, recountFile)).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(placebo)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// What is in one split is in no other, and other pairs share no prompt with them.
func TestTextSplits(t *testing.T) {
	r := &runner{Options: Options{Log: &bytes.Buffer{}, Text: &Text{Pairs: sums(t, 600), Other: sums(t, 900), Size: "quick"}}}
	if err := r.what(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	add := func(what, prompt string) {
		if was, ok := seen[prompt]; ok {
			t.Errorf("%q is in %s and %s", prompt, was, what)
		}
		seen[prompt] = what
	}
	task := r.tasks[0]
	for _, x := range r.Text.cold {
		add("the cold start", x.Prompt.Text)
	}
	for split, what := range map[demo.Split]string{demo.Train: "training", demo.Validation: "validation", demo.Evaluation: "evaluation"} {
		for _, x := range task.of(split, 1, 1000) {
			add(what, x.Prompt.Text)
		}
	}
	a, b := task.train(1, 40), task.train(2, 40)
	same := 0
	for i := range a {
		if a[i].ID == b[i].ID {
			same++
		}
	}
	if same > 10 || task.train(1, 20)[7].ID != a[7].ID {
		t.Errorf("%d of 40 pairs are the same at another seed", same)
	}
	none := &runner{Options: Options{Log: &bytes.Buffer{}, Text: &Text{Pairs: sums(t, 600), Other: sums(t, 900), OtherSubset: "models", Size: "quick"}}}
	if err := none.what(); err == nil || !strings.Contains(err.Error(), `sums.jsonl: 0 pairs to measure on are left, want 40`) || !strings.Contains(err.Error(), `(--other_subset "models")`) {
		t.Errorf("a subset that no row has: %v", err)
	}
	for _, few := range []*Text{{Pairs: sums(t, 300), Size: "quick"}, {Pairs: sums(t, 500), Size: "evening"}, {Pairs: sums(t, 900), Size: "night"}} {
		r := &runner{Options: Options{Log: &bytes.Buffer{}, Text: few}}
		if err := r.what(); err == nil || !strings.Contains(err.Error(), "pairs are left, want") {
			t.Errorf("%v", err)
		}
	}
}
