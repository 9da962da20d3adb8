package measure

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/record"
)

// ppeCorrectness: pairs of a right and a wrong answer of one model, sampled by the owners, out of up to 32 answers to a prompt.
var ppeCorrectness = Benchmark{
	Name: record.PPECorrectness, Title: "PPE correctness", Data: "lmarena-ai/PPE-{MMLU-Pro,MATH,GPQA,MBPP-Plus,IFEval}-Best-of-K, split train",
	Rule: "of each sampled pair the right answer strictly ahead, exact repeats of a pair counted once; the score is the mean of the 5 sets, whose names are read from the column subset",
	part: func(part, _ string) string {
		plain := strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(part))
		for _, name := range [...]string{"MMLU-Pro", "MATH", "GPQA", "MBPP-Plus", "IFEval"} {
			if strings.Contains(plain, strings.ToLower(strings.ReplaceAll(name, "-", ""))) {
				return name
			}
		}
		return part
	},
	hits: func(it *item, _ *sample) (o outcome) {
		for _, p := range it.pairs {
			right, wrong := p[0], p[1]
			if !it.right[right] {
				right, wrong = wrong, right
			}
			o.add(compare(it.values[right], it.values[wrong]))
		}
		return o
	},
	score: func(s *sample) []Score {
		sets := s.by(s.tallies())
		if len(sets) == 1 && sets[0].Name == unnamed {
			return []Score{{Name: "this set", value: sets[0].value}}
		}
		return append([]Score{{Name: "score", value: meanScore(sets)}}, sets...)
	},
	more: func(s *sample) (out []Score) {
		for i, name := range s.parts {
			items := slices.DeleteFunc(slices.Clone(s.items), func(it *item) bool { return it.part != i })
			out = append(out, Score{Name: strings.TrimSpace(name + " AUC over all answers"), value: pooledAUC(items)})
			for k := 1; k <= mostAnswers(items); k *= 2 {
				out = append(out, Score{Name: strings.TrimSpace(fmt.Sprintf("%s right at best of %d", name, k)), value: bestOf(items, k)})
			}
		}
		return out
	},
}

func mostAnswers(items []*item) (n int) {
	for _, it := range items {
		n = max(n, len(it.values))
	}
	return n
}

// pooledAUC is the chance that a right answer of any row is ahead of a wrong one of any row.
func pooledAUC(items []*item) float64 {
	var right, wrong []float64
	for _, it := range items {
		for i, v := range it.values {
			switch {
			case v != v:
			case it.right[i]:
				right = append(right, v)
			default:
				wrong = append(wrong, v)
			}
		}
	}
	return auc(right, wrong)
}

// bestOf is the share of rows in which the first of the highest among the first k answers is right.
func bestOf(items []*item, k int) float64 {
	n, right := 0.0, 0.0
	for _, it := range items {
		best := 0
		for i, v := range it.values[:min(k, len(it.values))] {
			if v > it.values[best] || it.values[best] != it.values[best] {
				best = i
			}
		}
		n++
		if it.right[best] {
			right++
		}
	}
	return right / n
}

// once drops exact repeats of pairs, and says how many there were.
func once(pairs [][2]int) (out [][2]int, repeats int) {
	for _, p := range pairs {
		if slices.Contains(out, p) {
			repeats++
			continue
		}
		out = append(out, p)
	}
	return out, repeats
}
