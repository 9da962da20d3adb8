package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestEval(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "scored.jsonl"),
		`{"prompt":"1","chosen":"a","rejected":"bb","chosen_reward":2,"rejected_reward":1,"kind":"x"}`+"\n"+
			`{"prompt":"2","chosen":"a","rejected":"bb","chosen_reward":1,"rejected_reward":1,"kind":"x"}`+"\n"+
			`{"prompt":"3","chosen":"aa","rejected":"b","chosen_reward":0,"rejected_reward":1,"kind":"y"}`+"\n"+
			`{"prompt":"4","chosen":"aa","rejected":"b","chosen_reward":3,"rejected_reward":1,"kind":"y"}`+"\n")
	result := filepath.Join(dir, "eval.json")
	out, _ := must(t, "eval", "--in", in, "--category", "kind", "--json", result)
	for _, want := range []string{"4 records, 4 pairs of 4 prompts", "x (2)", "y (2)", "reward - length", "length"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	var got struct {
		File    string
		Methods []struct {
			Name       string
			Mean       float64
			Ties       int
			Categories []struct{ Mean float64 }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, result)), &got); err != nil {
		t.Fatal(err)
	}
	if m := got.Methods[0]; got.File != in || m.Name != "reward" || m.Mean != 0.625 || m.Ties != 1 || m.Categories[0].Mean != 0.75 {
		t.Errorf("%+v", got)
	}
	if code, _, errs := command(t, "eval", "--in", in, "--category", "topic"); code != exitData || errs != in+": column \"kind\" of 4 rows is not read\ncriticrm: "+in+`:1: record "row-1": key "topic" is missing`+"\n" {
		t.Errorf("%d %q", code, errs)
	}
}

// TestEvalWithoutScores: a table of lengths looked like a result of a model.
func TestEvalWithoutScores(t *testing.T) {
	in := writeFile(t, filepath.Join(t.TempDir(), "in.jsonl"), sumPairs(3))
	if _, errs := must(t, "eval", "--in", in, "--draws", "10"); !strings.Contains(errs, "warning: the pairs have no rewards and no sampled critiques: only the length") {
		t.Errorf("%q", errs)
	}
}

// TestEvalBad: a pair without the rewards that others have is a bad row, which max_bad leaves out of every figure.
func TestEvalBad(t *testing.T) {
	row := func(id, rewards string) string {
		return `{"id":"` + id + `","prompt":"` + id + `","chosen":"a","rejected":"bb"` + rewards + "}\n"
	}
	const both = `,"chosen_reward":2,"rejected_reward":1`
	in := writeFile(t, filepath.Join(t.TempDir(), "in.jsonl"), row("a", both)+row("b", "")+"{}\n"+row("c", both))
	out, errs := must(t, "eval", "--in", in, "--draws", "10", "--max_bad", "2")
	for _, want := range []string{"2 records, 2 pairs of 2 prompts", "reward ", "left out: " + in + `:2: record "b": the reward of chosen is missing`, in + ": 2 bad rows left out\n"} {
		if !strings.Contains(out+errs, want) {
			t.Errorf("no %q in\n%s%s", want, out, errs)
		}
	}
	if code, _, errs := command(t, "eval", "--in", in, "--draws", "10", "--max_bad", "1"); code != exitData || !strings.Contains(errs, `in.jsonl:2: record "b": the reward of chosen is missing`) {
		t.Errorf("%d %s", code, errs)
	}
}

// TestEvalModel: with a model the records are scored first, in memory or through a file, with the same figures.
func TestEvalModel(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(6))
	args := []string{"eval", "--model", rewardModel(t, "critic"), "--in", in, "--samples", "2", "--max_tokens", "8", "--prompts", shortPrompts(t), "--draws", "100"}
	memory, _ := must(t, args...)
	file, _ := must(t, append(args, "--out", filepath.Join(dir, "scored.jsonl"))...)
	again, _ := must(t, "eval", "--in", filepath.Join(dir, "scored.jsonl"), "--draws", "100")
	if memory != file || memory != again {
		t.Errorf("in memory:\n%s\nthrough a file:\n%s\nof the file:\n%s", memory, file, again)
	}
	for _, want := range []string{"reward m=1", "reward m=2", "judge N=2", "length", "even (3)", "odd (3)", "critiques: 24, "} {
		if !strings.Contains(memory, want) {
			t.Errorf("no %q in %s", want, memory)
		}
	}
	judge, _ := must(t, "eval", "--model", tinyModel(t), "--judge", "--in", in, "--samples", "2", "--max_tokens", "8", "--prompts", shortPrompts(t))
	if strings.Contains(judge, "reward") || !strings.Contains(judge, "judge N=2") {
		t.Errorf("%s", judge)
	}
}
