package serve

import "criticrm/strictjson"

type textChoice struct {
	Index  int       `json:"index"`
	Text   string    `json:"text"`
	Logs   *struct{} `json:"logprobs"`
	Finish *string   `json:"finish_reason"`
	IDs    []int32   `json:"token_ids,omitempty"`
}

type textAnswer struct {
	head
	Choices []textChoice `json:"choices"`
	Usage   *usageJSON   `json:"usage,omitempty"`
}

// completions is POST /v1/completions: the model goes on behind texts that are rendered already, in which control tokens count as such.
func (s *Server) completions(c *call) error {
	var q writeRequest
	b := q.body()
	b["prompt"] = into(&q.prompt, texts(&q.many))
	b["add_special_tokens"] = into(&q.special, (*strictjson.Reader).Bool)
	refuseAll(b, uncompleted)
	if err := b.read(c.body, false); err != nil {
		return err
	}
	if err := s.known(q.model); err != nil {
		return err
	}
	if q.prompt == nil || len(*q.prompt) == 0 {
		return malformed("prompt", "it is missing")
	}
	if n := len(*q.prompt); n > s.Set.MaxItems {
		return unfit("prompt", "got %d texts, at most %d in one request", n, s.Set.MaxItems)
	}
	w, err := q.reading(s)
	if err != nil {
		return err
	}
	var works []Work
	for i, t := range *q.prompt {
		param := element("prompt", i, q.many)
		ids, err := s.ids(&t, param, q.special == nil || *q.special)
		if err != nil {
			return err
		}
		one, err := q.fit(s, w, ids, param)
		if err != nil {
			return err
		}
		works = append(works, one)
	}
	h := s.head(c, "cmpl-", "text_completion")
	if q.stream == nil || !*q.stream {
		all, err := s.write(c, works, q.stops(), nil)
		if err != nil {
			return err
		}
		u := c.used.json()
		out := textAnswer{head: h, Usage: &u}
		for i, x := range all {
			out.Choices = append(out.Choices, textChoice{Index: i, Text: x.text, Finish: &x.finish, IDs: x.tokens(&q)})
		}
		return c.json(out)
	}
	out := c.open()
	_, err = s.write(c, works, q.stops(), func(i int, x *choice, last bool) error {
		one := textChoice{Index: i, Text: x.next(last)}
		if last {
			one.Finish, one.IDs = &x.finish, x.tokens(&q)
		} else if one.Text == "" {
			return nil
		}
		return out.send(textAnswer{head: h, Choices: []textChoice{one}})
	})
	if err != nil {
		return err
	}
	if q.usage != nil && *q.usage {
		u := c.used.json()
		if err := out.send(textAnswer{head: h, Choices: []textChoice{}, Usage: &u}); err != nil {
			return err
		}
	}
	return out.end()
}
