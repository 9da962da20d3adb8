package record

// From a row's fields to a Record: what all schemas share, and the fields that the method's steps add.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// origin is where a row is from.
type origin struct {
	file   string
	number int // of the file, of several, from 1; 0: the only one
	place
}

// decode makes the records of a row of the given schema.
func decode(r *row, s *Schema, from origin) ([]*Record, error) {
	r.own, r.keeps = s.Reads, s.Keeps
	if s == &ofBenchmark { // it was a row of one of these
		for _, other := range schemas() {
			r.keeps = append(r.keeps, other.Keeps...)
		}
	}
	if err := r.refuse(s); err != nil {
		return nil, err
	}
	list, err := s.decode(r)
	if err != nil {
		return nil, err
	}
	for i, rec := range list {
		rec.File, rec.Line, rec.Row, rec.part = from.file, from.line, from.row, from.number
		given := rec.ID != "" // by the schema
		for _, c := range r.columns {
			if c.read == nil || c.key == "id" && given {
				continue
			}
			if err := c.read(rec, r); err != nil {
				return nil, err
			}
		}
		if rec.listed {
			name := encoder{}
			name.text(rec.ID)
			rec.SetExtra(ListColumn, name.b)
		}
		if len(list) > 1 && !given {
			rec.ID, rec.numericID = fmt.Sprintf("%s/%d", rec.ID, i+1), false
		}
	}
	for _, m := range r.members {
		kept := member{key: m.Key}
		if !r.used[m.Key] || r.kept[m.Key] {
			kept.raw = slices.Clone(m.Raw)
		}
		for _, rec := range list {
			if _, made := rec.Extra(m.Key); !made { // by the schema
				rec.order = append(rec.order, kept)
			}
		}
	}
	return list, nil
}

func (rec *Record) decodeID(r *row) error {
	raw, ok := r.get("id")
	if !ok {
		rec.ID = rec.PlaceID()
		return nil
	}
	switch kind := strictjson.KindOf(raw); {
	case kind == "string":
		rec.ID = str(raw)
	case kind == "number" && !strings.ContainsAny(string(raw), ".eE"):
		rec.ID, rec.numericID = string(raw), true
	default:
		return badField("%q: got %s, want string or integer", "id", kind)
	}
	if rec.ID == "" || len(rec.ID) > 1024 {
		return badField("%q: got %d bytes, want 1 to 1024", "id", len(rec.ID))
	}
	return nil
}

// decodeSystem puts a system text of its own before the conversation.
func (rec *Record) decodeSystem(r *row) error {
	if kind := r.kind("system"); kind == "" || kind == "null" || rec.Document != nil && rec.Document.Messages == nil {
		return nil
	}
	text, err := r.anyText("system")
	if err != nil || strings.TrimSpace(text) == "" {
		return err
	}
	list := &rec.Prompt.Messages
	if rec.Document != nil {
		list = &rec.Document.Messages
	} else {
		*list = rec.Prompt.Conversation()
		rec.Prompt.Text = ""
	}
	if (*list)[0].Role == "system" {
		if (*list)[0].Content != text {
			return badField("%q differs from the system message of the conversation", "system")
		}
		return nil
	}
	*list = append([]tokenizer.Message{{Role: "system", Content: text}}, *list...)
	return nil
}

// decodePairFields reads what a pair has beside its texts.
func (rec *Record) decodePairFields(r *row) error {
	return first(
		func() error { return r.optNumber("margin", &rec.Margin) },
		func() error { return r.optCritiques("chosen_critiques", &rec.ChosenCritiques) },
		func() error { return r.optCritiques("rejected_critiques", &rec.RejectedCritiques) },
		func() error { return r.optNumber("chosen_reward", &rec.ChosenReward) },
		func() error { return r.optNumber("rejected_reward", &rec.RejectedReward) })
}

// decodeResponseFields reads what a single response has beside its texts.
func (rec *Record) decodeResponseFields(r *row) error {
	return first(
		func() error { return r.optBool("correct", &rec.Correct) },
		func() error {
			if rec.Correct != nil {
				return nil
			}
			return r.optBool("label", &rec.Correct)
		},
		func() error { return r.optCritiques("critiques", &rec.Critiques) },
		func() error { return r.givenCritique(&rec.Critiques) },
		func() error { return r.optNumber("reward", &rec.Reward) })
}

// optCritic reads which model wrote the critiques.
func (r *row) optCritic(dst **CriticInfo) error {
	var info CriticInfo
	ok, err := r.optObject("critic", &info, "not the settings of a critic")
	if ok {
		*dst = &info
	}
	return err
}

// optCut reads what a model has not read of the record's texts, which must be known already.
func (r *row) optCut(key string, rec *Record, dst **Cut) error {
	const fault = "not a cut of this row's texts: want policy and the number of characters that each text lacks"
	var c Cut
	ok, err := r.optObject(key, &c, fault)
	if ok && !c.check(rec) {
		return badField("%q: %s", key, fault)
	}
	if ok {
		*dst = &c
	}
	return err
}

// optObject reads an object into a struct; fault is said of one that does not fit.
func (r *row) optObject(key string, dst any, fault string) (bool, error) {
	raw, ok := r.get(key)
	if !ok {
		return false, nil
	}
	raw = r.typed(raw, "object")
	if kind := strictjson.KindOf(raw); kind != "object" {
		return false, badField("%q: got %s, want object", key, kind)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // they would be lost when the row is written
	if err := d.Decode(dst); err != nil {
		return false, badField("%q: %s (%.100s)", key, fault, strings.TrimPrefix(err.Error(), "json: "))
	}
	return true, nil
}

// givenCritique reads the pair critique, critique_correct: one critique with its human verdict.
func (r *row) givenCritique(dst *[]Critique) error {
	if r.kind("critique") != "string" {
		return nil
	}
	text, err := r.text("critique")
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
func (r *row) optCritiques(key string, dst *[]Critique) error {
	given := func(at, text string) error {
		if len(text) > r.max {
			return badField("%q: text is %d bytes, limit %d", at, len(text), r.max)
		}
		if strings.TrimSpace(text) == "" {
			return badField("%q is empty", at)
		}
		*dst = append(*dst, Critique{Text: text, Origin: OriginGiven})
		return nil
	}
	if r.kind(key) == "string" {
		raw, _ := r.get(key)
		return given(key, str(raw))
	}
	list, err := r.list(key, "critiques")
	if err != nil {
		return err
	}
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch kind := strictjson.KindOf(item); kind {
		case "string":
			if err := given(at, str(item)); err != nil {
				return err
			}
		case "object":
			inner := r.nested(item)
			c, err := inner.critique()
			if err != nil {
				return badField("%s: %v", at, err)
			}
			for _, name := range inner.unread() {
				r.inner = append(r.inner, key+"[]."+name)
			}
			*dst = append(*dst, *c)
		default:
			return badField("%q: got %s, want string or object", at, kind)
		}
	}
	return nil
}

// critique reads one critique with what the steps found of it.
func (r *row) critique() (*Critique, error) {
	c := &Critique{}
	var logp, rank, reward, askedTokens, chance, metaAsked *float64
	err := first(
		func() (err error) { c.Text, err = r.anyText("text"); return err }, // a model may stop at once
		func() error { return r.optNumber("score", &c.Score) },
		func() error { return r.optText("verdict", &c.Verdict) },
		func() error { return r.optNumber("asked_tokens", &askedTokens) },
		func() error { return r.optNumber("chance", &chance) },
		func() error { return r.optNumber("meta_asked", &metaAsked) },
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
	)
	if err != nil {
		return nil, err
	}
	if logp != nil {
		c.LogProb = *logp
	}
	if chance != nil {
		c.Chance = *chance
	}
	for _, n := range []struct {
		key  string
		from *float64
		to   *int
	}{{"rank", rank, &c.Rank}, {"asked_tokens", askedTokens, &c.AskedTokens}, {"meta_asked", metaAsked, &c.MetaAsked}} {
		if n.from == nil {
			continue
		}
		if *n.from != math.Trunc(*n.from) || *n.from < 0 || *n.from > 1e9 {
			return nil, badField("%q: got %v, want a whole number", n.key, *n.from)
		}
		*n.to = int(*n.from)
	}
	if reward != nil {
		v := float32(*reward)
		if math.IsInf(float64(v), 0) {
			return nil, badField("%q: %v does not fit float32", "reward", *reward)
		}
		c.Reward = &v
	}
	for _, m := range r.members {
		if !r.used[m.Key] && strictjson.KindOf(m.Raw) != "null" {
			c.extra = append(c.extra, member{key: m.Key, raw: slices.Clone(m.Raw)})
		}
	}
	return c, nil
}
