package spec

import "math"

// GradNorm is norm[0] = sqrt(Σ g²); norm[1] = how many elements are not finite.
type GradNorm[T Real] struct {
	Norm []T `arg:"out f32 2 each"`
	G    []T `arg:"in f32 N"`
	N    int
}

// Run sums.
func (o *GradNorm[T]) Run() {
	o.Norm[0], o.Norm[1] = sqrt(dot(o.G, o.G)), 0
	for _, g := range o.G {
		if !finite(g) {
			o.Norm[1]++
		}
	}
}

// clip is the factor of the gradient, and whether there is an update at all.
func clip[T Real](norm []T, maxNorm T) (factor T, ok bool) {
	if !finite(norm[0]) || norm[1] > 0 {
		return 0, false
	}
	if maxNorm > 0 && norm[0] > maxNorm {
		return maxNorm / norm[0], true
	}
	return 1, true
}

// AdamW is m = β1·m + (1-β1)·g'; v = β2·v + (1-β2)·g'²; p -= lr·((m/bias1)/(sqrt(v/bias2) + eps) + weight_decay·p), with
// g' = g·min(1, max_norm/norm) and p the master copy, then w = p; or w itself where there is no master. With ByChance, w is
// bfloat16 without a master: it is stored as RoundByChance says, of which Run, whose numbers are not rounded, does nothing.
type AdamW[T Real] struct {
	W                                  []T `arg:"in/out real N"`
	Master                             []T `arg:"in/out f32 N or-nil"`
	M                                  []T `arg:"in/out f32 N"`
	V                                  []T `arg:"in/out f32 N"`
	G                                  []T `arg:"in f32 N"`
	Norm                               []T `arg:"in f32 2 exact"`
	LR, Beta1, Beta2, Eps, WeightDecay T
	Bias1, Bias2, MaxNorm              T
	ByChance                           bool
	Seed                               uint64
	Step                               uint32
	First, N                           int
}

// Run updates, unless the norm says that the gradient is broken.
func (o *AdamW[T]) Run() {
	factor, ok := clip(o.Norm, o.MaxNorm)
	if !ok {
		return
	}
	p := o.Master
	if p == nil {
		p = o.W
	}
	for i := range o.N {
		g := o.G[i] * factor
		o.M[i] = o.Beta1*o.M[i] + (1-o.Beta1)*g
		o.V[i] = o.Beta2*o.V[i] + (1-o.Beta2)*g*g
		p[i] -= o.LR * (o.M[i]/o.Bias1/(sqrt(o.V[i]/o.Bias2)+o.Eps) + o.WeightDecay*p[i])
		o.W[i] = p[i]
	}
}

// RoundByChance rounds element i of all parameters to one of its two neighbours in bfloat16: r in [0, 2¹⁶) is added to its bits,
// of which the upper half is kept, so that the farther neighbour is taken as often as p is near it. r is the upper half of a
// word of Philox with counter (low i/4, high i/4, step, 2). What is not finite stays so.
func RoundByChance(p float32, seed uint64, step uint32, i int) float32 {
	if !finite(p) {
		return p
	}
	quad := uint64(i) / 4
	word := Philox([4]uint32{uint32(quad), uint32(quad >> 32), step, 2}, [2]uint32{uint32(seed), uint32(seed >> 32)})[i%4]
	return math.Float32frombits((math.Float32bits(p) + word>>16) &^ 0xffff)
}
