package record

// QA Feedback (allenai/FineGrainedRLHF): a question with passages, four answers, and six comparisons among them.

import (
	"fmt"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

var qaFeedback = Schema{
	Name:  "QA Feedback",
	Has:   "`question`, `passages`, `prediction 1` … `prediction 4`, `preference`: up to six pairs",
	For:   ForPairs,
	From:  "QA Feedback",
	Keys:  []string{"question", "prediction 1", "preference"},
	Reads: []string{"question", "passages", "prediction 1", "prediction 2", "prediction 3", "prediction 4", "preference"},
	Keeps: []string{"gold", "feedback"},
	is: func(r *row) bool {
		return r.has("question") && r.has("prediction 1") && r.kind("preference") == "array"
	},
	decode: func(r *row) (list []*Record, err error) {
		prompt, err := r.ask("question")
		if err != nil {
			return nil, err
		}
		// A passage is a list of its title and its sentences. The answers were written with them in view, so they stand behind the question.
		passages, err := r.list("passages", "passages")
		if err != nil {
			return nil, err
		}
		for i, raw := range passages {
			if strictjson.KindOf(raw) != "array" {
				return nil, badField("%q: item %d is %s, want a list of a title and sentences", "passages", i, strictjson.KindOf(raw))
			}
			var words []string
			for _, sentence := range items(raw) {
				words = append(words, str(sentence))
			}
			if len(words) > 1 {
				words = words[1:] // the first sentence begins with the title
			}
			prompt.Text += "\n\n" + strings.Join(words, " ")
		}
		var answers [4]string
		for i := range answers {
			if err := r.answer(fmt.Sprintf("prediction %d", i+1), &answers[i]); err != nil {
				return nil, err
			}
		}
		verdicts, err := r.list("preference", "comparisons")
		if err != nil {
			return nil, err
		}
		if len(verdicts) != 6 {
			return nil, badField("%q: %d comparisons, want 6", "preference", len(verdicts))
		}
		k := -1
		for i := range answers {
			for j := i + 1; j < len(answers); j++ {
				k++
				b := Benchmark{Name: QAFeedback}
				switch v, err := strconv.Atoi(string(verdicts[k])); {
				case err != nil || v < 0 || v > 2:
					return nil, badField("%q: item %d is %s, want 0, 1 or 2", "preference", k, clip(string(verdicts[k])))
				case v == 0:
					r.asides = count(r.asides, AsideTie)
					continue
				case answers[i] == answers[j]:
					r.asides = count(r.asides, AsideEqual)
					continue
				default:
					b.Second = v == 2
				}
				list = append(list, b.pair("", prompt, answers[i], answers[j])...)
			}
		}
		return list, nil
	},
}

// count adds one to a reason.
func count(m map[aside]int, why aside) map[aside]int {
	if m == nil {
		m = map[aside]int{}
	}
	m[why]++
	return m
}
