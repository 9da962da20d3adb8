package serve

// Routes that trainers bring along with a server of their own: OpenRLHF's, LLaMA-Factory's, and slime's form.

import (
	"criticrm/record"
	"criticrm/strictjson"
)

// openRLHF is POST /get_reward: whole texts, tokenised as they are. prompts and labels are not read, as there. All of its answer's members are always
// there; with critiques, extra_logs has their lengths.
func (s *Server) openRLHF(c *call) error {
	var q foreignRequest
	if err := q.read(s, c, q.body("query")); err != nil {
		return err
	}
	never := false
	q.special = &never
	items, err := q.items(s, "query")
	if err != nil {
		return err
	}
	all, err := s.judgeForeign(c, items)
	if err != nil {
		return err
	}
	rewards, lengths := make([]float32, len(all)), make([]float32, len(all))
	for i := range all {
		v := &all[i]
		rewards[i] = *v.score()
		if n := len(v.critiques); n > 0 {
			lengths[i] = float32(v.written) / float32(n)
		}
	}
	logs := map[string]any{"critique_len": lengths}
	if plain := c.readPlain(all); plain != nil {
		logs["read_plain"] = plain
	}
	return c.json(map[string]any{"rewards": rewards, "scores": rewards, "extra_logs": logs})
}

// readPlain has 1 for each text that a critic read without critiques, else 0; nil: there is none.
func (c *call) readPlain(all []verdict) []int {
	if c.plain == 0 {
		return nil
	}
	list := make([]int, len(all))
	for i := range all {
		if all[i].plain {
			list[i] = 1
		}
	}
	return list
}

// llamaFactory is POST /v1/score/evaluation: rendered texts under the name messages.
func (s *Server) llamaFactory(c *call) error {
	var q foreignRequest
	var longest *int64
	b := q.body("messages")
	b["max_length"] = into(&longest, whole)
	if err := q.read(s, c, b); err != nil {
		return err
	}
	items, err := q.items(s, "messages")
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return malformed("messages", "the list is empty")
	}
	if longest != nil {
		right := "right" // tokenizers cut there
		if limit := int64(s.longest()); limit > 0 {
			*longest = min(*longest, limit)
		}
		q.truncate, q.side = longest, &right
		if err := q.truncated(s, items, "max_length"); err != nil {
			return err
		}
	}
	all, err := s.judgeForeign(c, items)
	if err != nil {
		return err
	}
	scores := make([]float32, len(all))
	for i := range all {
		scores[i] = *all[i].score()
	}
	return c.json(struct {
		ID     string    `json:"id"`
		Object string    `json:"object"`
		Model  string    `json:"model"`
		Scores []float32 `json:"scores"`
		Plain  []int     `json:"read_plain,omitempty"`
	}{"scoreval-" + c.id, "score.evaluation", s.names[0], scores, c.readPlain(all)})
}

// slime is POST /slime: one sample in slime's form, answered by the bare number. The prompt is a text, a conversation, or one that is rendered already
// up to where the response begins.
func (s *Server) slime(c *call) error {
	var p *record.Prompt
	var response, model *string
	b := body{"model": into(&model, (*strictjson.Reader).String), "prompt": into(&p, func(r *strictjson.Reader) (p record.Prompt, err error) {
		if r.Kind() == "array" {
			p.Messages, err = messages(false)(r)
			return p, err
		}
		p.Text, err = r.String()
		return p, err
	}), "response": into(&response, (*strictjson.Reader).String)}
	if err := b.read(c.body, false); err != nil {
		return err
	}
	if err := s.known(model); err != nil {
		return err
	}
	switch {
	case p == nil || p.Text == "" && len(p.Messages) == 0:
		return malformed("prompt", "it is missing")
	case response == nil:
		return malformed("response", "it is missing")
	}
	it := item{param: "response", prompt: *p, response: *response}
	if len(p.Messages) == 0 {
		if list, ok := s.dir.Chat.Conversation(p.Text + *response); ok && list[len(list)-1].Role == "assistant" {
			it = item{param: "response", whole: &text{s: p.Text + *response}, bos: true}
		}
	}
	all, err := s.judgeForeign(c, []item{it})
	if err != nil {
		return err
	}
	return c.json(*all[0].score())
}
