//go:build cuda

package cuda_test

// More probes at the size of real models, which no case of the specification has: what an op gives here and there, against float64 sums of
// the very numbers it was given, and twice the same bits.

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/tile"
	"criticrm/model"
	"criticrm/model/modeltest"
)

// halfBit is what a rounding to bfloat16 may change, as a share of the number.
const halfBit = 1. / (1 << 9)

// f32Sum is what adding n numbers in float32 in any order may change, as a share of the sum of their sizes.
func f32Sum(n int) float64 { return float64(n) / (1 << 23) }

// sum is a sum of terms of which one factor is rounded to bfloat16, and then the sum is.
type sum struct{ total, size, squares float64 }

func (s *sum) add(term float64) {
	s.total, s.size, s.squares = s.total+term, s.size+math.Abs(term), s.squares+term*term
}

// roundings are the errors of some numbers of one kind: their squares, and what roundings that know nothing of each other would give.
type roundings struct {
	kind           string
	found, natural float64
}

// see compares a number with its sum: the error is within twice what all roundings in one direction would give.
func (e *roundings) see(t *testing.T, got float32, s sum) {
	t.Helper()
	err := float64(got) - s.total
	if !(math.Abs(err) <= 4*halfBit*s.size+1e-30) {
		t.Errorf("%s: a number is %v, want %v to %v", e.kind, got, s.total, 4*halfBit*s.size)
	}
	e.found, e.natural = e.found+err*err, e.natural+halfBit*halfBit*(s.squares+s.total*s.total)
}

// judge holds all of them together to four times what roundings by chance give: a part that is left out shows here.
func judge(t *testing.T, all ...*roundings) {
	t.Helper()
	for _, e := range all {
		t.Logf("%s: the errors are %.2f times roundings by chance", e.kind, math.Sqrt(e.found/e.natural))
		if !(e.found <= 16*e.natural) {
			t.Errorf("%s: the errors are %.1f times roundings by chance, want at most 4", e.kind, math.Sqrt(e.found/e.natural))
		}
	}
}

func small16(d *kernels.Device) bool { return strings.Contains(d.String(), "software GPU") }

// repeated is a tensor of values of bfloat16 in [-scale, scale] that repeat after a prime number of them.
func repeated(d *kernels.Device, r *rand.Rand, scale float32, shape ...int) (kernels.Tensor, []float32) {
	m := d.Alloc(kernels.BF16, shape...)
	some := make([]float32, 1<<18-5)
	for i := range some {
		some[i] = kernels.F32FromBF16(kernels.BF16FromF32(scale * (2*r.Float32() - 1)))
	}
	x := make([]float32, m.Len())
	for i := 0; i < len(x); i += len(some) {
		copy(x[i:], some)
	}
	d.Upload(m, x)
	return m, x
}

// read copies a tensor to the host as float32.
func read(d *kernels.Device, m kernels.Tensor) []float32 {
	x := make([]float32, m.Len())
	d.Download(x, m)
	return x
}

// near says whether a number is what it should be.
func near(t *testing.T, what string, got float32, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= tolerance) {
		t.Errorf("%s is %v, want %v to %v", what, got, want, tolerance)
	}
}

// trees is a batch of pairs with critiques.
func trees(pairs, prompt, response, critique, k int) *model.Batch {
	return modeltest.Trees(pairs, prompt, response, critique, k, func(at, n int) []int32 {
		x := make([]int32, n)
		for i := range x {
			x[i] = int32((at*7 + i*13) % 37)
		}
		return x
	})
}

// heads are the numbers of an attention: vectors of one head of one token.
type heads struct {
	a, g, d        int
	qkv, dout, out []float32
	end            []int32
}

func (h *heads) q(n, a int) []float32 { return h.qkv[(n*(h.a+2*h.g)+a)*h.d:][:h.d] }
func (h *heads) k(n, a int) []float32 { return h.q(n, h.a+a*h.g/h.a) }
func (h *heads) v(n, a int) []float32 { return h.q(n, h.a+h.g+a*h.g/h.a) }

// product is x·y and the sum of its terms' sizes.
func product(x, y []float32) (sum, size float64) {
	for i := range x {
		p := float64(x[i]) * float64(y[i])
		sum, size = sum+p, size+math.Abs(p)
	}
	return sum, size
}

// slope is p and ds of query q and key k in head a, for the lse that the device found.
func (h *heads) slope(q, k, a int, lse float32) (p, ds float64) {
	s, _ := product(h.q(q, a), h.k(k, a))
	p = math.Exp(s/math.Sqrt(float64(h.d)) - float64(lse))
	dout := h.dout[(q*h.a+a)*h.d:][:h.d]
	dp, _ := product(dout, h.v(k, a))
	delta, _ := product(dout, h.out[(q*h.a+a)*h.d:][:h.d])
	return p, p * (dp - delta)
}

// Attention over 16,640 tokens in trees, forward and backward.
func TestSampledAttention(t *testing.T) {
	d := probed(t)
	b, h, samples := trees(5, 512, 256, 128, 9), heads{a: 14, g: 2, d: 64}, 64
	if small16(d) {
		b, h, samples = trees(1, 70, 20, 9, 3), heads{a: 4, g: 2, d: 64}, 12
	}
	n := b.Len()
	r := rand.New(rand.NewPCG(7, 2))
	h.end = b.End
	var qkv, dout kernels.Tensor
	qkv, h.qkv = repeated(d, r, 1.5, n, h.a+2*h.g, h.d)
	dout, h.dout = repeated(d, r, 1, n, h.a, h.d)
	out, dqkv := d.Alloc(kernels.BF16, n, h.a, h.d), d.Alloc(kernels.BF16, n, h.a+2*h.g, h.d)
	lse, delta := d.Alloc(kernels.F32, n, h.a), d.Alloc(kernels.F32, n, h.a)
	lists := tile.Lists(nil, b.End, b.Pos, 0)
	see := kernels.Sight{End: d.Alloc(kernels.I32, n), Pos: d.Alloc(kernels.I32, n), Tiles: d.Alloc(kernels.I32, len(lists))}
	d.Upload(see.End, b.End)
	d.Upload(see.Pos, b.Pos)
	d.Upload(see.Tiles, lists)
	scale := 1 / math.Sqrt(float64(h.d))
	by := kernels.Scores{Scale: float32(scale)}
	var outs, grads, sums [2][]float32
	for run := range 2 {
		d.Attention(out, lse, qkv, see, by)
		d.AttentionBackward(dqkv, delta, dout, out, lse, qkv, see, by)
		outs[run], sums[run], grads[run] = read(d, out), read(d, lse), read(d, dqkv)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(outs[0], outs[1]) || !slices.Equal(sums[0], sums[1]) || !slices.Equal(grads[0], grads[1]) {
		t.Error("the second run has other bits")
	}
	h.out = outs[0]
	grad := heads{a: h.a, g: h.g, d: h.d, qkv: grads[0]}
	o, dq, dk, dv := &roundings{kind: "out"}, &roundings{kind: "dq"}, &roundings{kind: "dk"}, &roundings{kind: "dv"}
	for range samples {
		at, a, c := r.IntN(n), r.IntN(h.a), r.IntN(h.d)
		// forward
		total, worst := 0.0, 0.0
		var keys []int
		for k := 0; k <= at; k++ {
			if int(h.end[k]) > at {
				s, size := product(h.q(at, a), h.k(k, a))
				keys, total, worst = append(keys, k), total+math.Exp(s*scale), max(worst, size*scale)
			}
		}
		near(t, "lse", sums[0][at*h.a+a], math.Log(total), worst*f32Sum(h.d)+f32Sum(4*len(keys)))
		var so, sq, sk, sv sum
		for _, k := range keys {
			s, _ := product(h.q(at, a), h.k(k, a))
			so.add(math.Exp(s*scale) / total * float64(h.v(k, a)[c]))
			_, ds := h.slope(at, k, a, sums[0][at*h.a+a])
			sq.add(ds * float64(h.k(k, a)[c]) * scale)
		}
		o.see(t, outs[0][(at*h.a+a)*h.d+c], so)
		dq.see(t, grad.q(at, a)[c], sq)
		// backward of a key: all queries that see it, of all heads that share it
		first := a * h.g / h.a * h.a / h.g
		for q := at; q < int(h.end[at]); q++ {
			for a := first; a < first+h.a/h.g; a++ {
				p, ds := h.slope(q, at, a, sums[0][q*h.a+a])
				sk.add(ds * float64(h.q(q, a)[c]) * scale)
				sv.add(p * float64(h.dout[(q*h.a+a)*h.d+c]))
			}
		}
		dk.see(t, grad.k(at, a)[c], sk)
		dv.see(t, grad.v(at, a)[c], sv)
	}
	judge(t, o, dq, dk, dv)
}

// The LM head and its loss with a vocabulary of 151,936.
func TestSampledLoss(t *testing.T) {
	d := probed(t)
	rows, width, vocabulary, samples := 1024, 896, 151936, 8
	if small16(d) {
		rows, width, vocabulary, samples = 21, 32, 333, 4
	}
	r := rand.New(rand.NewPCG(7, 3))
	x, hx := repeated(d, r, 1, rows, width)
	w, hw := repeated(d, r, 3/float32(math.Sqrt(float64(width))), vocabulary, width)
	target, weight := make([]int32, rows), make([]float32, rows)
	for i := range target {
		target[i], weight[i] = int32(r.IntN(vocabulary)), float32(1+i%3)
	}
	const gradScale = 0.25
	c := kernels.CritiqueLoss{LogitScale: 1, Loss: d.Alloc(kernels.F32, 1), LogProb: d.Alloc(kernels.F32, rows), DX: d.Alloc(kernels.BF16, rows, width), DW: d.Alloc(kernels.F32, vocabulary, width),
		X: x, W: w, Target: d.Alloc(kernels.I32, rows), Weight: d.Alloc(kernels.F32, rows), LossScale: 1, GradScale: gradScale, Scratch: d.Alloc(kernels.F32, (rows+1)/2, vocabulary)}
	d.Upload(c.Target, target)
	d.Upload(c.Weight, weight)
	var logprobs, dxs, dws [2][]float32
	for run := range 2 {
		d.Zero(c.DW)
		d.CritiqueLoss(c)
		logprobs[run], dxs[run], dws[run] = read(d, c.LogProb), read(d, c.DX), read(d, c.DW)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(logprobs[0], logprobs[1]) || !slices.Equal(dxs[0], dxs[1]) || !slices.Equal(dws[0], dws[1]) {
		t.Error("the second run has other bits")
	}
	row := func(x []float32, i int) []float32 { return x[i*width:][:width] }
	logits := make([]float64, vocabulary)
	dx, dw := &roundings{kind: "dx"}, &roundings{kind: "dw"}
	for range samples {
		i, c := r.IntN(rows), r.IntN(width)
		inParallel(vocabulary, func(v int) { logits[v], _ = product(row(hx, i), row(hw, v)) })
		total := 0.0
		for _, s := range logits {
			total += math.Exp(s)
		}
		_, size := product(row(hx, i), row(hw, int(target[i])))
		near(t, "logprob", logprobs[0][i], logits[target[i]]-math.Log(total), 2*size*f32Sum(width)+f32Sum(vocabulary))
		var s sum
		for v, logit := range logits {
			p := math.Exp(logit) / total
			if v == int(target[i]) {
				p--
			}
			s.add(gradScale * float64(weight[i]) * p * float64(row(hw, v)[c]))
		}
		dx.see(t, row(dxs[0], i)[c], s)
	}
	for range 100 {
		v, c := r.IntN(vocabulary), r.IntN(width)
		if r.IntN(2) == 0 {
			v = int(target[r.IntN(rows)])
		}
		var total sum
		for i := range rows {
			own, _ := product(row(hx, i), row(hw, int(target[i])))
			s, _ := product(row(hx, i), row(hw, v))
			p := math.Exp(s - own + float64(logprobs[0][i]))
			if v == int(target[i]) {
				p--
			}
			total.add(gradScale * float64(weight[i]) * p * float64(row(hx, i)[c]))
		}
		dw.see(t, row(dws[0], v)[c], total)
	}
	judge(t, dx, dw)
}

// inParallel calls f for 0 to n - 1.
func inParallel(n int, f func(int)) {
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for k := range workers {
		wait.Go(func() {
			for i := k; i < n; i += workers {
				f(i)
			}
		})
	}
	wait.Wait()
}

// A step of training made twice has the same gradients, to the bit, whatever algorithms cuBLASLt takes at this size.
func TestStepAgain(t *testing.T) {
	d := probed(t)
	c := model.Config{VocabSize: 151936, HiddenSize: 896, IntermediateSize: 4864, NumHiddenLayers: 2, NumAttentionHeads: 14, NumKeyValueHeads: 2, TieWordEmbeddings: true,
		MaxPositionEmbeddings: 4096, EOSTokenIDs: []int32{4}}
	b := trees(5, 512, 256, 128, 9)
	if small16(d) {
		c.VocabSize, c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads, c.NumKeyValueHeads = 40, 16, 32, 2, 1
		b = trees(2, 30, 10, 5, 2)
	}
	m, err := model.New(d, c, model.Options{DType: kernels.BF16, Train: true, Head: true}, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := model.LossOptions{Lambda: 0.5, TokenScale: 1 / float32(len(b.Row)), PairScale: 1 / float32((len(b.SidePtr)-1)/2)}
	var first [][]float32
	var before model.Losses
	for run := range 2 {
		m.ZeroGrad()
		losses, err := m.TrainStepLater(b, o)
		if err != nil {
			t.Fatal(err)
		}
		now := losses()
		for i, p := range m.Spans() {
			g := read(d, p.G)
			switch {
			case run == 0:
				first = append(first, g)
			case !slices.Equal(g, first[i]):
				t.Errorf("%d gradients from parameter %d on have other bits in the second step", len(g), p.First)
			}
		}
		if run == 0 {
			before = now
		} else if now != before {
			t.Errorf("losses %+v, then %+v", before, now)
		}
	}
	if slices.Max(first[0]) == 0 {
		t.Error("there is no gradient")
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}
