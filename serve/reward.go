package serve

// POST /v1/reward: the server's own route. It reads strictly: what it does not know is an error.

import (
	"context"
	"fmt"
	"slices"
	"time"

	"criticrm/record"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// rewardRequest is its body.
type rewardRequest struct {
	model            *string
	prompt           *record.Prompt
	messages         *[]tokenizer.Message
	response         *string
	responses        *[]string
	input            *[]text
	many             bool
	columns          map[string][]byte
	id               *string
	samples, tokens  *int64
	topK             *int64
	temperature, top *float64
	seed             *uint64
	plain, stream    *bool
}

func (q *rewardRequest) body() body {
	b := body{
		"model":       into(&q.model, (*strictjson.Reader).String),
		"prompt":      into(&q.prompt, prompt),
		"messages":    into(&q.messages, messages(true)),
		"response":    into(&q.response, (*strictjson.Reader).String),
		"responses":   into(&q.responses, list((*strictjson.Reader).String)),
		"input":       into(&q.input, texts(&q.many)),
		"id":          into(&q.id, (*strictjson.Reader).String),
		"samples":     into(&q.samples, whole),
		"max_tokens":  into(&q.tokens, whole),
		"top_k":       into(&q.topK, whole),
		"temperature": into(&q.temperature, real),
		"top_p":       into(&q.top, real),
		"seed":        into(&q.seed, seed),
		"plain":       into(&q.plain, (*strictjson.Reader).Bool),
		"stream":      into(&q.stream, (*strictjson.Reader).Bool),
	}
	q.columns = map[string][]byte{}
	for _, c := range record.PromptColumns() {
		b[c] = func(r *strictjson.Reader) (err error) { q.columns[c], err = r.Raw(); return err }
	}
	return b
}

// prompt reads a text or a conversation.
func prompt(r *strictjson.Reader) (p record.Prompt, err error) {
	if r.Kind() == "array" {
		p.Messages, err = messages(true)(r)
		return p, err
	}
	p.Text, err = r.String()
	return p, err
}

// items are what is to be judged.
func (q *rewardRequest) items() (list []item, err error) {
	given := 0
	for _, is := range []bool{q.prompt != nil, q.messages != nil, q.input != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, malformed("", "want one of prompt, messages and input: %d are given", given)
	case q.response != nil && q.responses != nil:
		return nil, malformed("responses", "response is given, too: want one of both")
	}
	if q.input != nil {
		if q.response != nil || q.responses != nil {
			return nil, malformed("input", "whole texts have their responses in them: leave out response and responses")
		}
		for i := range *q.input {
			list = append(list, item{param: element("input", i, q.many), whole: &(*q.input)[i]})
		}
	}
	var p record.Prompt
	switch {
	case q.input != nil:
	case q.prompt != nil:
		p = *q.prompt
		if len(p.Messages) == 0 && p.Text == "" {
			return nil, unfit("prompt", "it is empty")
		}
	case q.response == nil && q.responses == nil: // the last message is the response
		it, err := conversation("messages", *q.messages)
		if err != nil {
			return nil, err
		}
		list = append(list, it)
	default:
		if p.Messages = *q.messages; len(p.Messages) == 0 {
			return nil, unfit("messages", "there are none")
		}
	}
	switch {
	case q.response != nil:
		list = append(list, item{param: "response", prompt: p, response: *q.response})
	case q.responses != nil:
		for i, r := range *q.responses {
			list = append(list, item{param: element("responses", i, true), prompt: p, response: r})
		}
	case q.prompt != nil:
		return nil, malformed("response", "it is missing: want response, or responses")
	}
	if q.id != nil && len(list) > 0 {
		if *q.id == "" || len(*q.id) > 256 {
			return nil, unfit("id", "want 1 to 256 bytes")
		}
	}
	for i := range list {
		list[i].columns = q.columns
		if q.id != nil {
			list[i].id = *q.id
		}
	}
	return list, nil
}

func element(name string, i int, many bool) string {
	if !many {
		return name
	}
	return fmt.Sprintf("%s[%d]", name, i)
}

// reading is the server's own, with what the request says.
func (q *rewardRequest) reading(s *Server) (o reading, err error) {
	o = reading{ScoreOptions: s.Score, plain: s.Plain}
	m := &o.Sampling
	if q.plain != nil {
		if o.plain = *q.plain; s.Plain && !o.plain {
			return o, unfit("plain", "this model reads rewards without critiques: it has learned to write none")
		}
		if o.plain && !s.Head {
			return o, unfit("plain", "this model has no reward head: it gives the scores of its critiques alone")
		}
	}
	for _, x := range []struct {
		name        string
		v           *int64
		least, most int64
		to          *int
	}{{"samples", q.samples, 1, int64(s.Set.MaxSamples), &o.Critiques}, {"max_tokens", q.tokens, 1, maxTokensEver, &m.MaxTokens}, {"top_k", q.topK, 0, 1 << 30, &m.TopK}} {
		if x.v != nil {
			if err := within(x.name, *x.v, x.least, x.most); err != nil {
				return o, err
			}
			*x.to = int(*x.v)
		}
	}
	if err := sampling(m, q.temperature, q.top); err != nil {
		return o, err
	}
	if q.seed != nil {
		m.Seed = *q.seed
	}
	if o.Critiques > 1 && m.Temperature == 0 && !o.plain {
		return o, unfit("samples", "temperature 0 makes all %d critiques equal: ask for one, or give a temperature", o.Critiques)
	}
	return o, nil
}

// sampling takes over a temperature and top_p.
func sampling(m *record.Sampling, temperature, top *float64) error {
	if temperature != nil {
		if m.Temperature = float32(*temperature); !(*temperature >= 0 && *temperature <= 100) {
			return unfit("temperature", "got %v, want 0 to 100", *temperature)
		}
	}
	if top != nil {
		if m.TopP = float32(*top); !(*top > 0 && *top <= 1) || m.TopP == 0 {
			return unfit("top_p", "got %v, want more than 0, and at most 1", *top)
		}
	}
	return nil
}

// critiqueJSON and rewardJSON are parts of the answer. Rewards are printed so that reading them as float32 gives the same bits.
type critiqueJSON struct {
	Text     string   `json:"text"`
	Score    *float32 `json:"score"`
	Reward   *float32 `json:"reward"`
	OwnScore *float64 `json:"own_score"`
	Verdict  string   `json:"verdict,omitempty"`
	Finish   string   `json:"finish_reason"`
	Tokens   int      `json:"tokens"`
}

type rewardJSON struct {
	Index     int            `json:"index"`
	Score     *float32       `json:"score"`
	Reward    *float32       `json:"reward"`
	OwnScore  *float64       `json:"own_score"`
	Plain     bool           `json:"plain"`
	Critiques []critiqueJSON `json:"critiques"`
	Shortened *record.Cut    `json:"shortened,omitempty"`
}

func (v *verdict) json(i int) rewardJSON {
	out := rewardJSON{Index: i, Score: v.score(), Reward: v.reward, OwnScore: v.own, Plain: v.plain, Critiques: critiques(v), Shortened: v.cut}
	return out
}

// critiques are a verdict's, never null.
func critiques(v *verdict) []critiqueJSON {
	list := []critiqueJSON{}
	for _, c := range v.critiques {
		one := verdict{reward: c.Reward, own: c.Score}
		list = append(list, critiqueJSON{Text: c.Text, Score: one.score(), Reward: c.Reward, OwnScore: c.Score, Verdict: c.Verdict, Finish: c.FinishReason, Tokens: len(c.Tokens)})
	}
	return list
}

// usageJSON is token usage as OpenAI and vLLM have it.
type usageJSON struct {
	Prompt  int       `json:"prompt_tokens"`
	Total   int       `json:"total_tokens"`
	Written int       `json:"completion_tokens"`
	Details *struct{} `json:"prompt_tokens_details"`
}

func (u usage) json() usageJSON {
	return usageJSON{Prompt: u.prompt, Total: u.prompt + u.written, Written: u.written}
}

// count takes verdicts down for usage, log and metrics.
func (c *call) count(all []verdict, critic bool) {
	for i := range all {
		c.used.add(&all[i])
		if c.items++; all[i].plain && critic {
			c.plain++
		}
	}
}

// rewardList is the answer.
type rewardList struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Data    []rewardJSON `json:"data"`
	Usage   usageJSON    `json:"usage"`
	Notes   []string     `json:"notes,omitempty"`
}

// unread are notes about columns that the answer does not depend on.
func (q *rewardRequest) unread(o *reading) (notes []string) {
	for _, c := range record.PromptColumns() {
		switch _, given := q.columns[c]; {
		case given && o.plain:
			notes = append(notes, c+" is not read: no critique is asked for")
		case given && !slices.Contains(o.Prompts.Critique.Columns(), c):
			notes = append(notes, c+" is not read: the model's prompt for critiques does not name it")
		}
	}
	return notes
}

// The notes of an answer.
const (
	noteNoHead = "the model has no reward head: scores are the means of the scores that its critiques end in"
	notePlain  = "the model's head was trained behind critiques: rewards that are read without them are on another scale, and worth less"
	noteWhole  = "texts with plain true were read without critiques: the model's chat template does not make them of a conversation"
)

func (s *Server) reward(c *call) error {
	var q rewardRequest
	if err := q.body().read(c.body, true); err != nil {
		return err
	}
	if err := s.known(q.model); err != nil {
		return err
	}
	items, err := q.items()
	if err != nil {
		return err
	}
	o, err := q.reading(s)
	if err != nil {
		return err
	}
	head := rewardList{ID: "reward-" + c.id, Object: "reward.list", Created: time.Now().Unix(), Model: s.names[0]}
	whole := func(all []verdict) rewardList {
		c.count(all, !o.plain)
		out := head
		for i := range all {
			out.Data = append(out.Data, all[i].json(i))
		}
		out.Usage = c.used.json()
		switch {
		case !s.Head:
			out.Notes = append(out.Notes, noteNoHead)
		case o.plain && !s.Plain:
			out.Notes = append(out.Notes, notePlain)
		case c.plain > 0:
			out.Notes = append(out.Notes, noteWhole)
		}
		out.Notes = append(out.Notes, q.unread(&o)...)
		return out
	}
	if q.stream == nil || !*q.stream {
		all, err := s.judge(c.ctx, items, o)
		if err != nil {
			return err
		}
		return c.json(whole(all))
	}
	return s.streamReward(c, items, o, whole)
}

// delta is an event of a critique that is being written.
type delta struct {
	Object string `json:"object"`
	Index  int    `json:"index"`
	Sample int    `json:"sample"`
	Text   string `json:"text"`
}

// streamReward sends critiques while they are written, each item's verdict as it is there, and at last the whole answer.
func (s *Server) streamReward(c *call, items []item, o reading, whole func([]verdict) rewardList) error {
	f, out := newFeed(), c.open()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	o.token = func(i, sample int, ids []int32) { f.put(drawn{item: i, sample: sample, ids: ids}) }
	o.done = func(i int, v *verdict) { f.put(drawn{item: i, verdict: v}) }
	type place struct{ item, sample int }
	texts := map[place]*growing{}
	at := func(p place) *growing {
		if texts[p] == nil {
			texts[p] = &growing{decode: s.render.Decode, ends: s.ends()}
		}
		return texts[p]
	}
	send := func(v any) error {
		err := out.send(v)
		if err != nil {
			cancel()
		}
		return err
	}
	tell := func(p place, last bool) error {
		part := at(p).next(last)
		if part == "" {
			return nil
		}
		return send(delta{Object: "critique.delta", Index: p.item, Sample: p.sample, Text: part})
	}
	var all []verdict
	err := f.follow(func() (err error) { defer c.done(); all, err = s.judge(ctx, items, o); return err }, func(d drawn) error {
		if d.verdict == nil {
			p := place{d.item, d.sample}
			at(p).add(d.ids)
			return tell(p, false)
		}
		for k, z := range d.verdict.critiques {
			p := place{d.item, k}
			at(p).close(z.Text)
			if err := tell(p, true); err != nil {
				return err
			}
		}
		return send(struct {
			Object string `json:"object"`
			rewardJSON
		}{"reward", d.verdict.json(d.item)})
	})
	if err != nil {
		return err
	}
	if err := send(whole(all)); err != nil {
		return err
	}
	return out.end()
}
