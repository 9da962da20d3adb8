package record

// Conversations in rows: lists of messages, and transcripts that are one text.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// speech says how a list of messages is written.
type speech struct {
	role, content string            // keys of a message
	roles         map[string]string // names of the roles there, and here
}

var (
	openAI   = speech{"role", "content", map[string]string{"system": "system", "user": "user", "assistant": "assistant"}}
	shareGPT = speech{"from", "value", map[string]string{"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}}
)

// messages decodes a list of messages as chat templates take them.
func (r *row) messages(key string) ([]tokenizer.Message, error) { return r.spoken(key, openAI) }

// spoken decodes a list of messages; only role and content are understood, because dropping the rest would change what the model is asked.
func (r *row) spoken(key string, as speech) ([]tokenizer.Message, error) {
	list, err := r.list(key, "messages")
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, badField("%q is empty", key)
	}
	out := make([]tokenizer.Message, 0, len(list))
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if i == 0 && strictjson.KindOf(item) == "string" {
			return nil, badField("%q is a list of texts: want one text, or messages, which are objects with %s and %s", key, as.role, as.content)
		}
		m, err := r.message(at, item, as)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// message decodes one message; at names it in errors.
func (r *row) message(at string, raw []byte, as speech) (out tokenizer.Message, err error) {
	if kind := strictjson.KindOf(raw); kind != "object" {
		return out, badField("%q: got %s, want an object with %s and %s", at, kind, as.role, as.content)
	}
	m := r.nested(raw)
	for _, f := range m.members {
		if f.Key != as.role && f.Key != as.content && strictjson.KindOf(f.Raw) != "null" && !slices.Contains(harmlessColumns(), f.Key) {
			return out, badField("%q: key %.40q is not supported: want %s and %s only", at, f.Key, as.role, as.content)
		}
	}
	role, err := m.text(as.role)
	if err != nil {
		return out, badField("%s: %v", at, err)
	}
	var known bool
	if out.Role, known = as.roles[role]; !known {
		return out, badField("%q: role %.40q: want system, user or assistant; calls of tools are not read", at, role)
	}
	switch {
	case m.kind(as.content) == "array":
		out.Content, err = m.part(as.content)
	case r.blank:
		out.Content, err = m.anyText(as.content)
	default:
		out.Content, err = m.text(as.content)
	}
	if err != nil {
		return out, badField("%s: %v", at, err)
	}
	return out, nil
}

// part is the text of a content that is a list of parts, of which there may be one: how several are joined is each template's own.
func (r *row) part(key string) (string, error) {
	list, err := r.list(key, "parts")
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", badField("%q is a list of %d parts, want one text", key, len(list))
	}
	if kind := strictjson.KindOf(list[0]); kind != "object" {
		return "", badField("%q: got %s in the list, want a part of type text", key, kind)
	}
	part := r.nested(list[0])
	if raw, _ := part.get("type"); str(raw) != "text" {
		return "", badField("%q: a part of type %s is not read, want text", key, clip(string(raw)))
	}
	return part.text("text")
}

// ParseMessages reads a JSON array of messages with role and content.
func ParseMessages(text []byte) (messages []tokenizer.Message, err error) {
	err = strictjson.Read(text, func(v *strictjson.Reader) error { return v.Skip() })
	if err != nil {
		return nil, err
	}
	r := newRow([]strictjson.Member{{Key: "messages", Raw: bytes.TrimSpace(text)}}, nil, DefaultReadOptions().MaxText)
	return r.messages("messages")
}

// prompt decodes the field "prompt".
func (r *row) prompt() (Prompt, error) { return r.promptAt("prompt") }

// promptAt decodes a prompt: a text, a message list, or a transcript, which becomes messages: as one message it would have the marks of its
// turns inside.
func (r *row) promptAt(key string) (p Prompt, err error) {
	switch kind := r.kind(key); kind {
	case "", "null":
		err = r.missing(key)
	case "string":
		if p.Text, err = r.text(key); err != nil {
			return p, err
		}
		marks := marksOf(p.Text)
		if marks == nil {
			return p, nil
		}
		if p.Messages, err = marks.turns(key, p.Text, true); err != nil {
			return p, err
		}
		if p.Messages[len(p.Messages)-1].Role == "assistant" {
			return p, badField("%q: a transcript that ends with words of the assistant, want a prompt to answer", key)
		}
		p.Text, r.turns = "", true
	case "array":
		p.Messages, err = r.messages(key)
	default:
		err = badField("%q: got %s, want string or message list", key, kind)
	}
	return p, err
}

// marks are what parts the turns of a transcript.
type marks struct {
	system, user, assistant string // "": there is none
	first                   string // role of a text before the first mark; "": there may be none
}

var (
	humanMarks = marks{user: "\n\nHuman:", assistant: "\n\nAssistant:"}
	nemoMarks  = marks{system: "<extra_id_0>System\n", user: "<extra_id_1>User\n", assistant: "<extra_id_1>Assistant\n", first: "user"}
)

// marksOf are the marks of a text that is a transcript; nil: it is none.
func marksOf(text string) *marks {
	switch {
	case isDialogue(text) || strings.HasPrefix(text, humanMarks.user):
		return &humanMarks
	case strings.Contains(text, nemoMarks.user) || strings.Contains(text, nemoMarks.assistant) || strings.HasSuffix(text, strings.TrimSpace(nemoMarks.assistant)):
		return &nemoMarks
	}
	return nil
}

// isDialogue reports whether a text is a transcript with turns of a person and an assistant, as in HH-RLHF.
func isDialogue(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, "\n"), "Human:") && strings.Contains(text, humanMarks.assistant)
}

// turns splits a transcript. open says that the last turn may be the mark of the assistant alone, whose answer is to come.
func (k *marks) turns(key, text string, open bool) ([]tokenizer.Message, error) {
	if k == &humanMarks {
		text = "\n\n" + strings.TrimLeft(text, "\n")
	} else {
		text += "\n"
	}
	var out []tokenizer.Message
	role := k.first
	for begun := false; ; begun = true {
		end, next, skip := len(text), "", 0
		for _, mark := range [...]struct{ role, text string }{{"system", k.system}, {"user", k.user}, {"assistant", k.assistant}} {
			if i := strings.Index(text, mark.text); mark.text != "" && i >= 0 && i < end {
				end, next, skip = i, mark.role, len(mark.text)
			}
		}
		content := strings.TrimSpace(text[:end])
		last := next == ""
		switch {
		case content == "" && (!begun || role == "system"): // the transcript begins with a mark; NeMo's often has no system text
		case role == "":
			return nil, badField("%q: want a dialogue that starts with \"Human:\"", key)
		case content == "" && last && open && role == "assistant" && len(out) > 0:
		case content == "":
			return nil, badField("%q: turn %d is empty", key, len(out))
		default:
			out = append(out, tokenizer.Message{Role: role, Content: content})
		}
		if last && len(out) == 0 {
			return nil, badField("%q is empty", key)
		}
		if last {
			return out, nil
		}
		role, text = next, text[end+skip:]
	}
}
