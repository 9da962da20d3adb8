package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
	"criticrm/model"
)

// Parity with Hugging Face transformers: the fixtures in shared/golden, their values and their tolerances.

var causal = []string{"llama", "llama_tied", "mistral", "llama_text"}

// goldenDir finds the fixtures, which are not part of the repository.
func goldenDir(t testing.TB, name string) string {
	dir := os.Getenv("CRITICRM_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	dir = filepath.Join(dir, "golden", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no golden fixture (set CRITICRM_SHARED to the folder that has golden/): %v", err)
	}
	return dir
}

type golden struct {
	t    *testing.T
	file *checkpoint.SafetensorsFile
	tol  map[string]float64 // |mine - stored| may be this much of max|stored|
}

// openGolden reads a fixture. Tolerances are those of its README: three times the float32 error of a plain implementation, twice the
// bfloat16 one.
func openGolden(t *testing.T, dir string, typ kernels.DType) *golden {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "error.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]map[string]float64
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	g := &golden{t: t, tol: map[string]float64{}}
	factor := map[kernels.DType]float64{kernels.F32: 3, kernels.BF16: 2}[typ]
	for k, v := range e[typ.String()] {
		g.tol[k] = factor * v
	}
	if g.file, err = checkpoint.OpenSafetensors(filepath.Join(dir, "reference.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.file.Close() })
	return g
}

func (g *golden) ids(name string) []int32 {
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

func (g *golden) compare(name, kind string, mine []float32) {
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

// near wants |got - want| ≤ tol·max|want|, everything finite.
func near(t testing.TB, name string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	var most, worst float64
	at := 0
	for i := range want {
		most = max(most, math.Abs(float64(want[i])))
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			t.Errorf("%s[%d]: got %v, want %v", name, i, got[i], want[i])
			return
		}
		if d > worst {
			worst, at = d, i
		}
	}
	if worst > tol*most {
		t.Errorf("%s[%d]: got %v, want %v: off by %.3g of the largest value, tolerance %.3g", name, at, got[at], want[at], worst/most, tol)
	}
}

func load(t testing.TB, dir string, o model.Options) *model.Model {
	t.Helper()
	m, err := model.Load(kerneltest.Open(t, 0), dir, o)
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

func (g *golden) gradients(m *model.Model) {
	g.t.Helper()
	for _, p := range m.Params() {
		g.compare("grad."+p.Name, "grad", download(m, p.G))
	}
}

func TestGoldenCausal(t *testing.T) {
	for _, name := range causal {
		for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
			t.Run(fmt.Sprintf("%s/%v", name, typ), func(t *testing.T) {
				dir := goldenDir(t, name)
				g := openGolden(t, dir, typ)
				m := load(t, dir, model.Options{DType: typ, Train: true})
				ids := g.ids("input_ids")
				const seq, length = 2, 48
				var b model.Batch
				for s := range seq {
					b.Open(ids[s*length : (s+1)*length])
					b.Close()
					for i := range length - 1 {
						b.Row = append(b.Row, int32(s*length+i))
						b.Target = append(b.Target, ids[s*length+i+1])
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
				l, err := m.TrainStep(&b, model.LossOptions{Lambda: 1, TokenScale: 1.0 / 94})
				if err != nil {
					t.Fatal(err)
				}
				g.compare("loss", "loss", []float32{l.Critique})
				if l.Joint != l.Critique {
					t.Errorf("joint loss %v, want the critique loss %v where lambda is 1", l.Joint, l.Critique)
				}
				g.gradients(m)
			})
		}
	}
}

func TestGoldenReward(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		t.Run(typ.String(), func(t *testing.T) {
			dir := goldenDir(t, "llama_reward")
			g := openGolden(t, dir, typ)
			m := load(t, dir, model.Options{DType: typ, Train: true})
			if m.HasLM() || !m.HasHead() {
				t.Fatalf("HasLM %v, HasHead %v; want a classifier", m.HasLM(), m.HasHead())
			}
			b := model.Batch{Side: []int32{0, 1, 2, 3, 4}}
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
		})
	}
}

func TestGoldenGreedy(t *testing.T) {
	for _, name := range causal {
		t.Run(name, func(t *testing.T) {
			dir := goldenDir(t, name)
			g := openGolden(t, dir, kernels.F32)
			m := load(t, dir, model.Options{})
			ids, want := g.ids("input_ids"), g.ids("greedy_ids")
			var reqs []model.GenRequest
			for s := range 2 {
				reqs = append(reqs, model.GenRequest{Prefix: ids[s*48 : s*48+16], N: 1})
			}
			got := generate(t, m, reqs, model.GenOptions{MaxTokens: 16})
			for s := range 2 {
				if w := want[s*16 : (s+1)*16]; !slices.Equal(got[s][0].IDs, w) {
					t.Errorf("sequence %d: greedy ids %v, want %v", s, got[s][0].IDs, w)
				}
			}
		})
	}
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
