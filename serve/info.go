package serve

import (
	"net/http"

	"criticrm/critic"
	"criticrm/version"
)

// health says that the process answers.
func (s *Server) health(c *call) error {
	return c.json(map[string]string{"status": "ok", "version": version.String()})
}

// ready says whether new requests are likely to be served.
func (s *Server) ready(c *call) error {
	switch {
	case s.gate.closed():
		return draining()
	case s.gate.full():
		return &Error{Status: http.StatusServiceUnavailable, Code: "busy", Message: "the queue is nearly full", Retry: 1}
	}
	return c.json(map[string]string{"status": "ready"})
}

// modelInfo is an entry of /v1/models: OpenAI's fields, and what the page and others may want to know.
type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	MaxLen  int    `json:"max_model_len,omitempty"`

	Critic struct {
		Label      string        `json:"label"`  // the model and all that its rewards depend on
		Method     string        `json:"method"` // of training; "" if the directory does not say
		Rewards    bool          `json:"rewards"`
		Plain      bool          `json:"plain"`
		Scale      *critic.Scale `json:"scale"`
		Samples    int           `json:"samples"`
		MaxSamples int           `json:"max_samples"`
		Temp       float32       `json:"temperature"`
		TopP       float32       `json:"top_p"`
		MaxTokens  int           `json:"max_tokens"`
		MaxItems   int           `json:"max_items"`
	} `json:"criticrm"`
}

func (s *Server) models(c *call) error {
	var list []modelInfo
	for _, m := range s.all {
		list = append(list, m.info())
	}
	return c.json(map[string]any{"object": "list", "data": list})
}

func (s *Server) info() modelInfo {
	m := modelInfo{ID: s.names[0], Object: "model", Created: s.began.Unix(), OwnedBy: "criticrm", MaxLen: s.longest()}
	i := &m.Critic
	i.Label, i.Method, i.Rewards, i.Plain = s.Score.Model, s.dir.Facts.Method, s.Head, s.Plain
	i.Samples, i.MaxSamples, i.MaxItems = s.Score.Critiques, s.Set.MaxSamples, s.Set.MaxItems
	i.Temp, i.TopP, i.MaxTokens = s.Score.Sampling.Temperature, s.Score.Sampling.TopP, s.Score.Sampling.MaxTokens
	if !s.Plain {
		i.Scale = &s.Score.Scale
	}
	return m
}
