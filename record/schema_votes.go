package record

// Two responses and a column that says which is better.

import "strings"

// PKUSafeRLHF is two responses and the number of the better one.
var PKUSafeRLHF = Schema{
	Name: "PKU-SafeRLHF", For: ForPairs,
	Has: "`prompt`, `response_0`, `response_1` and `better_response_id`, 0 or 1. For the safer one in place of the better one: " +
		"`--columns better_response_id=safer_response_id,safer_response_id=better_response_id`",
	From:  "PKU-Alignment",
	Keys:  []string{"prompt", "response_0", "response_1", "better_response_id"},
	Reads: []string{"response_0", "response_1", "better_response_id"},
	decode: func(r *row) ([]*Record, error) {
		v, err := r.oneOf("better_response_id", 0, 1)
		if err != nil {
			return nil, err
		}
		return r.twoTexts("prompt", "response_0", "response_1", 2*v-1)
	},
}

// SHP is two comments below a post, of which labels says whether the first is better.
var SHP = Schema{
	Name: "SHP", For: ForPairs,
	Has:   "`history` (the post), `human_ref_A`, `human_ref_B` and `labels`: 1, the first is better, or 0, the second",
	From:  "Stanford Human Preferences",
	Keys:  []string{"history", "human_ref_A", "human_ref_B", "labels"},
	Reads: []string{"history", "human_ref_A", "human_ref_B", "labels"},
	decode: func(r *row) ([]*Record, error) {
		v, err := r.oneOf("labels", 0, 1)
		if err != nil {
			return nil, err
		}
		list, err := r.twoTexts("history", "human_ref_A", "human_ref_B", 1-2*v)
		domain, _, _ := strings.Cut(r.peek("domain"), "_") // as in askphysics_test
		for _, rec := range list {
			rec.Benchmark = &Benchmark{Name: StanfordSHP, Part: domain, Second: v == 0}
		}
		return list, err
	},
}

// WebGPT is two answers with their scores.
var WebGPT = Schema{
	Name: "WebGPT comparisons", For: ForPairs,
	Has:   "`question` (a text, or an object with `full_text`), `answer_0`, `answer_1`, `score_0` and `score_1`; equal scores are a tie",
	From:  "OpenAI",
	Keys:  []string{"question", "answer_0", "answer_1", "score_0", "score_1"},
	Reads: []string{"question", "answer_0", "answer_1", "score_0", "score_1"},
	decode: func(r *row) ([]*Record, error) {
		a, err := r.needNumber("score_0")
		if err != nil {
			return nil, err
		}
		b, err := r.needNumber("score_1")
		if err != nil {
			return nil, err
		}
		if r.kind("question") != "object" {
			return r.twoTexts("question", "answer_0", "answer_1", b-a)
		}
		raw, _ := r.get("question")
		p, err := r.nested(raw).promptAt("full_text")
		if err != nil {
			return nil, badField("question: %w", err)
		}
		return r.twoOf(p, "answer_0", "answer_1", b-a)
	},
}
