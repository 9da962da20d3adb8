package critic

// The fields that stages add, read back.

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// decodeShared fills what is not prompt, response or id.
func (rec *Record) decodeShared(r *row, f Format, max int) error {
	steps := []func() error{
		func() error { return r.optText("category", &rec.Category) },
		func() error { return r.optText("subset", &rec.Subset) },
		func() error { return r.optText("dropped", &rec.Dropped) },
		func() error { return r.optCritic(&rec.Critic) },
		func() error { return r.optCut("shortened", rec, &rec.Cut) },
		func() error { return r.optCut("plain_shortened", rec, &rec.PlainCut) },
	}
	if f == FormatResponses {
		steps = append(steps,
			func() error { return r.optBool("correct", &rec.Correct) },
			func() error {
				if rec.Correct != nil {
					return nil
				}
				return r.optBool("label", &rec.Correct)
			},
			func() error { return r.optCritiques("critiques", &rec.Critiques, max) },
			func() error { return r.givenCritique(&rec.Critiques, max) },
			func() error { return r.optNumber("reward", &rec.Reward) })
	} else {
		steps = append(steps,
			func() error { return r.optNumber("margin", &rec.Margin) },
			func() error { return r.optCritiques("chosen_critiques", &rec.ChosenCritiques, max) },
			func() error { return r.optCritiques("rejected_critiques", &rec.RejectedCritiques, max) },
			func() error { return r.optNumber("chosen_reward", &rec.ChosenReward) },
			func() error { return r.optNumber("rejected_reward", &rec.RejectedReward) })
	}
	if f == FormatCLoud {
		steps = append(steps,
			func() error { return r.optCritiques("chosen_feedback", &rec.ChosenCritiques, max) },
			func() error { return r.optCritiques("rejected_feedback", &rec.RejectedCritiques, max) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// optCritic reads which model wrote the critiques.
func (r *row) optCritic(dst **CriticInfo) error {
	raw, ok := r.get("critic")
	if !ok {
		return nil
	}
	var info CriticInfo
	if kind := kindOf(raw); kind != "object" {
		return badField("%q: got %s, want object", "critic", kind)
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return badField("%q: not the settings of a critic", "critic")
	}
	*dst = &info
	return nil
}

// optCut reads what a model has not read of the record's texts, which must be known already.
func (r *row) optCut(key string, rec *Record, dst **Cut) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	if kind := kindOf(raw); kind != "object" {
		return badField("%q: got %s, want object", key, kind)
	}
	var c Cut
	if json.Unmarshal(raw, &c) != nil || !c.check(rec) {
		return badField("%q: not a cut of this row's texts: want policy and the number of characters that each text lacks", key)
	}
	*dst = &c
	return nil
}

// givenCritique reads the pair critique, critique_correct: one critique with its human verdict.
func (r *row) givenCritique(dst *[]Critique, max int) error {
	if r.kind("critique") != "string" {
		return nil
	}
	text, err := r.text("critique", max)
	if err != nil {
		return err
	}
	c := Critique{Text: text, Origin: OriginGiven}
	if err := r.optBool("critique_correct", &c.Correct); err != nil {
		return err
	}
	*dst = append(*dst, c)
	return nil
}

// optCritiques reads a list of critiques, each a string or an object, or one string.
func (r *row) optCritiques(key string, dst *[]Critique, max int) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	switch kind := kindOf(raw); kind {
	case "string":
		text, err := r.text(key, max)
		if err != nil {
			return err
		}
		*dst = append(*dst, Critique{Text: text, Origin: OriginGiven})
		return nil
	case "array":
	default:
		return badField("%q: got %s, want a list of critiques", key, kind)
	}
	for i, item := range items(raw) {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch kind := kindOf(item); kind {
		case "string":
			text := str(item)
			if err := checkText(at, text, max); err != nil {
				return err
			}
			*dst = append(*dst, Critique{Text: text, Origin: OriginGiven})
		case "object":
			c, err := decodeCritique(scanValue(item), max)
			if err != nil {
				return badField("%s: %v", at, err)
			}
			*dst = append(*dst, *c)
		default:
			return badField("%q: got %s, want string or object", at, kind)
		}
	}
	return nil
}

func decodeCritique(members []member, max int) (*Critique, error) {
	r := &row{members: members, used: map[string]bool{}}
	c := &Critique{}
	raw, ok := r.get("text")
	if !ok {
		return nil, r.missing("text")
	}
	if kind := kindOf(raw); kind != "string" { // an empty text is legal: a model may stop at once
		return nil, badField("%q: got %s, want string", "text", kind)
	}
	if c.Text = str(raw); len(c.Text) > max {
		return nil, badField("%q: text is %d bytes, limit %d", "text", len(c.Text), max)
	}
	var logp, rank, reward *float64
	for _, step := range []func() error{
		func() error { return r.optNumber("score", &c.Score) },
		func() error { return r.optNumber("logprob", &logp) },
		func() error { return r.optText("finish_reason", &c.FinishReason) },
		func() error { return r.optText("origin", &c.Origin) },
		func() error { return r.optBool("kept", &c.Kept) },
		func() error { return r.optText("reason", &c.Reason) },
		func() error { return r.optNumber("rank", &rank) },
		func() error { return r.optNumbers("meta", &c.Meta) },
		func() error { return r.optNumber("reward", &reward) },
		func() error { return r.optBool("correct", &c.Correct) },
		func() error { return r.optTokens("tokens", &c.Tokens) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if logp != nil {
		c.LogProb = *logp
	}
	if rank != nil {
		if *rank != math.Trunc(*rank) || *rank < 0 || *rank > 1e9 {
			return nil, badField("%q: got %v, want a whole number", "rank", *rank)
		}
		c.Rank = int(*rank)
	}
	if reward != nil {
		v := float32(*reward)
		if math.IsInf(float64(v), 0) {
			return nil, badField("%q: %v does not fit float32", "reward", *reward)
		}
		c.Reward = &v
	}
	for _, m := range members {
		if !r.used[m.key] && kindOf(m.raw) != "null" {
			c.extra = append(c.extra, member{key: m.key, raw: append([]byte(nil), m.raw...)})
		}
	}
	return c, nil
}

func (r *row) list(key string) ([]json.RawMessage, error) {
	raw, ok := r.get(key)
	if !ok {
		return nil, nil
	}
	if kind := kindOf(raw); kind != "array" {
		return nil, badField("%q: got %s, want a list of numbers", key, kind)
	}
	return items(raw), nil
}

func (r *row) optNumbers(key string, dst *[]float64) error {
	list, err := r.list(key)
	if err != nil {
		return err
	}
	for _, raw := range list {
		v, err := number(key, raw)
		if err != nil {
			return err
		}
		*dst = append(*dst, v)
	}
	return nil
}

func (r *row) optTokens(key string, dst *[]int32) error {
	list, err := r.list(key)
	if err != nil || len(list) == 0 {
		return err
	}
	out := make([]int32, len(list))
	for i, raw := range list {
		v, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil || v < 0 {
			return badField("%q: item %d is %s, want a token id", key, i, clip(string(raw)))
		}
		out[i] = int32(v)
	}
	*dst = out
	return nil
}
