package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"criticrm/kernels/kerneltest/spec"
)

// bound is what a device may give for the outputs of an op: the reference, and how far the result may be from it.
//
// The tolerance of a buffer is twice the error of a naive implementation in the same precision, plus a floor. The naive
// error is the largest of these: the error of the specification run in float32 (with the roundings to bfloat16 that storage
// makes); the change of the float64 reference when its inputs move by half a unit in the last place of a float32, which is
// the error of a backward stable implementation; and the error of the float32 run on the inputs so moved. Only the first
// is measured on the very inputs of the case, where a single number may be exact by luck; the others are there for that.
// The floor is 4 units in the last place of the largest value, for the exponentials of math libraries, and half a unit in
// bfloat16, because a result may lie on either side of a rounding boundary; 1e-12 counts as zero. Logarithms of sums count
// as 1 at least: the sum is rounded near 1, and it is luck if the naive one is not. So do losses of rewards: they are made of differences of rewards
// near 1, whose own error is held to that floor.
//
// Both the largest error of a buffer and, from 64 elements on, its root mean square are held to that, the latter against the
// naive root mean square. Integers must be those of the reference, or of the naive run where these differ. Numbers that are
// rounded by chance must be what a number within the tolerance of the reference, in float32, is rounded to.
type bound struct {
	c       spec.Case
	op      spec.Op
	outputs []spec.Arg // of the reference
	naive   []spec.Arg
	errors  []attempt
}

// attempt is a pair of runs whose difference is an error that a good implementation may have.
type attempt struct {
	got, want []spec.Arg
}

const (
	floorF32  = 4. / (1 << 23)
	floorBF16 = 1. / (1 << 8)
)

func newBound(c spec.Case, op spec.Op) *bound {
	b := &bound{c: c, op: op, outputs: outputs(spec.Clone(op)), naive: outputs(spec.Naive(op, c.BF16))}
	b.errors = []attempt{{b.naive, b.outputs}}
	for i := range moves(op) {
		moved := spec.Clone(op)
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for _, a := range spec.Args(moved) {
			if movable(a) {
				x := a.Floats()
				for j := range x {
					x[j] *= 1 + (2*r.Float64()-1)/(1<<24)
				}
			}
		}
		naive := spec.Naive(moved, c.BF16) // before the run, which overwrites arguments that are also inputs
		// inputs of the naive run are rounded once more, to float32; those of its reference must be the same
		spec.Copy(moved, naive)
		want := outputs(moved)
		b.errors = append(b.errors, attempt{want, b.outputs}, attempt{outputs(naive), want})
	}
	return b
}

// outputs runs an op, on poisoned outputs, and gives them.
func outputs(op spec.Op) (out []spec.Arg) {
	for _, a := range spec.Args(op) {
		if a.IsFloat() && !a.Nil && (a.Dir == spec.Out || a.Dir == spec.Scratch) {
			switch x := a.Value.Interface().(type) {
			case []float64:
				poison(x)
			case []float32:
				poison(x)
			}
		}
	}
	op.Run()
	for _, a := range spec.Args(op) {
		if a.Dir == spec.Out || a.Dir == spec.InOut || a.Dir == spec.Aside {
			out = append(out, a)
		}
	}
	return out
}

func poison[T spec.Real](x []T) {
	for i := range x {
		x[i] = T(math.NaN())
	}
}

func movable(a spec.Arg) bool {
	return a.IsFloat() && !a.Nil && !a.Exact && (a.Dir == spec.In || a.Dir == spec.InOut)
}

// moves is how often the inputs are moved: once is enough for large cases.
func moves(op spec.Op) int {
	n, can := 0, false
	for _, a := range spec.Args(op) {
		n, can = n+a.Len(), can || movable(a)
	}
	switch {
	case !can:
		return 0
	case n > 5000:
		return 1
	}
	return 4
}

// stored gives the numbers of a run as they would be stored: those of a naive run in their type.
func (b *bound) stored(i int, a spec.Arg) []float64 {
	if x, ok := a.Value.Interface().([]float64); ok {
		return x
	}
	y := a.Value.Interface().([]float32)
	x := make([]float64, len(y))
	for j, v := range y {
		x[j] = float64(v)
	}
	spec.RoundTo(x, b.bf16(i))
	return x
}

func (b *bound) bf16(i int) bool {
	return b.c.BF16 && b.outputs[i].Type == spec.Real32 && b.byChance(i) == nil
}

// byChance is how element j of output i is rounded, if that is by chance.
func (b *bound) byChance(i int) func(x float64, j int) float32 {
	if b.outputs[i].Name != "W" {
		return nil
	}
	switch o := b.op.(type) {
	case *spec.AdamW[float64]:
		if o.ByChance {
			return func(x float64, j int) float32 { return spec.RoundByChance(float32(x), o.Seed, o.Step, o.First+j) }
		}
	case *spec.AdamW8bit[float64]:
		if o.ByChance {
			return func(x float64, j int) float32 { return spec.RoundByChance(float32(x), o.Seed, o.Step, o.First+j) }
		}
	}
	return nil
}

func (b *bound) floor(i int) float64 {
	if b.bf16(i) {
		return floorBF16
	}
	return floorF32
}

// check says what is wrong with output i, or nothing.
func (b *bound) check(i int, got []float64) string {
	want := b.outputs[i].Floats()
	if b.outputs[i].Each {
		for j := range want {
			if s := b.checkPart(i, j, j+1, got, want); s != "" {
				return s
			}
		}
		return ""
	}
	return b.checkPart(i, 0, len(want), got, want)
}

// checkPart is check for elements [lo, hi).
func (b *bound) checkPart(i, lo, hi int, got, want []float64) string {
	got, want = got[lo:hi], want[lo:hi]
	largest, size := 0.0, 0.0
	for _, w := range want {
		if !math.IsInf(w, 0) && !math.IsNaN(w) {
			largest, size = max(largest, math.Abs(w)), size+w*w
		}
	}
	size = math.Sqrt(size / float64(max(len(want), 1)))
	if b.outputs[i].Unit {
		largest, size = max(largest, 1), max(size, 1)
	}
	naiveMax, naiveRMS := b.naiveError(i, lo, hi)
	if math.IsInf(naiveMax, 1) {
		return "a bad case: the naive implementation is not finite where the reference is"
	}
	at, top, rms := deviation(got, want)
	name := b.outputs[i].Name
	allowed := 2*naiveMax + b.floor(i)*largest + 1e-12
	if round := b.byChance(i); round != nil {
		for j, w := range want {
			low, high := round(w-allowed, j), round(w+allowed, j)
			if x := float32(got[j]); !(low <= x && x <= high) {
				return fmt.Sprintf("%s[%d] = %g, want one of %g … %g, which are rounded from %g", name, j, x, low, high, w)
			}
		}
		return ""
	}
	if !(top <= allowed) {
		return fmt.Sprintf("%s[%d] = %g, want %g: error %.3g, allowed %.3g (naive error %.3g)", name, lo+at, got[at], want[at], top, allowed, naiveMax)
	}
	if allowed := 2*naiveRMS + floorF32*size + 1e-12; len(want) >= 64 && !(rms <= allowed) {
		return fmt.Sprintf("%s: root mean square error %.3g, allowed %.3g (naive error %.3g)", name, rms, allowed, naiveRMS)
	}
	return ""
}

// naiveError is the largest and the root mean square error of naive implementations in elements [lo, hi) of output i.
func (b *bound) naiveError(i, lo, hi int) (top, rms float64) {
	for _, e := range b.errors {
		_, t, r := deviation(b.stored(i, e.got[i])[lo:hi], b.stored(i, e.want[i])[lo:hi])
		top, rms = max(top, t), max(rms, r)
	}
	return top, rms
}

// deviation gives the largest error, where it is, and the root mean square. A value that is not finite must be the same.
func deviation(got, want []float64) (at int, top, rms float64) {
	for i, w := range want {
		e := math.Abs(got[i] - w)
		if got[i] == w || math.IsNaN(got[i]) && math.IsNaN(w) {
			e = 0
		} else if math.IsNaN(e) {
			e = math.Inf(1)
		}
		if e > top {
			at, top = i, e
		}
		rms += e * e
	}
	return at, top, math.Sqrt(rms / float64(max(len(want), 1)))
}

// allows says whether integer j of output i may be id.
func (b *bound) allows(i, j int, id int32) bool {
	return id == integers(b.outputs[i])[j] || id == integers(b.naive[i])[j]
}

// undecided says whether rounding decides an integer of the outputs.
func (b *bound) undecided() bool {
	for i, a := range b.outputs {
		if a.Type == spec.I32 && !slices.Equal(integers(a), integers(b.naive[i])) {
			return true
		}
	}
	return false
}

func integers(a spec.Arg) []int32 { return a.Value.Interface().([]int32) }

// chiSquared is the chance of counts as far from their expectation as these under probabilities p.
func chiSquared(count, p []float64) float64 {
	n := 0.0
	for _, c := range count {
		n += c
	}
	chi, bins := 0.0, 0
	for i, c := range count {
		switch {
		case p[i] > 0:
			chi += (c - n*p[i]) * (c - n*p[i]) / (n * p[i])
			bins++
		case c > 0:
			return 0
		}
	}
	return distuv.ChiSquared{K: float64(bins - 1)}.Survival(chi)
}
