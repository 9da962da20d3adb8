package main

import (
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	run := filepath.Dir(rewardModel(t, "critic"))
	records := writeFile(t, filepath.Join(dir, "r.jsonl"), judged("a", []int{9}, []int{1})+judged("a", []int{9}, []int{1})+
		`{"id":"c","prompt":"What is a?","chosen":"no","rejected":"yes a"}`+"\n")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{run + "/model"}, []string{"llama, 2 layers, hidden 32", "reward head: reward_head.safetensors", "method critic", "end tokens: 1 <|eot|> (config.json, tokenizer_config.json)", "chat template: yes", "score.weight", "parameters"}},
		{[]string{tinyModel(t)}, []string{"reward head: none"}},
		{[]string{run}, []string{"step-00000010: step 10, ", ", complete"}},
		{[]string{run + "/checkpoints", "--verify"}, []string{", verified"}},
		{[]string{run + "/checkpoints/step-00000010"}, []string{"checkpoint of step 10", "every hash is right", "examples: 2", "v/score.weight"}},
		{[]string{run + "/model/model.safetensors"}, []string{`metadata "format": "pt"`, "model.norm.weight", "[32]"}},
		{[]string{golden.Repository(t).Dir("nf4_llama")}, []string{"numbers as they are stored"}},
		{[]string{records}, []string{"3 of 3 records kept", "4 critiques: 4 parsed (mean score 5.00)", `category "all": 3`, "duplicate id: 1", "duplicate row: 1", "contradiction: 1", "line 3 (id \"c\"): contradictory labels"}},
		{[]string{tinyModel(t), "--text", "hi <|eot|>"}, []string{`"<|bos|><|start|>user\nhi <|eot|><|eot|><|start|>assistant\n"`, "ids: [0, 2, "}},
		{[]string{tinyModel(t), "--generation=false", "--text", `[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]`}, []string{`<|start|>assistant\nb<|eot|>"`}},
	} {
		out, _ := must(t, append([]string{"inspect"}, c.args...)...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("inspect %v: no %q in\n%s", c.args, w, out)
			}
		}
	}
	if code, _, errs := command(t, "inspect", t.TempDir()); code != exitUsage || !strings.HasSuffix(errs, ": neither a model directory nor checkpoints: no config.json, no step-…\n") {
		t.Errorf("%d %q", code, errs)
	}
}

// A flag of input files that is given twice names two files, and both are read; standard input is read by who reads it once.
func TestInputs(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.csv")
	writeFile(t, a, `{"prompt":"p","chosen":"x","rejected":"y","chosen_reward":1,"rejected_reward":0}`+"\n")
	writeFile(t, b, "prompt,chosen,rejected,chosen_reward,rejected_reward\nq,x,y,0.5,1\n")
	out, errs := must(t, "eval", "--in", a, "--in", b)
	if !strings.Contains(errs, "2 files: "+a+" (1 records), "+b+" (1 records)") || !strings.Contains(out, "50.0") {
		t.Errorf("%s\n%s", errs, out)
	}
	if code, _, errs := command(t, "filter", "--in", "-", "--out", filepath.Join(dir, "o.jsonl")); code != exitUsage || !strings.Contains(errs, "standard input can be read once only, and here an input is read twice") {
		t.Errorf("%d %s", code, errs)
	}
	if out, _ := must(t, "inspect", dir); !strings.Contains(out, "2 of 2 records kept") {
		t.Error(out)
	}
}
