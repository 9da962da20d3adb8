package record

// CrossEval (MingZhong/crosseval): three answers to a prompt, each rated by two people from 1 to 5.

import "fmt"

const crossEvalAnswers, crossEvalPeople = 3, 2

var crossEval = Schema{
	Name:  "CrossEval",
	Has:   "`prompt`, `capability`, `response_1` … `response_3`, each with `response_1_human_1_rating` …",
	For:   ForBenchmark,
	From:  "CrossEval",
	Keys:  []string{"prompt", "capability", "response_1", "response_1_human_1_rating"},
	Reads: crossEvalKeys(),
	Keeps: []string{"difficulty", "l1_category", "l2_category"},
	is: func(r *row) bool {
		return r.has("prompt") && r.has("capability") && r.has("response_1") && r.has("response_1_human_1_rating")
	},
	decode: func(r *row) ([]*Record, error) {
		if raw, ok := r.get("attached_file"); ok && !isEmpty(raw) {
			return nil, aside("with an attached file, which cannot be read as text")
		}
		b := Benchmark{Name: CrossEval}
		prompt, err := r.prompt()
		err = first(func() error { return err }, func() (err error) { b.Row, err = r.name("prompt_id"); return err }, func() (err error) { b.Part, err = r.name("capability"); return err })
		if err != nil {
			return nil, err
		}
		answers, ratings := make([]string, crossEvalAnswers), make([]float64, crossEvalAnswers)
		for i := range answers {
			if err := r.answer(fmt.Sprintf("response_%d", i+1), &answers[i]); err != nil {
				return nil, err
			}
			n := 0
			for p := range crossEvalPeople {
				r.get(explanation(i, p)) // people's words, which would stand in each record
				var rating *float64
				if err := r.optNumber(rated(i, p), &rating); err != nil {
					return nil, err
				}
				if rating != nil {
					ratings[i] += *rating
					n++
				}
			}
			if n == 0 {
				return nil, r.missing(rated(i, 0))
			}
			ratings[i] /= float64(n)
		}
		list := b.each(prompt, answers, nil)
		for i, rec := range list {
			rec.Benchmark.Rating = &ratings[i]
		}
		return list, nil
	},
}

func rated(answer, person int) string {
	return fmt.Sprintf("response_%d_human_%d_rating", answer+1, person+1)
}

func explanation(answer, person int) string {
	return fmt.Sprintf("response_%d_human_%d_explanation", answer+1, person+1)
}

func crossEvalKeys() []string {
	keys := []string{"prompt_id", "capability", "attached_file"}
	for i := range crossEvalAnswers {
		keys = append(keys, fmt.Sprintf("response_%d", i+1))
		for p := range crossEvalPeople {
			keys = append(keys, rated(i, p), explanation(i, p))
		}
	}
	return keys
}
