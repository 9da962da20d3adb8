package record

// Votes of Chatbot Arena, in the layouts that its makers have published them in.

import (
	"fmt"
	"strings"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// Arena is two conversations and the winner.
var Arena = Schema{
	Name: "Chatbot Arena", For: ForPairs,
	Has: "`conversation_a`, `conversation_b` (messages; a content may be a list of one text) and `winner`: model_a, model_b, or a tie. Conversations " +
		"that part before their last turn are set aside",
	From:  "33k, 100k and 140k votes, MT-Bench's human votes",
	Keys:  []string{"conversation_a", "conversation_b", "winner"},
	Reads: []string{"conversation_a", "conversation_b", "winner", "model_a", "model_b"},
	decode: func(r *row) ([]*Record, error) {
		var better float64
		raw, _ := r.get("winner")
		switch winner := str(raw); winner {
		case "model_a":
			better = -1
		case "model_b":
			better = 1
		case "tie", "tie (bothbad)", "tie (both bad)", "both_bad", "bothbad":
			return nil, AsideTie
		default:
			return nil, badField("%q: got %s, want model_a, model_b, tie, tie (bothbad) or both_bad", "winner", clip(string(raw)))
		}
		if r.pictured("conversation_a") || r.pictured("conversation_b") {
			return nil, AsidePicture
		}
		a, err := r.messages("conversation_a")
		if err != nil {
			return nil, err
		}
		b, err := r.messages("conversation_b")
		if err != nil {
			return nil, err
		}
		list, err := votes(a, b, better)
		r.models(list, better)
		return list, err
	},
}

// pictured reports whether a message of a list has a part that is no text.
func (r *row) pictured(key string) bool {
	list, err := r.list(key, "messages")
	if err != nil {
		return false
	}
	for _, item := range list {
		if strictjson.KindOf(item) != "object" {
			continue
		}
		content := r.nested(item).raw("content")
		if strictjson.KindOf(content) != "array" {
			continue
		}
		for _, part := range items(content) {
			if strictjson.KindOf(part) == "object" && str(r.nested(part).raw("type")) == "image" {
				return true
			}
		}
	}
	return false
}

// votes is the pair of two conversations that share all but the last message, the assistant's.
func votes(a, b []tokenizer.Message, better float64) ([]*Record, error) {
	for i, list := range [...][]tokenizer.Message{a, b} {
		if n := len(list); n < 2 || list[n-1].Role != "assistant" {
			return nil, badField("%q: want a conversation that ends with the assistant's message", [...]string{"conversation_a", "conversation_b"}[i])
		}
	}
	n := len(a) - 1
	if len(b) != len(a) {
		return nil, AsideApart
	}
	for i := range n {
		if a[i] != b[i] {
			return nil, AsideApart
		}
	}
	return preferred(Prompt{Messages: a[:n:n]}, a[n].Content, b[n].Content, better)
}

// Arena55k is the turns of two conversations as lists in texts, and three columns of which one is 1.
var Arena55k = Schema{
	Name: "Chatbot Arena 55k", For: ForPairs,
	Has: "`prompt`, `response_a` and `response_b`, each a list of turns written as JSON in a text, and `winner_model_a`, `winner_model_b` and `winner_tie`, " +
		"of which one is 1",
	From:  "LMSYS's competition",
	Keys:  []string{"prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"},
	Reads: []string{"response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie", "model_a", "model_b"},
	decode: func(r *row) ([]*Record, error) {
		var won [3]float64
		for i, key := range [...]string{"winner_model_a", "winner_model_b", "winner_tie"} {
			v, err := r.oneOf(key, 0, 1)
			if err != nil {
				return nil, err
			}
			won[i] = v
		}
		if won[0]+won[1]+won[2] != 1 {
			return nil, badField("%q, %q and %q: want one of them to be 1", "winner_model_a", "winner_model_b", "winner_tie")
		}
		if won[2] == 1 {
			return nil, AsideTie
		}
		var sides [3][]string
		for i, key := range [...]string{"prompt", "response_a", "response_b"} {
			list, err := r.textList(key)
			if err != nil {
				return nil, err
			}
			if sides[i] = list; len(list) != len(sides[0]) {
				return nil, badField("%q has %d turns, %q %d", key, len(list), "prompt", len(sides[0]))
			}
		}
		n := len(sides[0]) - 1
		var p Prompt
		for i, text := range sides[0] {
			p.Messages = append(p.Messages, tokenizer.Message{Role: "user", Content: text})
			if i == n {
				break
			}
			if sides[1][i] != sides[2][i] {
				return nil, AsideApart
			}
			p.Messages = append(p.Messages, tokenizer.Message{Role: "assistant", Content: sides[1][i]})
		}
		list, err := preferred(p, sides[1][n], sides[2][n], won[1]-won[0])
		r.models(list, won[1]-won[0])
		return list, err
	},
}

// textList is a list of texts, or a text that holds one as JSON. None may be empty.
func (r *row) textList(key string) (out []string, err error) {
	raw, ok := r.get(key)
	if !ok {
		return nil, r.missing(key)
	}
	if strictjson.KindOf(raw) == "string" {
		raw = []byte(str(raw))
		if err := strictjson.Read(raw, func(v *strictjson.Reader) error { return v.Skip() }); err != nil {
			return nil, badField("%q: want a list as JSON in the text: %v", key, err)
		}
		raw = []byte(strings.TrimSpace(string(raw)))
	}
	if kind := strictjson.KindOf(raw); kind != "array" {
		return nil, badField("%q: got %s, want a list of texts", key, kind)
	}
	for i, item := range items(raw) {
		text := str(item)
		if strings.TrimSpace(text) == "" {
			return nil, badField("%q: want a text, got %s", fmt.Sprintf("%s[%d]", key, i), clip(string(item)))
		}
		if len(text) > r.max {
			return nil, badField("%q: text is %d bytes, limit %d", key, len(text), r.max)
		}
		out = append(out, text)
	}
	if out == nil {
		return nil, badField("%q is empty", key)
	}
	return out, nil
}
