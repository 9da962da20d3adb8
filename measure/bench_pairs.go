package measure

// Benchmarks that are pairs, and nothing but the share that is right.

import (
	"strings"

	"criticrm/record"
)

var ppePreference = Benchmark{
	Name: record.PPEPreference, Title: "PPE preference", Data: "lmarena-ai/PPE-Human-Preference-V1, split test (16,038 rows with ties)",
	Rule:     "the preferred response strictly ahead; rows that people called a tie are left out when they are read",
	AnyPairs: true,
	hits:     strictPair, score: shareOfPairs,
}

var shp = Benchmark{
	Name: record.StanfordSHP, Title: "SHP", Data: "stanfordnlp/SHP",
	Rule:     "the preferred response strictly ahead",
	AnyPairs: true,
	hits:     strictPair, score: shareOfPairs, more: meanOfParts("mean of the domains"),
}

var qaFeedback = Benchmark{
	Name: record.QAFeedback, Title: "QA Feedback", Data: "allenai/FineGrainedRLHF, tasks/qa_feedback/data/dev_feedback.json (500 questions, 2616 comparisons with a preference)",
	Rule:     "the preferred answer strictly ahead; comparisons without a preference are left out when they are read",
	AnyPairs: true,
	hits:     strictPair, score: shareOfPairs,
}

// llmBar: its owners ask a judge in both orders; a reward has none.
var llmBar = Benchmark{
	Name: record.LLMBar, Title: "LLMBar", Data: "princeton-nlp/LLMBar, 5 files",
	Rule:     "the right output strictly ahead, by set; a set's name is read from the column subset",
	AnyPairs: true,
	Sizes:    []map[string]int{{"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}},
	part: func(part, _ string) string {
		for _, name := range [...]string{"Natural", "Neighbor", "GPTInst", "GPTOut", "Manual"} {
			if strings.HasSuffix(strings.ToLower(part), strings.ToLower(name)) {
				return name
			}
		}
		return part
	},
	hits: strictPair,
	score: func(s *sample) []Score {
		t := s.tallies()
		sets := s.by(t)
		out := append([]Score{{Name: "all pairs (micro)", value: s.pooled(t, nil)}, {Name: "mean of the sets (macro)", value: meanScore(sets)}}, sets...)
		adversarial := func(part string) bool { return part != "Natural" && part != "" && part != unnamed }
		if s.has(adversarial) && s.has(equals("Natural")) {
			out = append(out, Score{Name: "mean of the adversarial sets", value: meanScore(only(sets, adversarial))})
		}
		return out
	},
}

// only are the scores of some names.
func only(list []Score, in func(string) bool) (out []Score) {
	for _, s := range list {
		if in(s.Name) {
			out = append(out, s)
		}
	}
	return out
}

// shareOfPairs is the share of pairs that are right.
func shareOfPairs(s *sample) []Score {
	return []Score{{Name: "score", value: s.pooled(s.tallies(), nil)}}
}

// meanOfParts is the unweighted mean of the parts, if there are several.
func meanOfParts(name string) func(*sample) []Score {
	return func(s *sample) []Score {
		if len(s.parts) < 2 {
			return nil
		}
		return []Score{{Name: name, value: meanScore(s.by(s.tallies()))}}
	}
}
