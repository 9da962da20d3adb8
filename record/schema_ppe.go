package record

// PPE (lmarena-ai/PPE-…): votes of people on pairs, and rows of many answers of one model whose correctness is known.

import (
	"fmt"
	"strconv"

	"criticrm/strictjson"
)

var ppePreference = Schema{
	Name:  "PPE preference",
	Has:   "`prompt`, `response_1`, `response_2`, `winner`",
	For:   ForBenchmark,
	From:  "PPE",
	Keys:  []string{"prompt", "response_1", "response_2", "winner"},
	Reads: []string{"winner", "response_1", "response_2", "question_id", "language"},
	Keeps: []string{"hard_prompt", "easy_prompt", "if_prompt", "is_code", "math_prompt", "domain"},
	is: func(r *row) bool {
		return r.has("prompt") && r.has("response_1") && r.has("response_2") && r.kind("winner") == "string" && !r.has("response_3")
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: PPEPreference}
		var id, one, two, winner string
		prompt, err := r.prompt()
		err = first(func() error { return err }, func() (err error) { id, err = r.word("question_id"); return err }, func() error { return r.optText("winner", &winner) },
			func() error { return r.optText("language", &b.Part) }, func() error { return r.answer("response_1", &one) }, func() error { return r.answer("response_2", &two) })
		if err != nil {
			return nil, err
		}
		switch winner {
		case "model_a", "model_b":
			b.Second = winner == "model_b"
		case "tie", "tie (bothbad)":
			return nil, AsideTie
		default:
			return nil, badField("%q: got %.40q, want model_a, model_b or tie", "winner", winner)
		}
		return shown(b.pair(id, prompt, one, two), b.Second), nil
	},
}

// ppeAnswers is how many answers a row may have.
const ppeAnswers = 32

var ppeCorrectness = Schema{
	Name:  "PPE correctness",
	Has:   "`prompt`, `response_1` … `response_32`, `scores`, `sampled_conflict_pairs`",
	For:   ForBenchmark,
	From:  "PPE",
	Keys:  []string{"prompt", "response_1", "response_2", "scores", "sampled_conflict_pairs"},
	Reads: ppeKeys(),
	Keeps: []string{"model_name", "mean_score"},
	is: func(r *row) bool {
		return r.has("response_1") && r.has("response_2") && r.kind("scores") == "array" && r.kind("sampled_conflict_pairs") == "array"
	},
	decode: func(r *row) ([]*Record, error) {
		b := Benchmark{Name: PPECorrectness}
		prompt, err := r.prompt()
		err = first(func() error { return err }, func() (err error) { b.Row, err = r.name("question_id"); return err }, func() error { return r.optText("subset", &b.Part) })
		scores, fault := r.list("scores", "true and false")
		if err := first(func() error { return err }, func() error { return fault }); err != nil {
			return nil, err
		}
		if len(scores) < 2 || len(scores) > ppeAnswers {
			return nil, badField("%q: %d of them, want 2 to %d", "scores", len(scores), ppeAnswers)
		}
		r.get("parsed_outputs") // a short form of the answers, which would stand in each record
		answers, right := make([]string, len(scores)), make([]bool, len(scores))
		for i, raw := range scores {
			if err := r.answer(fmt.Sprintf("response_%d", i+1), &answers[i]); err != nil {
				return nil, err
			}
			switch string(raw) {
			case "true", "1", "1.0":
				right[i] = true
			case "false", "0", "0.0":
			default:
				return nil, badField("%q: item %d is %s, want true or false", "scores", i, clip(string(raw)))
			}
		}
		if b.Pairs, err = r.ppePairs(right); err != nil {
			return nil, err
		}
		return b.each(prompt, answers, func(i int) bool { return right[i] }), nil
	},
}

func ppeKeys() []string {
	keys := []string{"question_id", "scores", "sampled_conflict_pairs", "parsed_outputs"}
	for i := range ppeAnswers {
		keys = append(keys, fmt.Sprintf("response_%d", i+1))
	}
	return keys
}

// ppePairs are the pairs of answers of which one is right and the other is not.
func (r *row) ppePairs(right []bool) (out [][2]int, err error) {
	const key = "sampled_conflict_pairs"
	list, err := r.list(key, "pairs")
	for i, raw := range list {
		var p [2]int
		if strictjson.KindOf(raw) != "array" || len(items(raw)) != 2 {
			return nil, badField("%q: item %d is %s, want two numbers of answers", key, i, clip(string(raw)))
		}
		for k, n := range items(raw) {
			if p[k], err = strconv.Atoi(string(n)); err != nil || p[k] < 0 || p[k] >= len(right) {
				return nil, badField("%q: item %d is %s, want two numbers below %d", key, i, clip(string(raw)), len(right))
			}
		}
		if right[p[0]] == right[p[1]] {
			return nil, badField("%q: item %d is %s, and scores has both alike", key, i, clip(string(raw)))
		}
		out = append(out, p)
	}
	return out, err
}
