package measure

// Bootstrap intervals, resampled by prompt: pairs of one prompt are not independent, so whole prompts are drawn.

import (
	"slices"

	"criticrm/record"
	"criticrm/splitmix"

	"gonum.org/v1/gonum/stat"
)

// Interval is a bootstrap percentile interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Bootstrap resamples a fixed list of pairs. Draw d is the same for every statistic, so differences of two methods
// are paired.
type Bootstrap struct {
	clusters [][]int // pairs of each prompt, prompts in order of first occurrence
	category []int   // of each pair, index into names
	names    []string
	draws    int
	level    float64
	seed     uint64
}

// NewBootstrap groups the pairs by prompt and category. draws ≥ 1; level is for example 0.95.
func NewBootstrap(records []*record.Record, draws int, level float64, seed uint64) *Bootstrap {
	prompts, categories := make([]string, len(records)), make([]string, len(records))
	for i, r := range records {
		prompts[i], categories[i] = r.Prompt.Key(), r.Group()
	}
	return NewBootstrapBy(prompts, categories, draws, level, seed)
}

// NewBootstrapBy is NewBootstrap for pairs of which only this is known: what identifies each one's prompt, and its category.
func NewBootstrapBy[K comparable](prompts []K, categories []string, draws int, level float64, seed uint64) *Bootstrap {
	if draws < 1 {
		panic("measure: NewBootstrap: draws must be positive")
	}
	if !(level > 0 && level < 1) {
		panic("measure: NewBootstrap: level must lie between 0 and 1")
	}
	b := &Bootstrap{draws: draws, level: level, seed: seed}
	b.names = slices.Compact(slices.Sorted(slices.Values(categories)))
	cluster := map[K]int{}
	for i, key := range prompts {
		c, _ := slices.BinarySearch(b.names, categories[i])
		b.category = append(b.category, c)
		g, ok := cluster[key]
		if !ok {
			g = len(b.clusters)
			cluster[key] = g
			b.clusters = append(b.clusters, nil)
		}
		b.clusters[g] = append(b.clusters[g], i)
	}
	return b
}

// Categories are the category names in order.
func (b *Bootstrap) Categories() []string { return b.names }

// Prompts is the number of distinct prompts.
func (b *Bootstrap) Prompts() int { return len(b.clusters) }

// Estimate is a mean with its interval: over all pairs, as the unweighted mean of the categories, and per category.
type Estimate struct {
	N          int        `json:"n"`
	Mean       float64    `json:"mean"`
	Interval   Interval   `json:"interval"`
	Macro      float64    `json:"macro"`
	MacroRange Interval   `json:"macro_interval"`
	Categories []Category `json:"categories"`
}

// Category is the part of an Estimate that belongs to one category.
type Category struct {
	Name     string   `json:"name"`
	N        int      `json:"n"`
	Mean     float64  `json:"mean"`
	Interval Interval `json:"interval"`
}

// partial is a sum over some pairs of one category.
type partial struct{ sum, n float64 }

// Mean estimates the mean of x, one value per pair in the order of NewBootstrap. A draw without any pair of a
// category is left out of that category's interval.
func (b *Bootstrap) Mean(x []float64) Estimate {
	if len(x) != len(b.category) {
		panic("measure: Bootstrap.Mean: want one value per pair")
	}
	k := len(b.names)
	// Per prompt and category first: a draw then costs one addition per prompt and category in it.
	sums := make([]map[int]partial, len(b.clusters))
	total := make([]partial, k)
	for g, pairs := range b.clusters {
		sums[g] = map[int]partial{}
		for _, i := range pairs {
			c := b.category[i]
			p := sums[g][c]
			sums[g][c] = partial{p.sum + x[i], p.n + 1}
			total[c] = partial{total[c].sum + x[i], total[c].n + 1}
		}
	}
	drawn := make([][]partial, b.draws)
	flat := flatten(sums)
	for d := range drawn {
		drawn[d] = make([]partial, k)
		key := splitmix.Mix(b.seed ^ splitmix.Mix(uint64(d)+1))
		for i := range b.clusters {
			for _, p := range flat[splitmix.Below(splitmix.Draw(key, uint64(i)), len(flat))] {
				drawn[d][p.category].sum += p.sum
				drawn[d][p.category].n += p.n
			}
		}
	}
	return b.estimate(total, drawn)
}

// estimate makes an Estimate of the sums of each category, over all pairs and over those of each draw.
func (b *Bootstrap) estimate(total []partial, drawn [][]partial) (e Estimate) {
	for _, p := range total {
		e.N += int(p.n)
	}
	var ok bool
	if e.Mean, e.Macro, ok = overall(total); !ok {
		return e
	}
	means, macros := make([]float64, 0, b.draws), make([]float64, 0, b.draws)
	perCategory := make([][]float64, len(total))
	for _, sums := range drawn {
		mean, macro, _ := overall(sums)
		means, macros = append(means, mean), append(macros, macro)
		for c, p := range sums {
			if p.n > 0 {
				perCategory[c] = append(perCategory[c], p.sum/p.n)
			}
		}
	}
	e.Interval, e.MacroRange = b.interval(means), b.interval(macros)
	for c, name := range b.names {
		e.Categories = append(e.Categories, Category{Name: name, N: int(total[c].n), Mean: total[c].sum / total[c].n,
			Interval: b.interval(perCategory[c])})
	}
	return e
}

// Difference estimates the mean of x - y, paired.
func (b *Bootstrap) Difference(x, y []float64) Estimate {
	if len(x) != len(y) {
		panic("measure: Bootstrap.Difference: want equally many values")
	}
	d := make([]float64, len(x))
	for i := range x {
		d[i] = x[i] - y[i]
	}
	return b.Mean(d)
}

type categorySum struct {
	category int
	partial
}

// flatten turns the maps into slices in category order: sums must not depend on map order.
func flatten(sums []map[int]partial) [][]categorySum {
	out := make([][]categorySum, len(sums))
	for g, m := range sums {
		for c, p := range m {
			out[g] = append(out[g], categorySum{c, p})
		}
		slices.SortFunc(out[g], func(a, b categorySum) int { return a.category - b.category })
	}
	return out
}

// overall is the mean over all values and the unweighted mean over the categories that have any.
func overall(parts []partial) (mean, macro float64, ok bool) {
	var all partial
	present := 0
	for _, p := range parts {
		if p.n > 0 {
			all.sum += p.sum
			all.n += p.n
			macro += p.sum / p.n
			present++
		}
	}
	if present == 0 {
		return 0, 0, false
	}
	return all.sum / all.n, macro / float64(present), true
}

// interval takes the empirical quantiles (1 ± level)/2; x is sorted in place.
func (b *Bootstrap) interval(x []float64) Interval {
	if len(x) == 0 {
		return Interval{}
	}
	slices.Sort(x)
	return Interval{
		Low:  stat.Quantile((1-b.level)/2, stat.Empirical, x, nil),
		High: stat.Quantile((1+b.level)/2, stat.Empirical, x, nil),
	}
}

// Statistics estimates figures that are no means, n of them: f is given how often each pair is drawn, in the order of NewBootstrap, and writes
// the figures to out; NaN is one that is not defined. It is called once with every pair once, which gives the values, and once for each draw.
// Draws in which a figure is not defined are left out of its interval. Between draws, tick is called, if there is one.
func (b *Bootstrap) Statistics(n int, f func(drawn []float64, out []float64), tick func()) (values []float64, intervals []Interval) {
	values, intervals = make([]float64, n), make([]Interval, n)
	drawn, out := make([]float64, len(b.category)), make([]float64, n)
	for i := range drawn {
		drawn[i] = 1
	}
	f(drawn, values)
	all := make([][]float64, n)
	for d := range b.draws {
		clear(drawn)
		key := splitmix.Mix(b.seed ^ splitmix.Mix(uint64(d)+1))
		for i := range b.clusters {
			for _, pair := range b.clusters[splitmix.Below(splitmix.Draw(key, uint64(i)), len(b.clusters))] {
				drawn[pair]++
			}
		}
		f(drawn, out)
		for k, v := range out {
			if v == v {
				all[k] = append(all[k], v)
			}
		}
		if tick != nil {
			tick()
		}
	}
	for k := range all {
		intervals[k] = b.interval(all[k])
	}
	return values, intervals
}
