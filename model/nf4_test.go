package model_test

import (
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// TestQuantisedBase: a base of 4 bits computes what a base of the numbers that the bits stand for does: the same losses, to the bit, and in float32
// nearly the same gradients of the adapter; only the projections are packed.
func TestQuantisedBase(t *testing.T) {
	wide := tinyConfig()
	wide.HiddenSize, wide.IntermediateSize = 64, 128
	fused, after := wide, wide
	fused.ModelType = "phi3"
	after.ModelType = "olmo2"
	kinds := map[string]model.Config{"llama": wide, "fused": fused, "norms after": after}
	if devicetest.Emulated {
		delete(kinds, "norms after")
	}
	for name, c := range kinds {
		for _, dtype := range []kernels.DType{kernels.F32, kernels.BF16} {
			stored := newModel(t, c, model.Options{DType: dtype}, 0)
			dir := t.TempDir()
			if err := stored.SaveCausalLM(dir); err != nil {
				t.Fatal(err)
			}
			open := func(o model.Options) *model.Model {
				o.DType, o.Train, o.Head, o.LoRA = dtype, true, true, lora(model.AllLinear)
				m, err := model.Load(stored.Dev, dir, o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(m.Close)
				m.Dev.Upload(param(m, "score.weight").W, random(c.HiddenSize, 0.3))
				return m
			}
			plain, m := open(model.Options{}), open(model.Options{NF4: true})
			if m.Size() != plain.Size() {
				t.Errorf("%s: %d parameters, want %d", name, m.Size(), plain.Size())
			}
			packed := 0
			for i, p := range m.Params() {
				if q := plain.Params()[i]; p.NF4 != nil {
					packed++
					x := model.Repack(download(plain, q.W))
					plain.Dev.Upload(q.W, x)
				}
				if (p.NF4 != nil) != (p.Kind == model.Matrix) || p.W.IsNil() != (p.NF4 != nil) {
					t.Errorf("%s: %s: 4 bits: %v", name, p.Name, p.NF4 != nil)
				}
			}
			fill(m)
			fill(plain)
			for _, b := range []*model.Batch{pairBatch(3, 2, true), pairBatch(25, 3, true)} {
				got, want := trainStep(t, m, b, joint), trainStep(t, plain, b, joint)
				if got != want {
					t.Errorf("%s, %v: losses %v, want %v", name, dtype, got, want)
				}
				tolerance := map[kernels.DType]float64{kernels.F32: 1e-5, kernels.BF16: 0.05}[dtype]
				theirs := gradients(plain)
				for n, g := range gradients(m) {
					if at, ok := close32(g, float64s(theirs[n]), tolerance); !ok {
						t.Errorf("%s, %v: the gradient of %s differs at %d: %v, want %v", name, dtype, n, at, g[at], theirs[n][at])
					}
				}
			}
			if dtype == kernels.F32 && name == "llama" {
				again := open(model.Options{NF4: true, GradientCheckpointing: true})
				fill(again)
				b := pairBatch(3, 2, true)
				if trainStep(t, again, b, joint) != trainStep(t, m, b, joint) {
					t.Error("gradient checkpointing has other bits")
				}
			}
		}
	}
	if _, err := model.New(newModel(t, wide, model.Options{}, 0).Dev, tinyConfig(), model.Options{NF4: true}, 1); err == nil || !strings.Contains(err.Error(), "has rows of 32: weights of 4 bits have a multiple of 64") {
		t.Error(err)
	}
}

// A base of 4 bits is read from files like every other, and says what it cannot do.
func TestQuantisedLoad(t *testing.T) {
	c := tinyConfig()
	c.HiddenSize, c.IntermediateSize = 64, 128
	stored := newModel(t, c, model.Options{}, 0)
	dir := t.TempDir()
	if err := stored.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(stored.Dev, dir, model.Options{NF4: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for i, p := range m.Params() {
		if p.NF4 != nil {
			q := stored.Params()[i]
			stored.Dev.Upload(q.W, model.Repack(download(stored, q.W)))
		}
	}
	b := pairBatch(3, 2, true)
	b.Leaf, b.SidePtr, b.Margin, b.Scale = nil, nil, nil, nil
	if !slices.Equal(evaluate(t, m, b), evaluate(t, stored, b)) {
		t.Error("other log-probabilities")
	}
	if err := m.SaveCausalLM(t.TempDir()); err == nil || !strings.Contains(err.Error(), "of 4 bits") {
		t.Error(err)
	}
}
