package spec

import (
	"fmt"
	"math"
)

// moments are cases of 8-bit moments: blocks that are not full, odd sizes and places, the whole range of codes.
func (l *list) moments() {
	any := func(g *Gen, n int) *AdamW8bit[float64] {
		o := &AdamW8bit[float64]{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Bias1: 0.5, Bias2: 0.1, Norm: []float64{3, 0}, N: n,
			W: g.Normal(n, 1), Seed: g.Uint64(), Step: g.Uint32(), First: 4 * g.IntN(1<<20), ByChance: g.BF16}
		o.M, o.V, o.Scale, o.Blocks = codes(g, n)
		return o
	}
	for _, n := range []int{0, 2, 255, 256, 257, 260, 516, 3000, 70001} {
		l.add("adamw_8bit", fmt.Sprintf("codes_n%d", n), func(g *Gen) Op { return any(g, n) })
	}
	l.add("adamw_8bit", "codes_first_odd", func(g *Gen) Op {
		o := any(g, 600)
		o.First++
		return o
	})
	l.addSkewed("adamw_8bit", "codes_n600", func(g *Gen) Op { return any(g, 600) })
	l.race(6)
	l.add("adamw_8bit", "new", func(g *Gen) Op { // the first step of a run
		o := any(g, 600)
		clear(o.M)
		clear(o.V)
		clear(o.Scale)
		return o
	})
	l.add("adamw_8bit", "large_and_small", func(g *Gen) Op { // scales at either end of what there is
		o := any(g, 3*momentBlock)
		o.G = g.Normal(o.N, 1)
		for i := range momentBlock {
			o.G[i], o.G[i+momentBlock] = o.G[i]*1e17, o.G[i+momentBlock]*1e-16
			o.M[i+momentBlock], o.V[i+momentBlock] = 0, 0
		}
		return o
	})
}

// codes are random moments of n elements: every code, in units from 2⁻²⁰ to 2⁻⁵.
func codes(g *Gen, n int) (m, v []uint8, scale []float64, blocks int) {
	m, v = make([]uint8, g.made(n)), make([]uint8, g.made(n))
	for i := range m {
		m[i], v[i] = uint8(g.Uint32()), uint8(g.Uint32())
	}
	blocks = (n + momentBlock - 1) / momentBlock
	for range g.made(2 * blocks) {
		scale = append(scale, math.Ldexp(1, -5-g.IntN(16)))
	}
	return m, v, scale, blocks
}

// coded is a with its moments in codes.
func coded(g *Gen, a *AdamW[float64]) *AdamW8bit[float64] {
	o := &AdamW8bit[float64]{LR: a.LR, Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay, Bias1: a.Bias1, Bias2: a.Bias2,
		MaxNorm: a.MaxNorm, SkipNorm: a.SkipNorm, Norm: a.Norm, W: a.W, G: a.G, N: a.N, Seed: g.Uint64(), Step: g.Uint32(), First: g.IntN(3)*(1<<34) + 4*g.IntN(8)}
	o.encode(a.M, a.V)
	return o
}

// encode sets the codes of moments, rounded as at the step.
func (o *AdamW8bit[T]) encode(m, v []float64) {
	o.M, o.V, o.Blocks = make([]uint8, o.N), make([]uint8, o.N), (o.N+momentBlock-1)/momentBlock
	o.Scale = make([]T, 2*o.Blocks)
	for b := range o.Blocks {
		lo, hi := b*momentBlock, min((b+1)*momentBlock, o.N)
		most := func(x []float64) (top float64) {
			for _, x := range x[lo:hi] {
				top = max(top, math.Abs(x))
			}
			return MomentScale(top)
		}
		unitM, unitV := most(m), most(v)
		o.Scale[2*b], o.Scale[2*b+1] = T(unitM), T(unitV)
		for i := lo; i < hi; i++ {
			o.M[i], o.V[i] = EncodeM(m[i], unitM, o.Seed, o.Step, o.First+i), EncodeV(v[i], unitV, o.Seed, o.Step, o.First+i)
		}
	}
}
