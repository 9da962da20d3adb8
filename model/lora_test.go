package model_test

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// adapted are the kinds of layers that an adapter can be in.
func adapted() map[string]model.Config {
	own, biased, after, fused, geglu := tinyConfig(), tinyConfig(), tinyConfig(), tinyConfig(), tinyConfig()
	own.TieWordEmbeddings = false
	biased.ModelType, biased.AttentionBias, biased.MLPBias = "llama", true, true
	after.ModelType = "olmo2"
	fused.ModelType = "phi3"
	geglu.ModelType = "gemma2"
	if devicetest.Emulated {
		return map[string]model.Config{"tied": tinyConfig(), "fused": fused}
	}
	return map[string]model.Config{"tied": tinyConfig(), "own head": own, "biases": biased, "norms after": after, "fused": fused, "geglu": geglu}
}

func lora(targets string) *model.LoRA {
	return &model.LoRA{Rank: 4, Alpha: 6, Targets: targets, Seed: 3, Base: "base"}
}

// fill gives the B of an adapter values other than zero.
func fill(m *model.Model) {
	for _, p := range m.Params() {
		if strings.HasSuffix(p.Name, "lora_B.weight") {
			x := random(p.W.Len(), 0.2)
			m.Dev.Upload(p.W, x)
			if !p.Master.IsNil() {
				m.Dev.Upload(p.Master, x)
			}
		}
	}
}

// TestAdapterBeginsAsBase: losses with a new adapter have the bits of the base, and the base is not trained.
func TestAdapterBeginsAsBase(t *testing.T) {
	for name, c := range adapted() {
		for _, dtype := range []kernels.DType{kernels.F32, kernels.BF16} {
			o := model.Options{DType: dtype, Train: true, Head: true}
			base := newModel(t, c, o, 0)
			o.LoRA = lora(model.AllLinear)
			m := newModel(t, c, o, 0)
			b := pairBatch(3, 2, true)
			want, got := trainStep(t, base, b, joint), trainStep(t, m, b, joint)
			if got != want {
				t.Errorf("%s, %v: losses %v, the base has %v", name, dtype, got, want)
			}
			adapters := 0
			for _, p := range m.Params() {
				if bare := p.G.IsNil() && p.M.IsNil() && p.Master.IsNil(); bare != (p.Kind != model.Adapter && p.Kind != model.Head) {
					t.Errorf("%s: %s: without tensors of its own: %v", name, p.Name, bare)
				}
				if p.Kind == model.Adapter {
					adapters++
				}
			}
			if want := map[bool]int{false: 2 * 7 * 3, true: 2 * 4 * 3}[name == "fused"]; adapters != want {
				t.Errorf("%s: %d matrices, want %d", name, adapters, want)
			}
		}
	}
}

// dense is the merged weight of a module, and what its gradient gives for A and B.
func dense(t *testing.T, m *model.Model, module string, w []float32, scale float64) (sum []float32, gradients func(dw []float32) (da, db []float64)) {
	t.Helper()
	pa, pb := param(m, module+".lora_A.weight"), param(m, module+".lora_B.weight")
	a, b := download(m, pa.W), download(m, pb.W)
	r, cols, rows := pa.Shape[0], pa.Shape[1], pb.Shape[0]
	sum = slices.Clone(w)
	for o := range rows {
		for i := range cols {
			x := 0.
			for k := range r {
				x += float64(b[o*r+k]) * float64(a[k*cols+i])
			}
			sum[o*cols+i] += float32(scale * x)
		}
	}
	return sum, func(dw []float32) (da, db []float64) {
		da, db = make([]float64, r*cols), make([]float64, rows*r)
		for o := range rows {
			for i := range cols {
				g := scale * float64(dw[o*cols+i])
				for k := range r {
					da[k*cols+i] += g * float64(b[o*r+k])
					db[o*r+k] += g * float64(a[k*cols+i])
				}
			}
		}
		return da, db
	}
}

func close32(got []float32, want []float64, tolerance float64) (at int, ok bool) {
	largest := 0.
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range got {
		if !(math.Abs(float64(v)-want[i]) <= tolerance*largest) {
			return i, false
		}
	}
	return 0, len(got) == len(want)
}

// TestAdapterGradients: losses and gradients are those of the plain model whose weights are W + s·B·A, by the chain rule; gradient checkpointing
// changes no bit of them; and Merge gives that plain model.
func TestAdapterGradients(t *testing.T) {
	for name, c := range adapted() {
		for _, targets := range []string{model.AllLinear, "q_proj,v_proj,up_proj", "down_proj", "o_proj", "qkv_proj,gate_up_proj", `.*layers\.1\..*(q|k|qkv)_proj`} {
			fused := strings.Contains(targets, "qkv_proj,") || !strings.Contains(targets, "q_proj,")
			if name == "fused" && !fused || name != "fused" && strings.HasPrefix(targets, "qkv") {
				continue
			}
			l := lora(targets)
			l.RSLoRA = targets == model.AllLinear
			scale := l.Alpha / float64(l.Rank)
			if l.RSLoRA {
				scale = l.Alpha / 2
			}
			o := model.Options{Train: true, Head: true, LoRA: l}
			m := newModel(t, c, o, 0)
			fill(m)
			plain := newModel(t, c, model.Options{Train: true, Head: true}, 0)
			back := map[string]func([]float32) ([]float64, []float64){}
			for _, p := range plain.Params() {
				module := strings.TrimSuffix(p.Name, ".weight")
				if param(m, module+".lora_A.weight") != nil {
					var sum []float32
					sum, back[module] = dense(t, m, module, download(plain, p.W), scale)
					plain.Dev.Upload(p.W, sum)
				}
			}
			if len(back) == 0 {
				t.Fatalf("%s, %s: no module has an adapter", name, targets)
			}
			b := pairBatch(3, 2, true)
			got, want := trainStep(t, m, b, joint), trainStep(t, plain, b, joint)
			if math.Abs(float64(got.Joint-want.Joint)) > 1e-5*math.Abs(float64(want.Joint)) {
				t.Errorf("%s, %s: loss %v, want %v", name, targets, got, want)
			}
			g, dw := gradients(m), gradients(plain)
			for module, by := range back {
				da, db := by(dw[module+".weight"])
				for what, want := range map[string][]float64{"lora_A": da, "lora_B": db} {
					if at, ok := close32(g[module+"."+what+".weight"], want, 2e-4); !ok {
						t.Errorf("%s, %s: the gradient of %s.%s differs at %d", name, targets, module, what, at)
					}
				}
			}
			o.GradientCheckpointing = true
			again := newModel(t, c, o, 0)
			fill(again)
			if trainStep(t, again, b, joint) != got || !maps.EqualFunc(gradients(again), g, slices.Equal[[]float32]) {
				t.Errorf("%s, %s: gradient checkpointing has other bits", name, targets)
			}
			o.GradientCheckpointing, o.Train = false, false
			l2 := *l
			o.LoRA = &l2
			merged := newModel(t, c, o, 0)
			fill(merged)
			before := evaluate(t, merged, b)
			if err := merged.Merge(); err != nil || merged.HasAdapter() {
				t.Fatal(err)
			}
			for _, p := range merged.Params() {
				if q := param(plain, p.Name); q == nil {
					t.Errorf("%s: %s is left", name, p.Name)
				} else if at, ok := close32(download(merged, p.W), float64s(download(plain, q.W)), 1e-6); !ok {
					t.Errorf("%s, %s: merged %s differs at %d", name, targets, p.Name, at)
				}
			}
			if at, ok := close32(evaluate(t, merged, b), float64s(before), 1e-4); !ok {
				t.Errorf("%s, %s: the merged model differs at %d", name, targets, at)
			}
		}
	}
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func evaluate(t *testing.T, m *model.Model, b *model.Batch) []float32 {
	t.Helper()
	logprob, reward, err := m.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	return append(logprob, reward...)
}

// base writes a model that adapters can be of, with a directory for one.
func base(t *testing.T) (dir, adapter string) {
	t.Helper()
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	dir = t.TempDir()
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(t.TempDir(), "adapter")
}

// TestSaveAdapter: a saved adapter is the same model, to the bit, as a causal model's and as a classifier's; the directory holds no weights of the base.
func TestSaveAdapter(t *testing.T) {
	dir, _ := base(t)
	for _, dtype := range []kernels.DType{kernels.F32, kernels.BF16} {
		l := lora("q_proj,v_proj,down_proj")
		l.Base = dir
		m, err := model.Load(newModel(t, tinyConfig(), model.Options{}, 0).Dev, dir, model.Options{DType: dtype, Train: true, Head: true, LoRA: l})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		m.Dev.Upload(param(m, "score.weight").W, random(32, 0.3))
		fill(m)
		b := pairBatch(3, 2, true)
		want := evaluate(t, m, b)
		for _, classifier := range []bool{false, true} {
			to := filepath.Join(t.TempDir(), "adapter")
			if err := m.SaveAdapter(to, classifier); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(filepath.Join(to, model.AdapterFile)); err != nil || info.Size() > 30000 {
				t.Errorf("%v, %v", info, err)
			}
			again, err := model.Load(m.Dev, to, model.Options{DType: dtype})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(evaluate(t, again, b), want) {
				t.Errorf("%v: the adapter that was read differs", dtype)
			}
			if err := again.SaveCausalLM(t.TempDir()); err == nil || !strings.Contains(err.Error(), "merge it") {
				t.Errorf("saved as a whole model: %v", err)
			}
			again.Close()
		}
	}
}

// TestAdapterErrors: what is not computed is refused by name, and tensors of another base are.
func TestAdapterErrors(t *testing.T) {
	dir, adapter := base(t)
	good := `{"peft_type": "LORA", "base_model_name_or_path": "` + dir + `", "r": 4, "lora_alpha": 6, "target_modules": ["q_proj"], "bias": "none"}`
	l := lora("q_proj")
	l.Base = dir
	dev := newModel(t, tinyConfig(), model.Options{}, 0).Dev
	m, err := model.Load(dev, dir, model.Options{Head: true, LoRA: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for _, x := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"bias": "none"`, `"bias": "all"`, `bias: got "all"`},
		{`"LORA"`, `"IA3"`, `peft_type: got "IA3", only LORA`},
		{`"bias"`, `"use_dora": true, "bias"`, "use_dora: got true, which is not supported"},
		{`"bias"`, `"use_dora": false, "layers_to_transform": null, "lora_bias": false, "target_parameters": [], "bias"`, ""},
		{`"bias"`, `"fan_in_fan_out": true, "bias"`, "fan_in_fan_out: got true"},
		{`"bias"`, `"modules_to_save": ["score"], "bias"`, ""},
		{`"bias"`, `"modules_to_save": ["lm_head"], "bias"`, `modules_to_save: got "lm_head"`},
		{`"r": 4`, `"r": 8`, "has shape [4 32], want [8 32]: it is of another base, or another rank"},
		{`"r": 4`, `"r": 0`, "rank: got 0, want 1..1024"},
		{`"r": 4`, `"r": 2, "rank_pattern": {"q_proj": 4}`, ""},
		{`"r": 4`, `"r": 2, "rank_pattern": {"q_proj": 0.5}`, "rank_pattern: got 0.5"},
		{`["q_proj"]`, `"all-linear"`, "no tensor \"base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight\""},
		{`["q_proj"]`, `["q_proj", "lm_head"]`, `no projection is called "lm_head"`},
		{`["q_proj"]`, `".*\\.q_proj"`, ""},
		{`["q_proj"]`, `"(?=q_proj)"`, "target modules: error parsing regexp"},
		{`["q_proj"]`, `[]`, "target modules: none are named"},
		{dir, dir + "-gone", "which is no directory here"},
		{`{"peft`, `{"peft_type": "LORA", "peft`, "twice"},
	} {
		if err := m.SaveAdapter(adapter, false); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(good, x.old, x.new)
		if x.old == "" {
			text = good
		}
		if err := os.WriteFile(filepath.Join(adapter, model.AdapterConfigFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := model.Load(dev, adapter, model.Options{})
		if err == nil {
			got.Close()
		}
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want %q", x.new, err, x.want)
		}
	}
	for _, x := range []struct {
		change func(*model.LoRA)
		want   string
	}{
		{func(l *model.LoRA) { l.Rank = 0 }, "rank: got 0"},
		{func(l *model.LoRA) { l.Alpha = math.NaN() }, "alpha: got NaN"},
		{func(l *model.LoRA) { l.Targets = "q_proj,nothing" }, `no projection is called "nothing"; they are model.layers.0.self_attn.q_proj`},
		{func(l *model.LoRA) { l.Targets = "score" }, `no projection is called "score"`},
		{func(l *model.LoRA) { l.Targets = "(" }, "target modules: error parsing regexp"},
	} {
		l := lora("q_proj")
		x.change(l)
		if _, err := model.Load(dev, dir, model.Options{LoRA: l}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("error %v, want %q", err, x.want)
		}
	}
	if _, err := model.Load(dev, adapter, model.Options{LoRA: lora("q_proj")}); err == nil || !strings.Contains(err.Error(), "is an adapter already") {
		t.Errorf("an adapter of an adapter: %v", err)
	}
}
