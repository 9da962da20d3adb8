package model

import (
	"fmt"
	"math"

	"criticrm/kernels"
)

// Differs names the first thing that models of two completed configurations would compute differently with the same weights, beyond the rounding of
// numbers to float32; "" for nothing. Token ids and what no pass reads do not count.
func (c Config) Differs(o Config) string {
	a, b := c.traits(kernels.F32), o.traits(kernels.F32)
	f, g := familyOf(c.ModelType), familyOf(o.ModelType)
	flag := func(x bool) float64 {
		if x {
			return 1
		}
		return 0
	}
	for _, s := range []struct {
		name string
		a, b float64
	}{
		{"vocab_size", float64(c.VocabSize), float64(o.VocabSize)}, {"hidden_size", float64(c.HiddenSize), float64(o.HiddenSize)},
		{"intermediate_size", float64(c.IntermediateSize), float64(o.IntermediateSize)}, {"num_hidden_layers", float64(c.NumHiddenLayers), float64(o.NumHiddenLayers)},
		{"num_attention_heads", float64(c.NumAttentionHeads), float64(o.NumAttentionHeads)}, {"num_key_value_heads", float64(c.NumKeyValueHeads), float64(o.NumKeyValueHeads)},
		{"head_dim", float64(c.HeadDim), float64(o.HeadDim)}, {"max_position_embeddings", float64(c.MaxPositionEmbeddings), float64(o.MaxPositionEmbeddings)},
		{"tie_word_embeddings", flag(c.TieWordEmbeddings), flag(o.TieWordEmbeddings)}, {"attention_bias", flag(c.AttentionBias || f.qkvBias), flag(o.AttentionBias || g.qkvBias)},
		{"mlp_bias", flag(c.MLPBias), flag(o.MLPBias)}, {"norms", flag(f.norms == g.norms && f.qkNorm == g.qkNorm && f.fused == g.fused), 1},
		{"rms_norm_eps", float64(a.eps), float64(b.eps)}, {"norms", float64(a.shift), float64(b.shift)}, {"activation", flag(a.gelu), flag(b.gelu)},
		{"embedding_multiplier", float64(a.embedScale), float64(b.embedScale)}, {"residual_multiplier", float64(a.addScale), float64(b.addScale)},
		{"logits_scaling", float64(a.logitScale), float64(b.logitScale)}, {"final_logit_softcapping", float64(a.logitCap), float64(b.logitCap)},
	} {
		if !near(s.a, s.b) {
			return s.name
		}
	}
	for i, x := range a.layers {
		y := b.layers[i]
		switch {
		case x.scores.Window != y.scores.Window:
			return fmt.Sprintf("the window of layer %d (sliding_window, layer_types)", i)
		case !near(float64(x.scores.Scale), float64(y.scores.Scale)):
			return "what scores are multiplied by (query_pre_attn_scalar, attention_multiplier)"
		case !near(float64(x.scores.Cap), float64(y.scores.Cap)):
			return "attn_logit_softcapping"
		case !x.rope.near(y.rope, c.HeadDim):
			return fmt.Sprintf("the rope of layer %d (rope_theta, rope_scaling, rope_parameters, no_rope_layers)", i)
		}
	}
	return ""
}

// near allows for several roundings to float32.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Max(math.Abs(a), math.Abs(b)) }

// near says whether heads of d channels are turned alike.
func (t *turning) near(o *turning, d int) bool {
	if t == nil || o == nil {
		return t == o
	}
	r, q := &t.rope, &o.rope
	a, b := r.AttentionFactor, q.AttentionFactor
	setDefault(&a, 1)
	setDefault(&b, 1)
	if r.channels(d) != q.channels(d) || !near(a, b) {
		return false
	}
	x, y := r.inverse(r.channels(d)), q.inverse(r.channels(d))
	for i := range x {
		if !near(x[i], y[i]) {
			return false
		}
	}
	return true
}
