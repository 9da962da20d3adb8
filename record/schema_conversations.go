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
	From: "TRL (conversational), OpenRLHF, UltraFeedback binarized (H4, Argilla), Skywork, Tulu 3, OLMo 3",
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
		if r.kind("chosen") != "string" || r.kind("rejected") != "string" || r.has("instruction") || r.has("input") || r.has("conversations") {
			return false
		}
		v, _ := r.get("chosen")
		return isDialogue(str(v))
	},
	decode: one(func(rec *Record, r *row) error {
		return first(func() error { return rec.decodeSides(r, r.dialogue) }, func() error { return rec.decodePairFields(r) })
	}),
}

// isDialogue reports whether a text is a transcript with turns of a person and an assistant.
func isDialogue(text string) bool { return strings.Contains(text, "Assistant:") }

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
	if err := rec.differs(); err != nil {
		return err
	}
	rec.Prompt = Prompt{Messages: c[:n:n]}
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
	// Some sets repeat the prompt inside both lists, as text (the last user turn) or as messages.
	if n == 0 {
		rec.Prompt = p
	} else if !slices.Equal(p.Conversation(), c[:n]) && (len(p.Messages) > 0 || p.Text != c[n-1].Content) {
		return badField("%q differs from the turns that chosen and rejected share", "prompt")
	}
	return nil
}

// dialogue splits "\n\nHuman: …\n\nAssistant: …" into messages.
func (r *row) dialogue(key string) ([]tokenizer.Message, error) {
	text, err := r.anyText(key)
	if err != nil {
		return nil, err
	}
	text = "\n\n" + strings.TrimLeft(text, "\n")
	var out []tokenizer.Message
	for text != "" {
		role, mark := "user", "\n\nHuman:"
		if !strings.HasPrefix(text, mark) {
			role, mark = "assistant", "\n\nAssistant:"
		}
		if !strings.HasPrefix(text, mark) {
			return nil, badField("%q: want a dialogue that starts with \"Human:\"", key)
		}
		text = text[len(mark):]
		end := len(text)
		for _, next := range [...]string{"\n\nHuman:", "\n\nAssistant:"} {
			if i := strings.Index(text, next); i >= 0 && i < end {
				end = i
			}
		}
		content := strings.TrimSpace(text[:end])
		if content == "" {
			return nil, badField("%q: turn %d is empty", key, len(out))
		}
		out = append(out, tokenizer.Message{Role: role, Content: content})
		text = text[end:]
	}
	return out, nil
}
