package spec

import "math"

// GradNorm is norm[0] = sqrt(Σ g²); norm[1] = how many elements are not finite.
type GradNorm[T Real] struct {
	Norm []T `arg:"out f32 2 each"`
	G    []T `arg:"in f32 N"`
	N    int
}

func (*GradNorm[T]) twin() Op { return new(GradNorm[float32]) }

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
func clip[T Real](norm []T, maxNorm, skipNorm T) (factor T, ok bool) {
	if !finite(norm[0]) || norm[1] > 0 || skipNorm > 0 && norm[0] > skipNorm {
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
	Bias1, Bias2, MaxNorm, SkipNorm    T
	ByChance                           bool
	Seed                               uint64
	Step                               uint32
	First, N                           int
}

func (*AdamW[T]) twin() Op { return new(AdamW[float32]) }

// Run updates, unless the norm says that the gradient is broken.
func (o *AdamW[T]) Run() {
	factor, ok := clip(o.Norm, o.MaxNorm, o.SkipNorm)
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
	return math.Float32frombits((math.Float32bits(p) + roundingWord(seed, step, i)>>16) &^ 0xffff)
}

// roundingWord is the random word of element i of all parameters at a step.
func roundingWord(seed uint64, step uint32, i int) uint32 {
	quad := uint64(i) / 4
	return Philox([4]uint32{uint32(quad), uint32(quad >> 32), step, 2}, [2]uint32{uint32(seed), uint32(seed >> 32)})[i%4]
}

// momentBlock is how many elements share a scale.
const momentBlock = 256

// AdamW8bit is AdamW whose moments are codes, which are decoded first and encoded last. Rounding by chance is left to whoever compares:
// Run leaves the codes, and puts what they are to encode into MExact and VExact.
type AdamW8bit[T Real] struct {
	W                                  []T     `arg:"in/out real N"`
	Master                             []T     `arg:"in/out f32 N or-nil"`
	M                                  []uint8 `arg:"in/out u8 N"`
	V                                  []uint8 `arg:"in/out u8 N"`
	Scale                              []T     `arg:"in/out f32 Blocks,2 exact"`
	MExact                             []T     `arg:"aside f32 N"`
	VExact                             []T     `arg:"aside f32 N"`
	G                                  []T     `arg:"in f32 N"`
	Norm                               []T     `arg:"in f32 2 exact"`
	LR, Beta1, Beta2, Eps, WeightDecay T
	Bias1, Bias2, MaxNorm, SkipNorm    T
	ByChance                           bool
	Seed                               uint64
	Step                               uint32
	First, N, Blocks                   int
}

func (*AdamW8bit[T]) twin() Op { return new(AdamW8bit[float32]) }

// Run decodes, updates as AdamW does, and finds the scales.
func (o *AdamW8bit[T]) Run() {
	for i := range o.N {
		scale := o.Scale[i/momentBlock*2:]
		o.MExact[i], o.VExact[i] = T(DecodeM(o.M[i], float64(scale[0]))), T(DecodeV(o.V[i], float64(scale[1])))
	}
	if o.Skips() {
		return
	}
	a := AdamW[T]{W: o.W, Master: o.Master, M: o.MExact, V: o.VExact, G: o.G, Norm: o.Norm, LR: o.LR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps,
		WeightDecay: o.WeightDecay, Bias1: o.Bias1, Bias2: o.Bias2, MaxNorm: o.MaxNorm, SkipNorm: o.SkipNorm, N: o.N}
	a.Run()
	for b := range o.Blocks {
		var m, v T
		for i := b * momentBlock; i < min((b+1)*momentBlock, o.N); i++ {
			m, v = max(m, abs(o.MExact[i])), max(v, o.VExact[i])
		}
		o.Scale[2*b], o.Scale[2*b+1] = T(MomentScale(float64(m))), T(MomentScale(float64(v)))
	}
}

// Skips says that nothing is changed.
func (o *AdamW8bit[T]) Skips() bool {
	_, ok := clip(o.Norm, o.MaxNorm, o.SkipNorm)
	return !ok
}

// MomentScale is the unit of a block whose largest magnitude is x: the least power of two from 2⁻⁹⁰ to 2¹²⁶ with x ≤ 1.875 units.
func MomentScale(x float64) float64 {
	scale := math.Ldexp(1, -90)
	for x > 1.875*scale && scale < math.Ldexp(1, 126) {
		scale *= 2
	}
	return scale
}

// DecodeM is the first moment of a code: a sign, 4 bits of exponent, 3 of mantissa.
func DecodeM(code uint8, scale float64) float64 {
	x := minifloat(code&127) * math.Ldexp(scale, -17)
	if code > 127 {
		return -x
	}
	return x
}

// DecodeV is the second moment of a code: 5 bits of exponent, 3 of mantissa.
func DecodeV(code uint8, scale float64) float64 { return minifloat(code) * math.Ldexp(scale, -33) }

// minifloat gives the numbers with 3 bits of mantissa in their order: 0, 1, … 15, 16, 18, … 30, 32, 36, …
func minifloat(code uint8) float64 {
	if code < 8 {
		return float64(code)
	}
	return math.Ldexp(float64(8+code%8), int(code/8)-1)
}

// EncodeM is the code that element i of all parameters gets for its first moment at a step: that of one of the two neighbours of x, the
// farther one as often as x is near it, to 16 random bits.
func EncodeM(x, scale float64, seed uint64, step uint32, i int) uint8 {
	code := encode(math.Abs(x)*math.Ldexp(1/scale, 17), 127, roundingWord(seed, step, i)>>8)
	if math.Signbit(x) {
		code |= 128
	}
	return code
}

// EncodeV is EncodeM for the second moment, which does not become 0 if it is not.
func EncodeV(x, scale float64, seed uint64, step uint32, i int) uint8 {
	code := encode(x*math.Ldexp(1/scale, 33), 255, roundingWord(seed, step, i))
	if x != 0 {
		return max(code, 1)
	}
	return code
}

// encode rounds x, in units of minifloat, up if its distance from the code below and random, in 2⁻¹⁶ of the distance of the two codes, are
// one together.
func encode(x float64, most uint8, random uint32) uint8 {
	code := uint8(0)
	for code < most && minifloat(code+1) <= x {
		code++
	}
	if code == most {
		return code
	}
	low, high := minifloat(code), minifloat(code+1)
	if (x-low)/(high-low)+float64(random&0xffff)/(1<<16) >= 1 {
		code++
	}
	return code
}
