package measure

// Correlations with ties.

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// pearson is Pearson's r; NaN where there are fewer than two values or one side is constant.
func pearson(x, y []float64) float64 {
	if len(x) < 2 || constant(x) || constant(y) { // rounding would make something of it
		return math.NaN()
	}
	return stat.Correlation(x, y, nil)
}

func constant(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return v != x[0] })
}

// spearman is Spearman's ρ: Pearson's r of the ranks, equal values at their mean rank.
func spearman(x, y []float64) float64 { return pearson(ranks(x), ranks(y)) }

// ranks are the places in order from 1, equal values at the mean of theirs.
func ranks(x []float64) []float64 {
	order := sorted(x, x)
	out := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			out[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return out
}

// sorted are the indices in the order of x, and of y where x is equal.
func sorted(x, y []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(x[a], x[b]), cmp.Compare(y[a], y[b])) })
	return order
}

// kendall is Kendall's τ-b, which takes ties out of the possible pairs of each side (gonum's counts them as agreement or not by their
// sign). It takes n log n steps, by Knight's way: the discordant pairs are the exchanges that sort y once it is in the order of x.
func kendall(x, y []float64) float64 {
	n := len(x)
	if n < 2 {
		return math.NaN()
	}
	order := sorted(x, y)
	ys := make([]float64, n)
	for i, k := range order {
		ys[i] = y[k]
	}
	equal := func(same func(i int) bool) (pairs float64) { // of runs in order
		run := 1.0
		for i := 1; i <= n; i++ {
			if i < n && same(i) {
				run++
				continue
			}
			pairs += run * (run - 1) / 2
			run = 1
		}
		return pairs
	}
	tiesX := equal(func(i int) bool { return x[order[i]] == x[order[i-1]] })
	tiesBoth := equal(func(i int) bool { return x[order[i]] == x[order[i-1]] && ys[i] == ys[i-1] })
	discordant := exchanges(ys, make([]float64, n)) // ys is sorted then
	tiesY := equal(func(i int) bool { return ys[i] == ys[i-1] })
	all := float64(n) * float64(n-1) / 2
	if all == tiesX || all == tiesY {
		return math.NaN()
	}
	return (all - tiesX - tiesY + tiesBoth - 2*discordant) / math.Sqrt(all-tiesX) / math.Sqrt(all-tiesY)
}

// exchanges sorts x by merging and counts the pairs that were in the wrong order.
func exchanges(x, room []float64) (n float64) {
	if len(x) < 2 {
		return 0
	}
	m := len(x) / 2
	n = exchanges(x[:m], room[:m]) + exchanges(x[m:], room[m:])
	i, j := 0, m
	for k := range room {
		if i < m && (j == len(x) || x[i] <= x[j]) {
			room[k] = x[i]
			i++
		} else {
			n += float64(m - i)
			room[k] = x[j]
			j++
		}
	}
	copy(x, room)
	return n
}

// auc is the chance that a value of right is above one of wrong, ties one half (Mann and Whitney's U); NaN where one of them is empty. Both
// are sorted in place.
func auc(right, wrong []float64) float64 {
	slices.Sort(wrong)
	sum := 0.0
	for _, x := range right {
		below, _ := slices.BinarySearch(wrong, x)
		upTo, _ := slices.BinarySearchFunc(wrong, x, func(w, x float64) int {
			if w <= x {
				return -1
			}
			return 1
		})
		sum += float64(below) + float64(upTo-below)/2
	}
	return sum / (float64(len(right)) * float64(len(wrong)))
}
