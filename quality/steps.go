package quality

// Where the first wrong step is, and whether a right verdict rests on right reasoning.

import "slices"

// unlocated is a prediction that names no step and does not call the response right.
const unlocated = -1

// Steps is how well the first wrong step is found, as ProcessBench (Zheng et al. 2024) has it: of wrong responses the step, of right ones that
// there is none.
type Steps struct {
	Name      string `json:"name"`
	Samples   int    `json:"samples"`
	Category  string `json:"category"`
	Wrong     int    `json:"wrong"`      // responses whose first wrong step is known
	Right     int    `json:"right"`      // responses without one
	Unlocated int    `json:"no_verdict"` // predictions that name no step and do not call the response right: never correct
	Exact     Figure `json:"exact"`      // of wrong responses
	Within1   Figure `json:"within_1"`   // likewise, one step off counts
	None      Figure `json:"none"`       // of right responses: no step is called wrong
	F1        Figure `json:"f1"`         // harmonic mean of exact and none: ProcessBench's
}

// prediction of an item.
type prediction struct{ item, step int }

// predicted is what one critique says: the step that it names, else, where its score calls the response right, that there is no wrong one.
func predicted(c *Critique, threshold float64) int {
	switch {
	case c.Step != nil:
		return *c.Step
	case c.Score != nil && *c.Score > threshold:
		return NoError
	}
	return unlocated
}

// majority is the commonest prediction, of equally common ones the one that comes first; those without a verdict have no vote.
func majority(votes []int) int {
	best, most := unlocated, 0
	for _, v := range votes {
		n := 0
		for _, w := range votes {
			if w == v {
				n++
			}
		}
		if v != unlocated && n > most {
			best, most = v, n
		}
	}
	return best
}

// steps measures single critiques and the majority of all.
func (s *sample) steps(r *Report, sources []source) {
	known := slices.ContainsFunc(s.items, func(it *Item) bool { return it.Step != nil && *it.Step != NoError })
	if !known || r.Critiques == 0 {
		return
	}
	if !slices.ContainsFunc(s.items, func(it *Item) bool {
		return slices.ContainsFunc(it.Critiques, func(c Critique) bool { return c.Step != nil })
	}) {
		r.Notes = append(r.Notes, "no critique names a first wrong step in words that --step_pattern finds, so finding it is not measured: let the prompt ask for a line \"First wrong step: N\" (or none)")
		return
	}
	threshold := sources[0].threshold // of single scores
	for _, m := range slices.Compact([]int{1, r.Critiques}) {
		var list []prediction
		for i, it := range s.items {
			if it.Step == nil {
				continue
			}
			for g := range r.Critiques / m {
				var votes []int
				for j := g * m; j < (g+1)*m; j++ {
					votes = append(votes, predicted(&it.Critiques[j], threshold))
				}
				list = append(list, prediction{i, majority(votes)})
			}
		}
		name := "one critique"
		if m > 1 {
			name = "majority of critiques"
		}
		r.Steps = append(r.Steps, s.stepRows(name, m, list)...)
	}
}

func (s *sample) stepRows(name string, m int, list []prediction) (rows []Steps) {
	const exact, within, none, f1, n = 0, 1, 2, 3, 4
	all := s.statistics(n, func(part int, drawn, out []float64) {
		var hit, near, wrong, clean, right float64
		for _, p := range list {
			w := drawn[p.item]
			if w == 0 || !s.in(p.item, part) {
				continue
			}
			truth := *s.items[p.item].Step
			switch {
			case truth == NoError:
				right += w
				if p.step == NoError {
					clean += w
				}
			default:
				wrong += w
				if p.step == truth {
					hit += w
				}
				if p.step > 0 && p.step >= truth-1 && p.step <= truth+1 {
					near += w
				}
			}
		}
		out[exact], out[within], out[none] = ratio(hit, wrong), ratio(near, wrong), ratio(clean, right)
		out[f1] = harmonic(out[exact], out[none])
	})
	for part, category := range s.names() {
		row := Steps{Name: name, Samples: m, Category: category, Exact: all[part][exact], Within1: all[part][within], None: all[part][none], F1: all[part][f1]}
		last := -1
		for _, p := range list {
			if !s.in(p.item, part) {
				continue
			}
			if p.step == unlocated {
				row.Unlocated++
			}
			if p.item != last {
				last = p.item
				if *s.items[p.item].Step == NoError {
					row.Right++
				} else {
					row.Wrong++
				}
			}
		}
		if row.Right+row.Wrong > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// harmonic is the harmonic mean; 0 if both are, NaN if one is not defined.
func harmonic(a, b float64) float64 {
	if a == 0 && b == 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}

// Soundness is what right verdicts rest on.
type Soundness struct {
	Category  string `json:"category"`
	By        string `json:"by"`        // ByLabel or ByStep
	Critiques int    `json:"critiques"` // of which it is known
	Right     int    `json:"right"`     // of those, with the right verdict
	Sound     Figure `json:"sound"`     // share of critiques whose reasoning is right
	Unsound   Figure `json:"unsound"`   // share of right verdicts whose reasoning is wrong
	Verdict   Figure `json:"verdict"`   // share of right verdicts
}

// How it is known whether reasoning is right.
const (
	ByLabel = "label of the critique"
	ByStep  = "first wrong step that it names"
)

// soundness measures single critiques: those with a label of their own, and those that name a step where the first wrong one is known.
func (s *sample) soundness(r *Report, sources []source) {
	if r.Critiques == 0 {
		return
	}
	threshold := sources[0].threshold
	type judged struct {
		item         int
		right, sound bool
	}
	for _, by := range []string{ByLabel, ByStep} {
		var list []judged
		for i, it := range s.items {
			for _, c := range it.Critiques {
				right := c.Score != nil && (*c.Score > threshold) == it.Right
				switch {
				case by == ByLabel && c.Sound != nil:
					list = append(list, judged{i, right, *c.Sound})
				case by == ByStep && c.Step != nil && it.Step != nil && !(it.Right && *it.Step != NoError):
					list = append(list, judged{i, right, *c.Step == *it.Step})
				}
			}
		}
		if len(list) == 0 {
			continue
		}
		all := s.statistics(3, func(part int, drawn, out []float64) {
			var n, sound, right, unsound float64
			for _, j := range list {
				w := drawn[j.item]
				if w == 0 || !s.in(j.item, part) {
					continue
				}
				n += w
				if j.sound {
					sound += w
				}
				if j.right {
					right += w
					if !j.sound {
						unsound += w
					}
				}
			}
			out[0], out[1], out[2] = ratio(sound, n), ratio(unsound, right), ratio(right, n)
		})
		for part, category := range s.names() {
			row := Soundness{Category: category, By: by, Sound: all[part][0], Unsound: all[part][1], Verdict: all[part][2]}
			for _, j := range list {
				if s.in(j.item, part) {
					if row.Critiques++; j.right {
						row.Right++
					}
				}
			}
			if row.Critiques > 0 {
				r.Soundness = append(r.Soundness, row)
			}
		}
	}
}
