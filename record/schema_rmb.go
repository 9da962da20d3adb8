package record

// RMB (Zhou-Zoey/RMB-Reward-Model-Benchmark): pairs, and best-of-n rows of one best and several other answers. The path of its category names
// the goal, which the rule splits by.

import (
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// Parts of RMB: a set and a goal.
const (
	rmbPairwise = "pairwise"
	rmbBest     = "best-of-n"
)

var rmbPairs = Schema{
	Name:  "RMB pairs",
	Has:   "`conversation_input`, and `chosen` and `reject` as objects with `answer`",
	For:   ForBenchmark,
	From:  "RMB",
	Keys:  []string{"conversation_input", "chosen", "reject"},
	Group: RMB,
	Reads: []string{"pair_uid", "conversation_input", "category_path", "reject"},
	is: func(r *row) bool {
		return r.kind("conversation_input") == "array" && r.kind("chosen") == "object" && r.kind("reject") == "object"
	},
	decode: func(r *row) ([]*Record, error) {
		b, prompt, err := r.rmb(rmbPairwise)
		var id, best, other string
		err = first(func() error { return err }, func() (err error) { id, err = r.word("pair_uid"); return err },
			func() (err error) { best, err = r.rmbAnswer("chosen", 0); return err }, func() (err error) { other, err = r.rmbAnswer("reject", 0); return err })
		if err != nil {
			return nil, err
		}
		return b.pair(id, prompt, best, other), nil
	},
}

var rmbBestOfN = Schema{
	Name:  "RMB best-of-n",
	Has:   "`conversation_input`, `bon_best`, `loser_list`",
	For:   ForBenchmark,
	From:  "RMB",
	Keys:  []string{"conversation_input", "bon_best", "loser_list"},
	Group: RMB,
	Reads: []string{"bon_uid", "conversation_input", "category_path", "bon_best", "loser_list"},
	is: func(r *row) bool {
		return r.kind("conversation_input") == "array" && r.kind("bon_best") == "object" && r.kind("loser_list") == "array"
	},
	decode: func(r *row) ([]*Record, error) {
		b, prompt, err := r.rmb(rmbBest)
		var answers []string
		add := func(key string, i int) error {
			text, err := r.rmbAnswer(key, i)
			answers = append(answers, text)
			return err
		}
		err = first(func() error { return err }, func() (err error) { b.Row, err = r.name("bon_uid"); return err }, func() error { return add("bon_best", 0) })
		losers, fault := r.list("loser_list", "answers")
		for i := range losers {
			err = first(func() error { return err }, func() error { return add("loser_list", i) })
		}
		if err := first(func() error { return err }, func() error { return fault }); err != nil {
			return nil, err
		}
		if len(losers) == 0 {
			return nil, badField("%q is empty", "loser_list")
		}
		return b.each(prompt, answers, func(i int) bool { return i == 0 }), nil
	},
}

// rmb reads what both kinds of rows have: the conversation, and the goal in the category's path.
func (r *row) rmb(set string) (b Benchmark, p Prompt, err error) {
	b.Name, b.Part = RMB, set
	path, err := r.word("category_path")
	if err != nil {
		return b, p, err
	}
	for _, goal := range [...]string{"Helpfulness", "Harmlessness"} {
		if strings.Contains("/"+path+"/", "/"+goal+"/") {
			b.Part += " " + goal
		}
	}
	list, err := r.list("conversation_input", "messages")
	if err != nil {
		return b, p, err
	}
	for i, item := range list {
		if kind := strictjson.KindOf(item); kind != "object" {
			return b, p, badField("%q: item %d is %s, want an object with role and content", "conversation_input", i, kind)
		}
		m := r.nested(item)
		role, err := m.text("role")
		if err != nil {
			return b, p, badField("conversation_input[%d]: %v", i, err)
		}
		if role != "system" && role != "user" && role != "assistant" {
			return b, p, badField("conversation_input[%d]: role %.40q: want system, user or assistant", i, role)
		}
		content, err := m.anyText("content") // a turn of an assistant is empty in one of them
		if err != nil {
			return b, p, badField("conversation_input[%d]: %v", i, err)
		}
		p.Messages = append(p.Messages, tokenizer.Message{Role: role, Content: content})
	}
	if n := len(p.Messages); n == 0 || p.Messages[n-1].Role != "user" {
		return b, p, badField("%q: want messages of which the last is the user's", "conversation_input")
	}
	return b, p, nil
}

// rmbAnswer is the answer of an object under a key, or of item i of a list under it.
func (r *row) rmbAnswer(key string, i int) (text string, err error) {
	raw, ok := r.get(key)
	if !ok {
		return "", r.missing(key)
	}
	if strictjson.KindOf(raw) == "array" {
		raw = items(raw)[i]
	}
	if kind := strictjson.KindOf(raw); kind != "object" {
		return "", badField("%q: item %d is %s, want an object with answer", key, i, kind)
	}
	if err = r.nested(raw).answer("answer", &text); err != nil {
		return "", badField("%s: %v", key, err)
	}
	return text, nil
}
