package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSynth: what is wrong is said before the model works, and a model without answers that a pair can be made of is told as such, with its
// answers kept.
func TestSynth(t *testing.T) {
	dir := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in := at("problems.jsonl", `{"question":"2+2?","answer":"#### 4"}`+"\n"+`{"question":"2+3?","answer":"#### 5"}`+"\n")
	prompts := at("prompts.jsonl", `{"prompt":"hello"}`+"\n")
	rules := at("rules.yaml", "- {name: short, forbid: [x]}\n")
	out := filepath.Join(dir, "out.jsonl")
	args := func(more ...string) []string {
		list := append([]string{"synth", "--model", tinyModel(t), "--out", out, "--answers", "2", "--max_tokens", "4"}, more...)
		if !slices.Contains(more, "--in") { // of which two would be read both
			list = append(list, "--in", in)
		}
		return list
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{args("--kind", "maths"), exitUsage, "want reasoning or safety"},
		{args("--kind", "safety"), exitUsage, "needs rules"},
		{args("--rules", rules), exitUsage, "rules are for kind safety"},
		{args("--kind", "safety", "--rules", at("bad.yaml", "- {name: a}")), exitUsage, "every answer would be right"},
		{args("--per_prompt", "0"), exitUsage, "pairs of a prompt"},
		{args("--in", prompts), exitData, `prompts.jsonl:1: `},
		{args(), exitFailed, "no pairs: 0 pairs from 0 of 2 prompts"},
		{args("--kind", "safety", "--rules", rules, "--in", prompts, "--out", filepath.Join(dir, "s.jsonl")), exitFailed, "1 × no answer could be judged"},
		{args("--out", in), exitUsage, "exists, and"},
	} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v: exit code %d, %s; want %d, %q", c.args, code, stderr.String(), c.code, c.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file of no pairs was written")
	}
	if text := readFile(t, answersPath(out)); strings.Count(text, `"verdict":"unfinished"`) != 4 {
		t.Errorf("answers:\n%s", text)
	}
}
