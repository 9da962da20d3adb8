package measure

import (
	"math"

	"criticrm/record"
	"criticrm/revise"
	"criticrm/synth"
)

// criticBench: does a verdict find the wrong answers? Its rule is one of ratings, so it is the judge's row that compares; a reward calls an
// answer right above 0, and a length calls nothing.
var criticBench = Benchmark{
	Name: record.CriticBench, Title: "CriticBench", Data: "llm-agents/CriticBench, split test",
	Rule: "F1 of calling an answer wrong, over all rows, by type and by set; a rating from 6 of 10 calls it right, one that cannot be read is the wrong verdict. Of the reward: above 0 (ours)",
	hits: func(it *item, s *sample) outcome {
		o := outcome{n: 1}
		if math.IsNaN(it.values[0]) {
			o.none = 1
		}
		if said, ok := verdictOf(it, s); ok && said == it.right[0] {
			o.hits = 1
		}
		return o
	},
	score: func(s *sample) []Score {
		out := []Score{{Name: "critique score (F1)", value: wrongF1(s, func(*item) bool { return true })}}
		for _, g := range s.groups {
			out = append(out, Score{Name: "type " + g, value: wrongF1(s, func(it *item) bool { return it.group == g })})
		}
		for i, name := range s.parts {
			out = append(out, Score{Name: "set " + name, value: wrongF1(s, func(it *item) bool { return it.part == i })})
		}
		return out
	},
	more: func(s *sample) []Score {
		wrong := 0.0
		for _, it := range s.items {
			if !it.right[0] {
				wrong++
			}
		}
		n := float64(len(s.items))
		out := []Score{{Name: "F1 of calling every answer wrong", value: 2 * wrong / (n + wrong)}, {Name: "right verdicts", value: s.verdicts()}, {Name: "AUC of right against wrong answers", value: pooledAUC(s.items)}}
		return append(out, s.corrections()...)
	},
}

// mended is the share of an answer's revisions after critiques whose final answer is right: what 'criticrm revise' has left. NaN without any.
func mended(r *record.Record) (float64, error) {
	list, err := revise.Of(r)
	right, n := 0.0, 0.0
	for _, v := range list {
		if v.Condition == revise.Own {
			if n++; v.Verdict == synth.Right {
				right++
			}
		}
	}
	return right / n, err
}

// corrections are the correction score, the share of right answers after a critique, of all rows and by type; none where no row has a revision.
func (s *sample) corrections() (out []Score) {
	mean := func(in func(*item) bool) float64 {
		sum, n := 0.0, 0.0
		for _, it := range s.items {
			if in(it) && !math.IsNaN(it.mended) {
				sum, n = sum+it.mended, n+1
			}
		}
		return sum / n
	}
	all := mean(func(*item) bool { return true })
	if math.IsNaN(all) {
		return nil
	}
	out = append(out, Score{Name: "correction score", value: all})
	for _, g := range s.groups {
		out = append(out, Score{Name: "correction score, type " + g, value: mean(func(it *item) bool { return it.group == g })})
	}
	return out
}

// verdicts is the share of right ones.
func (s *sample) verdicts() float64 {
	if math.IsNaN(s.threshold) {
		return math.NaN()
	}
	return s.pooled(s.tallies(), nil)
}

// verdictOf is whether an answer is called right; false: this kind of number says nothing.
func verdictOf(it *item, s *sample) (right, ok bool) {
	switch v := it.values[0]; {
	case math.IsNaN(s.threshold):
		return false, false
	case math.IsNaN(v):
		return !it.right[0], true
	default:
		return v >= s.threshold, true
	}
}

// wrongF1 is F1 with "the answer is wrong" as what is to be found. Without such an answer and without such a verdict it is 0, as the owners'.
func wrongF1(s *sample, in func(*item) bool) float64 {
	var found, alarms, missed, n float64
	for _, it := range s.items {
		if !in(it) {
			continue
		}
		n++
		switch said, ok := verdictOf(it, s); {
		case !ok:
			return math.NaN()
		case !said && !it.right[0]:
			found++
		case !said:
			alarms++
		case !it.right[0]:
			missed++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	if found == 0 {
		return 0
	}
	return 2 * found / (2*found + alarms + missed)
}
