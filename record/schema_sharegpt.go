package record

// Conversations as ShareGPT writes them: from and value in place of role and content.

import (
	"slices"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// ShareGPTRanking is LLaMA-Factory's sharegpt form with chosen and rejected.
var ShareGPTRanking = Schema{
	Name: "sharegpt ranking", For: ForPairs,
	Has:   "`conversations`, a list of `from` (human, gpt, system) and `value`, perhaps `system`, and `chosen` and `rejected` as one such message each",
	From:  "LLaMA-Factory",
	Keys:  []string{"conversations", "chosen", "rejected"},
	Reads: []string{"conversations"},
	is: func(r *row) bool {
		return r.has("conversations") && r.kind("chosen") == "object" && r.kind("rejected") == "object"
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt.Messages, err = r.shared("conversations"); err != nil {
			return err
		}
		if last := rec.Prompt.Messages[len(rec.Prompt.Messages)-1]; last.Role != "user" {
			return badField("%q: the last message is the %s's, want the user's: chosen and rejected answer it", "conversations", last.Role)
		}
		if rec.Chosen, err = r.said("chosen"); err != nil {
			return err
		}
		if rec.Rejected, err = r.said("rejected"); err != nil {
			return err
		}
		return first(rec.differs, func() error { return rec.decodePairFields(r) })
	}),
}

// said is the text of one message of the assistant.
func (r *row) said(key string) (string, error) {
	raw, _ := r.get(key)
	as := shareGPT
	if strictjson.KindOf(raw) == "object" {
		as = speechOf(r.nested(raw))
	}
	m, err := r.message(key, raw, as)
	if err == nil && m.Role != "assistant" {
		err = badField("%q: a message of the %s, want the assistant's (gpt)", key, m.Role)
	}
	return m.Content, err
}

// ShareGPT is a conversation, with a label of its last message or without.
var ShareGPT = Schema{
	Name: "sharegpt", Group: single, For: ForDocuments,
	Has:   "`conversations`, as in sharegpt ranking, perhaps with `system`; with a label (`kto_tag` or `label`) it is a prompt and a response",
	From:  "ShareGPT, LLaMA-Factory",
	Keys:  []string{"conversations"},
	Reads: []string{"conversations", "kto_tag"},
	is: func(r *row) bool {
		return r.kind("conversations") == "array" && r.kind("chosen") == "" && r.kind("rejected") == ""
	},
	decode: one(func(rec *Record, r *row) error {
		r.blank = r.has("kto_tag") || r.has("label") // what is labelled may be empty
		list, err := r.shared("conversations")
		if err != nil {
			return err
		}
		if !r.blank {
			rec.document().Messages = list
			return nil
		}
		n := len(list) - 1
		if n == 0 || list[n].Role != "assistant" {
			return badField("%q: want a prompt and, behind it, the message of the assistant that is labelled", "conversations")
		}
		if i := slices.IndexFunc(list[:n], func(m tokenizer.Message) bool { return strings.TrimSpace(m.Content) == "" }); i >= 0 {
			return badField("%q: turn %d is empty", "conversations", i)
		}
		rec.Prompt.Messages, rec.Response = list[:n:n], &list[n].Content
		return first(func() error { return r.optBool("kto_tag", &rec.Correct) }, func() error { return rec.decodeResponseFields(r) })
	}),
}

// shared reads a list of messages with from and value, or with role and content.
func (r *row) shared(key string) ([]tokenizer.Message, error) {
	as := shareGPT
	if list, err := r.list(key, "messages"); err == nil && len(list) > 0 && strictjson.KindOf(list[0]) == "object" {
		as = speechOf(r.nested(list[0]))
	}
	return r.spoken(key, as)
}

// speechOf is how a message is written.
func speechOf(m *row) speech {
	if m.has("role") && !m.has("from") {
		return openAI
	}
	return shareGPT
}
