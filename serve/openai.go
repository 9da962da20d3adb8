package serve

// OpenAI's routes: the critic itself, as any language model, so that it can be its own judge or be driven by standard clients.

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// writeRequest is the body of both routes.
type writeRequest struct {
	model                       *string
	messages                    *[]tokenizer.Message
	prompt                      *[]text
	many                        bool
	n, tokens, completionTokens *int64
	topK                        *int64
	temperature, top            *float64
	seed                        *uint64
	stop                        *[]string
	stream, usage               *bool
	generate, goOn, special     *bool
	ends                        *[]int32
	ids                         *bool
}

func (q *writeRequest) body() body {
	b := body{
		"model":                 into(&q.model, (*strictjson.Reader).String),
		"n":                     into(&q.n, whole),
		"max_tokens":            into(&q.tokens, whole),
		"max_completion_tokens": into(&q.completionTokens, whole),
		"temperature":           into(&q.temperature, real),
		"top_p":                 into(&q.top, real),
		"top_k":                 into(&q.topK, whole), // vLLM's and SGLang's; -1: no limit
		"seed":                  into(&q.seed, seed),
		"stop":                  into(&q.stop, oneOrMore((*strictjson.Reader).String, new(bool))),
		"stream":                into(&q.stream, (*strictjson.Reader).Bool),
		"stream_options": func(r *strictjson.Reader) error {
			return body{"include_usage": into(&q.usage, (*strictjson.Reader).Bool)}.object(r, false)
		},
	}
	b["stop_token_ids"] = into(&q.ends, int32s)                     // vLLM's
	b["return_token_ids"] = into(&q.ids, (*strictjson.Reader).Bool) // vLLM's
	refuseAll(b, unwritten)
	return b
}

// reading is the work that is asked for, but for the prompt.
func (q *writeRequest) reading(s *Server) (w Work, err error) {
	o := s.Score.Sampling
	o.Reward = false
	w.N = 1
	tokens, name := q.tokens, "max_tokens"
	if q.completionTokens != nil {
		if tokens != nil && *tokens != *q.completionTokens {
			return w, malformed("max_completion_tokens", "got %d, and max_tokens %d: want one of both", *q.completionTokens, *tokens)
		}
		tokens, name = q.completionTokens, "max_completion_tokens"
	}
	if q.topK != nil && *q.topK == -1 {
		*q.topK = 0
	}
	for _, x := range []struct {
		name        string
		v           *int64
		least, most int64
		to          *int
	}{{"n", q.n, 1, int64(s.Set.MaxSamples), &w.N}, {name, tokens, 1, maxTokensEver, &o.MaxTokens}, {"top_k", q.topK, 0, 1 << 30, &o.TopK}} {
		if x.v != nil {
			if err := within(x.name, *x.v, x.least, x.most); err != nil {
				return w, err
			}
			*x.to = int(*x.v)
		}
	}
	if err := sampling(&o, q.temperature, q.top); err != nil {
		return w, err
	}
	if q.seed != nil {
		o.Seed = *q.seed
	}
	if o.TopP == 0 {
		o.TopP = 1
	}
	if q.stop != nil {
		if len(*q.stop) > maxStops {
			return w, unfit("stop", "got %d strings, at most %d", len(*q.stop), maxStops)
		}
		for i, stop := range *q.stop {
			if stop == "" || len(stop) > maxStop {
				return w, unfit(element("stop", i, len(*q.stop) > 1), "want 1 to %d bytes", maxStop)
			}
		}
	}
	if q.ends != nil {
		for i, id := range *q.ends {
			if !slices.Contains(s.ends(), id) {
				return w, unserved(element("stop_token_ids", i, true), "token %d is none of the model's end tokens, at which texts end", id)
			}
		}
	}
	w.Sampling = o
	return w, nil
}

// fit makes a prompt's work: what a request leaves open of max_tokens is no more than there is room for.
func (q *writeRequest) fit(s *Server, w Work, prompt []int32, param string) (Work, error) {
	asked := q.tokens != nil || q.completionTokens != nil
	w.Prompt = prompt
	w.Key = critic.KeyOf("completion", idsHash(prompt), record.Single, 0)
	room := maxTokensEver
	if most := s.longest(); most > 0 {
		room = most - len(prompt)
	}
	switch {
	case len(prompt) == 0:
		return w, unfit(param, "it is empty")
	case room < 1 || asked && w.Sampling.MaxTokens > room:
		return w, &Error{Status: 422, Code: "context_length_exceeded", Param: param, Message: fmt.Sprintf("%d tokens to read and %d to write, the model's context is %d", len(prompt), w.Sampling.MaxTokens, s.longest())}
	}
	w.Sampling.MaxTokens = min(w.Sampling.MaxTokens, room)
	return w, nil
}

func idsHash(ids []int32) string {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, ids) // a hash takes everything
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// choice is one text of an answer.
type choice struct {
	growing
	finish string
	drawn  int     // tokens
	all    []int32 // at least those
}

// tokens are its token ids, if they are asked for; else nothing.
func (c *choice) tokens(q *writeRequest) []int32 {
	if q.ids == nil || !*q.ids {
		return nil
	}
	return c.all[:min(c.drawn, len(c.all))]
}

// settle takes what the model gave for the whole sample.
func (c *choice) settle(sample *critic.Sample) {
	if len(c.stops) > 0 && !c.ended { // what was not told of while it was drawn
		c.add(sample.Tokens[min(len(c.ids), len(sample.Tokens)):])
	}
	c.close(strings.ToValidUTF8(sample.Text, "\uFFFD"))
	c.finish, c.drawn, c.all = sample.FinishReason, len(sample.Tokens), sample.Tokens
	if c.ended {
		c.finish = record.FinishStop
		if n := len(c.ids); n > 0 {
			c.drawn = n
		}
	}
}

// write has the model go on behind prompts, each n times. tell gets choices as they grow, and their ends; it may be nil.
func (s *Server) write(c *call, works []Work, stops []string, tell func(i int, x *choice, last bool) error) ([]*choice, error) {
	n := works[0].N
	all := make([]*choice, len(works)*n)
	for i := range all {
		all[i] = &choice{growing: growing{decode: s.render.Decode, ends: s.ends(), stops: stops}}
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	f, left := newFeed(), len(all)
	samples := make([][]critic.Sample, len(works))
	work := func() error {
		return s.each(ctx, len(works), func(ctx context.Context, i int) (err error) {
			w := works[i]
			if tell != nil || len(stops) > 0 {
				w.Token = func(k int, ids []int32) { f.put(drawn{item: i, sample: k, ids: ids}) }
			}
			samples[i], err = s.back.Generate(ctx, w)
			if err == nil && len(samples[i]) != n {
				err = fmt.Errorf("serve: the backend gave %d samples, want %d", len(samples[i]), n)
			}
			return err
		})
	}
	err := f.follow(func() error { defer c.done(); return work() }, func(d drawn) error {
		i := d.item*n + d.sample
		x := all[i]
		was := x.ended
		x.add(d.ids)
		if tell != nil {
			if err := tell(i, x, false); err != nil {
				cancel(err)
				return err
			}
		}
		if x.ended && !was {
			if left--; left == 0 {
				cancel(errStopped) // nothing that is still to come will be in the answer
			}
		}
		return nil
	})
	if err != nil && context.Cause(ctx) == errStopped && c.ctx.Err() == nil {
		for _, x := range all {
			x.finish, x.drawn, x.all = record.FinishStop, len(x.ids), x.ids
		}
		err = nil
	} else if err == nil {
		for i, x := range all {
			x.settle(&samples[i/n][i%n])
		}
	}
	if err != nil {
		return nil, err
	}
	for i, x := range all {
		c.used.written += x.drawn
		if tell != nil {
			if err := tell(i, x, true); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range works {
		c.used.prompt += len(w.Prompt)
	}
	c.items += len(works)
	return all, nil
}

// head is what answers of these routes begin with.
type head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
}

func (s *Server) head(c *call, prefix, object string) head {
	return head{ID: prefix + c.id, Object: object, Created: time.Now().Unix(), Model: s.names[0]}
}
