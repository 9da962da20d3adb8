package measure

// Public benchmarks, each by its official rule. A new one is a file with a Benchmark, a line in the table below, and a schema of its rows in
// package record.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/record"
)

// Benchmark is a public benchmark and the rule by which its owners score it. A rule sees numbers only, so that a reward, a judge's scores
// and the length of responses are scored alike.
type Benchmark struct {
	Name  string // record.Benchmark's
	Title string
	Data  string // where the rows are published
	Rule  string // the official rule, in a line

	// Sizes are the numbers of rows by part that the published files have: one of them is a complete file. nil: not known.
	Sizes []map[string]int
	// AnyPairs says that pairs of other layouts will do where somebody asks for this benchmark: the rule needs nothing but a subset.
	AnyPairs bool

	part  func(part, group string) string // how the rule calls a part; nil: as the rows do
	check func(*item) error               // of what the rule cannot use; nil: nothing
	hits  func(*item, *sample) outcome
	// cluster names rows that are drawn together though their prompts differ; nil, "": by prompt.
	cluster func(*item) string
	score   func(*sample) []Score // the official scores, the first is the one that is quoted
	more    func(*sample) []Score // ours, or official ones that come without an interval; nil: none
	silent  *float64              // the number of an answer whose critiques have no score, where the owners give it one; nil: it has none
}

// Benchmarks is the table.
func Benchmarks() []*Benchmark {
	return []*Benchmark{&rewardBench, &rewardBench2, &rmBench, &judgeBench, &rmb, &ppePreference, &ppeCorrectness, &llmBar, &crossEval, &criticBench, &shp, &qaFeedback}
}

// FindBenchmark is the benchmark of a name.
func FindBenchmark(name string) (*Benchmark, error) {
	var names []string
	for _, b := range Benchmarks() {
		if strings.EqualFold(b.Name, name) {
			return b, nil
		}
		names = append(names, b.Name)
	}
	hint := ""
	if near := spell.Nearest(name, names); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	return nil, fmt.Errorf("benchmark: %.60q is not known%s: want one of %s", name, hint, strings.Join(names, ", "))
}

// BenchmarkOf is the benchmark that records are rows of; nil if none is. Rows of several, or of one beside other rows, are an error.
func BenchmarkOf(records []*record.Record) (*Benchmark, error) {
	name, others := "", 0
	for _, r := range records {
		switch {
		case r.Benchmark == nil:
			others++
		case name == "":
			name = r.Benchmark.Name
		case name != r.Benchmark.Name:
			return nil, r.Fault("a row of %s, and others are of %s: score them one by one", r.Benchmark.Name, name)
		}
	}
	if name == "" {
		return nil, nil
	}
	if others > 0 {
		return nil, fmt.Errorf("benchmark: %d of %d records are no rows of %s, as the others are: score them one by one", others, len(records), name)
	}
	return FindBenchmark(name)
}

// Score is one number of a benchmark.
type Score struct {
	Name     string    `json:"name"`
	Value    *float64  `json:"value"` // a share of 1, or a correlation; nil: the rows do not give it
	Interval *Interval `json:"interval,omitempty"`
	Plain    bool      `json:"plain,omitempty"` // not a share: printed as it is
	value    float64
}

// outcome is what the comparisons of one row come to.
type outcome struct {
	hits float64 // credit
	n    int     // comparisons
	ties int     // exact ties among them
	none int     // comparisons with an answer that has no score
}

// item is one row with a number for each answer.
type item struct {
	row      string // for messages, and for rules that read it
	part     int    // index into sample.parts
	partName string
	group    string
	second   bool // the right answer of a pair stood second
	values   []float64
	right    []bool
	ratings  []float64 // NaN: none
	mended   float64   // CriticBench: share of the answer's revisions after critiques that are right; NaN: it has none
	pairs    [][2]int
	records  []*record.Record // of the answers; a pair is one record
	outcome
}

// sample is rows that are scored: all, or a draw of them.
type sample struct {
	parts     []string // of the whole file, also where a draw has no row of one: all draws have the same scores
	groups    []string // likewise
	items     []*item
	threshold float64 // from which a value calls an answer right; NaN: there is none
}

// tallies are the sums of outcomes by part.
func (s *sample) tallies() []outcome {
	out := make([]outcome, len(s.parts))
	for _, it := range s.items {
		t := &out[it.part]
		t.hits += it.hits
		t.n += it.n
		t.ties += it.ties
		t.none += it.none
	}
	return out
}

// share is hits of n; NaN of none.
func (o outcome) share() float64 { return o.hits / float64(o.n) }

// pooled is the share over some parts together, by name; nil: over all.
func (s *sample) pooled(t []outcome, in func(part string) bool) float64 {
	var sum outcome
	for i, o := range t {
		if in == nil || in(s.parts[i]) {
			sum.hits += o.hits
			sum.n += o.n
		}
	}
	return sum.share()
}

// by is the share of each part as a score, in order of the parts.
func (s *sample) by(t []outcome) (out []Score) {
	for i, o := range t {
		out = append(out, Score{Name: cmp.Or(s.parts[i], unnamed), value: o.share()})
	}
	return out
}

// unnamed is what a part is called whose rows do not say what they are a part of.
const unnamed = "(not named)"

// mean is the unweighted mean of those of some values that are there.
func mean(values ...float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if v == v {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// meanScore is the mean of scores.
func meanScore(list []Score) float64 {
	var values []float64
	for _, s := range list {
		values = append(values, s.value)
	}
	return mean(values...)
}

// has reports whether the file has such a part.
func (s *sample) has(part func(string) bool) bool { return slices.ContainsFunc(s.parts, part) }

// compare is one comparison of two answers: the first should be strictly ahead.
func compare(right, wrong float64) outcome {
	o := outcome{n: 1}
	switch {
	case right != right || wrong != wrong:
		o.none = 1
	case right > wrong:
		o.hits = 1
	case right == wrong:
		o.ties = 1
	}
	return o
}

func (o *outcome) add(x outcome) {
	o.hits += x.hits
	o.n += x.n
	o.ties += x.ties
	o.none += x.none
}

// strictPair is a pair whose right answer must be strictly ahead.
func strictPair(it *item, _ *sample) outcome { return compare(it.values[0], it.values[1]) }

// equals makes a test of a part's name.
func equals(name string) func(string) bool { return func(part string) bool { return part == name } }
