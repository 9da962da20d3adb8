package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/checkpoint"
)

// A model that went to GGUF in float32 and came back gives the same logits to the bit, as a directory and as the file itself; the file is
// converted once.
func TestGGUF(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	from := rewardModel(t, "critic")
	file, back := filepath.Join(dir, "model.gguf"), filepath.Join(dir, "back")
	stdout, stderr := must(t, "export", "--model", from, "--format", "gguf", "--type", "f32", "--out", file)
	if stdout != file+": gguf, matrices as f32\n" || !strings.Contains(stderr, "left out, since GGUF has no place for it: reward_head.safetensors") {
		t.Errorf("%q, %q", stdout, stderr)
	}
	if stdout, _ := must(t, "convert", "--model", file, "--out", back); !strings.Contains(stdout, back+": GGUF, llama, F32, ") {
		t.Errorf("%q", stdout)
	}
	ids := writeFile(t, filepath.Join(dir, "ids.jsonl"), "[5,6,7,8,9,10]\n")
	logits := func(model string) []float32 {
		out := filepath.Join(dir, "logits.safetensors")
		_, stderr := must(t, "logits", "--model", model, "--ids", ids, "--out", out)
		if model == file && !strings.Contains(stderr, "GGUF, llama, F32, converted as F32") && !strings.Contains(stderr, "converted before, verified") {
			t.Errorf("%q", stderr)
		}
		f, err := checkpoint.OpenSafetensors(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		x, err := f.ReadF32("logits.0")
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	want := logits(from)
	for _, model := range []string{back, file, file} {
		if d := cmp.Diff(want, logits(model)); d != "" {
			t.Errorf("%s gives other logits", model)
		}
	}
	made, err := os.ReadDir(filepath.Join(dir, "cache", "criticrm", "gguf"))
	if err != nil || len(made) != 2 { // the directory and its lock
		t.Errorf("the cache holds %v, %v", made, err)
	}
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), "a text\n")
	was, _ := must(t, "tokenize", "--model", from, "--in", in)
	if is, _ := must(t, "tokenize", "--model", file, "--in", in); is != was {
		t.Errorf("ids %s, were %s", is, was)
	}
	shown, _ := must(t, "inspect", file)
	for _, want := range []string{"GGUF file " + file + ": version 3\n", `general.architecture: "llama"`, "token_embd.weight", "tokenizer.ggml.tokens: "} {
		if !strings.Contains(shown, want) {
			t.Errorf("inspect does not say %q: %.400s", want, shown)
		}
	}
	// A record tells which file its critiques are of.
	pairs := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(1))
	out := filepath.Join(dir, "out.jsonl")
	must(t, "generate", "--model", file, "--in", pairs, "--out", out, "--critiques", "1", "--max_tokens", "4", "--min_parsed", "0")
	if records := readFile(t, out); !strings.Contains(records, `"model.gguf-`) {
		t.Errorf("no name of the file in %.500s", records)
	}
}

// What cannot be done is said with what can.
func TestBadGGUF(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	broken := writeFile(t, filepath.Join(dir, "broken.gguf"), "GGUF\x03\x00\x00\x00")
	file := filepath.Join(dir, "there.gguf")
	writeFile(t, file, "")
	for _, c := range []struct{ args, want string }{
		{"generate --model " + broken + " --in x --out y", "gguf: " + broken + ": byte 8: the file is cut off"},
		{"inspect " + broken, "byte 8: the file is cut off"},
		{"inspect HuggingFaceTB/SmolLM2-135M-Instruct", "hub: HuggingFaceTB/SmolLM2-135M-Instruct: there is no such file or directory, and as a name on Hugging Face's hub: the cache "},
		{"train --model Qwen/Qwen3-0.6B --train_file x --output_dir " + dir + "/o", "does not have it, and HF_HUB_OFFLINE forbids the network"},
		{"convert --model " + dir + " --out " + dir + "/o", "config.json: no such file or directory"},
		{"convert --model " + broken + " --out " + dir + "/o --dtype f64", `got the type "F64"`},
		{"export --model " + dir + " --format gguf --out " + file, "is there: choose another name"},
		{"export --model " + dir + " --format gguf --type q4_0 --out " + file + ".new", `want one of f16, bf16, q8_0, f32`},
		{"export --model " + dir + " --format causal-lm --type f16 --out " + file + ".new", "--type: is for the format gguf"},
	} {
		if code, _, stderr := command(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: got %d, %q, want %q", c.args, code, stderr, c.want)
		}
	}
}
