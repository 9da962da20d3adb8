package quality

// What responses become after a critique.

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/revise"
	"criticrm/synth"
)

// Revised is what a condition makes of the responses. A revision without an answer that can be read is no right one.
type Revised struct {
	Condition    string `json:"condition"`
	Samples      int    `json:"samples"` // 1: each revision counts; more: the commonest answer of that many
	Category     string `json:"category"`
	Items        int    `json:"items"`
	Wrong        int    `json:"wrong_before"`
	Right        int    `json:"right_before"`
	Unknown      int    `json:"unknown_before"` // items whose own answer cannot be read and has no label: left out of both rates
	Revisions    int    `json:"revisions"`
	NoAnswer     int    `json:"no_answer"` // of those, without a final answer that can be read
	Before       Figure `json:"right_share_before"`
	After        Figure `json:"right_share_after"`
	WrongToRight Figure `json:"wrong_to_right"` // of items that were wrong
	RightToWrong Figure `json:"right_to_wrong"` // of items that were right: wrong or without an answer now
}

// Against compares the critique with another condition, on the items that have both.
type Against struct {
	Condition    string `json:"condition"` // critique minus this
	Items        int    `json:"items"`
	After        Figure `json:"right_share_after"`
	WrongToRight Figure `json:"wrong_to_right"`
	RightToWrong Figure `json:"right_to_wrong"`
}

// outcome is an item under a condition: the share of its revisions that are right.
type outcome struct {
	item       int
	before     string
	right      float64
	n, missing int
}

// outcomes are those of single revisions, or of the commonest answer among each item's.
func (s *sample) outcomes(condition string, common bool) (list []outcome, most int) {
	for i, it := range s.items {
		var of []revise.Revision
		for _, v := range it.Revisions {
			if v.Condition == condition {
				of = append(of, v)
			}
		}
		if len(of) == 0 {
			continue
		}
		most = max(most, len(of))
		o := outcome{item: i, before: of[0].Before, n: len(of)}
		if common {
			of, o.n = commonest(of), 1
		}
		for _, v := range of {
			switch v.Verdict {
			case synth.Right:
				o.right++
			case synth.Wrong:
			default:
				o.missing++
			}
		}
		o.right /= float64(len(of))
		list = append(list, o)
	}
	return list, most
}

// commonest is one revision with the commonest answer, of equally common ones the first; those without one have no vote.
func commonest(list []revise.Revision) []revise.Revision {
	votes := map[string]int{}
	for _, v := range list {
		if v.Answer != "" {
			votes[strings.ToLower(v.Answer)]++
		}
	}
	best := list[0]
	for _, v := range list {
		if n := votes[strings.ToLower(v.Answer)]; v.Answer != "" && (best.Answer == "" || n > votes[strings.ToLower(best.Answer)]) {
			best = v
		}
	}
	return []revise.Revision{best}
}

// rates are weighted sums over items: right after, all, mended and wrong before, spoilt and right before.
type rates struct{ after, n, fixed, wrong, broken, right float64 }

func (r *rates) add(o *outcome, w float64) {
	r.after, r.n = r.after+w*o.right, r.n+w
	switch o.before {
	case synth.Right:
		r.right, r.broken = r.right+w, r.broken+w*(1-o.right)
	case synth.Wrong, synth.Unfinished:
		r.wrong, r.fixed = r.wrong+w, r.fixed+w*o.right
	}
}

// revisions measures every condition that items have.
func (s *sample) revisions(r *Report) {
	for _, condition := range revise.Conditions() {
		list, most := s.outcomes(condition, false)
		if len(list) == 0 {
			continue
		}
		r.Revisions = append(r.Revisions, s.revised(condition, 1, list)...)
		if answers := slices.ContainsFunc(s.items, func(it *Item) bool {
			return slices.ContainsFunc(it.Revisions, func(v revise.Revision) bool { return v.Condition == condition && v.Answer != "" })
		}); most > 1 && answers {
			list, _ = s.outcomes(condition, true)
			r.Revisions = append(r.Revisions, s.revised(condition, most, list)...)
		}
		if n := len(s.items) - len(list); n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%d of %d responses have no revision of the kind %q", n, len(s.items), condition))
		}
	}
	own, _ := s.outcomes(revise.Own, false)
	for _, condition := range revise.Conditions()[1:] {
		other, _ := s.outcomes(condition, false)
		if len(own) > 0 && len(other) > 0 {
			s.against(r, condition, own, other)
		}
	}
}

func (s *sample) revised(condition string, samples int, list []outcome) (rows []Revised) {
	all := s.statistics(4, func(part int, drawn, out []float64) {
		var sum rates
		for k := range list {
			if w := drawn[list[k].item]; w > 0 && s.in(list[k].item, part) {
				sum.add(&list[k], w)
			}
		}
		out[0], out[1], out[2], out[3] = ratio(sum.right, sum.n), ratio(sum.after, sum.n), ratio(sum.fixed, sum.wrong), ratio(sum.broken, sum.right)
	})
	for part, category := range s.names() {
		f := all[part]
		row := Revised{Condition: condition, Samples: samples, Category: category, Before: f[0], After: f[1], WrongToRight: f[2], RightToWrong: f[3]}
		for _, o := range list {
			if !s.in(o.item, part) {
				continue
			}
			row.Items++
			row.Revisions, row.NoAnswer = row.Revisions+o.n, row.NoAnswer+o.missing
			switch o.before {
			case synth.Right:
				row.Right++
			case synth.Wrong, synth.Unfinished:
				row.Wrong++
			default:
				row.Unknown++
			}
		}
		if row.Items > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// against gives the differences, paired by item.
func (s *sample) against(r *Report, condition string, own, other []outcome) {
	at := map[int]int{}
	for k, o := range other {
		at[o.item] = k
	}
	var both [][2]*outcome
	for k := range own {
		if j, ok := at[own[k].item]; ok {
			both = append(both, [2]*outcome{&own[k], &other[j]})
		}
	}
	if len(both) == 0 {
		return
	}
	all := s.statistics(3, func(part int, drawn, out []float64) {
		var sum [2]rates
		for _, b := range both {
			if w := drawn[b[0].item]; w > 0 && s.in(b[0].item, part) {
				sum[0].add(b[0], w)
				sum[1].add(b[1], w)
			}
		}
		out[0] = ratio(sum[0].after, sum[0].n) - ratio(sum[1].after, sum[1].n)
		out[1] = ratio(sum[0].fixed, sum[0].wrong) - ratio(sum[1].fixed, sum[1].wrong)
		out[2] = ratio(sum[0].broken, sum[0].right) - ratio(sum[1].broken, sum[1].right)
	})
	r.Against = append(r.Against, Against{condition, len(both), all[0][0], all[0][1], all[0][2]})
}
