package modeldir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
)

// withWeights opens the demo's base model in a directory of baseDir, with a reward head that is not zero.
func withWeights(t *testing.T, dir string) *model.Model {
	t.Helper()
	b, err := os.ReadFile("../demo/base/model.safetensors")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.safetensors"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	m, err := model.Load(dev, dir, model.Options{Head: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for _, p := range m.Params() {
		if p.Kind == model.Head {
			x := make([]float32, p.W.Len())
			for i := range x {
				x[i] = float32(i%7) - 3
			}
			dev.Upload(p.W, x)
		}
	}
	return m
}

func member(t *testing.T, dir, file, key string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	m := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(m[key])
}

// config.json said one pad token and tokenizer_config.json another, or one that ends texts: padded batches had other rewards than single texts.
func TestExportPad(t *testing.T) {
	const c, g, k, s = model.ConfigFile, model.GenerationFile, tokenizer.ConfigFile, tokenizer.SpecialFile
	for _, x := range []struct {
		edits    []edit
		id, text string
	}{
		{nil, "0", "<|pad|>"},
		{[]edit{{k, "pad_token", `"<|end|>"`}, {c, "pad_token_id", "null"}}, "0", "<|pad|>"},
		{[]edit{{k, "pad_token", ""}, {c, "pad_token_id", "4"}}, "0", "<|pad|>"},
		{[]edit{{k, "pad_token", `"<|critique|>"`}}, "0", "<|pad|>"}, // the template ends with it where the model is to write
		{[]edit{{k, "pad_token", `"<|critiques|>"`}}, "6", "<|critiques|>"},
		{[]edit{{k, "pad_token", `{"content": "<|critiques|>"}`}, {s, "pad_token", `"<|critiques|>"`}, {g, "pad_token_id", "4"}}, "6", "<|critiques|>"},
		{[]edit{{c, "eos_token_id", "[0, 4]"}, {k, "pad_token", `"<|pad|>"`}}, "1", "<|user|>"}, // the pad token ends texts: what begins them does not
		{[]edit{{k, "pad_token", `"<|none|>"`}, {g, "eos_token_id", "[0, 4]"}}, "1", "<|user|>"},
	} {
		from := baseDir(t, x.edits...)
		m := withWeights(t, from)
		for _, form := range []string{Classifier, Causal} {
			to := filepath.Join(t.TempDir(), "out")
			if _, err := Export(m, from, to, form); err != nil {
				t.Errorf("%v: %v", x.edits, err)
				continue
			}
			if id, text := member(t, to, c, "pad_token_id"), member(t, to, k, "pad_token"); id != x.id || text != `"`+x.text+`"` {
				t.Errorf("%v: %s: pad tokens %s and %s, want %s, %s", x.edits, form, id, text, x.id, x.text)
			}
			for _, other := range [][3]string{{s, "pad_token", `"` + x.text + `"`}, {g, "pad_token_id", x.id}} {
				if exists(filepath.Join(to, other[0])) && member(t, to, other[0], other[1]) != other[2] {
					t.Errorf("%v: %s says %s", x.edits, other[0], member(t, to, other[0], other[1]))
				}
			}
			if got, want := member(t, to, c, "problem_type"), map[string]string{Classifier: `"regression"`}[form]; got != want {
				t.Errorf("%s: problem_type %s, want %s", form, got, want)
			}
		}
	}
}

// An export that breaks off leaves nothing, and one that succeeds says what it left out.
func TestExportIsWhole(t *testing.T) {
	from := baseDir(t)
	m := withWeights(t, from)
	parent := t.TempDir()
	to := filepath.Join(parent, "out")
	bad := filepath.Join(from, tokenizer.SpecialFile) // copied behind the weights
	was, err := os.ReadFile(bad)
	present := err == nil
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(make([]byte, maxSmall+1))
	if _, err := Export(m, from, to, Causal); err == nil || exists(to) || exists(to+".partial") {
		t.Errorf("%v, and something is left", err)
	}
	if write(was); !present {
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"README.md", "vocab.txt"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for form, want := range map[string]string{Causal: "not copied: README.md, vocab.txt", Classifier: "the LM head is left out: a classifier writes no critiques|not copied: README.md, vocab.txt"} {
		notes, err := Export(m, from, filepath.Join(parent, form), form)
		if got := strings.Join(notes, "|"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", form, got, err, want)
		}
	}
}

// The check of a written classifier sees pad tokens that transformers would read a reward at.
func TestCheckPadding(t *testing.T) {
	from := baseDir(t)
	m := withWeights(t, from)
	d, err := Open(from, Given{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ id, text, want string }{
		{"0", "<|pad|>", ""},
		{"1", "<|pad|>", "are not the same"},
		{"null", "<|pad|>", "are not the same"},
		{"4", "<|end|>", "padded on the left with 4 has the reward"},
	} {
		dir := baseDir(t, edit{model.ConfigFile, "pad_token_id", x.id}, edit{tokenizer.ConfigFile, "pad_token", `"` + x.text + `"`})
		if err := d.checkPadding(m, dir); (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

// A head that was trained behind critiques became a plain classifier without a word.
func TestClassifierWarning(t *testing.T) {
	for _, x := range []struct{ method, position, want string }{
		{Critic, "end", "trained behind critiques (method critic)"},
		{Cloud, "content", "trained behind critiques (method cloud)"},
		{BT, "content", "trained at the position content"},
		{BT, "end", ""},
		{SFT, "end", ""},
	} {
		from := baseDir(t)
		m := withWeights(t, from)
		f := facts()
		f.Method, f.HeadPosition, f.EndTokens, f.Prompts, f.PromptsHash, f.Scale = x.method, x.position, nil, nil, "", nil
		if err := f.Write(from); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{Classifier, Causal} {
			to := filepath.Join(t.TempDir(), "out")
			notes, err := Export(m, from, to, form)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := ReadFacts(to)
			want := x.want != "" && form == Classifier
			if err != nil || (len(notes) > 0 && strings.HasPrefix(notes[0], "warning: ")) != want || (got.Warning != "") != want || want && !strings.Contains(notes[0], got.Warning) {
				t.Errorf("%+v %s: %q, %q, %v", x, form, notes, got.Warning, err)
			}
			if want && !strings.Contains(got.Warning, x.want) {
				t.Errorf("%+v: %q", x, got.Warning)
			}
		}
	}
}
