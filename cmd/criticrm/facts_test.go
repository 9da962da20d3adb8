package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/modeldir"
)

// A trained model is used as it was trained: without flags, with the same ones, and never with others by accident. What this guards
// against: the same model, scored behind other prompts, is at chance level, and nothing said so.
func TestModelKnowsItself(t *testing.T) {
	dir := t.TempDir()
	prompts := shortPrompts(t)
	file := writeFile(t, filepath.Join(dir, "3.jsonl"), judged("a", []int{9}, []int{1})+judged("b", []int{7}, []int{3}))
	must(t, "train", "--model", tinyModel(t), "--train_file", file, "--output_dir", filepath.Join(dir, "run"), "--prompts", prompts, "--score_max", "9", "--head_position", "content",
		"--max_length", "300", "--max_steps", "10", "--batch_size", "2", "--accumulation", "1", "--lr", "0.01", "--lambda_schedule", "constant")
	trained := filepath.Join(dir, "run", "model")
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(4))
	score := []string{"score", "--model", trained, "--in", in, "--samples", "3", "--max_tokens", "8"}
	plain, errs := must(t, score...)
	if strings.Contains(errs, "does not say") {
		t.Errorf("a trained model was taken for a plain one: %s", errs)
	}
	with := func(more ...string) []string { return append(append([]string{}, score...), more...) }
	if same, _ := must(t, with("--prompts", prompts, "--scale_min", "1", "--scale_max", "9", "--head_position", "content", "--max_length", "300")...); same != plain {
		t.Error("the flags that it was trained with change the rewards")
	}
	if strings.Contains(plain, "Score: 1 to 10") || !strings.Contains(plain, `"scale":{"min":1,"max":9}`) {
		t.Errorf("the scale is not the model's: %s", plain)
	}
	other := t.TempDir()
	writeFile(t, filepath.Join(other, "critique.txt"), "[user]\n{prompt} {response}\n")
	template := writeFile(t, filepath.Join(dir, "other.jinja"), "{% for m in messages %}{{ m['content'] }}<|eot|>{% endfor %}")
	for _, c := range []struct{ what, flag, value string }{
		{"prompts", "--prompts", other}, {"score scale 1 to 9", "--scale_max", "10"}, {"score scale 1 to 9", "--scale_min", "2"}, {"head position content", "--head_position", "end"},
		{"chat template", "--chat_template", template}, {"template date none", "--template_date", "2024-07-26"},
	} {
		code, out, errs := command(t, with(c.flag, c.value)...)
		if want := trained + " was trained with the " + c.what; code != exitUsage || out != "" || !strings.Contains(errs, want) || !strings.Contains(errs, "insist with override") {
			t.Errorf("%s: exit code %d, %q, want %q", c.flag, code, errs, want)
		}
		out, errs = must(t, with(c.flag, c.value, "--override")...)
		if !strings.Contains(errs, "which it was trained with") {
			t.Errorf("%s with override: %q", c.flag, errs)
		}
		if c.flag != "--template_date" && out == plain { // the template has no date
			t.Errorf("%s with override changes nothing", c.flag)
		}
	}
	if code, _, errs := command(t, with("--plain")...); code != exitUsage || !strings.Contains(errs, "was trained with the rewards read behind critiques") {
		t.Errorf("--plain: %d %q", code, errs)
	}
	if code, _, errs := command(t, "score", "--model", rewardModel(t, "bt"), "--in", in, "--plain=false"); code != exitUsage || !strings.Contains(errs, "was trained with the rewards read at the end of the response") {
		t.Errorf("--plain=false: %d %q", code, errs)
	}
	// train from it, eval and inspect know it too.
	if code, _, errs := command(t, "train", "--model", trained, "--train_file", file, "--output_dir", filepath.Join(dir, "again"), "--prompts", other, "--max_steps", "1"); code != exitUsage || !strings.Contains(errs, "was trained with the prompts") {
		t.Errorf("train: %d %q", code, errs)
	}
	must(t, "train", "--model", trained, "--train_file", file, "--output_dir", filepath.Join(dir, "second"), "--max_steps", "1", "--batch_size", "2", "--accumulation", "1")
	a, _, _ := modeldir.ReadFacts(trained)
	b, found, err := modeldir.ReadFacts(filepath.Join(dir, "second", "model"))
	if err != nil || !found || b.PromptsHash != a.PromptsHash || *b.Scale != *a.Scale || b.HeadPosition != "content" || b.MaxLength != 300 {
		t.Errorf("a second round has forgotten the first: %+v, %v", b, err)
	}
	if out, _ := must(t, "inspect", trained); !strings.Contains(out, "prompts "+a.PromptsHash+", scores from 1 to 9, at most 300 tokens") || !strings.Contains(out, "data (train): 3.jsonl, 2 of 2 rows") {
		t.Errorf("inspect: %s", out)
	}
	// An export keeps it.
	causal := filepath.Join(dir, "causal")
	must(t, "export", "--model", trained, "--out", causal, "--format", "causal-lm")
	if out, _ := must(t, "score", "--model", causal, "--in", in, "--samples", "3", "--max_tokens", "8"); rewards(out) != rewards(plain) {
		t.Error("an exported model gives other rewards")
	}
}

// rewards are the rewards of scored records, without what names the model.
func rewards(lines string) (out string) {
	for _, line := range strings.Split(lines, "\n") {
		if _, r, ok := strings.Cut(line, `"chosen_reward"`); ok {
			out += r + "\n"
		}
	}
	return out
}

// A directory that says less: of an older program, without critic_rm.json, or with a damaged one.
func TestModelSaysLess(t *testing.T) {
	in := writeFile(t, filepath.Join(t.TempDir(), "in.jsonl"), sumPairs(2))
	score := func(dir string) []string {
		return []string{"score", "--model", dir, "--in", in, "--samples", "1", "--max_tokens", "4", "--temperature", "0", "--prompts", shortPrompts(t)}
	}
	dir := copyDir(t, rewardModel(t, "critic"))
	want, _ := must(t, score(dir)...)
	facts := filepath.Join(dir, modeldir.FactsFile)
	text := readFile(t, facts)
	for name, c := range map[string]struct {
		text, says string
		fails      bool
	}{
		"older":          {`{"method": "critic", "head_position": "end"}`, "warning: critic_rm.json is of an older criticrm", false},
		"none":           {"", "warning: there is a reward head and no critic_rm.json", false},
		"null":           {"null", "got null, want object", true},
		"empty":          {"{}", "method: got", true},
		"other method":   {`{"method": "bu", "head_position": "end"}`, `method: got "bu"`, true},
		"other key":      {`{"nethod": "bt", "head_position": "end"}`, `key "nethod" is not known`, true},
		"other case":     {`{"Method": "bt", "head_position": "end"}`, `key "Method" is not known`, true},
		"twice":          {`{"method": "bt", "head_position": "end", "method": "critic"}`, `key "method" appears twice`, true},
		"no position":    {`{"method": "bt"}`, "head position", true},
		"newer":          {strings.Replace(text, `"version": 1`, `"version": 2`, 1), "its format is 2", true},
		"changed":        {strings.Replace(text, `"critic"`, `"bt"`, 1), "it was changed since training wrote it", true},
		"without a hash": {`{"version": 1, "method": "critic", "head_position": "end"}`, "it was changed since training wrote it", true},
	} {
		if os.Remove(facts); c.text != "" {
			writeFile(t, facts, c.text)
		}
		code, out, errs := command(t, score(dir)...)
		if c.fails != (code == exitUsage) || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit code %d, %q, want %q", name, code, errs, c.says)
		}
		if !c.fails && rewards(out) != rewards(want) {
			t.Errorf("%s: other rewards", name)
		}
	}
	writeFile(t, facts, text)
	for _, name := range []string{"config.json", "tokenizer.json", "model.safetensors", "reward_head.safetensors"} {
		path := filepath.Join(dir, name)
		was := readFile(t, path)
		b := []byte(was)
		b[len(b)-2] ^= 1
		writeFile(t, path, string(b))
		if code, _, errs := command(t, score(dir)...); code != exitUsage || !strings.Contains(errs, name+" is not as training wrote it") {
			t.Errorf("%s: %d %q", name, code, errs)
		}
		os.Remove(path)
		if code, _, errs := command(t, score(dir)...); code != exitUsage || !strings.Contains(errs, name) {
			t.Errorf("%s is gone: %d %q", name, code, errs)
		}
		writeFile(t, path, was)
	}
}
