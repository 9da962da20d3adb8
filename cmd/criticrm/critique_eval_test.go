package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// labelledRows are responses with labels and critiques whose score is as good as the response, by more or less.
func labelledRows(n int, more func(i int) string) string {
	var b strings.Builder
	for i := range n {
		right := i%2 == 0
		score, reward := 3, -1.0
		if right {
			score, reward = 6+i%4, 2
		}
		fmt.Fprintf(&b, `{"id":"q%d","prompt":"%d+1","response":"It is %d","correct":%t,"subset":"s%d","critiques":[{"text":"First wrong step: 1\nScore: %d","score":%d,"reward":%v},{"text":"so so"}],"reward":%v%s}`+"\n",
			i, i, i+1+i%2, right, i%3, score, score, reward, reward, more(i))
	}
	return b.String()
}

func nothingMore(int) string { return "" }

// TestCritiqueEval: figures, thresholds of a validation file, the file of items, and what is wrong.
func TestCritiqueEval(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	in := writeFile(t, at("in.jsonl"), strings.ReplaceAll(labelledRows(12, func(i int) string {
		if i%2 == 0 {
			return `,"first_error_step":null`
		}
		return `,"first_error_step":"1"`
	}), `,{"text":"so so"}`, ""))
	out, errs := must(t, "critique-eval", "--in", in, "--draws", "20", "--json", at("q.json"), "--items", at("items.jsonl"))
	for _, want := range []string{"12 responses to 12 prompts, 6 of them wrong, 1 critiques each", "score m=1", "reward m=1", "calling every response wrong", "s2", "(middle of the scale)",
		"first wrong step", "soundness"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Contains(errs, "not read") {
		t.Error(errs)
	}
	var result struct {
		File    string
		Methods []struct {
			Name, ThresholdFrom string
			Threshold           float64
			Rows                []struct{ F1, MCC struct{ Value *float64 } }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, at("q.json"))), &result); err != nil || result.File != in || *result.Methods[0].Rows[0].MCC.Value != 1 || *result.Methods[1].Rows[0].F1.Value != 1 {
		t.Errorf("%v %+v", err, result)
	}
	if items := readFile(t, at("items.jsonl")); strings.Count(items, "\n") != 12 || !strings.Contains(items, `"right":true,"first_error_step":0,"reward":2`) {
		t.Errorf("%s", items)
	}
	valid := writeFile(t, at("valid.jsonl"), strings.ReplaceAll(labelledRows(8, nothingMore), `,{"text":"so so"}`, ""))
	if out, _ := must(t, "critique-eval", "--in", in, "--valid", valid, "--draws", "20"); strings.Count(out, "(validation)") != 2 {
		t.Errorf("%s", out)
	}
	pairs := writeFile(t, at("pairs.jsonl"), sumPairs(2))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--in", pairs}, exitUsage, "pairs, which say what is better and not what is right"},
		{[]string{"--in", at("none.jsonl")}, exitUsage, "no such file"},
		{[]string{"--in", in, "--step_pattern", "step"}, exitUsage, "has 0 groups in parentheses, want one"},
		{[]string{"--in", in, "--draws", "0"}, exitUsage, "got 0 draws"},
		{[]string{"--in", in, "--best_of", "-1"}, exitUsage, "best_of: got -1"},
		{[]string{"--in", in, "--category", "topic"}, exitData, `in.jsonl:1: record "q0": key "topic" is missing`},
		{[]string{"--in", in, "--scale_max", "5"}, exitData, `in.jsonl:1: record "q0": response: the score 6 of critique 1 is not on the scale from 1 to 5`},
		{[]string{"--in", writeFile(t, at("tens.jsonl"), `{"prompt":"p","chosen":"a","rejected":"b","chosen_critiques":[{"text":"x","score":80}],"rejected_critiques":[{"text":"x","score":30}]}`+"\n"),
			"--pairs_labelled"}, exitData, `tens.jsonl:1: record "row-1": chosen: the score 80 of critique 1 is not on the scale from 1 to 10 (give scale_min and scale_max)`},
		{[]string{"--in", in, "--valid", writeFile(t, at("v.jsonl"), labelledRows(1, nothingMore))}, exitUsage, "wants right and wrong responses"},
		{[]string{"--in", writeFile(t, at("bad.jsonl"), labelledRows(2, func(int) string { return `,"first_error_step":"x"` }))}, exitData,
			`bad.jsonl:1: record "q0": "first_error_step": got "x", want a whole number from 1, or null`},
	} {
		if code, _, errs := command(t, append([]string{"critique-eval"}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %s; want %d, %q", c.args, code, errs, c.code, c.want)
		}
	}
}

// TestRevise: servers write revisions as the model does, an interrupted run goes on, the figures come out, and what is wrong is told first.
func TestRevise(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	in := writeFile(t, at("in.jsonl"), strings.ReplaceAll(labelledRows(4, func(i int) string { return fmt.Sprintf(`,"reference":"%d"`, i+1) }), "so so", "It is 99"))
	mend := func(prompt string, _ int64) string { // reads its prompt: the sum, or the critique
		if strings.Contains(prompt, "Check what it says") && strings.Contains(prompt, "First wrong") {
			var n int
			fmt.Sscanf(prompt, "[{%d+1}", &n)
			return fmt.Sprintf("#### %d", n+1)
		}
		return "I cannot say."
	}
	url, calls := engineServer(t, mend, nil)
	args := []string{"revise", "--engine", "openai", "--base_url", url, "--in", in, "--out", at("out.jsonl"), "--check", "number"}
	out, _ := must(t, args...)
	for _, want := range []string{"4 records, responses before: 2 × right, 2 × wrong", "revised, critique: 4 × right", "revised, none: 4 × no result", "revised, shuffled: 4 × right"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	asked := calls.Load()
	if again, _ := must(t, args...); again != out || calls.Load() > asked+1 { // the list of models
		t.Errorf("asked again: %s", again)
	}
	out, errs := must(t, "critique-eval", "--in", at("out.jsonl"), "--draws", "20")
	if !strings.Contains(out, "critique - none") || !strings.Contains(out, "wrong → right") || strings.Contains(errs, "not read") {
		t.Errorf("%s%s", out, errs)
	}
	if _, errs := must(t, "eval", "--in", at("out.jsonl"), "--draws", "20"); !strings.Contains(errs, "4 rows have revisions, which are not measured here") {
		t.Error(errs)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--after", "critique,praise"}, exitUsage, `conditions: got "praise"`},
		{[]string{"--check", "code"}, exitUsage, "needs a command"},
		{[]string{"--check_command", "python3 x {file}"}, exitUsage, "only code is checked by a command"},
		{[]string{"--revise_prompt", writeFile(t, at("p.txt"), "[user]\n{prompt} {response}\n")}, exitUsage, "placeholder {critique} is missing"},
		{[]string{"--answer_field", "truth"}, exitData, `in.jsonl:1: record "q0": it has no "truth"`},
		{[]string{"--critiques", "0"}, exitUsage, "critiques: got 0"},
		{[]string{"--after", "critique"}, exitUsage, "cannot resume"},
	} {
		file := at("bad.jsonl")
		if c.want == "cannot resume" {
			file = at("out.jsonl")
		}
		if code, _, errs := command(t, append([]string{"revise", "--engine", "openai", "--base_url", url, "--in", in, "--out", file}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %s; want %d, %q", c.args, code, errs, c.code, c.want)
		}
	}
	if _, err := os.Stat(at("bad.jsonl")); err == nil {
		t.Error("an output was begun")
	}
}

// TestReviseModel: a model that runs here writes revisions, too.
func TestReviseModel(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), labelledRows(3, func(i int) string { return `,"answer":7` }))
	prompt := writeFile(t, filepath.Join(dir, "p.txt"), "[user]\n{prompt} {response} {critique}\n")
	plain := writeFile(t, filepath.Join(dir, "q.txt"), "[user]\n{prompt} {response}\n")
	args := []string{"revise", "--model", tinyModel(t), "--in", in, "--revise_prompt", prompt, "--plain_prompt", plain, "--max_tokens", "4", "--critiques", "2", "--temperature", "1"}
	a, _ := must(t, append(args, "--out", filepath.Join(dir, "a.jsonl"))...)
	must(t, append(args, "--out", filepath.Join(dir, "b.jsonl"), "--chunk", "1")...)
	if x, y := readFile(t, filepath.Join(dir, "a.jsonl")), readFile(t, filepath.Join(dir, "b.jsonl")); x != y || strings.Count(x, `"condition"`) != 18 || !strings.Contains(a, "revised, shuffled: 6 ×") {
		t.Errorf("%s\n%s\n%s", a, x, y)
	}
}
