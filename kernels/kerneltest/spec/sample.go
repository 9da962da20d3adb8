package spec

import (
	"math/bits"
	"sort"
)

// Sample draws one token for each row of logits; see kernels.h.
type Sample[T Real] struct {
	ID                []int32  `arg:"out i32 B"`
	LogProb           []T      `arg:"out f32 B unit"`
	Logits            []T      `arg:"in f32 B,V exact"`
	Key               []uint64 `arg:"in u64 B"`
	Step              []int32  `arg:"in i32 B"`
	Seed              uint64
	Temperature, TopP T
	TopK, B, V        int
}

func (*Sample[T]) twin() Op { return new(Sample[float32]) }

// Run draws.
func (o *Sample[T]) Run() {
	for b := range o.B {
		logits := o.Logits[b*o.V:][:o.V]
		id := o.draw(logits, Uniform(o.Seed, o.Key[b], uint32(o.Step[b])))
		o.ID[b], o.LogProb[b] = int32(id), logits[id]-logSumExp(logits)
	}
}

func (o *Sample[T]) draw(logits []T, u float64) int {
	order := make([]int, o.V)
	for i := range order {
		order[i] = i
	}
	// p falls as the logit falls; a stable sort leaves ties in order of id
	falling := func(i, j int) bool { return logits[order[i]] > logits[order[j]] }
	if o.Temperature == 0 {
		best := 0
		for i, l := range logits {
			if l > logits[best] {
				best = i
			}
		}
		return best
	}
	p := make([]T, o.V)
	for i, l := range logits {
		p[i] = l / o.Temperature
	}
	lse := logSumExp(p)
	for i := range p {
		p[i] = exp(p[i] - lse)
	}
	if o.TopK > 0 || o.TopP < 1 {
		sort.SliceStable(order, falling)
		if o.TopK > 0 {
			order = order[:min(o.TopK, o.V)]
		}
		if o.TopP < 1 {
			var sum T
			for i, id := range order {
				if sum += p[id]; sum >= o.TopP {
					order = order[:i+1]
					break
				}
			}
		}
	}
	var total, sum T
	for _, id := range order {
		total += p[id]
	}
	for _, id := range order {
		if sum += p[id]; sum > T(u)*total {
			return id
		}
	}
	return order[len(order)-1]
}

// LogProbs gives log-probabilities of some tokens of each row of logits; see kernels.h.
type LogProbs[T Real] struct {
	LogProb []T     `arg:"out f32 M unit"`
	Logits  []T     `arg:"in f32 B,V exact"`
	Ptr     []int32 `arg:"in i32 B+1"`
	ID      []int32 `arg:"in i32 M"`
	B, V, M int
}

func (*LogProbs[T]) twin() Op { return new(LogProbs[float32]) }

// Run reads them off.
func (o *LogProbs[T]) Run() {
	for b := range o.B {
		logits := o.Logits[b*o.V:][:o.V]
		for i := o.Ptr[b]; i < o.Ptr[b+1]; i++ {
			o.LogProb[i] = logits[o.ID[i]] - logSumExp(logits)
		}
	}
}

// Uniform is the number in [0, 1) of a sequence's step: the first word of Philox with counter (step, 0, low key, high key).
func Uniform(seed, key uint64, step uint32) float64 {
	w := Philox([4]uint32{step, 0, uint32(key), uint32(key >> 32)}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(w[0]) / (1 << 32)
}

// Philox is Philox4x32-10 of Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
func Philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, counter[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, counter[2])
		counter = [4]uint32{hi1 ^ counter[1] ^ key[0], lo1, hi0 ^ counter[3] ^ key[1], lo0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return counter
}
