package model_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
)

// Parity with Hugging Face transformers: values, gradients and tolerances of the golden files.

// near is for comparisons of all kinds.
var near = golden.Near

type reference struct {
	t    *testing.T
	file *checkpoint.SafetensorsFile
	tol  map[string]float64 // |mine - stored| may be this much of max|stored|
}

func openReference(t *testing.T, dir string, typ kernels.DType) *reference {
	t.Helper()
	file, err := checkpoint.OpenSafetensors(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &reference{t, file, golden.Tolerance(t, dir, typ.String())}
}

// rows gives the sequences of a tensor of ids.
func (g *reference) rows(name string) [][]int32 {
	g.t.Helper()
	info, _ := g.file.Info(name)
	ids := g.ids(name)
	return slices.Collect(slices.Chunk(ids, int(info.Shape[len(info.Shape)-1])))
}

func (g *reference) ids(name string) []int32 {
	g.t.Helper()
	x, err := g.file.ReadInts(name)
	if err != nil {
		g.t.Fatal(err)
	}
	out := make([]int32, len(x))
	for i, v := range x {
		out[i] = int32(v)
	}
	return out
}

func (g *reference) compare(name, kind string, mine []float32) {
	g.t.Helper()
	want, err := g.file.ReadF32(name)
	if err != nil {
		g.t.Fatal(err)
	}
	tol, ok := g.tol[kind]
	if !ok {
		g.t.Fatalf("error.json has no %q", kind)
	}
	near(g.t, name, mine, want, tol)
}

func load(t testing.TB, dir string, o model.Options) *model.Model {
	t.Helper()
	m, err := model.Load(devicetest.Open(t, 0), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func download(m *model.Model, x kernels.Tensor) []float32 {
	out := make([]float32, x.Len())
	m.Dev.Download(out, x)
	return out
}

func (g *reference) gradients(m *model.Model) {
	g.t.Helper()
	for _, p := range m.Params() {
		g.compare("grad."+p.Name, "grad", download(m, p.G))
	}
}

var precisions = []kernels.DType{kernels.F32, kernels.BF16}

func TestGoldenCausal(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Causal {
			for _, typ := range precisions {
				t.Run(fmt.Sprintf("%s/%v", name, typ), func(t *testing.T) { testCausal(t, set.Dir(name), typ) })
			}
		}
	})
}

func testCausal(t *testing.T, dir string, typ kernels.DType) {
	g := openReference(t, dir, typ)
	m := load(t, dir, model.Options{DType: typ, Train: true})
	var b model.Batch
	for _, ids := range g.rows("input_ids") {
		start := b.Len()
		b.Open(ids)
		b.Close()
		for i, next := range ids[1:] {
			b.Row = append(b.Row, int32(start+i))
			b.Target = append(b.Target, next)
			b.Weight = append(b.Weight, 1)
		}
	}
	hidden, logits, err := m.Logits(&b.Forest)
	if err != nil {
		t.Fatal(err)
	}
	g.compare("hidden_states", "hidden_states", hidden)
	g.compare("logits", "logits", logits)
	logprob, _, err := m.Evaluate(&b)
	if err != nil {
		t.Fatal(err)
	}
	g.compare("log_probs", "log_probs", logprob)
	l, err := m.TrainStep(&b, model.LossOptions{Lambda: 1, TokenScale: 1 / float32(len(b.Target))})
	if err != nil {
		t.Fatal(err)
	}
	g.compare("loss", "loss", []float32{l.Critique})
	if l.Joint != l.Critique {
		t.Errorf("joint loss %v, want the critique loss %v where lambda is 1", l.Joint, l.Critique)
	}
	g.gradients(m)
}

func TestGoldenReward(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Reward {
			for _, typ := range precisions {
				t.Run(fmt.Sprintf("%s/%v", name, typ), func(t *testing.T) { testReward(t, set.Dir(name), typ) })
			}
		}
	})
}

func testReward(t *testing.T, dir string, typ kernels.DType) {
	g := openReference(t, dir, typ)
	m := load(t, dir, model.Options{DType: typ, Train: true})
	if m.HasLM() != m.TieWordEmbeddings || !m.HasHead() {
		t.Fatalf("HasLM %v, HasHead %v; want a classifier", m.HasLM(), m.HasHead())
	}
	b := model.Batch{SidePtr: []int32{0, 1, 2, 3, 4}}
	for i := range 4 {
		b.Open(g.ids(fmt.Sprintf("input_ids.%d", i)))
		b.Close()
		b.Leaf = append(b.Leaf, int32(b.Len()-1))
	}
	hidden, _, err := m.Logits(&b.Forest)
	if err != nil {
		t.Fatal(err)
	}
	var pooled []float32
	for _, l := range b.Leaf {
		pooled = append(pooled, hidden[int(l)*m.HiddenSize:int(l+1)*m.HiddenSize]...)
	}
	g.compare("pooled", "pooled", pooled)
	_, reward, err := m.Evaluate(&b)
	if err != nil {
		t.Fatal(err)
	}
	g.compare("rewards", "rewards", reward)
	l, err := m.TrainStep(&b, model.LossOptions{PairScale: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	g.compare("loss", "loss", []float32{l.Reward})
	g.gradients(m)
}

// The first 16 ids of each sequence are given, the model goes on.
func TestGoldenGreedy(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Causal {
			t.Run(name, func(t *testing.T) {
				g := openReference(t, set.Dir(name), kernels.F32)
				m := load(t, set.Dir(name), model.Options{})
				var reqs []model.GenRequest
				for _, ids := range g.rows("input_ids") {
					reqs = append(reqs, model.GenRequest{Prefix: ids[:16], N: 1})
				}
				want := g.rows("greedy_ids")
				got := generate(t, m, reqs, model.GenOptions{MaxTokens: len(want[0])})
				for s := range want {
					if !slices.Equal(got[s][0].IDs, want[s]) {
						t.Errorf("sequence %d: greedy ids %v, want %v", s, got[s][0].IDs, want[s])
					}
				}
			})
		}
	})
}

func generate(t testing.TB, m *model.Model, reqs []model.GenRequest, o model.GenOptions) [][]model.GenSample {
	t.Helper()
	out := make([][]model.GenSample, len(reqs))
	err := m.Generate(context.Background(), reqs, o, func(i int, s []model.GenSample) {
		if out[i] != nil {
			t.Errorf("request %d is done twice", i)
		}
		out[i] = s
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range out {
		if s == nil || len(s) != reqs[i].N {
			t.Fatalf("request %d: %d samples, want %d", i, len(s), reqs[i].N)
		}
	}
	return out
}
