package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestExport: both forms give the rewards of the model they come from.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(4))
	for _, method := range []string{"critic", "bt"} {
		want, _ := must(t, "score", "--model", rewardModel(t, method), "--in", in, "--plain", "--override")
		for _, format := range []string{"sequence-classification", "causal-lm"} {
			out := filepath.Join(dir, method+"-"+format)
			stdout, stderr := must(t, "export", "--model", rewardModel(t, method), "--out", out, "--format", format)
			if !strings.HasPrefix(stdout, out+": "+format+", ") {
				t.Errorf("%q", stdout)
			}
			// A classifier is read at the end of the response, where this head was not trained.
			if warn := method == "critic" && format == "sequence-classification"; strings.Contains(stderr, out+": warning: the reward head was trained behind critiques (method critic)") != warn {
				t.Errorf("%s as %s: stderr %q", method, format, stderr)
			} else if shown, _ := must(t, "inspect", out); strings.Contains(shown, "\nwarning: the reward head") != warn {
				t.Errorf("%s as %s: inspect says %q", method, format, shown)
			}
			if got, _ := must(t, "score", "--model", out, "--in", in, "--plain", "--override"); got != want {
				t.Errorf("%s as %s gives other rewards", method, format)
			}
		}
	}
	config := readFile(t, filepath.Join(dir, "bt-sequence-classification", "config.json"))
	for _, want := range []string{`"LlamaForSequenceClassification"`, `"pad_token_id": 0,`, `"LABEL_0"`, `"problem_type": "regression"`} {
		if !strings.Contains(config, want) {
			t.Errorf("no %s in %s", want, config)
		}
	}
	if config := readFile(t, filepath.Join(dir, "bt-sequence-classification", "tokenizer_config.json")); !strings.Contains(config, `"pad_token": "<|bos|>"`) {
		t.Errorf("the pad token is not that of config.json: %s", config)
	}
	for _, c := range []struct{ model, out, want string }{
		{tinyModel(t), filepath.Join(dir, "x"), "modeldir: " + tinyModel(t) + ": the model has no reward head: train one, or use the format causal-lm"},
		{rewardModel(t, "bt"), dir, "--out: " + dir + " is not empty: choose another directory"},
	} {
		if code, _, errs := command(t, "export", "--model", c.model, "--out", c.out); code != exitUsage || errs != "criticrm: "+c.want+"\n" {
			t.Errorf("%d %q", code, errs)
		}
	}
}
