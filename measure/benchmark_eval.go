package measure

// A benchmark's scores, with intervals.

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"

	"gonum.org/v1/gonum/stat"
)

// BenchmarkReport is the result of EvaluateBenchmark.
type BenchmarkReport struct {
	Benchmark string            `json:"benchmark"`
	Title     string            `json:"title"`
	Data      string            `json:"data"`
	Rule      string            `json:"rule"`
	Whole     bool              `json:"whole"` // the rows are those of the published files, as far as that is known
	Notes     []string          `json:"notes,omitempty"`
	Rows      int               `json:"rows"` // that are scored
	LeftOut   map[string]int    `json:"left_out,omitempty"`
	Shortened int               `json:"shortened"` // rows of which some text was not read
	Prompts   int               `json:"prompts"`
	Level     float64           `json:"level"`
	Methods   []BenchmarkMethod `json:"methods"`
	Quality   *Quality          `json:"quality,omitempty"` // of the critiques; nil: there are none

	rows []*item
}

// BenchmarkMethod is one kind of number, scored by the rule.
type BenchmarkMethod struct {
	Name    string      `json:"name"`              // reward, judge or length
	Samples int         `json:"samples,omitempty"` // critiques per response, of which the number is the mean: the fewest of any response
	Scores  []Score     `json:"scores"`            // the official ones; the first is the one that is quoted
	More    []Score     `json:"more,omitempty"`
	Parts   []PartScore `json:"parts"`
	Ahead   *Score      `json:"ahead_of_length,omitempty"` // by how much the first score is above that of the length, paired
}

// PartScore is what the comparisons of a part come to. Its accuracy is not weighted.
type PartScore struct {
	Part        string   `json:"part"`
	Rows        int      `json:"rows"`
	Comparisons int      `json:"comparisons"`
	Accuracy    *float64 `json:"accuracy"` // nil: there is nothing to compare
	Ties        int      `json:"ties"`     // exact ones
	NoScore     int      `json:"no_score"` // comparisons with an answer that has no number
}

// LengthOnly says that there is nothing of a model in the rows.
func (r *BenchmarkReport) LengthOnly() bool { return len(r.Methods) == 1 }

// Method gives a method by name.
func (r *BenchmarkReport) Method(name string) (*BenchmarkMethod, bool) {
	i := slices.IndexFunc(r.Methods, func(m BenchmarkMethod) bool { return m.Name == name })
	if i < 0 {
		return nil, false
	}
	return &r.Methods[i], true
}

// EvaluateBenchmark scores rows by a benchmark's official rule: the rewards, the critiques' own scores and the lengths of the responses. A
// missing reward or answer is an error, not a loss. The rewards are means over all critiques; o.Samples asks for smaller m beside them, which
// are the mean of the scores of disjoint groups of so many critiques.
func EvaluateBenchmark(b *Benchmark, records []*record.Record, o EvalOptions) (*BenchmarkReport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("benchmark: no records")
	}
	rs, err := b.rows(records)
	if err != nil {
		return nil, err
	}
	if len(rs.items) == 0 {
		return nil, fmt.Errorf("benchmark: all %d rows are left out: %s", rs.left, record.Counts(rs.leftWhy))
	}
	scale, err := o.ScaleOf(records)
	if err != nil {
		return nil, err
	}
	r := &BenchmarkReport{Benchmark: b.Name, Title: b.Title, Data: b.Data, Rule: b.Rule, Rows: len(rs.items), LeftOut: rs.leftWhy, Shortened: rs.shortened, Level: o.Level, rows: rs.items}
	r.Whole, r.Notes = b.compared(rs)
	clusters := b.clusters(rs.items)
	r.Prompts = len(clusters)
	if q := quality(records, scale); q.Critiques > 0 {
		r.Quality = &q
	}
	methods, err := b.methods(rs, scale, o.Samples)
	if err != nil {
		return nil, err
	}
	draws := make([][][]float64, len(methods))
	for i, m := range methods {
		groups := m.groups(b, rs)
		result := BenchmarkMethod{Name: m.name, Samples: m.samples, Scores: meanScores(groups, b.score), Parts: partScores(groups)}
		if b.more != nil {
			result.More = values(meanScores(groups, b.more))
		}
		draws[i] = b.draw(groups, clusters, len(result.Scores), o)
		for k := range result.Scores {
			result.Scores[k].Interval = percentiles(column(draws[i], k), o.Level)
		}
		values(result.Scores)
		r.Methods = append(r.Methods, result)
	}
	last := len(r.Methods) - 1 // the length
	for i := range r.Methods[:last] {
		first, length := r.Methods[i].Scores[0], r.Methods[last].Scores[0]
		if first.Value == nil || length.Value == nil {
			continue
		}
		differences := column(draws[i], 0)
		for d, x := range column(draws[last], 0) {
			differences[d] -= x
		}
		ahead := Score{Name: first.Name, value: *first.Value - *length.Value, Plain: first.Plain, Interval: percentiles(differences, o.Level)}
		r.Methods[i].Ahead = &values([]Score{ahead})[0]
	}
	return r, nil
}

// method is one kind of number for each answer.
type method struct {
	name      string
	samples   int
	threshold float64
	values    [][][]float64 // by group of critiques, and by row
}

// methods are those that the rows have numbers for: the length always.
func (b *Benchmark) methods(rs *rows, scale critic.Scale, asked []int) (out []method, err error) {
	reward := method{name: "reward", threshold: math.SmallestNonzeroFloat64, values: make([][][]float64, 1)}
	judge := method{name: "judge", threshold: scale.Middle() + 0.5, values: make([][][]float64, 1)}
	length := method{name: "length", threshold: math.NaN(), values: make([][][]float64, 1)}
	anyReward := false
	critiques, rewarded := math.MaxInt, math.MaxInt
	for _, it := range rs.items {
		for r, side := range it.answers {
			anyReward = anyReward || *r.SideReward(side) != nil
			n, with := 0, 0
			for _, c := range sampled(*r.SideCritiques(side)) {
				n++
				if c.Reward != nil {
					with++
				}
			}
			critiques, rewarded = min(critiques, n), min(rewarded, with)
		}
	}
	for _, it := range rs.items {
		length.values[0] = append(length.values[0], characters(it))
		judge.values[0] = append(judge.values[0], scores(it, b))
		if anyReward {
			v, err := rewards(it, b)
			if err != nil {
				return nil, err
			}
			reward.values[0] = append(reward.values[0], v)
		}
	}
	if anyReward {
		reward.samples = rewarded
		out = append(out, reward)
		for _, m := range asked {
			if m >= 1 && m < rewarded {
				out = append(out, reward.of(rs, m))
			}
		}
	}
	if critiques > 0 {
		judge.samples = critiques
		out = append(out, judge)
	}
	return append(out, length), nil
}

// of is the rewards as means of m critiques, in as many groups as there are.
func (m method) of(rs *rows, n int) method {
	groups := m.samples / n
	m.samples, m.values = n, make([][][]float64, groups)
	for g := range groups {
		for _, it := range rs.items {
			var v []float64
			for r, side := range it.answers {
				v = append(v, critic.MeanReward(sampled(*r.SideCritiques(side))[g*n:(g+1)*n]))
			}
			m.values[g] = append(m.values[g], v)
		}
	}
	return m
}

// groups gives the rows their numbers, once for each group of critiques.
func (m *method) groups(b *Benchmark, rs *rows) (out []*sample) {
	for g := range m.values {
		s := &sample{parts: rs.parts, groups: rs.groups, threshold: m.threshold}
		for i, it := range rs.items {
			own := *it
			own.values = m.values[g][i]
			own.outcome = b.hits(&own, s)
			s.items = append(s.items, &own)
		}
		out = append(out, s)
	}
	return out
}

// meanScores are the means of the groups' scores.
func meanScores(groups []*sample, score func(*sample) []Score) (out []Score) {
	for g, s := range groups {
		for k, x := range score(s) {
			if g == 0 {
				out = append(out, x)
				continue
			}
			out[k].value += x.value
		}
	}
	for k := range out {
		out[k].value /= float64(len(groups))
	}
	return out
}

// draw scores draws of the rows, by prompt; draw d is the same for every method. It gives each draw's scores.
func (b *Benchmark) draw(groups []*sample, clusters [][]int, scores int, o EvalOptions) [][]float64 {
	out := make([][]float64, o.Draws)
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			drawn := make([]*sample, len(groups))
			for g, s := range groups {
				drawn[g] = &sample{parts: s.parts, groups: s.groups, threshold: s.threshold}
			}
			for d := w; d < o.Draws; d += workers {
				key := splitmix.Mix(o.Seed ^ splitmix.Mix(uint64(d)+1))
				for g := range drawn {
					drawn[g].items = drawn[g].items[:0]
				}
				for i := range clusters {
					for _, k := range clusters[splitmix.Below(splitmix.Draw(key, uint64(i)), len(clusters))] {
						for g := range drawn {
							drawn[g].items = append(drawn[g].items, groups[g].items[k])
						}
					}
				}
				out[d] = make([]float64, scores)
				for k, x := range meanScores(drawn, b.score) {
					out[d][k] = x.value
				}
			}
		})
	}
	wait.Wait()
	return out
}

// column is one score of each draw.
func column(draws [][]float64, k int) []float64 {
	out := make([]float64, len(draws))
	for d := range draws {
		out[d] = draws[d][k]
	}
	return out
}

// percentiles is the interval of draws, those left out that do not give the score; nil: none does.
func percentiles(x []float64, level float64) *Interval {
	x = slices.DeleteFunc(x, math.IsNaN)
	if len(x) == 0 {
		return nil
	}
	slices.Sort(x)
	return &Interval{Low: stat.Quantile((1-level)/2, stat.Empirical, x, nil), High: stat.Quantile((1+level)/2, stat.Empirical, x, nil)}
}

// values takes over what is a number, for JSON.
func values(list []Score) []Score {
	for i := range list {
		if v := list[i].value; !math.IsNaN(v) {
			list[i].Value = &v
		}
	}
	return list
}

// partScores sums the parts up, over all groups of critiques.
func partScores(groups []*sample) (out []PartScore) {
	s := groups[0]
	n := make([]int, len(s.parts))
	for _, it := range s.items {
		n[it.part]++
	}
	sums := make([]outcome, len(s.parts))
	for _, g := range groups {
		for i, t := range g.tallies() {
			sums[i].add(t)
		}
	}
	for i, t := range sums {
		p := PartScore{Part: s.parts[i], Rows: n[i], Comparisons: t.n, Ties: t.ties, NoScore: t.none}
		if v := t.share(); !math.IsNaN(v) {
			p.Accuracy = &v
		}
		out = append(out, p)
	}
	return out
}

// describe is how a method's column is headed.
func (m *BenchmarkMethod) describe() string {
	if m.Samples > 0 {
		return fmt.Sprintf("%s m=%d", m.Name, m.Samples)
	}
	return strings.TrimSpace(m.Name)
}
