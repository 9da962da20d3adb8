package corpus

import (
	"maps"
	"math"
	"slices"
)

// Lengths counts how often each length occurs. Its memory is that of the distinct lengths.
type Lengths struct {
	counts map[int]int
	n      int
}

// Add counts one.
func (l *Lengths) Add(length int) {
	if l.counts == nil {
		l.counts = map[int]int{}
	}
	l.counts[length]++
	l.n++
}

// Spread describes lengths.
type Spread struct {
	Mean   float64 `json:"mean"`
	Median int     `json:"median"`
	P95    int     `json:"p95"`
	Max    int     `json:"max"`
}

// Spread is exact: it is of all lengths, not of a sample.
func (l *Lengths) Spread() (s Spread) {
	if l.n == 0 {
		return s
	}
	sorted := slices.Sorted(maps.Keys(l.counts))
	sum := 0.0
	for _, v := range sorted {
		sum += float64(v) * float64(l.counts[v])
	}
	at := func(q float64) int {
		rank := min(l.n-1, int(q*float64(l.n)))
		for _, v := range sorted {
			if rank -= l.counts[v]; rank < 0 {
				return v
			}
		}
		panic("corpus: Lengths: the counts are not those of n lengths")
	}
	return Spread{Mean: math.Round(100*sum/float64(l.n)) / 100, Median: at(.5), P95: at(.95), Max: sorted[len(sorted)-1]}
}

// Bin is how many lengths are from From to below To.
type Bin struct {
	From int `json:"from"`
	To   int `json:"to"`
	N    int `json:"n"`
}

// Bins is a histogram with bins of equal ratio, four to a doubling from 8 on, and single lengths before; empty ends are left out.
func (l *Lengths) Bins() (bins []Bin) {
	if l.n == 0 {
		return nil
	}
	sorted := slices.Sorted(maps.Keys(l.counts))
	for from := 0; from <= sorted[len(sorted)-1]; {
		to := from + 1
		if from >= 8 {
			to = max(to, int(math.Round(float64(from)*math.Exp2(1./4))))
		}
		bins = append(bins, Bin{From: from, To: to})
		from = to
	}
	i := 0
	for _, v := range sorted {
		for bins[i].To <= v {
			i++
		}
		bins[i].N += l.counts[v]
	}
	for bins[0].N == 0 {
		bins = bins[1:]
	}
	return bins
}
