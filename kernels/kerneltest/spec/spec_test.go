package spec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/stat/distuv"
)

// gradient of a forward op by its backward op, and the same by the definition of a derivative.
type gradient struct {
	loss func() float64              // runs the forward op on its present inputs
	by   map[string][]float64        // what the backward op says
	in   map[string]func() []float64 // the inputs, to be moved
}

// weigh gives a loss Σ c·out for an output of the forward op, with its gradient c.
func weigh(r *Gen, out []float64) (c []float64, loss func() float64) {
	c = r.Normal(len(out), 1)
	return c, func() (sum float64) {
		for i := range out {
			sum += c[i] * out[i]
		}
		return sum
	}
}

// backward runs the backward op of a forward op that has run. Accumulated outputs start at zero or, where the forward op
// passes an input on, at that gradient.
func backward(r *Gen, op Op) (g gradient, ok bool) {
	zero := func(x []float64) []float64 { return make([]float64, len(x)) }
	var sum func() float64
	var dout []float64
	g.in = map[string]func() []float64{}
	for _, a := range Args(op) {
		if a.Dir != Out && a.IsFloat() && !a.Nil {
			g.in[a.Name] = a.Floats
		}
	}
	switch o := op.(type) {
	case *Embed[float64]:
		dout, sum = weigh(r, o.Out)
		row, ptr, src := GroupUsed(o.ID, o.V)
		b := EmbedBackward[float64]{DTable: zero(o.Table), DOut: dout, Row: row, Ptr: ptr, Src: src, N: o.N, H: o.H, V: o.V, U: len(row)}
		b.Run()
		g.by = map[string][]float64{"Table": b.DTable}
	case *Gather[float64]:
		dout, sum = weigh(r, o.Out)
		ptr, src := Group(o.Row, o.N)
		b := GatherBackward[float64]{DX: zero(o.X), DOut: dout, Ptr: ptr, Src: src, R: o.R, N: o.N, H: o.H}
		b.Run()
		g.by = map[string][]float64{"X": b.DX}
	case *RMSNorm[float64]:
		dout, sum = weigh(r, o.Out)
		b := RMSNormBackward[float64]{DX: zero(o.X), DW: zero(o.W), Out: zero(o.Out), DOut: dout, X: o.X, W: o.W, RStd: o.RStd, Shift: o.Shift, N: o.N, H: o.H}
		if o.Res != nil { // the residual stream goes on behind the norm: its gradient is in dx already
			passed, residual := weigh(r, o.Sum)
			norm := sum
			sum = func() float64 { return norm() + residual() }
			b.X, b.DX = o.Sum, append([]float64(nil), passed...)
		}
		b.Run()
		g.by = map[string][]float64{"X": b.DX, "Res": b.DX, "W": b.DW}
	case *SliceNorm[float64]:
		dout, sum = weigh(r, o.Y)
		b := SliceNormBackward[float64]{DX: append([]float64(nil), dout...), DW: zero(o.W), X: o.X, W: o.W, RStd: o.RStd, Shift: o.Shift,
			N: o.N, C: o.C, Groups: o.Groups, Width: o.Width, Offset: o.Offset}
		if o.X == nil {
			return g, false
		}
		b.Run()
		g.by = map[string][]float64{"Y": b.DX, "W": b.DW}
	case *RoPE[float64]:
		dout, sum = weigh(r, o.QKV)
		b := RoPEBackward[float64](*o)
		b.QKV = append([]float64(nil), dout...)
		b.Run()
		g.by = map[string][]float64{"QKV": b.QKV}
	case *Matmul[float64]:
		dout, sum = weigh(r, o.Y)
		x := MatmulDX[float64]{DX: zero(o.X), DY: dout, W: o.W, N: o.N, O: o.O, I: o.I}
		w := MatmulDW[float64]{DW: zero(o.W), DY: dout, X: o.X, N: o.N, O: o.O, I: o.I}
		x.Run()
		w.Run()
		g.by = map[string][]float64{"X": x.DX, "W": w.DW, "Add": dout}
	case *AddBias[float64]:
		dout, sum = weigh(r, o.Y)
		b := AddBiasBackward[float64]{DB: zero(o.B), DY: dout, N: o.N, O: o.O}
		b.Run()
		g.by = map[string][]float64{"Y": dout, "B": b.DB}
	case *MatmulNF4[float64]:
		dout, sum = weigh(r, o.Y)
		x := MatmulNF4DX[float64]{DX: zero(o.X), DY: dout, Code: o.Code, Absmax: o.Absmax, Scale: o.Scale, Map: o.Map, Offset: o.Offset, N: o.N, C: o.C, O: o.O, At: o.At, B: o.B, S: o.S, BF16: o.BF16}
		x.Run()
		g.by = map[string][]float64{"X": x.DX}
	case *MatmulBlocks[float64]:
		dout, sum = weigh(r, o.Y)
		x := MatmulBlocksDX[float64]{DX: zero(o.X), DY: dout, Code: o.Code, Type: o.Type, N: o.N, C: o.C, O: o.O, I: o.I, R: o.R, At: o.At, BF16: o.BF16}
		x.Run()
		g.by = map[string][]float64{"X": x.DX}
	case *LoRA[float64]:
		dout, sum = weigh(r, o.Y)
		b := LoRABackward[float64]{DT: zero(o.T), DB: zero(o.B), DY: dout, T: o.T, B: o.B, N: o.N, C: o.C, P: o.P, O: o.O, R: o.R, At: o.At, From: o.From}
		b.Run()
		g.by = map[string][]float64{"Y": dout, "T": b.DT, "B": b.DB}
	case *SwiGLU[float64]:
		dout, sum = weigh(r, o.H)
		b := SwiGLUBackward[float64]{DGU: zero(o.GU), H: zero(o.H), DH: dout, GU: o.GU, N: o.N, F: o.F}
		b.Run()
		g.by = map[string][]float64{"GU": b.DGU}
	case *GeGLU[float64]:
		dout, sum = weigh(r, o.H)
		b := GeGLUBackward[float64]{DGU: zero(o.GU), H: zero(o.H), DH: dout, GU: o.GU, N: o.N, F: o.F}
		b.Run()
		g.by = map[string][]float64{"GU": b.DGU}
	case *Attention[float64]:
		dout, sum = weigh(r, o.Out)
		b := AttentionBackward[float64]{DQKV: zero(o.QKV), DOut: dout, Out: o.Out, LSE: o.LSE, QKV: o.QKV, End: o.End,
			Pos: o.Pos, Tiles: o.Tiles, N: o.N, A: o.A, G: o.G, D: o.D, T: o.T, Window: o.Window, Scale: o.Scale, Cap: o.Cap}
		b.Run()
		g.by = map[string][]float64{"QKV": b.DQKV}
	case *CritiqueLoss[float64]:
		b := *o
		b.DX, b.DW, b.LogProb, b.Loss = zero(o.X), zero(o.W), zero(o.LogProb), zero(o.Loss)
		b.Run()
		g.by = map[string][]float64{"X": b.DX, "W": b.DW}
		sum = func() float64 { return o.Loss[0] / o.LossScale * o.GradScale }
	case *RewardLoss[float64]:
		b := *o
		b.DX, b.DW = zero(o.X), zero(o.W)
		b.Run()
		g.by = map[string][]float64{"X": b.DX, "W": b.DW}
		sum = func() float64 { return o.Loss[2] / o.LossScale * o.GradScale }
	default:
		return g, false
	}
	g.loss = func() float64 { op.Run(); return sum() }
	return g, true
}

// hasBackward are the ops whose gradient must be checked.
var hasBackward = []string{"embed", "gather", "rmsnorm", "slice_norm", "rope", "matmul", "add_bias", "lora", "matmul_nf4", "matmul_blocks", "swiglu", "geglu", "attention", "critique_loss", "reward_loss"}

// TestGradients compares each backward op with finite differences of its forward op, on every case that is small.
func TestGradients(t *testing.T) {
	checked := map[string]int{}
	for _, c := range Cases() {
		if c.BF16 {
			continue
		}
		op := c.Make()
		elements := 0
		for _, a := range Args(op) {
			if a.Dir != Out && a.IsFloat() && !a.Nil {
				elements += a.Len()
			}
		}
		if elements == 0 || elements > 600 {
			continue
		}
		start := Clone(op)
		op.Run()
		g, ok := backward(&Gen{Rand: rand.New(rand.NewPCG(1, uint64(elements)))}, op)
		if !ok {
			continue
		}
		checked[c.Op]++
		t.Run(c.Name, func(t *testing.T) { check(t, op, start, g) })
	}
	for _, op := range hasBackward {
		if checked[op] == 0 {
			t.Errorf("no case of %s is small enough for a gradient check", op)
		}
	}
}

func check(t *testing.T, op, start Op, g gradient) {
	initial := map[string][]float64{}
	for _, a := range Args(start) {
		if a.IsFloat() && !a.Nil {
			initial[a.Name] = a.Floats()
		}
	}
	for name, analytic := range g.by {
		if g.in[name] == nil {
			continue // left out of this case
		}
		x0 := initial[name]
		input := g.in[name]()
		loss := func(x []float64) float64 {
			for n, now := range g.in { // an op in place has overwritten its input
				copy(now(), initial[n])
			}
			copy(input, x)
			return g.loss()
		}
		largest := 0.0
		for _, x := range x0 {
			largest = max(largest, math.Abs(x))
		}
		scale := 1e-6
		// A central difference of step h has an error of h² · f'''/6 and of 1e-16 · f/h. The formula of fourth order lets the
		// step be large, so that neither matters; it follows the size of the numbers.
		h := 1e-3 * min(1, max(largest, 1e-3))
		fourth := fd.Formula{Stencil: []fd.Point{{Loc: -2, Coeff: 1. / 12}, {Loc: -1, Coeff: -2. / 3}, {Loc: 1, Coeff: 2. / 3}, {Loc: 2, Coeff: -1. / 12}},
			Derivative: 1, Step: h}
		numeric := fd.Gradient(nil, loss, x0, &fd.Settings{Formula: fourth})
		for _, v := range append(numeric, analytic...) {
			scale = max(scale, math.Abs(v))
		}
		for i := range numeric {
			if !(math.Abs(numeric[i]-analytic[i]) <= 1e-6*scale) {
				t.Fatalf("d%s[%d] = %g, finite differences say %g", name, i, analytic[i], numeric[i])
			}
		}
		loss(x0)
	}
}

// TestPhilox has the known answers of the authors' library, Random123 1.14, file tests/kat_vectors.
func TestPhilox(t *testing.T) {
	const f = 0xffffffff
	for _, k := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{f, f, f, f}, [2]uint32{f, f}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(k.counter, k.key); got != k.want {
			t.Errorf("Philox(%x, %x) = %x, want %x", k.counter, k.key, got, k.want)
		}
	}
}

// TestUniform has 1000 bins and a million draws over three streams that differ in one word each.
func TestUniform(t *testing.T) {
	for _, at := range []func(i int) float64{
		func(i int) float64 { return Uniform(7, 0, uint32(i)) },
		func(i int) float64 { return Uniform(7, uint64(i)<<32, 3) },
		func(i int) float64 { return Uniform(uint64(i), 5, 0) },
	} {
		const bins, draws = 1000, 300_000
		count := make([]float64, bins)
		for i := range draws {
			count[int(at(i)*bins)]++
		}
		chi := 0.0
		for _, c := range count {
			chi += (c - draws/bins) * (c - draws/bins) / (draws / bins)
		}
		if p := (distuv.ChiSquared{K: bins - 1}).Survival(chi); p < 1e-4 || p > 1-1e-4 {
			t.Errorf("chi² = %g over %d bins: p = %g", chi, bins, p)
		}
	}
}

// TestRoundByChance: the result is a neighbour, the mean of many is the number itself, and what bfloat16 has is left alone.
func TestRoundByChance(t *testing.T) {
	for _, p := range []float32{1.001, -0.3, 1e-30, -3e30, math.Float32frombits(1)} {
		const draws = 200_000
		low := math.Float32frombits(math.Float32bits(p) &^ 0xffff) // towards zero
		high := math.Float32frombits(math.Float32bits(low) + 1<<16)
		far := 0
		for i := range draws {
			switch RoundByChance(p, 3, uint32(i%7), i) {
			case high:
				far++
			case low:
			default:
				t.Fatalf("%v became %v, not %v or %v", p, RoundByChance(p, 3, uint32(i%7), i), low, high)
			}
		}
		share := (float64(p) - float64(low)) / (float64(high) - float64(low))
		if e := math.Abs(float64(far)-share*draws) / math.Sqrt(share*(1-share)*draws+1); e > 5 {
			t.Errorf("%v: %d of %d are %v: %.1f standard deviations from the share %v", p, far, draws, high, e, share)
		}
	}
	for _, p := range []float32{0, 1, -2.5, float32(math.Inf(1)), float32(math.Inf(-1))} {
		for i := range 1000 {
			if got := RoundByChance(p, 9, 1, i); got != p {
				t.Fatalf("%v became %v", p, got)
			}
		}
	}
	if got := RoundByChance(float32(math.NaN()), 9, 1, 0); got == got {
		t.Errorf("NaN became %v", got)
	}
}

// TestForestMask compares "k <= q < end[k]", and the way in which the reference finds those keys, with the definition: the node of k is the
// node of q or one above it, and k <= q. A window leaves the last ones of them.
func TestForestMask(t *testing.T) {
	for _, c := range forests() {
		f := c.make(&Gen{Rand: rand.New(rand.NewPCG(3, 4))})
		end, pos := f.End(), f.Pos()
		first := 0
		for q := range end {
			if q >= int(end[first]) {
				first = q
			}
			seen := slices.Collect(visible(end, pos, 0, first, q))
			if !slices.IsSorted(seen) {
				t.Fatalf("%s: query %d sees keys %v", c.name, q, seen)
			}
			for k := range end {
				above := f.node[q]
				for above >= 0 && above != f.node[k] {
					above = f.parent[above]
				}
				want := above == f.node[k] && k <= q
				got := k <= q && q < int(end[k])
				if _, found := slices.BinarySearch(seen, k); got != want || found != want {
					t.Fatalf("%s: query %d sees key %d: %v and %v, want %v", c.name, q, k, got, found, want)
				}
			}
			for _, window := range []int{1, 2, 7, 40} {
				want := seen[max(0, len(seen)-window):]
				if got := slices.Collect(visible(end, pos, window, first, q)); !slices.Equal(got, want) {
					t.Fatalf("%s: query %d sees keys %v with a window of %d, want %v", c.name, q, got, window, want)
				}
			}
		}
	}
}

// TestNames guards that no two cases share a name, and so a seed.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		seen[c.Name] = true
	}
	t.Logf("%d cases", len(seen))
}
