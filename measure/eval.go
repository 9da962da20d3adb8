// Package measure tells how good a reward model is: how often it prefers what people preferred, and how good its critiques are, with
// bootstrap intervals over prompts.
//
// A pair counts 1 if chosen is strictly ahead, 0 if it is behind and 0.5 for an exact tie; ties are counted. Three
// methods are compared: the reward, the judge (mean of the critiques' own scores) and the length of the response,
// because length alone wins some benchmarks.
package measure

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/critic"
	"criticrm/record"

	"gonum.org/v1/gonum/stat"
)

// EvalOptions are the settings of Evaluate.
type EvalOptions struct {
	Draws   int          `json:"draws"`   // bootstrap draws
	Level   float64      `json:"level"`   // of the intervals
	Seed    uint64       `json:"seed"`    // of the draws
	Scale   critic.Scale `json:"scale"`   // of the critiques' scores; zero: what the records say they were asked for, else 1 to 10
	Samples []int        `json:"samples"` // the m of the curves; nil: powers of two up to what the records have
}

// maxDraws bounds the bootstrap, which keeps all draws.
const maxDraws = 1 << 20

// DefaultEvalOptions is 2000 draws and 95 %.
func DefaultEvalOptions() EvalOptions {
	return EvalOptions{Draws: 2000, Level: 0.95, Seed: 1}
}

func (o *EvalOptions) check() error {
	if o.Draws < 1 || o.Draws > maxDraws || !(o.Level > 0 && o.Level < 1) {
		return fmt.Errorf("evaluate: got %d draws and level %v, want 1 to %d draws and a level between 0 and 1", o.Draws, o.Level, maxDraws)
	}
	return nil
}

// Method is one way to prefer a response, measured.
type Method struct {
	Name        string `json:"name"`
	Samples     int    `json:"samples,omitempty"` // critiques per response behind one verdict
	Comparisons int    `json:"comparisons"`       // pairs × disjoint groups of samples
	Ties        int    `json:"ties"`              // exact ties among them, counted 0.5
	NoScore     int    `json:"no_score"`          // comparisons without a parsed score on some side, counted as ties too
	Estimate
	Correct []float64 `json:"-"` // per pair in the order of Pairs, mean over the groups
	Margin  []float64 `json:"-"` // likewise: by how much chosen is ahead; 0 where there is no score
}

// Difference is one method minus another, paired.
type Difference struct {
	Name string `json:"name"`
	Estimate
}

// VerdictAccuracy compares verdicts with known labels. A verdict is "right" above the middle of the scale. What is
// not parsed counts as the wrong verdict.
type VerdictAccuracy struct {
	N        int     `json:"n"`
	NoScore  int     `json:"no_score"`
	Accuracy float64 `json:"accuracy"`
	F1       float64 `json:"f1"` // with "wrong" as the positive class, as in CriticBench
}

// Quality describes the critiques themselves.
type Quality struct {
	critic.CritiqueStats
	ParsedShare    float64 `json:"parsed_share"`
	TruncatedShare float64 `json:"truncated_share"`

	Agreement      float64 `json:"agreement"`       // mean over pairs of the share of (z⁺, z⁻) with s⁺ > s⁻, ties 0.5
	AgreementPairs int     `json:"agreement_pairs"` // pairs with a parsed score on both sides

	Response *VerdictAccuracy `json:"response,omitempty"` // critiques of responses with a known label
	Critique *VerdictAccuracy `json:"critique,omitempty"` // meta-judge scores of critiques with a known label
}

// Labels compares the rewards of single responses with known labels.
type Labels struct {
	N        int     `json:"n"`
	Right    int     `json:"right"`    // responses that are labelled as right
	AUC      float64 `json:"auc"`      // chance that a right one has a higher reward than a wrong one, ties one half
	Accuracy float64 `json:"accuracy"` // a reward above 0 calls a response right
}

// Report is the result of Evaluate.
type Report struct {
	Records     int            `json:"records"`             // that were measured
	LeftOut     map[string]int `json:"left_out"`            // records without a measurement, by reason
	Shortened   int            `json:"shortened"`           // records that were not read whole
	Benchmark   string         `json:"benchmark,omitempty"` // the records are rows of it, and this is not its rule: EvaluateBenchmark is
	Pairs       int            `json:"pairs"`
	Prompts     int            `json:"prompts"`
	Level       float64        `json:"level"`
	Methods     []Method       `json:"methods"`
	Differences []Difference   `json:"differences"`
	Calibration *Calibration   `json:"calibration,omitempty"` // of pairs with rewards
	Length      *Length        `json:"length,omitempty"`      // of pairs with rewards
	Labels      *Labels        `json:"labels,omitempty"`      // of single responses with a label and a reward
	Quality     Quality        `json:"quality"`
}

// Method gives a method by name.
func (r *Report) Method(name string) (*Method, bool) {
	for i := range r.Methods {
		if r.Methods[i].Name == name {
			return &r.Methods[i], true
		}
	}
	return nil, false
}

// LengthOnly says that there are pairs, and nothing of a model in them: no rewards, no sampled critiques.
func (r *Report) LengthOnly() bool {
	return r.Pairs > 0 && len(r.Methods) == 1 && r.Methods[0].Name == "length"
}

// Evaluate measures scored records. Rewards must be there for all pairs or for none: a missing or non-finite one
// is an error, not a loss. Records that a filter has dropped are measured like all others; those that were over the model's context are
// left out and counted.
func Evaluate(records []*record.Record, o EvalOptions) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("evaluate: no records")
	}
	report := &Report{LeftOut: map[string]int{}, Level: o.Level}
	var kept []*record.Record
	for _, r := range records {
		if r.Benchmark != nil {
			report.Benchmark = r.Benchmark.Name
		}
		if r.Dropped == critic.DropOverlong {
			report.LeftOut[r.Dropped]++
			continue
		}
		if r.Cut != nil || r.PlainCut != nil {
			report.Shortened++
		}
		kept = append(kept, r)
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("evaluate: all %d records are left out: %s", len(records), record.Counts(report.LeftOut))
	}
	scale, err := o.ScaleOf(kept)
	if err != nil {
		return nil, err
	}
	pairs := Pairs(kept)
	report.Records, report.Pairs, report.Quality = len(kept), len(pairs), quality(kept, scale)
	report.Labels = labels(kept)
	if len(pairs) == 0 {
		if report.Labels == nil && report.Quality.Response == nil && report.Quality.Critique == nil {
			return nil, fmt.Errorf("evaluate: there is nothing to measure in %d records: want pairs (chosen and rejected), or labelled responses (response and correct) with rewards or scored critiques", len(kept))
		}
		return report, nil
	}
	boot := NewBootstrap(pairs, o.Draws, o.Level, o.Seed)
	report.Prompts = boot.Prompts()
	if err := report.addMethods(pairs, boot, o.Samples); err != nil {
		return nil, err
	}
	report.addDifferences(boot)
	return report, nil
}

// Pairs are the records whose preference Evaluate measures, in order.
func Pairs(records []*record.Record) []*record.Record {
	var pairs []*record.Record
	for _, r := range records {
		if r.Paired() && r.Dropped != critic.DropOverlong {
			pairs = append(pairs, r)
		}
	}
	return pairs
}

// ScaleOf is the scale that was asked for, else the one that the records were asked on; records of two scales are not one measurement. Scores
// of labelled responses that are not on it are an error.
func (o EvalOptions) ScaleOf(records []*record.Record) (critic.Scale, error) {
	scale, err := o.scaleOf(records)
	if err == nil {
		err = OnScale(records, scale, false)
	}
	return scale, err
}

// OnScale refuses scores that are not on the scale, of sampled critiques of labelled responses, with pairs of those of pairs, too: on one side of
// its middle all verdicts would be the same.
func OnScale(records []*record.Record, scale critic.Scale, pairs bool) error {
	for _, r := range records {
		if !(r.Paired() && pairs || !r.Paired() && r.Correct != nil) {
			continue
		}
		for _, side := range r.Sides() {
			for i, c := range *r.SideCritiques(side) {
				if c.Origin == record.OriginGiven {
					continue
				}
				if err := scale.Holds(r, side, i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (o EvalOptions) scaleOf(records []*record.Record) (critic.Scale, error) {
	if o.Scale != (critic.Scale{}) {
		return o.Scale, o.Scale.Validate()
	}
	scale, from := critic.DefaultScale(), (*record.Record)(nil)
	for _, r := range records {
		if r.Critic == nil || r.Critic.Scale == nil {
			continue
		}
		s := critic.Scale(*r.Critic.Scale)
		if from != nil && s != scale {
			return s, fmt.Errorf("evaluate: critiques of record %.40q were asked for with scores from %d to %d, those of %.40q from %d to %d: they cannot be measured together",
				from.ID, scale.Min, scale.Max, r.ID, s.Min, s.Max)
		}
		scale, from = s, r
	}
	return scale, scale.Validate()
}

// verdict is one comparison: chosen minus rejected, and whether there was anything to compare.
type verdict struct {
	diff    float64
	noScore bool
}

func (m *Method) add(pair int, v verdict) {
	m.Comparisons++
	m.Margin[pair] += v.diff
	switch {
	case v.noScore:
		m.NoScore++
		m.Ties++
		m.Correct[pair] += 0.5
	case v.diff == 0:
		m.Ties++
		m.Correct[pair] += 0.5
	case v.diff > 0:
		m.Correct[pair]++
	}
}

// addMethods measures reward, judge (both also as curves over the number of samples) and length.
func (r *Report) addMethods(pairs []*record.Record, boot *Bootstrap, samples []int) error {
	measure := func(name string, m, groups int, f func(p *record.Record, group int) verdict) {
		method := Method{Name: name, Samples: m, Correct: make([]float64, len(pairs)), Margin: make([]float64, len(pairs))}
		for i, p := range pairs {
			for g := range groups {
				method.add(i, f(p, g))
			}
			method.Correct[i] /= float64(groups)
			method.Margin[i] /= float64(groups)
		}
		method.Estimate = boot.Mean(method.Correct)
		r.Methods = append(r.Methods, method)
	}
	scored, err := haveRewards(pairs)
	if err != nil {
		return err
	}
	if scored {
		r.Calibration, r.Length = calibrate(pairs, boot), lengths(pairs)
		measure("reward", 0, 1, func(p *record.Record, _ int) verdict { return verdict{diff: *p.ChosenReward - *p.RejectedReward} })
		if most := fewestSamples(pairs, func(c *record.Critique) bool { return c.Reward != nil }); most > 0 {
			for _, m := range sampleCounts(samples, most) {
				measure(fmt.Sprintf("reward m=%d", m), m, most/m, func(p *record.Record, g int) verdict {
					c, j := sampled(p.ChosenCritiques), sampled(p.RejectedCritiques)
					return verdict{diff: critic.MeanReward(c[g*m:(g+1)*m]) - critic.MeanReward(j[g*m:(g+1)*m])}
				})
			}
		}
	}
	if most := fewestSamples(pairs, func(*record.Critique) bool { return true }); most > 0 {
		for _, m := range sampleCounts(samples, most) {
			measure(fmt.Sprintf("judge N=%d", m), m, most/m, func(p *record.Record, g int) verdict {
				c, j := sampled(p.ChosenCritiques), sampled(p.RejectedCritiques)
				return judge(c[g*m:(g+1)*m], j[g*m:(g+1)*m])
			})
		}
	}
	measure("length", 0, 1, func(p *record.Record, _ int) verdict {
		return verdict{diff: float64(utf8.RuneCountInString(p.Chosen) - utf8.RuneCountInString(p.Rejected))}
	})
	return nil
}

// judge compares the mean parsed scores of two lists.
func judge(c, j []record.Critique) verdict {
	plus, minus := parsedScores(c), parsedScores(j)
	if len(plus) == 0 || len(minus) == 0 {
		return verdict{noScore: true}
	}
	return verdict{diff: stat.Mean(plus, nil) - stat.Mean(minus, nil)}
}

// parsedScores are the scores of critiques that have one.
func parsedScores(list []record.Critique) []float64 {
	var out []float64
	for i := range list {
		if list[i].Score != nil {
			out = append(out, *list[i].Score)
		}
	}
	return out
}

// sampled are the critiques that the model itself wrote one by one.
func sampled(list []record.Critique) []record.Critique {
	if !slices.ContainsFunc(list, func(c record.Critique) bool { return c.Origin != "" }) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(c record.Critique) bool { return c.Origin != "" })
}

// anyRewarded reports whether there is a reward among the pairs.
func anyRewarded(pairs []*record.Record) bool {
	return slices.ContainsFunc(pairs, func(p *record.Record) bool { return p.ChosenReward != nil || p.RejectedReward != nil })
}

// haveRewards reports whether the pairs carry rewards; some with and some without is an error.
func haveRewards(pairs []*record.Record) (bool, error) {
	if !anyRewarded(pairs) {
		return false, nil
	}
	for _, p := range pairs {
		if err := unrewarded(p); err != nil {
			return false, err
		}
	}
	return true, nil
}

// unrewarded says what is wrong with the rewards of a pair.
func unrewarded(p *record.Record) error {
	for _, side := range p.Sides() {
		switch v := *p.SideReward(side); {
		case v == nil:
			return p.Fault("the reward of %s is missing, and other pairs have theirs: score all records first", side)
		case math.IsNaN(*v) || math.IsInf(*v, 0):
			return p.Fault("the reward of %s is %v", side, *v)
		}
	}
	return nil
}

// SetAside splits records into those that Evaluate measures and the faults of pairs that lack the rewards that others have.
func SetAside(records []*record.Record) (good []*record.Record, bad []error) {
	if !anyRewarded(Pairs(records)) {
		return records, nil
	}
	for _, r := range records {
		if r.Paired() && r.Dropped != critic.DropOverlong {
			if err := unrewarded(r); err != nil {
				bad = append(bad, err)
				continue
			}
		}
		good = append(good, r)
	}
	return good, bad
}

// fewestSamples is the number of samples that every side of every pair has; 0 if some sample is not usable.
func fewestSamples(pairs []*record.Record, usable func(*record.Critique) bool) int {
	most := math.MaxInt
	for _, p := range pairs {
		for _, side := range p.Sides() {
			list := sampled(*p.SideCritiques(side))
			for i := range list {
				if !usable(&list[i]) {
					return 0
				}
			}
			most = min(most, len(list))
		}
	}
	return most
}

// sampleCounts are the m of a curve: those asked for that fit, or the powers of two below most and most itself.
func sampleCounts(asked []int, most int) []int {
	var out []int
	if asked == nil {
		for m := 1; m < most; m *= 2 {
			out = append(out, m)
		}
		return append(out, most)
	}
	for _, m := range asked {
		if m >= 1 && m <= most {
			out = append(out, m)
		}
	}
	return out
}

// addDifferences pairs the reward with the best-informed judge and both with length.
func (r *Report) addDifferences(boot *Bootstrap) {
	byName := func(prefix string) *Method {
		var last *Method
		for i := range r.Methods {
			if strings.HasPrefix(r.Methods[i].Name, prefix) {
				last = &r.Methods[i]
			}
		}
		return last
	}
	reward, _ := r.Method("reward")
	judge, length := byName("judge"), byName("length")
	for _, d := range [][2]*Method{{reward, judge}, {reward, length}, {judge, length}} {
		if d[0] != nil && d[1] != nil {
			r.Differences = append(r.Differences, Difference{Name: d[0].Name + " - " + d[1].Name,
				Estimate: boot.Difference(d[0].Correct, d[1].Correct)})
		}
	}
}

// labels measures rewards of single responses against their labels; nil if no response has both, or all labels are equal.
func labels(records []*record.Record) *Labels {
	var right, wrong []float64
	l := &Labels{}
	for _, r := range records {
		if r.Paired() || r.Correct == nil || r.Reward == nil {
			continue
		}
		if (*r.Reward > 0) == *r.Correct {
			l.Accuracy++
		}
		if *r.Correct {
			right = append(right, *r.Reward)
		} else {
			wrong = append(wrong, *r.Reward)
		}
	}
	l.N, l.Right = len(right)+len(wrong), len(right)
	if len(right) == 0 || len(wrong) == 0 {
		return nil
	}
	l.Accuracy /= float64(l.N)
	l.AUC = auc(right, wrong)
	return l
}

// quality measures the critiques.
func quality(records []*record.Record, scale critic.Scale) Quality {
	q := Quality{CritiqueStats: *critic.NewCritiqueStats(scale)}
	var response, critique tally
	agreement := 0.0
	for _, r := range records {
		q.Observe(r)
		if r.Paired() {
			if a, ok := agreementOf(parsedScores(sampled(r.ChosenCritiques)), parsedScores(sampled(r.RejectedCritiques))); ok {
				agreement += a
				q.AgreementPairs++
			}
		}
		for _, side := range r.Sides() {
			list := *r.SideCritiques(side)
			for i := range list {
				c := &list[i]
				if side == record.Single && r.Correct != nil && c.Origin != record.OriginGiven {
					response.add(c.Score, *r.Correct, scale)
				}
				if c.Correct != nil && len(c.Meta) > 0 {
					mean := stat.Mean(c.Meta, nil)
					critique.add(&mean, *c.Correct, scale)
				}
			}
		}
	}
	if q.Critiques > 0 {
		q.ParsedShare = float64(q.Parsed) / float64(q.Critiques)
		q.TruncatedShare = float64(q.Truncated) / float64(q.Critiques)
	}
	if q.AgreementPairs > 0 {
		q.Agreement = agreement / float64(q.AgreementPairs)
	}
	q.Response, q.Critique = response.result(), critique.result()
	return q
}

// agreementOf is the share of combinations with s⁺ > s⁻, ties one half.
func agreementOf(plus, minus []float64) (float64, bool) {
	sum := 0.0
	for _, p := range plus {
		for _, m := range minus {
			switch {
			case p > m:
				sum++
			case p == m:
				sum += 0.5
			}
		}
	}
	n := len(plus) * len(minus)
	return sum / float64(max(n, 1)), n > 0
}

// tally counts verdicts against labels; positive is "wrong".
type tally struct{ n, noScore, hits, truePos, falsePos, falseNeg int }

func (t *tally) add(score *float64, right bool, scale critic.Scale) {
	t.n++
	saysRight := !right // not parsed: the wrong verdict
	if score == nil {
		t.noScore++
	} else {
		saysRight = *score > scale.Middle()
	}
	switch {
	case saysRight == right && right:
		t.hits++
	case saysRight == right:
		t.hits++
		t.truePos++
	case saysRight:
		t.falseNeg++
	default:
		t.falsePos++
	}
}

func (t *tally) result() *VerdictAccuracy {
	if t.n == 0 {
		return nil
	}
	v := &VerdictAccuracy{N: t.n, NoScore: t.noScore, Accuracy: float64(t.hits) / float64(t.n)}
	if d := 2*t.truePos + t.falsePos + t.falseNeg; d > 0 {
		v.F1 = 2 * float64(t.truePos) / float64(d)
	}
	return v
}
