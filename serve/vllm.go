package serve

// vLLM's /classify and /pooling, and SGLang's routes, which are nearly the same.

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"
)

// pooled is a list of vLLM's or SGLang's.
type pooled struct {
	ID      string    `json:"id"`
	Object  string    `json:"object"`
	Created int64     `json:"created"`
	Model   string    `json:"model"`
	Data    []any     `json:"data"`
	Usage   usageJSON `json:"usage"`
}

// extra is what this server says beyond the others: the critiques that a reward was read behind, or that it was read without.
type extra struct {
	Plain     bool           `json:"plain,omitempty"` // of a critic
	Critiques []critiqueJSON `json:"critiques,omitempty"`
}

func (s *Server) extra(v *verdict) extra {
	e := extra{Plain: v.plain && !s.Plain}
	if len(v.critiques) > 0 {
		e.Critiques = critiques(v)
	}
	return e
}

// pool judges what a request of the two families has, and makes an entry of each.
func (s *Server) pool(c *call, q *foreignRequest, prefix string, entry func(i int, v *verdict) any) error {
	all, err := s.pooled(c, q)
	if err != nil {
		return err
	}
	out := pooled{ID: prefix + c.id, Object: "list", Created: time.Now().Unix(), Model: s.names[0], Usage: c.used.json()}
	for i := range all {
		out.Data = append(out.Data, entry(i, &all[i]))
	}
	return c.json(out)
}

// pooled judges what a request of the two families has.
func (s *Server) pooled(c *call, q *foreignRequest) ([]verdict, error) {
	items, err := q.items(s, "input")
	if err != nil {
		return nil, err
	}
	if err := q.truncated(s, items, "truncate_prompt_tokens"); err != nil {
		return nil, err
	}
	return s.judgeForeign(c, items)
}

// classify is POST /classify and /v1/classify. A body with text or input_ids is SGLang's, whose answer is a list of another form.
func (s *Server) classify(c *call) error {
	var q foreignRequest
	if err := q.read(s, c, q.vllm(q.body("input", "text", "input_ids"))); err != nil {
		return err
	}
	if err := q.classifies(); err != nil {
		return err
	}
	if q.encoding != nil && *q.encoding != "float" {
		return unserved("encoding_format", "got %q, want float: /pooling knows base64", clip(*q.encoding))
	}
	if q.input != nil && q.name != "input" {
		return s.sglang(c, &q)
	}
	return s.pool(c, &q, "classify-", func(i int, v *verdict) any {
		return struct {
			Index int       `json:"index"`
			Label string    `json:"label"`
			Probs []float32 `json:"probs"`
			Num   int       `json:"num_classes"`
			extra
		}{i, "LABEL_0", []float32{q.activated(v)}, 1, s.extra(v)}
	})
}

// pooling is POST /pooling.
func (s *Server) pooling(c *call) error {
	var q foreignRequest
	if err := q.read(s, c, q.vllm(q.body("input"))); err != nil {
		return err
	}
	if err := q.classifies(); err != nil {
		return err
	}
	vector, err := q.vector()
	if err != nil {
		return err
	}
	return s.pool(c, &q, "pool-", func(i int, v *verdict) any {
		return struct {
			Index  int    `json:"index"`
			Object string `json:"object"`
			Data   any    `json:"data"`
			extra
		}{i, "pooling", vector(q.activated(v)), s.extra(v)}
	})
}

// classifies refuses a task whose answer would be another one.
func (q *foreignRequest) classifies() error {
	if q.task != nil && *q.task != "classify" {
		return unserved("task", "got %q, want classify: rewards are read at the end of texts", clip(*q.task))
	}
	return nil
}

// vector is how a number is written as a vector of one.
func (q *foreignRequest) vector() (func(float32) any, error) {
	switch {
	case q.encoding == nil || *q.encoding == "float":
		return func(r float32) any { return []float32{r} }, nil
	case *q.encoding == "base64": // what OpenAI's client asks for unless told otherwise
		return func(r float32) any {
			return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(nil, math.Float32bits(r)))
		}, nil
	}
	return nil, unserved("encoding_format", "got %q, want float or base64", clip(*q.encoding))
}
