package model

// Settings that some families read: the activation, multipliers, caps and biases.

import (
	"fmt"
	"math"
)

const (
	silu     = "silu"
	geluTanh = "gelu_pytorch_tanh"
)

// readAct reads the activation under the key that the family's class reads.
func (c *Config) readAct(f *fields, fam *family) {
	key := fam.actKey()
	switch c.HiddenAct = f.text(key); c.HiddenAct {
	case "", silu, geluTanh:
	case "swish": // another name of silu
		c.HiddenAct = silu
	default:
		f.fail(key, "got %q, supported: %q, %q", c.HiddenAct, silu, geluTanh)
	}
}

func (m *family) actKey() string {
	if m.act != "" {
		return m.act
	}
	return "hidden_act"
}

// number gives the field of a key that some families read, or nil.
func (c *Config) number(key string) *float64 {
	switch key {
	case "embedding_multiplier":
		return &c.EmbeddingMultiplier
	case "residual_multiplier":
		return &c.ResidualMultiplier
	case "attention_multiplier":
		return &c.AttentionMultiplier
	case "query_pre_attn_scalar":
		return &c.QueryPreAttnScalar
	case "attn_logit_softcapping":
		return &c.AttnLogitSoftcap
	case "logits_scaling":
		return &c.LogitsScaling
	case "final_logit_softcapping":
		return &c.FinalLogitSoftcap
	}
	return nil
}

// switched does the same for flags.
func (c *Config) switched(key string) *bool {
	switch key {
	case "attention_bias":
		return &c.AttentionBias
	case "mlp_bias":
		return &c.MLPBias
	}
	return nil
}

// readNumbers reads the family's own numbers and flags. A null is no cap; a key that is left out is as in transformers' class.
func (c *Config) readNumbers(f *fields, fam *family) {
	like := fam.like
	for _, k := range fam.keys {
		if at := c.switched(k); at != nil {
			*at = f.flagOr(k, *like.switched(k))
		} else if !f.given(k) || f.has(k) {
			*c.number(k) = f.positive(k, *like.number(k))
		}
	}
}

// describeNumbers spells what readNumbers reads.
func (c *Config) describeNumbers(file map[string]any, fam *family) {
	file[fam.actKey()] = c.HiddenAct
	for _, k := range fam.keys {
		if at := c.switched(k); at != nil {
			file[k] = *at
		} else if x := *c.number(k); x != 0 {
			file[k] = x
		} else {
			file[k] = nil
		}
	}
}

// neutral is the value of a number that changes nothing.
func (c *Config) neutral(key string) float64 {
	switch key {
	case "attention_multiplier":
		return 1 / math.Sqrt(float64(c.HeadDim))
	case "query_pre_attn_scalar":
		return float64(c.HeadDim)
	case "attn_logit_softcapping", "final_logit_softcapping":
		return 0 // no cap
	}
	return 1
}

func (c *Config) checkNumbers() error {
	if c.HiddenAct != silu && c.HiddenAct != geluTanh {
		return fmt.Errorf("hidden_act: got %q, supported: %q, %q", c.HiddenAct, silu, geluTanh)
	}
	for _, m := range families {
		for _, k := range m.keys {
			if x := c.number(k); x != nil && (!(*x >= 0) || *x > math.MaxFloat32 || *x > 0 && 1 / *x > math.MaxFloat32) {
				return fmt.Errorf("%s: got %v, want a number above 0 that float32 can hold", k, *x)
			}
		}
	}
	return nil
}
