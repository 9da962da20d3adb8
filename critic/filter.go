package critic

// Filter: keep pairs and critiques that agree with the human preference.
//
//	mean       keep a pair iff mean(s⁺) > mean(s⁻), s over the parsed scores of a side
//	mean+each  and, in a kept pair, chosen critiques with s > mean(s⁻) and rejected ones with s < mean(s⁺)
//	none       keep everything

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/record"

	"gonum.org/v1/gonum/stat"
)

// Why a record or a critique is dropped. The texts are fixed, so that they can be counted.
const (
	DropMean       = "mean score of chosen is not above mean score of rejected"
	DropNoScore    = "a side has no parsed score"
	DropUnparsed   = "score not parsed"
	DropTruncated  = "cut by the token limit"
	DropAgainst    = "score is against the label"
	DropPair       = "pair dropped"
	DropNoPair     = "no consistent pair of critiques"
	DropNoCritique = "a side has no critique left"
	DropNoMeta     = "meta-judge score not parsed"
	DropRank       = "not among the best"
	DropMerged     = "merged into a summary"
	DropSummary    = "summary not parsed or cut"
	DropDisagree   = "summaries do not agree with the label"
	DropUnasked    = "the question about it is over the model's context"
)

// Filter rules.
const (
	FilterMean     = "mean"
	FilterMeanEach = "mean+each"
	FilterNone     = "none"
)

// FilterOptions are the settings of Filter.
type FilterOptions struct {
	Rule          string  `json:"rule"`
	DropTruncated bool    `json:"drop_truncated"` // critiques cut by the token limit count as if they were not there
	MinSurvivors  float64 `json:"-"`              // share of pairs that must survive, else an error; 0: no guard
	Scale         Scale   `json:"scale"`          // of scores that are read here, of critiques that came without; zero: the record's own, else 1 to 10
}

// DefaultFilterOptions is mean+each, and an error if less than a tenth of the pairs survives.
func DefaultFilterOptions() FilterOptions {
	return FilterOptions{Rule: FilterMeanEach, MinSurvivors: 0.1}
}

// Validate refuses unknown rules.
func (o FilterOptions) Validate() error {
	if rules := []string{FilterMean, FilterMeanEach, FilterNone}; !slices.Contains(rules, o.Rule) {
		return fmt.Errorf("critic: filter: got %.40q, want one of %s", o.Rule, strings.Join(rules, ", "))
	}
	if !(o.MinSurvivors >= 0 && o.MinSurvivors <= 1) {
		return fmt.Errorf("critic: min_survivors: got %v, want 0 to 1", o.MinSurvivors)
	}
	if o.Scale != (Scale{}) {
		return o.Scale.Validate()
	}
	return nil
}

// scaleOf is the scale of a record's critiques.
func (o *FilterOptions) scaleOf(r *record.Record) Scale {
	switch {
	case o.Scale != (Scale{}):
		return o.Scale
	case r.Critic != nil && r.Critic.Scale != nil:
		return Scale(*r.Critic.Scale)
	}
	return DefaultScale()
}

// readScores reads the verdicts of critiques that came from outside without one, by the rule for sampled ones, and refuses scores that
// are not on the scale.
func readScores(r *record.Record, side record.Side, scale Scale) error {
	list := *r.SideCritiques(side)
	for i := range list {
		c := &list[i]
		if v := scale.scoreOf(c.Text, c.FinishReason); c.Origin == record.OriginGiven && c.Score == nil && v.OK {
			c.Score = &v.Score
		}
		if err := scale.Holds(r, side, i); err != nil {
			return err
		}
	}
	return nil
}

// Holds refuses the score of a response's i-th critique if it is not on the scale.
func (s Scale) Holds(r *record.Record, side record.Side, i int) error {
	score := (*r.SideCritiques(side))[i].Score
	if score == nil || *score >= float64(s.Min) && *score <= float64(s.Max) {
		return nil
	}
	return r.Fault("%s: the score %v of critique %d is not on the scale from %d to %d (give scale_min and scale_max)", side, *score, i+1, s.Min, s.Max)
}

// Filter decides on every record and critique; earlier decisions are forgotten, so it can be run again with other
// rules. The error of a too small share of survivors comes with the full counts.
func Filter(records []*record.Record, o FilterOptions) (*DropStats, error) {
	stats := NewDropStats()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := filterRecord(r, o); err != nil {
			return stats, err
		}
		stats.Observe(r)
	}
	return stats, stats.CheckSurvivors(o.MinSurvivors)
}

// filterRecord decides on one pair. One that generate has left out as too long has no critiques to decide on, and stays as it is.
func filterRecord(r *record.Record, o FilterOptions) error {
	if r.Dropped == DropOverlong {
		return nil
	}
	if !r.Paired() {
		return r.Fault("it is no pair, and filtering needs pairs")
	}
	r.Dropped = ""
	for _, side := range r.Sides() {
		list := *r.SideCritiques(side)
		if len(list) == 0 {
			return r.Fault("%s has no critiques: run generate first", side)
		}
		if err := readScores(r, side, o.scaleOf(r)); err != nil {
			return err
		}
		for i := range list {
			list[i].Decide(firstReason(&list[i], o))
		}
	}
	if o.Rule == FilterNone {
		dropIfEmpty(r, DropNoCritique)
		return nil
	}
	plus, minus := keptScores(r.ChosenCritiques), keptScores(r.RejectedCritiques)
	if len(plus) == 0 || len(minus) == 0 {
		drop(r, DropNoScore)
		return nil
	}
	meanPlus, meanMinus := stat.Mean(plus, nil), stat.Mean(minus, nil)
	if !(meanPlus > meanMinus) {
		drop(r, DropMean)
		return nil
	}
	if o.Rule == FilterMeanEach { // never empties a side: some s⁺ ≥ mean(s⁺) > mean(s⁻), and the same for s⁻
		dropAgainst(r.ChosenCritiques, func(s float64) bool { return s > meanMinus })
		dropAgainst(r.RejectedCritiques, func(s float64) bool { return s < meanPlus })
	}
	return nil
}

// firstReason is why a critique is out before the label is looked at.
func firstReason(c *record.Critique, o FilterOptions) string {
	switch {
	case o.DropTruncated && c.FinishReason == record.FinishLength:
		return DropTruncated
	case o.Rule != FilterNone && c.Score == nil:
		return DropUnparsed
	}
	return ""
}

func dropAgainst(list []record.Critique, keep func(float64) bool) {
	for i := range list {
		if list[i].IsKept() && !keep(*list[i].Score) {
			list[i].Decide(DropAgainst)
		}
	}
}

// keptScores are the parsed scores of the critiques that are kept so far.
func keptScores(list []record.Critique) []float64 {
	var out []float64
	for i := range list {
		if list[i].IsKept() && list[i].Score != nil {
			out = append(out, *list[i].Score)
		}
	}
	return out
}

// drop takes the record out of training, with all its critiques.
func drop(r *record.Record, reason string) {
	r.Dropped = reason
	for _, side := range r.Sides() {
		list := *r.SideCritiques(side)
		for i := range list {
			if list[i].IsKept() {
				list[i].Decide(DropPair)
			}
		}
	}
}

// dropIfEmpty drops the record if a side has no critique left.
func dropIfEmpty(r *record.Record, reason string) {
	for _, side := range r.Sides() {
		if !slices.ContainsFunc(*r.SideCritiques(side), func(c record.Critique) bool { return c.IsKept() }) {
			drop(r, reason)
			return
		}
	}
}

// DropStats counts what Filter or Refine has kept and why the rest went. It is a function of the finished records
// only.
type DropStats struct {
	Records         int            `json:"records"`
	Kept            int            `json:"kept"`
	Critiques       int            `json:"critiques"`
	KeptCritiques   int            `json:"kept_critiques"`
	Reasons         map[string]int `json:"reasons"`          // of dropped records
	CritiqueReasons map[string]int `json:"critique_reasons"` // of dropped critiques

	Judgements int `json:"judgements,omitempty"` // scores of the meta-judge
	Asked      int `json:"asked,omitempty"`      // of those and of summaries' scores, were asked for
}

// NewDropStats starts counting.
func NewDropStats() *DropStats {
	return &DropStats{Reasons: map[string]int{}, CritiqueReasons: map[string]int{}}
}

// Observe adds one finished record.
func (s *DropStats) Observe(r *record.Record) {
	s.Records++
	if r.Dropped == "" {
		s.Kept++
	} else {
		s.Reasons[r.Dropped]++
	}
	for _, side := range r.Sides() {
		for _, c := range *r.SideCritiques(side) {
			s.Critiques++
			s.Judgements, s.Asked = s.Judgements+len(c.Meta), s.Asked+c.MetaAsked
			if c.Origin == record.OriginSummary && c.AskedTokens > 0 {
				s.Asked++
			}
			if c.IsKept() {
				s.KeptCritiques++
			} else {
				s.CritiqueReasons[c.Reason]++
			}
		}
	}
}

// CheckSurvivors is an error with the counts if fewer than the share of records is left, or none at all.
func (s *DropStats) CheckSurvivors(share float64) error {
	if s.Records == 0 || share == 0 || s.Kept > 0 && float64(s.Kept) >= share*float64(s.Records) {
		return nil
	}
	why := "the critiques do not agree with the labels; look at some, change the critique prompt or the model, or lower min_survivors"
	if s.Reasons[DropNoScore] == s.Records {
		why = "no critique has a score that can be read: want one that ends in \"Score: N\", N a whole number on the scale, or a field \"score\"; look at some, at the prompt and at the scale"
	}
	return fmt.Errorf("critic: only %d of %d records survive, want at least %.3g %% (%s): %s", s.Kept, s.Records, 100*share, record.Counts(s.Reasons), why)
}

// String is one line for the log.
func (s *DropStats) String() string {
	line := fmt.Sprintf("%d of %d records kept, %d of %d critiques kept", s.Kept, s.Records, s.KeptCritiques, s.Critiques)
	if s.Judgements > 0 {
		line += fmt.Sprintf(", %d judgements of them", s.Judgements)
	}
	if s.Asked > 0 {
		line += fmt.Sprintf(", %d scores asked for", s.Asked)
	}
	if len(s.Reasons) > 0 {
		line += "; records dropped: " + record.Counts(s.Reasons)
	}
	if len(s.CritiqueReasons) > 0 {
		line += "; critiques dropped: " + record.Counts(s.CritiqueReasons)
	}
	return line
}
