package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A critique went on to its limit where generation_config.json alone named the token that the template writes after a turn. The tokens are
// those of transformers' generate().
func TestEndsOfGenerationConfig(t *testing.T) {
	m := copyDir(t, "../../demo/base")
	config := filepath.Join(m, "config.json")
	writeFile(t, config, setKey("eos_token_id", 0)(t, readFile(t, config)))
	tokens := filepath.Join(m, "tokenizer_config.json")
	writeFile(t, tokens, setKey("eos_token", nil)(t, readFile(t, tokens)))
	writeFile(t, filepath.Join(m, "generation_config.json"), `{"bos_token_id": 1, "eos_token_id": [0, 4], "do_sample": false}`)
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), `{"prompt": "Is the letter b in the word cab?", "chosen": "yes", "rejected": "no"}`+"\n")
	out := filepath.Join(dir, "out.jsonl")
	must(t, "generate", "--model", m, "--in", in, "--out", out, "--critiques", "1", "--temperature", "0", "--max_tokens", "60", "--prompts", "../../demo/prompts")
	if got := readFile(t, out); !strings.Contains(got, `"finish_reason":"stop"`) || !strings.Contains(got, `"tokens":[297,539,297,539,21,276,33,228,25,4]`) {
		t.Errorf("%s", got)
	}
	if got, _ := must(t, "inspect", m); !strings.Contains(got, "end tokens: 0 <|pad|> (generation_config.json); 4 <|end|> (generation_config.json)\n") {
		t.Errorf("inspect: %s", got)
	}
}

// A key that nothing reads may be a setting on which numbers depend: every command says so.
func TestUnreadKeysAreTold(t *testing.T) {
	m := copyDir(t, tinyModel(t))
	config := filepath.Join(m, "config.json")
	writeFile(t, config, setKey("logits_scaling", 8)(t, readFile(t, config)))
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(1))
	ids := writeFile(t, filepath.Join(dir, "ids.jsonl"), "[3, 4, 5]\n")
	want := config + `: warning: nothing here reads "logits_scaling" (8)` + "\n"
	for _, args := range [][]string{
		{"generate", "--model", m, "--in", in, "--out", filepath.Join(dir, "o.jsonl"), "--critiques", "1", "--max_tokens", "2", "--prompts", shortPrompts(t)},
		{"logits", "--model", m, "--ids", ids, "--out", filepath.Join(dir, "o.safetensors")},
		{"inspect", m},
	} {
		stdout, stderr := must(t, args...)
		if strings.Count(stdout+stderr, want) != 1 {
			t.Errorf("%s: %q, want %q once", args[0], stdout+stderr, want)
		}
	}
}
