package model

// What the passes ask of a config, in the form in which they need it.

import (
	"math"
	"slices"

	"criticrm/kernels"
)

// traits are the numbers of the model and of each of its layers.
type traits struct {
	eps, shift           float32 // norms: rstd = 1/sqrt(mean + eps), times shift + w
	gelu                 bool    // the activation is GeGLU, not SwiGLU
	embedScale, addScale float32 // of embeddings, and of what a layer adds to the residual stream
	logitScale, logitCap float32
	windows              []int // each distinct one
	ropes                []*turning
	layers               []layer
}

// layer is what one layer needs to know.
type layer struct {
	scores kernels.Scores
	tiles  int      // index of its window in windows
	rope   *turning // or nil
}

// turning is a rope and its table.
type turning struct {
	rope  Rope
	table kernels.Tensor // (T, channels) f32, for positions < T
}

// traits of a completed config, for weights of a type.
func (c *Config) traits(typ kernels.DType) traits {
	fam, one := familyOf(c.ModelType), func(x float64) float32 { setDefault(&x, 1); return float32(x) }
	t := traits{eps: float32(c.RMSNormEps), shift: fam.shift, gelu: c.HiddenAct == geluTanh, embedScale: one(c.EmbeddingMultiplier), addScale: one(c.ResidualMultiplier),
		logitScale: 1 / one(c.LogitsScaling), logitCap: float32(c.FinalLogitSoftcap)}
	if fam.embedByWidth {
		t.embedScale = float32(math.Sqrt(float64(c.HiddenSize)))
		if typ == kernels.BF16 { // transformers keeps it in the type of the weights
			t.embedScale = kernels.F32FromBF16(kernels.BF16FromF32(t.embedScale))
		}
	}
	scale, width := c.AttentionMultiplier, c.QueryPreAttnScalar
	setDefault(&width, float64(c.HeadDim))
	setDefault(&scale, 1/math.Sqrt(width))
	t.ropes = []*turning{{rope: c.Rope}}
	if c.LocalRope != nil {
		t.ropes = append(t.ropes, &turning{rope: *c.LocalRope})
	}
	for _, l := range c.layerList() {
		known := slices.Index(t.windows, l.Window)
		if known < 0 {
			known, t.windows = len(t.windows), append(t.windows, l.Window)
		}
		own := layer{scores: kernels.Scores{Window: l.Window, Scale: float32(scale), Cap: float32(c.AttnLogitSoftcap)}, tiles: known, rope: t.ropes[0]}
		switch {
		case l.NoRope:
			own.rope = nil
		case l.Sliding && c.LocalRope != nil:
			own.rope = t.ropes[1]
		}
		t.layers = append(t.layers, own)
	}
	return t
}

// reserveRope makes the tables reach past a position.
func (m *Model) reserveRope(position int32) {
	for _, r := range m.ropes {
		if !r.table.IsNil() && int(position) < r.table.Dim(0) {
			continue
		}
		rows := 256
		for rows <= int(position) {
			rows *= 2
		}
		m.Dev.Free(r.table)
		r.table = kernels.Tensor{} // Alloc may panic
		n := r.rope.channels(m.HeadDim)
		r.table = m.Dev.Alloc(kernels.F32, rows, n)
		m.Dev.Upload(r.table, r.rope.table(rows, n))
	}
}
