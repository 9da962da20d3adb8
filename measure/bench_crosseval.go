package measure

import (
	"math"

	"criticrm/record"
)

// crossEval: how well numbers follow the mean of two people's ratings.
var crossEval = Benchmark{
	Name: record.CrossEval, Title: "CrossEval", Data: "MingZhong/crosseval, split test (1,400 prompts, those with an attached file among them)",
	Rule: "Pearson's r, Spearman's ρ and Kendall's τ-b between the number and the mean of the people's ratings, over the three responses to all prompts; Pearson's by capability",
	hits: func(it *item, _ *sample) (o outcome) {
		for i := range it.values {
			for j := range i {
				switch {
				case it.ratings[i] > it.ratings[j]:
					o.add(compare(it.values[i], it.values[j]))
				case it.ratings[i] < it.ratings[j]:
					o.add(compare(it.values[j], it.values[i]))
				}
			}
		}
		return o
	},
	score: func(s *sample) []Score {
		x, y := s.rated(-1)
		out := []Score{{Name: "Pearson", Plain: true, value: pearson(x, y)}, {Name: "Spearman", Plain: true, value: spearman(x, y)}, {Name: "Kendall", Plain: true, value: kendall(x, y)}}
		for i, name := range s.parts {
			x, y := s.rated(i)
			out = append(out, Score{Name: "Pearson " + name, Plain: true, value: pearson(x, y)})
		}
		return out
	},
	more: func(s *sample) []Score {
		return []Score{{Name: "pairs of responses in the order of their ratings (not official)", value: s.pooled(s.tallies(), nil)}}
	},
}

// rated are the numbers and ratings of all answers of a part, or of all parts (-1), without those that lack one.
func (s *sample) rated(part int) (x, y []float64) {
	for _, it := range s.items {
		if part >= 0 && it.part != part {
			continue
		}
		for i, v := range it.values {
			if !math.IsNaN(v) && !math.IsNaN(it.ratings[i]) {
				x, y = append(x, v), append(y, it.ratings[i])
			}
		}
	}
	return x, y
}
