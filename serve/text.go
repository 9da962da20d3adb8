package serve

// What requests have to judge: conversations with a response, or whole texts that another program has rendered.

import (
	"fmt"
	"strings"

	"criticrm/record"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// message reads one message. Its content is a text, or, where other servers take that, a list of parts of which all are texts.
func message(strict bool) func(r *strictjson.Reader) (tokenizer.Message, error) {
	return func(r *strictjson.Reader) (m tokenizer.Message, err error) {
		var role, content *string
		b := body{"role": into(&role, (*strictjson.Reader).String), "content": into(&content, func(r *strictjson.Reader) (string, error) {
			if r.Kind() == "array" && !strict {
				return parts(r)
			}
			return r.String()
		})}
		if !strict {
			refuseAll(b, unsaid)
		}
		if err := b.object(r, strict); err != nil {
			return m, err
		}
		switch {
		case role == nil:
			return m, at("role", malformed("", "it is missing"))
		case content == nil:
			return m, at("content", malformed("", "it is missing"))
		}
		return tokenizer.Message{Role: *role, Content: *content}, nil
	}
}

// parts joins the texts of a content that comes in parts.
func parts(r *strictjson.Reader) (string, error) {
	var all strings.Builder
	return all.String(), r.Array(func(i int) error {
		var kind, text *string
		err := body{"type": into(&kind, (*strictjson.Reader).String), "text": into(&text, (*strictjson.Reader).String)}.object(r, false)
		if err == nil && (kind == nil || *kind != "text" || text == nil) {
			err = unserved("", "want parts of the type text")
		}
		if err == nil {
			all.WriteString(*text)
		}
		return at(fmt.Sprintf("[%d]", i), err)
	})
}

// messages reads a conversation.
func messages(strict bool) func(r *strictjson.Reader) ([]tokenizer.Message, error) {
	return list(message(strict))
}

// text is a whole text as another program has rendered it, or its ids.
type text struct {
	s   string
	ids []int32 // nil: s
}

// texts reads a text, several, a text's ids, or several texts'; many says that they came as several.
func texts(many *bool) func(r *strictjson.Reader) ([]text, error) {
	return func(r *strictjson.Reader) ([]text, error) {
		if r.Kind() == "string" {
			s, err := r.String()
			return []text{{s: s}}, err
		}
		if r.Kind() != "array" {
			_, err := r.String()
			return nil, err
		}
		var all []text
		var flat []int32
		err := r.Array(func(i int) (err error) {
			var t text
			switch kind := r.Kind(); {
			case kind == "number" && len(all) == 0:
				var id int64
				if id, err = whole(r); err == nil && (id < 0 || id > 1<<30) {
					err = malformed("", "token id %d, want 0 or more", id)
				}
				flat = append(flat, int32(id))
				return at(fmt.Sprintf("[%d]", i), err)
			case kind == "array" && flat == nil:
				t.ids, err = int32s(r)
			default:
				if t.s, err = r.String(); err == nil && flat != nil {
					err = malformed("", "got string, want number: texts and token ids do not mix")
				}
			}
			all = append(all, t)
			return at(fmt.Sprintf("[%d]", i), err)
		})
		if flat != nil {
			return []text{{ids: flat}}, err
		}
		*many = true
		return all, err
	}
}

// item is one thing to judge.
type item struct {
	param string // the field it came from, for errors

	prompt   record.Prompt
	response string
	id       string            // "": by its content
	columns  map[string][]byte // of record.PromptColumns, as JSON

	whole *text // in place of prompt and response
	bos   bool  // the tokenizer's begin-of-text token is put in front of a whole text that lacks it
}

// conversation makes an item of messages of which the last is the response.
func conversation(param string, list []tokenizer.Message) (item, error) {
	n := len(list) - 1
	switch {
	case n < 1:
		return item{}, unfit(param, "got %d messages, want at least one and the response to it", n+1)
	case list[n].Role != "assistant":
		return item{}, unfit(fmt.Sprintf("%s[%d].role", param, n), "got %q, want \"assistant\": the last message is the response that is judged", clip(list[n].Role))
	}
	return item{param: param, prompt: record.Prompt{Messages: list[:n:n]}, response: list[n].Content}, nil
}
