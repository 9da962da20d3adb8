package model_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/gguf"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
	"criticrm/model"
)

// wideConfig has rows of whole blocks.
func wideConfig() model.Config {
	c := tinyConfig()
	c.HiddenSize, c.IntermediateSize = 64, 96
	return c
}

// inBlocks writes a model as two directories: one with projections in blocks, of several types in turn, and one with the numbers that they stand for.
func inBlocks(t *testing.T, m *model.Model) (blocks, plain string) {
	t.Helper()
	blocks, plain = t.TempDir(), t.TempDir()
	if err := m.SaveCausalLM(plain); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	var stored, numbers []checkpoint.TensorData
	for i, p := range m.Params() {
		if p.Kind == model.Head {
			continue
		}
		x := checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: p.Name, DType: "F32"}}
		for _, n := range p.Shape {
			x.Shape = append(x.Shape, int64(n))
		}
		values := download(m, p.W)
		y := x
		if p.Kind == model.Matrix {
			b := kernels.BlockTypes[i%5] // those of 32 elements
			kind := gguf.Type(b.Number)
			code := spec.BlocksOf(kind, p.Len()/b.Elements)
			if err := gguf.Dequantize(values, code, kind); err != nil {
				t.Fatal(err)
			}
			row, _ := b.Row(p.Shape[1])
			y.DType, y.Shape, y.Data = "U8", []int64{int64(p.Shape[0]), int64(row)}, code
			types[p.Name] = b.Name
		}
		x.Data = checkpoint.F32Bytes(values)
		if y.Data == nil {
			y.Data = x.Data
		}
		stored, numbers = append(stored, y), append(numbers, x)
	}
	for dir, tensors := range map[string][]checkpoint.TensorData{blocks: stored, plain: numbers} {
		if err := checkpoint.WriteModelDir(dir, tensors, 0); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(plain, model.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(types)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "{", fmt.Sprintf(`{"quantization_config":{"quant_method":"gguf","tensors":%s},`, list), 1)
	if err := os.WriteFile(filepath.Join(blocks, model.ConfigFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return blocks, plain
}

// TestBlocks: a model whose projections are in blocks is that of the numbers that they stand for: losses, log-probabilities and what is saved or merged to the
// bit, gradients of an adapter and of layers that are trained but for the order of sums.
func TestBlocks(t *testing.T) {
	c := wideConfig()
	fused := c
	fused.ModelType = "phi3"
	for name, c := range map[string]model.Config{"llama": c, "fused": fused} {
		if devicetest.Emulated && name != "llama" {
			continue
		}
		made := newModel(t, c, model.Options{}, 0)
		dirs := [2]string{}
		dirs[0], dirs[1] = inBlocks(t, made)
		both := func(o model.Options) (m [2]*model.Model) {
			for i, dir := range dirs {
				var err error
				if m[i], err = model.Load(made.Dev, dir, o); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(m[i].Close)
				if o.Head {
					made.Dev.Upload(param(m[i], "score.weight").W, random(c.HiddenSize, 0.3))
				}
			}
			return m
		}
		for _, dtype := range []kernels.DType{kernels.F32, kernels.BF16} {
			first := func(name string) bool { return !strings.Contains(name, "layers.1.") }
			for what, o := range map[string]model.Options{"adapter": {LoRA: lora(model.AllLinear)}, "layers": {Frozen: first}} {
				o.DType, o.Train, o.Head = dtype, true, true
				m := both(o)
				for _, p := range m[0].Params() {
					if want := p.Kind == model.Matrix && (what == "adapter" || first(p.Name)); p.Packed() != want || p.Packed() != p.W.IsNil() {
						t.Errorf("%s, %s: %s is in blocks: %v", name, what, p.Name, p.Packed())
					}
				}
				if what == "adapter" {
					fill(m[0])
					fill(m[1])
				}
				b := pairBatch(3, 2, true)
				got, want := trainStep(t, m[0], b, joint), trainStep(t, m[1], b, joint)
				if got != want {
					t.Errorf("%s, %s, %v: losses %v, want %v", name, what, dtype, got, want)
				}
				theirs := gradients(m[1]) // of one product where ours adds those of q, k and v
				tolerance := map[kernels.DType]float64{kernels.F32: 1e-5, kernels.BF16: 0.05}[dtype]
				for n, g := range gradients(m[0]) {
					if at, ok := close32(g, float64s(theirs[n]), tolerance); !ok {
						t.Errorf("%s, %s, %v: the gradient of %s differs at %d: %v, want %v", name, what, dtype, n, at, g[at], theirs[n][at])
					}
				}
			}
			m := both(model.Options{DType: dtype})
			b := pairBatch(25, 3, true) // more rows than few
			b.Leaf, b.SidePtr, b.Margin, b.Scale = nil, nil, nil, nil
			if !slices.Equal(evaluate(t, m[0], b), evaluate(t, m[1], b)) {
				t.Errorf("%s, %v: other log-probabilities", name, dtype)
			}
			saved := [2][]byte{}
			for i := range m {
				dir := t.TempDir()
				if err := m[i].SaveCausalLM(dir); err != nil {
					t.Fatal(err)
				}
				again, err := model.LoadConfig(dir)
				if err != nil || again.Blocks() {
					t.Errorf("%s: what is saved is in blocks: %v, %v", name, again.Blocks(), err)
				}
				if saved[i], err = os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(saved[0], saved[1]) {
				t.Errorf("%s, %v: other weights are saved", name, dtype)
			}
		}
		low := both(model.Options{LoRA: lora(model.AllLinear), Unpack: true})
		fill(low[0])
		fill(low[1])
		for _, m := range low {
			if err := m.Merge(); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range low[0].Params() {
			if !slices.Equal(download(low[0], p.W), download(low[1], low[1].Params()[i].W)) {
				t.Errorf("%s: %s is merged otherwise", name, p.Name)
			}
		}
	}
}

// What cannot be done with blocks, and blocks that are not what config.json says, are refused by name.
func TestBadBlocks(t *testing.T) {
	made := newModel(t, wideConfig(), model.Options{}, 0)
	dir, _ := inBlocks(t, made)
	low, err := model.Load(made.Dev, dir, model.Options{LoRA: lora(model.AllLinear)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(low.Close)
	c, err := model.LoadConfig(dir)
	if err != nil || !c.Blocks() {
		t.Fatal(c.Blocks(), err)
	}
	_, twice := model.Load(made.Dev, dir, model.Options{NF4: true})
	_, random := model.New(made.Dev, c, model.Options{}, 1)
	_, divided := model.Blank(made.Dev, c, model.Options{Train: true, Frozen: func(string) bool { return true }, Sharding: model.Sharding{Stage: 3, Ranks: 2}})
	for want, err := range map[string]error{"open it with Options.Unpack": low.Merge(), "are not quantised again": twice, "random weights are not made": random, "stage 3 divides": divided} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.OpenSafetensors(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	const q = "model.layers.0.self_attn.q_proj.weight"
	code, err := file.ReadRaw(q)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(made.Params(), func(p *model.Param) bool { return p.Name == q })
	kind := kernels.BlockTypes[i%5]
	broken := slices.Clone(code)
	broken[kind.Bytes+kind.Scales[0]+1] |= 0x7c
	config, err := os.ReadFile(filepath.Join(dir, model.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	named := fmt.Sprintf("%q:%q", q, kind.Name)
	for _, x := range []struct{ want, file, from, to string }{
		{"the scale of block 1 is infinite", "model.safetensors", string(code), string(broken)},
		{`has the type "Q2_K": want one of Q4_0`, "config.json", named, fmt.Sprintf("%q:%q", q, "Q2_K")},
		{"has no type in quantization_config.tensors", "config.json", named, `"other":"Q4_0"`},
		{"blocks of Q4_K have 256", "config.json", named, fmt.Sprintf("%q:%q", q, "Q4_K")},
		{"shape", "config.json", named, fmt.Sprintf("%q:%q", q, kernels.BlockTypes[(i+1)%5].Name)},
		{"tensors: missing", "config.json", `"tensors"`, `"types"`},
	} {
		files := map[string]string{"config.json": string(config), "model.safetensors": string(weights)}
		was := files[x.file]
		if files[x.file] = strings.Replace(was, x.from, x.to, 1); files[x.file] == was {
			t.Errorf("%s has no %.80q", x.file, x.from)
		}
		bad := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(bad, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m, err := model.Load(made.Dev, bad, model.Options{})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}
