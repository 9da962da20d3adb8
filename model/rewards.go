package model

import "math"

// Rewards are statistics of rewards. The zero Rewards are those of none.
type Rewards struct {
	N            int
	Min, Max     float32
	Sum, Squares float64
}

// Add takes rewards, in their order.
func (r *Rewards) Add(x []float32) {
	for _, v := range x {
		r.Join(Rewards{1, v, v, float64(v), float64(v) * float64(v)})
	}
}

// Join takes the rewards of others.
func (r *Rewards) Join(o Rewards) {
	switch {
	case o.N == 0:
		return
	case r.N == 0:
		*r = o
		return
	}
	r.N += o.N
	r.Min, r.Max = min(r.Min, o.Min), max(r.Max, o.Max)
	r.Sum, r.Squares = r.Sum+o.Sum, r.Squares+o.Squares
}

// Mean is NaN of none.
func (r Rewards) Mean() float64 { return r.Sum / float64(r.N) }

// Std is the standard deviation, of the rewards as they are and not of what they are a sample of; NaN of none.
func (r Rewards) Std() float64 {
	mean := r.Mean()
	v := r.Squares/float64(r.N) - mean*mean
	if v < 0 { // rounding, of equal rewards
		v = 0
	}
	return math.Sqrt(v)
}
