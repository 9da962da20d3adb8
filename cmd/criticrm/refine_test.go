package main

import (
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
)

func TestRefine(t *testing.T) {
	dir := t.TempDir()
	raw := writeFile(t, filepath.Join(dir, "1.jsonl"), judged("a", []int{9, 8, 7}, []int{2, 3, 1})+judged("b", []int{8, 9}, []int{1, 2}))
	in := filepath.Join(dir, "2.jsonl")
	must(t, "filter", "--in", raw, "--out", in)
	prompts := shortPrompts(t)
	for _, c := range []struct{ args, want string }{
		{"--mode margin --top_k 1", "2 of 2 records kept, 4 of 10 critiques kept"},
		{"--mode random --top_k 2", "2 of 2 records kept, 8 of 10 critiques kept"},
		{"--mode random-all --top_k 1", "2 of 2 records kept, 4 of 10 critiques kept"},
		{"--mode random-all --top_k 9", "2 of 2 records kept, 10 of 10 critiques kept"},
		{"--mode none", "2 of 2 records kept, 10 of 10 critiques kept"},
		// Random weights give no verdict, so nothing survives; what matters here is that the model is asked and the reason counted.
		{"--mode rank --max_tokens 8 --min_survivors 0 --meta_samples 2 --model " + tinyModel(t), "0 of 2 records kept, 0 of 10 critiques kept; records dropped: 2 × " + critic.DropNoMeta},
		{"--mode summarize --summary_of 2 --max_tokens 8 --min_survivors 0 --model " + tinyModel(t), "0 of 2 records kept, 0 of 14 critiques kept; records dropped: 2 × " + critic.DropSummary},
		{"--mode summarize --summary_of 1 --max_tokens 8 --model " + tinyModel(t), "2 of 2 records kept, 4 of 10 critiques kept"},
		{"--mode rank --max_tokens 500 --overlong drop --min_survivors 0 --model " + tinyModel(t), "10 × " + critic.DropUnasked},
	} {
		out := filepath.Join(t.TempDir(), "3.jsonl")
		stdout, stderr := must(t, append([]string{"refine", "--in", in, "--out", out, "--prompts", prompts}, strings.Fields(c.args)...)...)
		if !strings.Contains(stdout, c.want) {
			t.Errorf("%s: %q, want %q", c.args, stdout, c.want)
		}
		if idle := strings.Contains(stderr, "left nothing out"); idle != strings.Contains(c.args, "top_k 9") {
			t.Errorf("%s: %s", c.args, stderr)
		}
	}
}
