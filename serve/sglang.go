package serve

// SGLang's own /classify and /v1/embeddings. Its /v1/classify is vLLM's form, with a softmax over the labels, which is 1 for one label: here it is the
// reward.

import "time"

// sglang is POST /classify with text: a rendered conversation or a list of them.
func (s *Server) sglang(c *call, q *foreignRequest) error {
	all, err := s.pooled(c, q)
	if err != nil {
		return err
	}
	type meta struct {
		ID      string  `json:"id"`
		Prompt  int     `json:"prompt_tokens"`
		Written int     `json:"completion_tokens"`
		Seconds float64 `json:"e2e_latency"`
	}
	type entry struct {
		Embedding []float32 `json:"embedding"`
		Meta      meta      `json:"meta_info"`
		extra
	}
	list := make([]entry, len(all))
	for i := range all {
		v := &all[i]
		list[i] = entry{[]float32{q.activated(v)}, meta{element(c.id, i, true), v.prompt, v.written, time.Since(c.began).Seconds()}, s.extra(v)}
	}
	if !q.many {
		return c.json(list[0])
	}
	return c.json(list)
}

// embeddings is POST /v1/embeddings.
func (s *Server) embeddings(c *call) error {
	var q foreignRequest
	if err := q.read(s, c, q.vllm(q.body("input"))); err != nil {
		return err
	}
	vector, err := q.vector()
	if err != nil {
		return err
	}
	return s.pool(c, &q, "embd-", func(i int, v *verdict) any {
		return struct {
			Object    string `json:"object"`
			Index     int    `json:"index"`
			Embedding any    `json:"embedding"`
			extra
		}{"embedding", i, vector(q.activated(v)), s.extra(v)}
	})
}
