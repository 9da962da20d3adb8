package serve

// What routes of other servers share. They take keys that they do not know, as those servers do, and refuse the ones that would change the answer.

import (
	"math"
	"slices"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// foreignRequest is what such a route may be asked, by the names of its family.
type foreignRequest struct {
	model                *string
	name                 string // the member that input came under
	input                *[]text
	many                 bool
	messages             *[]tokenizer.Message
	special              *bool
	activation, oldWord  *bool
	truncate             *int64
	side, encoding, task *string
}

// body reads texts under one of the family's names for them.
func (q *foreignRequest) body(names ...string) body {
	b := body{"model": into(&q.model, (*strictjson.Reader).String)}
	for _, name := range names {
		b[name] = func(r *strictjson.Reader) error {
			if q.name != "" {
				return malformed("", "%s is given, too: want one of both", q.name)
			}
			q.name = name
			return into(&q.input, texts(&q.many))(r)
		}
	}
	return b
}

// vllm adds vLLM's members.
func (q *foreignRequest) vllm(b body) body {
	b["messages"] = into(&q.messages, messages(false))
	b["add_special_tokens"] = into(&q.special, (*strictjson.Reader).Bool)
	b["use_activation"] = into(&q.activation, (*strictjson.Reader).Bool)
	b["activation"] = into(&q.oldWord, (*strictjson.Reader).Bool) // before vLLM 0.11.2, and verl still
	b["truncate_prompt_tokens"] = into(&q.truncate, whole)
	b["truncation_side"] = into(&q.side, (*strictjson.Reader).String)
	b["encoding_format"] = into(&q.encoding, (*strictjson.Reader).String)
	b["task"] = into(&q.task, (*strictjson.Reader).String)
	refuseAll(b, unread)
	return b
}

// read reads the request.
func (q *foreignRequest) read(s *Server, c *call, b body) error {
	if err := b.read(c.body, false); err != nil {
		return err
	}
	return s.known(q.model)
}

// items are what is to be judged; name is the family's for its texts.
func (q *foreignRequest) items(s *Server, name string) (items []item, err error) {
	switch {
	case q.input != nil && q.messages != nil:
		return nil, malformed("messages", "%s is given, too: want one of both", q.name)
	case q.messages != nil && s.Plain && len(*q.messages) > 0 && (*q.messages)[len(*q.messages)-1].Role != "assistant":
		ids, err := s.render.Encode(*q.messages, false)
		if err != nil {
			return nil, unfit("messages", "%v", err)
		}
		return []item{{param: "messages", whole: &text{ids: ids}}}, nil
	case q.messages != nil:
		it, err := conversation("messages", *q.messages)
		return []item{it}, err
	case q.input == nil:
		return nil, malformed(name, "it is missing")
	}
	for i := range *q.input {
		items = append(items, item{param: element(q.name, i, q.many), whole: &(*q.input)[i], bos: q.special == nil || *q.special})
	}
	return items, nil
}

// judgeForeign judges as the server does by itself, and wants a number for each item.
func (s *Server) judgeForeign(c *call, items []item) ([]verdict, error) {
	all, err := s.judge(c.ctx, items, reading{ScoreOptions: s.Score, plain: s.Plain})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].score() == nil {
			return nil, &Error{Status: 422, Code: "no_score", Param: items[i].param, Message: "no critique of it ends in a score, and the model has no reward head"}
		}
	}
	c.count(all, !s.Plain)
	return all, nil
}

// truncated takes away the tokens that truncate_prompt_tokens (or what a family calls so) leaves out, the first of them unless truncation_side is right:
// of whole texts, and of what the model's template makes of messages.
func (q *foreignRequest) truncated(s *Server, items []item, name string) error {
	if q.side != nil && *q.side != "left" && *q.side != "right" {
		return malformed("truncation_side", "got %q, want left or right", clip(*q.side))
	}
	if q.truncate == nil {
		return nil
	}
	most, limit := *q.truncate, s.longest()
	if most == -1 && limit > 0 {
		most = int64(limit)
	}
	if limit == 0 {
		limit = maxTokensEver
	}
	if err := within(name, most, 1, int64(limit)); err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		ids, err := s.rendered(it)
		if err != nil {
			return err
		}
		if int64(len(ids)) <= most {
			continue
		}
		if q.side != nil && *q.side == "right" {
			ids = ids[:most]
		} else {
			ids = ids[int64(len(ids))-most:]
		}
		it.whole, it.bos = &text{ids: ids}, false
	}
	return nil
}

// rendered are the tokens of an item's whole text, or of its messages with the response.
func (s *Server) rendered(it *item) ([]int32, error) {
	if it.whole != nil {
		return s.ids(it.whole, it.param, it.bos)
	}
	ids, err := s.render.Encode(append(slices.Clone(it.prompt.Messages), tokenizer.Message{Role: "assistant", Content: it.response}), false)
	if err != nil {
		return nil, unfit(it.param, "%v", err)
	}
	return ids, nil
}

// activated is a reward as it is asked for: as it is, or squashed by a sigmoid where that is said. Other servers squash unless told otherwise.
func (q *foreignRequest) activated(v *verdict) float32 {
	r := *v.score()
	if q.activation != nil && *q.activation || q.activation == nil && q.oldWord != nil && *q.oldWord {
		return float32(1 / (1 + math.Exp(-float64(r))))
	}
	return r
}
