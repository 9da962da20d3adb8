package modeldir

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
)

// withAdapter makes a base, and a directory with an adapter of it that does something, with the tokenizer's files and facts.
func withAdapter(t *testing.T) (m *model.Model, base, dir string) {
	t.Helper()
	base = baseDir(t)
	whole := withWeights(t, base)
	m, err := model.Load(whole.Dev, base, model.Options{Head: true, LoRA: &model.LoRA{Rank: 4, Alpha: 8, Targets: "q_proj,v_proj,down_proj", Base: base, Seed: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for _, p := range m.Params() {
		if strings.HasSuffix(p.Name, "lora_B.weight") || p.Kind == model.Head {
			x := make([]float32, p.W.Len())
			for i := range x {
				x[i] = float32(i%11-5) / 50
			}
			m.Dev.Upload(p.W, x)
		}
	}
	dir = filepath.Join(t.TempDir(), "adapter")
	err = m.SaveAdapter(dir, false)
	if err == nil {
		err = Copy(base, dir, "")
	}
	if err == nil {
		err = Facts{Method: BT, HeadPosition: "end"}.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, base, dir
}

// TestAdapterDir: an adapter opens as its base with it does; without files of its own it has the base's tokenizer; a base that has moved is
// found by what adapter_config.json says, and another one in its place is refused.
func TestAdapterDir(t *testing.T) {
	m, base, dir := withAdapter(t)
	d, err := Open(dir, Given{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Base != base || d.Texts != dir || len(d.Facts.Base) != 2 || d.Facts.Files[model.AdapterFile] == "" {
		t.Errorf("%+v", d.Facts)
	}
	label, err := d.Label()
	if err != nil {
		t.Fatal(err)
	}
	if err := Same(m, dir, probe(m, true)); err != nil {
		t.Error(err)
	}
	if dtype, err := StoredAs(dir); err != nil || dtype != kernels.F32 {
		t.Errorf("%v, %v", dtype, err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(base, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Given{}); err == nil || !strings.Contains(err.Error(), "write the path of the base there") {
		t.Error(err)
	}
	config := filepath.Join(dir, model.AdapterConfigFile)
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, bytes.ReplaceAll(text, []byte(base), []byte(moved)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d, err = Open(dir, Given{}); err != nil {
		t.Fatal(err)
	}
	if again, err := d.Label(); err != nil || again != label {
		t.Errorf("label %s, %v, want %s", again, err, label)
	}
	for _, name := range tokenizer.Files() {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if d, err = Open(dir, Given{Override: true}); err != nil || d.Texts != moved || d.Chat == nil {
		t.Errorf("without a tokenizer: %v", err)
	}
	weights := filepath.Join(moved, "model.safetensors")
	if text, err = os.ReadFile(weights); err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(weights, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Copy(moved, dir, ""); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(dir, Given{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Label(); err == nil || !strings.Contains(err.Error(), "model.safetensors is not the base that the adapter was trained on") {
		t.Error(err)
	}
	// what decides about rewards may not change
	for _, edit := range [][2]string{{`"lora_alpha": 8`, `"lora_alpha": 9`}, {`"use_rslora": false`, `"use_rslora": true`}} {
		text, err := os.ReadFile(config)
		if err == nil {
			err = os.WriteFile(config, []byte(strings.Replace(string(text), edit[0], edit[1], 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Given{}); err == nil || !strings.Contains(err.Error(), "adapter_config.json is not as training wrote it") {
			t.Errorf("%v: %v", edit, err)
		}
		if err := os.WriteFile(config, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// peft gives the rewards that transformers and PEFT compute with an adapter of a classifier.
const peft = `
import json, sys, torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification
d = json.load(sys.stdin)
base = AutoModelForSequenceClassification.from_pretrained(d["base"], num_labels=1, dtype=torch.float32, attn_implementation="eager")
m = PeftModel.from_pretrained(base, d["dir"]).eval()
with torch.no_grad():
    json.dump(m(input_ids=torch.tensor([d["ids"]])).logits.flatten().tolist(), sys.stdout)
`

// TestExportAdapter: an adapter becomes a merged model in either form, with nearly its values, and a PEFT folder that PEFT itself reads to the same
// reward; a model without an adapter is none.
func TestExportAdapter(t *testing.T) {
	m, base, dir := withAdapter(t)
	b := probe(m, false)
	_, want, err := m.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	for _, form := range []string{PEFT, Causal, Classifier} {
		from, err := model.Load(m.Dev, dir, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(from.Close)
		to := filepath.Join(parent, form)
		notes, err := Export(from, dir, to, form)
		if err != nil {
			t.Fatal(err)
		}
		merged := slices.Contains(notes, "the adapter is merged into the weights")
		if merged == (form == PEFT) || model.IsAdapter(to) != (form == PEFT) {
			t.Errorf("%s: %q", form, notes)
		}
		if _, err := Open(to, Given{}); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		again, err := model.Load(m.Dev, to, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := again.Evaluate(b)
		again.Close()
		if err != nil || math.Abs(float64(got[0]-want[0])) > 1e-4*math.Abs(float64(want[0])) {
			t.Errorf("%s: reward %v, %v, want %v", form, got, err, want)
		}
	}
	if _, err := Export(withWeights(t, base), base, filepath.Join(parent, "none"), PEFT); err == nil || !strings.Contains(err.Error(), "is no adapter") {
		t.Error(err)
	}
	python := golden.Python(t, "peft", "transformers", "torch")
	ids := b.IDs
	text, err := json.Marshal(map[string]any{"base": base, "dir": filepath.Join(parent, PEFT), "ids": ids})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", peft)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var theirs []float64
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != 1 {
		t.Fatalf("%s: %v", out, err)
	}
	if math.Abs(theirs[0]-float64(want[0])) > 1e-4*math.Abs(theirs[0]) {
		t.Errorf("PEFT has the reward %v, want %v", theirs[0], want[0])
	}
}
