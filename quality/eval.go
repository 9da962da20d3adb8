package quality

import (
	"fmt"
	"math"
	"slices"

	"criticrm/critic"
	"criticrm/measure"
)

// Options are the settings of Evaluate.
type Options struct {
	Draws  int          `json:"draws"` // of the bootstrap
	Level  float64      `json:"level"` // of the intervals
	Seed   uint64       `json:"seed"`  // of the draws
	Scale  critic.Scale `json:"scale"`
	BestOf int          `json:"best_of"` // responses of a prompt that the best is picked among, at most; 0: as many as every prompt with two or more has

	Progress func(draws int) `json:"-"` // that are done, of all figures; may be nil
}

// DefaultOptions are measure's.
func DefaultOptions() Options {
	o := measure.DefaultEvalOptions()
	return Options{Draws: o.Draws, Level: o.Level, Seed: o.Seed, Scale: critic.DefaultScale()}
}

// Figure is a number with its interval; without a value it is not defined.
type Figure struct {
	Value    *float64         `json:"value"`
	Interval measure.Interval `json:"interval"`
}

// Where a threshold is from.
const (
	FromMiddle     = "middle of the scale"
	FromZero       = "0"
	FromValidation = "validation"
)

// Method is one way to say which responses are wrong.
type Method struct {
	Name          string  `json:"name"`
	Samples       int     `json:"samples,omitempty"` // critiques behind one verdict
	Threshold     float64 `json:"threshold"`         // values above it call a response right
	ThresholdFrom string  `json:"threshold_from"`
	Rows          []Row   `json:"rows"` // all, then each category
}

// Row is a method on some items. An item has as many verdicts as there are disjoint groups of its critiques.
type Row struct {
	Category  string `json:"category"`
	Items     int    `json:"items"`
	Wrong     int    `json:"wrong"`    // items that are
	Verdicts  int    `json:"verdicts"` // TruePos + FalsePos + FalseNeg + TrueNeg
	NoScore   int    `json:"no_score"` // of those, without a number: counted as the wrong verdict, left out of AUROC
	TruePos   int    `json:"true_positives"`
	FalsePos  int    `json:"false_positives"`
	FalseNeg  int    `json:"false_negatives"`
	TrueNeg   int    `json:"true_negatives"`
	Precision Figure `json:"precision"`
	Recall    Figure `json:"recall"`
	F1        Figure `json:"f1"`
	MCC       Figure `json:"mcc"`
	AUROC     Figure `json:"auroc"`
	Accuracy  Figure `json:"accuracy"`
}

// Report is the result of Evaluate.
type Report struct {
	Records   int            `json:"records"`
	LeftOut   map[string]int `json:"left_out"` // records, by reason
	Items     int            `json:"items"`
	Prompts   int            `json:"prompts"`
	Wrong     int            `json:"wrong"` // items that are
	Critiques int            `json:"critiques_per_item"`
	Options
	Methods   []Method    `json:"methods"`
	Critique  *Method     `json:"labelled_critiques,omitempty"` // the meta-judge's verdicts on critiques with a label
	Steps     []Steps     `json:"first_error_step,omitempty"`
	Soundness []Soundness `json:"soundness,omitempty"`
	Revisions []Revised   `json:"revisions,omitempty"`
	Against   []Against   `json:"revision_differences,omitempty"`
	BestOfN   []Best      `json:"best_of_n,omitempty"`
	Notes     []string    `json:"notes,omitempty"` // what was not measured, and why
}

// sample is the items with what is drawn from them.
type sample struct {
	items  []*Item
	groups []string // categories, if there are several
	of     []int    // of each item
	boot   *measure.Bootstrap
	o      *Options
	draws  int // done
}

func newSample(items []*Item, o *Options) *sample {
	s := &sample{items: items, o: o}
	prompts, groups := make([]string, len(items)), make([]string, len(items))
	for i, it := range items {
		prompts[i], groups[i] = it.Prompt, it.Group
	}
	s.boot = measure.NewBootstrapBy(prompts, groups, o.Draws, o.Level, o.Seed)
	s.groups = s.boot.Categories()
	for _, g := range groups {
		i, _ := slices.BinarySearch(s.groups, g)
		s.of = append(s.of, i)
	}
	if len(s.groups) == 1 {
		s.groups = nil
	}
	return s
}

// names are those of the parts that figures are given of: all items, then each category.
func (s *sample) names() []string { return append([]string{"all"}, s.groups...) }

// in says whether an item belongs to a part.
func (s *sample) in(item, part int) bool { return part == 0 || s.of[item] == part-1 }

// statistics are figures of parts, n of each.
func (s *sample) statistics(n int, f func(part int, drawn, out []float64)) [][]Figure {
	parts := len(s.names())
	values, intervals := s.boot.Statistics(n*parts, func(drawn, out []float64) {
		for p := range parts {
			f(p, drawn, out[p*n:(p+1)*n])
		}
	}, func() {
		if s.draws++; s.o.Progress != nil {
			s.o.Progress(s.draws)
		}
	})
	out := make([][]Figure, parts)
	for p := range parts {
		for k := range n {
			fig := Figure{Interval: intervals[p*n+k]}
			if v := values[p*n+k]; finite(v) {
				fig.Value = &v
			} else {
				fig.Interval = measure.Interval{}
			}
			out[p] = append(out[p], fig)
		}
	}
	return out
}

// source is how a method comes by its observations.
type source struct {
	name      string
	samples   int
	threshold float64
	from      string
	observe   func([]*Item) []observation
}

// Evaluate measures items. valid are those of a validation file, on which thresholds are set; none: they are the scale's middle and 0.
func Evaluate(items, valid []*Item, o Options) (*Report, error) {
	if o.Draws < 1 || o.Draws > 1<<20 || !(o.Level > 0 && o.Level < 1) {
		return nil, fmt.Errorf("critique-eval: got %d draws and level %v, want 1 to %d draws and a level between 0 and 1", o.Draws, o.Level, 1<<20)
	}
	if o.BestOf < 0 {
		return nil, fmt.Errorf("critique-eval: best_of: got %d, want 0 or more", o.BestOf)
	}
	if err := o.Scale.Validate(); err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("critique-eval: there is no response with a label to measure")
	}
	s := newSample(items, &o)
	r := &Report{Items: len(items), Prompts: s.boot.Prompts(), Options: o}
	for _, it := range items {
		if !it.Right {
			r.Wrong++
		}
	}
	sources, m, err := sourcesOf(items, o.Scale)
	if err != nil {
		return nil, err
	}
	if r.Critiques = m; valid != nil {
		if err := thresholds(sources, valid, o.Scale); err != nil {
			return nil, err
		}
	}
	for _, src := range append(sources, alwaysWrong) {
		r.Methods = append(r.Methods, s.method(src))
	}
	if err := s.labelled(r, valid); err != nil {
		return nil, err
	}
	s.steps(r, sources)
	s.soundness(r, sources)
	s.revisions(r)
	s.bestOf(r)
	r.notes(sources)
	return r, nil
}

// notes says what the figures cannot tell.
func (r *Report) notes(sources []source) {
	switch {
	case r.Wrong == r.Items:
		r.Notes = append(r.Notes, "all responses are wrong: precision is 1 for whatever is found, and F1 is 1 for calling every response wrong; recall alone tells something")
	case r.Wrong == 0:
		r.Notes = append(r.Notes, "all responses are right: accuracy alone tells something")
	}
	if len(sources) == 0 {
		r.Notes = append(r.Notes, "the responses have no sampled critiques and no rewards: no verdict is measured; 'criticrm score' or 'criticrm generate' writes them")
	}
}

// alwaysWrong needs no model.
var alwaysWrong = source{name: "calling every response wrong", from: FromZero, observe: func(items []*Item) []observation {
	list := make([]observation, len(items))
	for i, it := range items {
		list[i] = observation{i, -1, it.Right}
	}
	return list
}}

// sourcesOf lists the methods that items allow, and the number of critiques that every item has.
func sourcesOf(items []*Item, scale critic.Scale) (list []source, m int, err error) {
	m = math.MaxInt
	some, rewards, critiqueRewards := 0, 0, true
	for _, it := range items {
		m = min(m, len(it.Critiques))
		if len(it.Critiques) > 0 {
			some++
		}
		if it.Reward != nil {
			rewards++
		}
		for _, c := range it.Critiques {
			critiqueRewards = critiqueRewards && c.Reward != nil
		}
	}
	for _, have := range []struct {
		n    int
		what string
		has  func(*Item) bool
	}{{some, "sampled critiques", func(it *Item) bool { return len(it.Critiques) > 0 }}, {rewards, "a reward", func(it *Item) bool { return it.Reward != nil }}} {
		if have.n == 0 || have.n == len(items) {
			continue
		}
		i := slices.IndexFunc(items, func(it *Item) bool { return !have.has(it) })
		return nil, 0, fmt.Errorf("critique-eval: %d of %d responses have %s, the %s of record %.40q has none: score all of them first",
			have.n, len(items), have.what, items[i].Side, items[i].ID)
	}
	for _, k := range powers(m) {
		list = append(list, source{fmt.Sprintf("score m=%d", k), k, scale.Middle(), FromMiddle, groupsOf(k, m/k, func(c *Critique) *float64 { return c.Score })})
	}
	switch {
	case rewards == 0:
	case m > 0 && critiqueRewards:
		for _, k := range powers(m) {
			list = append(list, source{fmt.Sprintf("reward m=%d", k), k, 0, FromZero, groupsOf(k, m/k, func(c *Critique) *float64 { return c.Reward })})
		}
	default:
		list = append(list, source{"reward", 0, 0, FromZero, func(items []*Item) (list []observation) {
			for i, it := range items {
				list = append(list, observation{i, *it.Reward, it.Right})
			}
			return list
		}})
	}
	return list, m, nil
}

// powers are those of two below m, and m.
func powers(m int) (list []int) {
	for k := 1; k < m; k *= 2 {
		list = append(list, k)
	}
	if m > 0 {
		list = append(list, m)
	}
	return list
}

// groupsOf averages the numbers of disjoint groups of k critiques; what has no number is left out of its group's mean.
func groupsOf(k, groups int, number func(*Critique) *float64) func([]*Item) []observation {
	return func(items []*Item) (list []observation) {
		for i, it := range items {
			for g := range groups {
				sum, n := 0.0, 0.0
				for j := g * k; j < (g+1)*k; j++ {
					if v := number(&it.Critiques[j]); v != nil {
						sum += *v
						n++
					}
				}
				list = append(list, observation{i, sum / n, it.Right}) // 0/0: NaN
			}
		}
		return list
	}
}

// thresholds sets those of the sources on validation items.
func thresholds(sources []source, valid []*Item, scale critic.Scale) error {
	known, m, err := sourcesOf(valid, scale)
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	for i := range sources {
		s := &sources[i]
		k := slices.IndexFunc(known, func(v source) bool { return v.name == s.name })
		if k < 0 {
			return fmt.Errorf("critique-eval: the validation file cannot set the threshold of %s: its responses have %d critiques each, and %s; score it with the same model and as many critiques",
				s.name, m, map[bool]string{true: "rewards", false: "no rewards"}[slices.ContainsFunc(known, func(v source) bool { return v.from == FromZero })])
		}
		t, ok := bestThreshold(known[k].observe(valid), s.threshold)
		if !ok {
			return fmt.Errorf("critique-eval: the validation file cannot set the threshold of %s: it wants right and wrong responses, both with a score", s.name)
		}
		s.threshold, s.from = t, FromValidation
	}
	return nil
}

// method measures a source on all parts.
func (s *sample) method(src source) Method {
	m := Method{Name: src.name, Samples: src.samples, Threshold: src.threshold, ThresholdFrom: src.from}
	m.Rows = s.rows(src.observe(s.items), src.threshold)
	return m
}

func (s *sample) rows(list []observation, threshold float64) (rows []Row) {
	parts := s.names()
	of, sorted := make([][]observation, len(parts)), make([][]observation, len(parts))
	for p := range parts {
		for _, o := range list {
			if s.in(o.item, p) {
				of[p] = append(of[p], o)
			}
		}
		sorted[p] = byValue(of[p])
	}
	all := s.statistics(figures, func(p int, drawn, out []float64) {
		c := verdicts(of[p], threshold, drawn)
		c.figuresOf(out)
		out[auroc] = area(sorted[p], drawn)
	})
	once := slices.Repeat([]float64{1}, len(s.items))
	for p, name := range parts {
		if len(of[p]) == 0 {
			continue
		}
		c, f := verdicts(of[p], threshold, once), all[p]
		row := Row{Category: name, Verdicts: len(of[p]), NoScore: len(of[p]) - len(sorted[p]), TruePos: int(c.tp), FalsePos: int(c.fp), FalseNeg: int(c.fn), TrueNeg: int(c.tn),
			Precision: f[precision], Recall: f[recall], F1: f[f1], MCC: f[mcc], AUROC: f[auroc], Accuracy: f[accuracy]}
		last := -1
		for _, o := range of[p] { // of one item stand together
			if o.item != last {
				if row.Items++; !s.items[o.item].Right {
					row.Wrong++
				}
				last = o.item
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// labelled measures the meta-judge on critiques with labels of their own.
func (s *sample) labelled(r *Report, valid []*Item) error {
	observe := func(items []*Item) (list []observation) {
		for i, it := range items {
			for _, g := range it.Given {
				list = append(list, observation{i, g.Meta, g.Right})
			}
		}
		return list
	}
	list := observe(s.items)
	if len(list) == 0 {
		return nil
	}
	m := Method{Name: "meta-judge of labelled critiques", Threshold: s.o.Scale.Middle(), ThresholdFrom: FromMiddle}
	if valid != nil {
		t, ok := bestThreshold(observe(valid), m.Threshold)
		if !ok {
			return fmt.Errorf("critique-eval: the validation file cannot set the threshold of the %s: it wants right and wrong critiques, both with scores of the meta-judge", m.Name)
		}
		m.Threshold, m.ThresholdFrom = t, FromValidation
	}
	m.Rows = s.rows(list, m.Threshold)
	r.Critique = &m
	return nil
}
