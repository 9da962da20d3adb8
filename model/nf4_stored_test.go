package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
)

func storedFour(t *testing.T) string { return golden.Repository(t).Dir(golden.Repository(t).Stored[0]) }

// TestStoredNF4: a directory whose weights bitsandbytes quantised computes what the numbers do that its bits stand for; they are on the device as they are in
// the file; it trains with an adapter only.
func TestStoredNF4(t *testing.T) {
	dir := storedFour(t)
	m := load(t, dir, model.Options{DType: kernels.F32})
	f, err := checkpoint.OpenSafetensors(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &reference{t: t, file: f}
	var b model.Batch
	for _, ids := range g.rows("input_ids") {
		start := b.Len()
		b.Open(ids)
		b.Close()
		b.Row, b.Target, b.Weight = append(b.Row, int32(start)), append(b.Target, ids[1]), append(b.Weight, 1)
	}
	_, logits, err := m.Logits(&b.Forest)
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.ReadF32("logits")
	if err != nil {
		t.Fatal(err)
	}
	near(t, "logits", logits, want, 5e-6)
	weights, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer weights.Close()
	packed := 0
	for _, p := range m.Params() {
		if p.NF4 == nil {
			continue
		}
		packed++
		code := make([]byte, p.NF4.Code.Len())
		m.Dev.Download(code, p.NF4.Code)
		if is, err := weights.ReadRaw(p.Name); err != nil || !slices.Equal(code, is) {
			t.Errorf("%s has other bits than the file, %v", p.Name, err)
		}
	}
	if packed != 7 || !m.Quantised() {
		t.Errorf("%d weights of 4 bits, want 7", packed)
	}
	for what, err := range map[string]error{"are not written": m.SaveCausalLM(t.TempDir()), "train an adapter (lora_r)": trainWhole(m.Dev, dir)} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %s", err, what)
		}
	}
	low := load(t, dir, model.Options{DType: kernels.F32, Train: true, LoRA: lora(model.AllLinear)})
	before := evaluate(t, low, &b)
	if !slices.Equal(before, evaluate(t, m, &b)) {
		t.Error("a new adapter changes the model")
	}
	if l := trainStep(t, low, &b, model.LossOptions{Lambda: 1, TokenScale: 1}); !(l.Critique > 0) {
		t.Errorf("loss %v", l)
	}
	moved := false
	for name, x := range gradients(low) {
		moved = moved || strings.Contains(name, "lora_B") && slices.ContainsFunc(x, func(v float32) bool { return v != 0 })
	}
	if !moved {
		t.Error("the adapter has no gradient")
	}
}

func trainWhole(dev *kernels.Device, dir string) error {
	_, err := model.Load(dev, dir, model.Options{DType: kernels.F32, Train: true})
	return err
}

// What is stored otherwise is refused by name.
func TestBadStoredNF4(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(storedFour(t), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	config, weights := read("config.json"), read("model.safetensors")
	const state = `"nested_blocksize": 256`
	for _, x := range []struct{ want, file, from, to string }{
		{"but for bitsandbytes' of 4 bits", "config.json", `"bitsandbytes"`, `"gptq"`},
		{"but for bitsandbytes' of 4 bits", "config.json", `"load_in_4bit": true,`, `"load_in_4bit": false,`},
		{"with bnb_4bit_use_double_quant are supported", "config.json", `"nf4"`, `"fp4"`},
		{"with bnb_4bit_use_double_quant are supported", "config.json", `"bnb_4bit_use_double_quant": true`, `"bnb_4bit_use_double_quant": false`},
		{"bnb_4bit_quant_storage: got \"bfloat16\"", "config.json", `"bnb_4bit_quant_storage": "uint8"`, `"bnb_4bit_quant_storage": "bfloat16"`},
		{"quantization_config.load_in_4bit: got", "config.json", `"load_in_4bit": true,`, `"load_in_4bit": 3,`},
		{"q_proj.weight\" is not of 4 bits", "model.safetensors", "q_proj.weight.quant_state.bitsandbytes__nf4", "q_proj.weight.quant_state.bitsandbytes__fp4"},
		{"want nf4 in blocks of 64", "model.safetensors", state, strings.Replace(state, "256", "512", 1)},
		{"quantised weights", "config.json", `"quantization_config"`, `"compression_config"`},
		{"shape", "config.json", `"intermediate_size": 64`, `"intermediate_size": 128`},
	} {
		dir := t.TempDir()
		files := map[string]string{"config.json": config, "model.safetensors": weights}
		if files[x.file] = strings.Replace(files[x.file], x.from, x.to, 1); files[x.file] == config || files[x.file] == weights {
			t.Errorf("%s has no %s", x.file, x.from)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m, err := model.Load(devicetest.Open(t, 0), dir, model.Options{DType: kernels.F32})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %s", x.to, err, x.want)
		}
	}
}
