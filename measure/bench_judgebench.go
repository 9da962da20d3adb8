package measure

import (
	"math"
	"strings"

	"criticrm/record"
)

// judgeBench: the verdict is A > B if A is strictly ahead, else B > A, so that a tie is right where B is.
var judgeBench = Benchmark{
	Name: record.JudgeBench, Title: "JudgeBench", Data: "ScalerLab/JudgeBench, split gpt (350) or claude (270)",
	Rule:  "A > B if A is strictly ahead, else B > A; the score is over all pairs, each judged once",
	Sizes: []map[string]int{{"mmlu-pro": 154, "livebench-reasoning": 98, "livebench-math": 56, "livecodebench": 42}, {"mmlu-pro": 154, "livebench-reasoning": 51, "livebench-math": 34, "livecodebench": 31}},
	part: func(part, _ string) string {
		for _, source := range judgeBenchSources() {
			if strings.HasPrefix(part, source) {
				return source
			}
		}
		return part
	},
	hits: func(it *item, s *sample) outcome {
		o := strictPair(it, s)
		if o.ties > 0 && it.second {
			o.hits = 1
		}
		return o
	},
	score: func(s *sample) []Score {
		t := s.tallies()
		return append([]Score{{Name: "score", value: s.pooled(t, nil)}}, s.by(t)...)
	},
	more: func(s *sample) []Score {
		return []Score{{Name: "mean of the sources (not official, quoted by some)", value: meanScore(s.by(s.tallies()))}, {Name: "ties as wrong", value: strictShare(s)}}
	},
}

func judgeBenchSources() []string {
	return []string{"mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench"}
}

// strictShare is the share of pairs whose right answer is strictly ahead.
func strictShare(s *sample) float64 {
	n, hits := 0.0, 0.0
	for _, it := range s.items {
		n++
		if it.values[0] > it.values[1] {
			hits++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return hits / n
}
