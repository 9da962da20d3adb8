package modeldir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
)

// theirs is what transformers makes of directories: where generate() stops, the logits of some ids, the special tokens.
const theirs = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
out = []
for d in json.load(sys.stdin):
    r = {}
    try:
        if d["ids"]:
            m = AutoModelForCausalLM.from_pretrained(d["dir"], dtype=torch.float32, attn_implementation="eager").eval()
            e = m.generation_config.eos_token_id
            r["ends"] = e if isinstance(e, list) else [] if e is None else [e]
            with torch.no_grad():
                r["logits"] = m(torch.tensor([d["ids"]])).logits[0].flatten().tolist()
        else:
            r["special"] = AutoTokenizer.from_pretrained(d["dir"]).special_tokens_map
    except Exception as x:
        r["error"] = repr(x)
    out.append(r)
json.dump(out, sys.stdout)
`

type seenByTransformers struct {
	Ends    []int32
	Logits  []float64
	Special map[string]string
	Error   string
}

// askTransformers runs the releases that "make golden" installs, or the Python that CRITICRM_PYTHON names.
func askTransformers(t *testing.T, in any) []seenByTransformers {
	t.Helper()
	python := golden.Python(t, "transformers", "torch")
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", theirs)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &errs
	text, err = cmd.Output()
	var out []seenByTransformers
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out
}

type asked struct {
	Dir string  `json:"dir"`
	IDs []int32 `json:"ids"`
}

// edited copies a golden directory with values put into its files.
func edited(t *testing.T, name string, edits []edit) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden.Repository(t).Dir(name))); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		e.apply(t, dir)
	}
	return dir
}

// A setting that is honoured gives what transformers gives with it.
func TestAgainstTransformers(t *testing.T) {
	const c, g, k, s = model.ConfigFile, model.GenerationFile, tokenizer.ConfigFile, tokenizer.SpecialFile
	models := []struct {
		name  string
		edits []edit
	}{
		{"llama", nil},
		{"llama", []edit{{c, "rope_theta", "100"}}},
		{"llama", []edit{{c, "rope_scaling", ""}}},
		{"llama", []edit{{c, "rope_scaling", `{"rope_type": "default"}`}}},
		{"llama", []edit{{c, "rope_scaling", `{"type": "llama3", "factor": 4, "low_freq_factor": 1, "high_freq_factor": 2}`}, {c, "max_position_embeddings", "64"}}},
		{"llama", []edit{{c, "rope_scaling", ""}, {c, "rope_theta", ""}, {c, "rope_parameters", `{"rope_type": "default", "rope_theta": 77}`}}},
		{"llama", []edit{{c, "rms_norm_eps", "0.1"}, {c, "hidden_act", `"swish"`}, {c, "pretraining_tp", "2"}}},
		{"llama", []edit{{c, "rms_norm_eps", ""}, {c, "eos_token_id", ""}}},
		{"llama", []edit{{c, "eos_token_id", "null"}}},
		{"llama", []edit{{c, "eos_token_id", "5"}, {g, "eos_token_id", "[7, 8]"}}},
		{"llama", []edit{{g, "eos_token_id", "9"}, {c, "num_key_value_heads", "2"}}},
		{"llama_tied", []edit{{c, "tie_word_embeddings", "true"}}},
		{"mistral", []edit{{c, "sliding_window", ""}}},
		{"mistral", []edit{{c, "sliding_window", "128"}, {c, "head_dim", "8"}}},
	}
	tokenizers := [][]edit{
		nil,
		{{s, "bos_token", `{"content": "<|im_start|>"}`}},
		{{s, "bos_token", `"<|im_start|>"`}, {k, "added_tokens_decoder", `{}`}},
		{{k, "pad_token", `"<|endoftext|>"`}, {s, "unk_token", `"<|endoftext|>"`}},
		{{k, "tokenizer_class", `"GPT2TokenizerFast"`}},
		{{k, "tokenizer_class", `"Qwen2Tokenizer"`}},
		{{k, "tokenizer_class", `"Qwen2Tokenizer"`}, {k, "pad_token", `null`}},
	}
	ids := []int32{1, 5, 9, 33, 2, 17, 40, 41, 42, 8, 30, 6}
	var in []asked
	for _, x := range models {
		in = append(in, asked{edited(t, x.name, x.edits), ids})
	}
	for _, edits := range tokenizers {
		in = append(in, asked{Dir: edited(t, "tokenizer_chatml", edits)})
	}
	out := askTransformers(t, in)
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for i, x := range models {
		if out[i].Error != "" {
			t.Errorf("%v: transformers: %s", x, out[i].Error)
			continue
		}
		compareModel(t, dev, fmt.Sprint(x), in[i], out[i])
	}
	for i, edits := range tokenizers {
		dir, want := in[len(models)+i].Dir, out[len(models)+i]
		tok, err := tokenizer.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tokenizer.LoadSpecial(dir, tok)
		if err != nil || want.Error != "" || !maps.Equal(got.Tokens, want.Special) {
			t.Errorf("%v: %v, %v, transformers %v %s", edits, got.Tokens, err, want.Special, want.Error)
		}
	}
}

func compareModel(t *testing.T, dev *kernels.Device, name string, in asked, want seenByTransformers) {
	t.Helper()
	m, err := model.Load(dev, in.Dir, model.Options{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer m.Close()
	var b model.Batch
	b.Open(in.IDs)
	b.Close()
	_, logits, err := m.Logits(&b.Forest)
	if err != nil || len(logits) != len(want.Logits) {
		t.Errorf("%s: %d logits, %v, transformers %d", name, len(logits), err, len(want.Logits))
		return
	}
	for i, x := range want.Logits {
		if math.Abs(x-float64(logits[i])) > 1e-4 {
			t.Errorf("%s: logit %d is %v, transformers %v", name, i, logits[i], x)
			return
		}
	}
	ends, err := Ends(in.Dir, m.Config, nil, tokenizer.Special{}) // there is no tokenizer
	if err != nil || fmt.Sprint(endIDs(ends)) != fmt.Sprint(want.Ends) {
		t.Errorf("%s: end tokens %v, %v, transformers %v", name, ends, err, want.Ends)
	}
}

// apply puts the value into the file; one that is missing is made.
func (e edit) apply(t *testing.T, dir string) {
	t.Helper()
	path, m := filepath.Join(dir, e.file), map[string]json.RawMessage{}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &m)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if m[e.key] = json.RawMessage(e.value); e.value == "" {
		delete(m, e.key)
	}
	if err == nil {
		b, err = json.Marshal(m)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
