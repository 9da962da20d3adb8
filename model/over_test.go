package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// adapterOf writes an adapter with random values over a base, with a reward head of its own.
func adapterOf(t *testing.T, dir, targets string, scale float32) (to string) {
	t.Helper()
	l := lora(targets)
	l.Base = dir
	m, err := model.Load(newModel(t, tinyConfig(), model.Options{}, 0).Dev, dir, model.Options{Head: true, LoRA: l})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	fill(m)
	head := random(m.HiddenSize, 0.3)
	for i := range head {
		head[i] *= scale
	}
	m.Dev.Upload(param(m, "score.weight").W, head)
	to = filepath.Join(t.TempDir(), "adapter")
	if err := m.SaveAdapter(to, false); err != nil {
		t.Fatal(err)
	}
	return to
}

// Adapters over one open base compute what each does by itself, to the bit, by turns, and so does the base; when one is closed the others stay.
func TestAdaptersOverOneBase(t *testing.T) {
	c := tinyConfig()
	c.HiddenSize, c.IntermediateSize = 64, 128
	stored := newModel(t, c, model.Options{}, 0)
	dir := t.TempDir()
	if err := stored.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	a, b := adapterOf(t, dir, model.AllLinear, 1), adapterOf(t, dir, "q_proj,down_proj", -2)
	for _, o := range []model.Options{{}, {DType: kernels.BF16}, {NF4: true}} {
		base, err := model.Load(stored.Dev, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		batch, plain := pairBatch(3, 2, true), pairBatch(3, 2, true)
		plain.Leaf, plain.SidePtr, plain.Margin, plain.Scale = nil, nil, nil, nil
		want := map[string][]float32{"": evaluate(t, base, plain)}
		over := map[string]*model.Model{}
		for _, path := range []string{a, b} {
			alone, err := model.Load(stored.Dev, path, o)
			if err != nil {
				t.Fatal(err)
			}
			want[path] = evaluate(t, alone, batch)
			alone.Close()
			shared := o
			shared.Over = base
			if over[path], err = model.Load(stored.Dev, path, shared); err != nil {
				t.Fatal(err)
			}
			if got := param(over[path], "model.embed_tokens.weight"); got != param(base, "model.embed_tokens.weight") {
				t.Error("the embedding is another one")
			}
		}
		if slices.Equal(want[a], want[b]) {
			t.Fatal("both adapters compute the same")
		}
		for _, path := range []string{a, b, a, b} {
			if !slices.Equal(evaluate(t, over[path], batch), want[path]) {
				t.Errorf("%+v: %s over the base computes something else than alone", o, path)
			}
			if !slices.Equal(evaluate(t, base, plain), want[""]) {
				t.Errorf("%+v: the base has changed", o)
			}
		}
		over[a].Close()
		if !slices.Equal(evaluate(t, over[b], batch), want[b]) || !slices.Equal(evaluate(t, base, plain), want[""]) {
			t.Errorf("%+v: closing one adapter changes the others", o)
		}
		over[b].Close()
		base.Close()
	}
}

// An adapter whose base has a reward head and that brings none reads with that one.
func TestOverBaseWithHead(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	m.Dev.Upload(param(m, "score.weight").W, random(m.HiddenSize, 0.3))
	dir := t.TempDir()
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	path := adapterOf(t, dir, "q_proj", 2)
	base, err := model.Load(m.Dev, dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	for _, own := range []bool{true, false} {
		over, err := model.Load(m.Dev, path, model.Options{Over: base})
		if err != nil {
			t.Fatal(err)
		}
		if !over.HasHead() || slices.Equal(download(over, param(over, "score.weight").W), download(base, param(base, "score.weight").W)) == own {
			t.Errorf("with a head of its own %v: the wrong one is read", own)
		}
		over.Close()
		if err := os.RemoveAll(filepath.Join(path, model.HeadFile)); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot share weights is refused.
func TestOverRefuses(t *testing.T) {
	dir, _ := base(t)
	path := adapterOf(t, dir, "q_proj", 1)
	dev := newModel(t, tinyConfig(), model.Options{}, 0).Dev
	load := func(path string, o model.Options) (*model.Model, error) {
		m, err := model.Load(dev, path, o)
		if err == nil {
			t.Cleanup(m.Close)
		}
		return m, err
	}
	plain, err := load(dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := load(path, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	larger := tinyConfig()
	larger.NumHiddenLayers++
	for _, x := range []struct {
		path string
		o    model.Options
		want string
	}{
		{dir, model.Options{Over: plain}, "only an adapter can share"},
		{path, model.Options{Over: alone}, "the open model is an adapter itself"},
		{path, model.Options{Over: plain, DType: kernels.BF16}, "open both in one way"},
		{path, model.Options{Over: plain, Train: true}, "weights that are trained cannot be shared"},
		{path, model.Options{Over: newModel(t, larger, model.Options{}, 0)}, "has another config.json than the open model"},
	} {
		if _, err := load(x.path, x.o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %s", err, x.want)
		}
	}
}

// Adapters of a base that is stored in 4 bits share its weights, too.
func TestOverStoredNF4(t *testing.T) {
	dir := storedFour(t)
	base := load(t, dir, model.Options{})
	l := lora("q_proj,embed_tokens")
	l.Base = dir
	m, err := model.Load(base.Dev, dir, model.Options{Head: true, LoRA: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	fill(m)
	fillEmbedding(m)
	to := filepath.Join(t.TempDir(), "adapter")
	if err := m.SaveAdapter(to, false); err != nil {
		t.Fatal(err)
	}
	over, err := model.Load(base.Dev, to, model.Options{Over: base})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(over.Close)
	b := &model.Batch{}
	b.Open([]int32{3, 1, 4, 1, 5, 9, 2, 6})
	b.Close()
	b.Row, b.Target, b.Weight, b.Leaf = []int32{2}, []int32{1}, []float32{1}, []int32{7}
	if !slices.Equal(evaluate(t, over, b), evaluate(t, m, b)) {
		t.Error("the adapter over the base computes something else than alone")
	}
}
