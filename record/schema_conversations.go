package record

// Both sides as whole conversations, which share all turns but the last.

import (
	"slices"
	"strings"

	"criticrm/tokenizer"
)

// Conversations is chosen and rejected as message lists, with or without prompt: TRL's conversational form.
var Conversations = Schema{
	Name: "chosen/rejected message lists", For: ForPairs,
	Has:  "`chosen` and `rejected` as lists of messages that share all but the last, the assistant's; `prompt` may be left out, or hold what they share",
	From: "TRL's conversational form, OpenRLHF, UltraFeedback binarized by H4 and Argilla, Skywork, Tulu 3, OLMo 3",
	Keys: []string{"chosen", "rejected"},
	is:   func(r *row) bool { return r.kind("chosen") == "array" && r.kind("rejected") == "array" },
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodeSides(r, r.messages) }, func() error { return rec.decodePairFields(r) })
	}),
}

// Dialogues is chosen and rejected as whole "Human: … Assistant: …" transcripts without prompt, as in HH-RLHF.
var Dialogues = Schema{
	Name: "chosen/rejected dialogues", For: ForPairs,
	Has:  "both as whole transcripts with `Human:` and `Assistant:` turns",
	From: "Anthropic HH-RLHF",
	Keys: []string{"chosen", "rejected"},
	is: func(r *row) bool {
		for _, key := range [...]string{"chosen", "rejected"} {
			if !isDialogue(r.peek(key)) {
				return false
			}
		}
		return true
	},
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodeSides(r, r.dialogue) }, func() error { return rec.decodePairFields(r) })
	}),
}

// decodeSides splits two conversations into the shared prompt and one answer each.
func (rec *Record) decodeSides(r *row, side func(key string) ([]tokenizer.Message, error)) error {
	c, err := side("chosen")
	if err != nil {
		return err
	}
	j, err := side("rejected")
	if err != nil {
		return err
	}
	if err := rec.sides(c, j); err != nil {
		return err
	}
	c = rec.Prompt.Messages
	n := len(c)
	if string(r.raw("messages")) == string(r.raw("chosen")) && r.has("messages") { // UltraFeedback binarized says it twice
		r.get("messages")
	}
	if !r.has("prompt") {
		if n == 0 {
			return r.missing("prompt")
		}
		return nil
	}
	p, err := r.prompt()
	if err != nil {
		return err
	}
	// Some sets repeat the prompt inside both lists, as messages or as the text of the first or the last of its turns.
	same := func(m tokenizer.Message) bool { return strings.TrimSpace(m.Content) == strings.TrimSpace(p.Text) }
	head := slices.IndexFunc(c, func(m tokenizer.Message) bool { return m.Role == "user" })
	if n == 0 {
		rec.Prompt = p
	} else if !slices.Equal(p.Conversation(), c) && (len(p.Messages) > 0 || !same(c[n-1]) && (head < 0 || !same(c[head]))) {
		return badField("%q differs from the turns that chosen and rejected share", "prompt")
	}
	return nil
}

// sides takes two conversations apart into the turns that they share and one answer each.
func (rec *Record) sides(c, j []tokenizer.Message) error {
	n := 0
	for n < len(c)-1 && n < len(j)-1 && c[n] == j[n] {
		n++
	}
	for i, key := range [...]string{"chosen", "rejected"} {
		if m := [...][]tokenizer.Message{c, j}[i]; len(m) != n+1 || m[n].Role != "assistant" {
			return badField("%q: want the shared turns and then one assistant message, got %d messages after %d shared turns",
				key, len(m)-n, n)
		}
	}
	rec.Chosen, rec.Rejected = c[n].Content, j[n].Content
	rec.Prompt = Prompt{Messages: c[:n:n]}
	return rec.differs()
}

// dialogue splits "\n\nHuman: …\n\nAssistant: …" into messages.
func (r *row) dialogue(key string) ([]tokenizer.Message, error) {
	text, err := r.anyText(key)
	if err != nil {
		return nil, err
	}
	return humanMarks.turns(key, text, false)
}
