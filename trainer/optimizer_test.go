package trainer

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

// fill puts a value that depends on the index into a tensor and gives the values back.
func fill(m *model.Model, t kernels.Tensor, f func(i int) float32) []float32 {
	x := make([]float32, t.Len())
	for i := range x {
		x[i] = f(i)
	}
	m.Dev.Upload(t, x)
	return x
}

// An update is AdamW's formula in float64, with the recipe's rates, the bias corrections of its number, clipping by the norm of
// all gradients, and decay of matrices and embeddings alone.
func TestOptimizerStep(t *testing.T) {
	c := testConfig("")
	c.MaxGradNorm, c.WeightDecay, c.Beta1, c.Beta2 = 0.25, 0.3, 0.8, 0.9
	m := tiny(t, c, 1)
	const factor, number = 0.5, 3
	type buffers struct{ w, g, m, v []float32 }
	var was []buffers
	sum := 0.0
	for k, p := range m.Params() {
		b := buffers{
			w: fill(m, p.W, func(i int) float32 { return float32(math.Sin(float64(i + k))) }),
			g: fill(m, p.G, func(i int) float32 { return float32(math.Cos(float64(3*i+k))) / 50 }),
			m: fill(m, p.M, func(i int) float32 { return float32(math.Cos(float64(i))) / 100 }),
			v: fill(m, p.V, func(i int) float32 { return float32(1+i%5) / 1e4 }),
		}
		for _, g := range b.g {
			sum += float64(g) * float64(g)
		}
		was = append(was, b)
	}
	o := &optimizer{m: m, c: &c}
	norm, bad := o.step(factor, number)()
	if err := m.Dev.Sync(); err != nil || bad != 0 || math.Abs(norm-math.Sqrt(sum)) > 1e-5*norm {
		t.Fatalf("norm %v, want %v; %d", norm, math.Sqrt(sum), bad)
	}
	clip := math.Min(1, c.MaxGradNorm/norm)
	if clip == 1 {
		t.Fatal("the test does not clip")
	}
	for k, p := range m.Params() {
		w := make([]float32, p.W.Len())
		m.Dev.Download(w, p.W)
		decay := 0.0
		if len(p.Shape) == 2 && p.Name != "score.weight" {
			decay = c.WeightDecay
		}
		for i := range w {
			g := float64(was[k].g[i]) * clip
			m1 := c.Beta1*float64(was[k].m[i]) + (1-c.Beta1)*g
			v1 := c.Beta2*float64(was[k].v[i]) + (1-c.Beta2)*g*g
			x := float64(was[k].w[i])
			x -= c.LearningRate * factor * (m1/(1-math.Pow(c.Beta1, number))/(math.Sqrt(v1/(1-math.Pow(c.Beta2, number)))+c.Epsilon) + decay*x)
			if math.Abs(x-float64(w[i])) > 1e-6 {
				t.Fatalf("%s: weight %d is %v, want %v (was %v)", p.Name, i, w[i], x, was[k].w[i])
			}
		}
	}
}

// The run counts its updates from 1: after one step from zero moments, the first weights have moved by the learning rate
// (Adam's first step is the gradient's sign).
func TestFirstUpdate(t *testing.T) {
	c := testConfig("")
	c.MaxSteps, c.Scheduler, c.WeightDecay, c.MaxGradNorm = 1, "constant", 0, 0
	m := tiny(t, c, 1)
	before := weights(m)
	if _, err := Train(context.Background(), m, pairs(8), c); err != nil {
		t.Fatal(err)
	}
	moved := 0.0
	for i, w := range weights(m) {
		moved = max(moved, math.Abs(float64(w-before[i])))
	}
	if math.Abs(moved/c.LearningRate-1) > 1e-3 {
		t.Errorf("the largest change is %v, want the learning rate %v", moved, c.LearningRate)
	}
	c.MaxSteps = 2 // an update number that stayed 1 would divide the second step's moments by 1-beta, not by 1-beta²
	m = tiny(t, c, 1)
	start := weights(m)
	if _, err := Train(context.Background(), m, pairs(8), c); err != nil {
		t.Fatal(err)
	}
	for i, w := range weights(m) {
		if math.Abs(float64(w-start[i])) > 2.01*c.LearningRate {
			t.Fatalf("weight %d moved by %v in two steps of %v", i, w-start[i], c.LearningRate)
		}
	}
}

// Steps far below the precision of bfloat16 are not lost without masters: on average the weights go where masters would.
func TestStochasticRoundingMoves(t *testing.T) {
	c := testConfig("")
	c.BF16, c.LearningRate, c.WarmupRatio = true, 1e-5, 0
	moved := func(c Config) (d []float64) {
		m := tiny(t, c, 1)
		now := func() (w []float32) {
			for _, p := range m.Params() {
				switch {
				case p.Kind == model.Head:
				case p.Master.IsNil():
					w = append(w, fetch(m, p.W)...)
				default:
					w = append(w, fetch(m, p.Master)...)
				}
			}
			return w
		}
		start := now()
		if _, err := Train(context.Background(), m, pairs(27), c); err != nil {
			t.Fatal(err)
		}
		for i, w := range now() {
			d = append(d, float64(w)-float64(start[i]))
		}
		return d
	}
	want := moved(c)
	c.Stochastic = true
	got := moved(c)
	along, size := 0.0, 0.0
	for i := range want {
		along, size = along+got[i]*want[i], size+want[i]*want[i]
	}
	t.Logf("%.3f of the way that masters go", along/size)
	if !(math.Abs(along/size-1) < 0.2) {
		t.Errorf("the weights go %.2f of the way that masters go", along/size)
	}
}

// With adamw_8bit, matrices and embeddings have moments of one byte and all else has float32 ones. The weights are others, but go where those
// with float32 moments go.
func TestMomentsOf8Bits(t *testing.T) {
	c := testConfig("")
	c.WarmupRatio, c.MaxGradNorm = 0, 0
	run := func(c Config) (moved []float64, m *model.Model) {
		m = tiny(t, c, 1)
		start := weights(m)
		if _, err := Train(context.Background(), m, pairs(27), c); err != nil {
			t.Fatal(err)
		}
		for i, w := range weights(m) {
			moved = append(moved, float64(w)-float64(start[i]))
		}
		return moved, m
	}
	want, _ := run(c)
	c.Optim = AdamW8bit
	got, m := run(c)
	for _, p := range m.Params() {
		coded := p.Kind == model.Matrix || p.Kind == model.Embedding
		if coded != (p.M.Type() == kernels.U8) || coded != (p.V.Type() == kernels.U8) || coded == p.Scale.IsNil() {
			t.Errorf("%s, a %v: moments are %v and %v, scales %v", p.Name, p.Kind, p.M.Type(), p.V.Type(), !p.Scale.IsNil())
		}
	}
	both, one, other, differ := 0.0, 0.0, 0.0, 0
	for i := range want {
		both, one, other = both+got[i]*want[i], one+want[i]*want[i], other+got[i]*got[i]
		if got[i] != want[i] {
			differ++
		}
	}
	cosine, ratio := both/math.Sqrt(one*other), math.Sqrt(other/one)
	t.Logf("cosine %.4f, length %.4f of that with float32 moments, %d of %d weights differ", cosine, ratio, differ, len(want))
	if !(cosine > 0.98 && math.Abs(ratio-1) < 0.02) || differ < len(want)/2 {
		t.Errorf("cosine %.4f, length %.4f of that with float32 moments, %d of %d weights differ", cosine, ratio, differ, len(want))
	}
}

func fetch(m *model.Model, t kernels.Tensor) []float32 {
	x := make([]float32, t.Len())
	m.Dev.Download(x, t)
	return x
}

// A saved model that is not the trained one is not called done.
func TestSavedModelIsCompared(t *testing.T) {
	c := testConfig(filepath.Join(t.TempDir(), "run"))
	c.MaxSteps = 2
	damage := func(dir string, _ int) error {
		head := make([]float32, 16)
		head[3] = 1
		return checkpoint.WriteSafetensors(filepath.Join(dir, "reward_head.safetensors"),
			[]checkpoint.TensorData{{TensorInfo: checkpoint.TensorInfo{Name: "score.weight", DType: "F32", Shape: []int64{1, 16}}, Data: checkpoint.F32Bytes(head)}}, nil)
	}
	r, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, WithFiles(damage))
	if err == nil || !strings.Contains(err.Error(), "does not hold the model: reward 0 is ") || r.ModelDir != "" {
		t.Errorf("got %v, model %q", err, r.ModelDir)
	}
}

// Which kinds of parameters decay.
func TestDecays(t *testing.T) {
	for kind, want := range map[model.ParamKind][2]bool{model.Matrix: {true, true}, model.Embedding: {true, true}, model.Adapter: {true, true}, model.Norm: {}, model.Bias: {}, model.Head: {false, true}} {
		for i, head := range []bool{false, true} {
			c := Config{HeadDecay: head}
			if got := c.decays(&model.Param{Kind: kind}); got != want[i] {
				t.Errorf("%v, head_weight_decay %v: %v", kind, head, got)
			}
		}
	}
}
