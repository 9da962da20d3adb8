package main

import (
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/modeldir"
)

// Scores that are asked for belong to critiques from the first stage to the last: they are trained on, the model remembers it, and score asks in the
// same way unless somebody says otherwise, which is told.
func TestAskedScoresThroughTheMethod(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	in := writeFile(t, at("in.jsonl"), sumPairs(6))
	prompts := shortPrompts(t)
	out, _ := must(t, "generate", "--model", tinyModel(t), "--in", in, "--out", at("1.jsonl"), "--prompts", prompts, "--critiques", "3", "--max_tokens", "8", "--ask_score", "sample")
	if !strings.Contains(out, "36 parsed, 36 of them asked for") {
		t.Fatalf("%s", out)
	}
	must(t, "filter", "--in", at("1.jsonl"), "--out", at("2.jsonl"), "--rule", "none")
	out, _ = must(t, "refine", "--model", tinyModel(t), "--in", at("2.jsonl"), "--out", at("3.jsonl"), "--prompts", prompts, "--meta_samples", "2", "--max_tokens", "6", "--ask_score", "expect")
	if !strings.Contains(out, "72 judgements of them, 72 scores asked for") {
		t.Errorf("%s", out)
	}
	must(t, "train", "--model", tinyModel(t), "--train_file", at("3.jsonl"), "--output_dir", at("run"), "--prompts", prompts, "--max_steps", "2", "--batch_size", "2", "--accumulation", "1")
	model := at("run/model")
	facts, _, err := modeldir.ReadFacts(model)
	if err != nil || facts.AskScore != critic.AskSample {
		t.Fatalf("the model says ask_score %q, %v", facts.AskScore, err)
	}
	score := []string{"score", "--model", model, "--in", in, "--samples", "2", "--max_tokens", "8"}
	out, errs := must(t, score...)
	if strings.Count(out, `"verdict":"asked"`) != 24 || !strings.Contains(out, `"ask_score":"sample"`) || strings.Contains(errs, "in place of sample") {
		t.Errorf("%s\n%s", out, errs)
	}
	again, _ := must(t, append(score, "--ask_score", "expect")...)
	if rewards(again) != rewards(out) {
		t.Error("the same text has other rewards where the score is a mean")
	}
	out, errs = must(t, append(score, "--ask_score", "off")...)
	if strings.Contains(out, `"verdict"`) || !strings.Contains(errs, "ask_score: off in place of sample, which it was trained with") {
		t.Errorf("%s\n%s", out, errs)
	}
}
