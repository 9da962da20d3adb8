package model

import (
	"math"

	"criticrm/kernels"
)

// block is one layer of the decoder: x1 = x + Wo·attention(norm1(x));  y = x1 + Wd·swiglu(norm2(x1)).
//
// The sums are taken by the norm that follows them, so the residual stream between two layers is the pair (x1, mlp). In the
// last layer only the rows that are read go on after the attention: r rows from n tokens (everywhere else r = n).
type block struct{ norm1, qkv, out, norm2, gateUp, down weight }

// attend is the first half of the forward pass, on all tokens. in and mlp are the residual stream (their sum); without them
// a.x already holds it.
func (b *block) attend(m *Model, l int, a *acts, s *deviceBatch, z *scratch, in, mlp kernels.Tensor) {
	d := m.Dev
	if mlp.IsNil() {
		d.RMSNorm(z.n1, none, a.rstd1, a.x, none, b.norm1.W, m.eps, 0)
	} else {
		d.RMSNorm(z.n1, a.x, a.rstd1, in, mlp, b.norm1.W, m.eps, 0)
	}
	d.Matmul(a.qkv2, z.n1, b.qkv.W, none)
	d.RoPE(a.qkv, m.rope, s.pos, m.NumKeyValueHeads)
	if !s.slot.IsNil() {
		d.KVStore(m.kv[l], a.qkv, s.slot)
	}
	if s.decode {
		d.AttentionDecode(a.att, a.qkv, m.kv[l], s.context, m.scores())
	} else {
		d.Attention(a.att, a.lse, a.qkv, s.sight(), m.scores())
	}
}

// scores says how attention's scores are made.
func (m *Model) scores() kernels.Scores {
	return kernels.Scores{Scale: float32(1 / math.Sqrt(float64(m.HeadDim)))}
}

// feed is the second half, on the rows that go on. It leaves the residual stream in a.x1 and z.mlp.
func (b *block) feed(m *Model, a *acts, z *scratch) {
	b.feedUp(m, a, z)
	m.Dev.SwiGLU(z.h, a.gu)
	m.Dev.Matmul(z.mlp, z.h, b.down.W, none)
}

// feedUp is feed as far as the backward pass needs it.
func (b *block) feedUp(m *Model, a *acts, z *scratch) {
	d := m.Dev
	d.Matmul(z.o, a.attr, b.out.W, none)
	d.RMSNorm(z.n2, a.x1, a.rstd2, a.xr, z.o, b.norm2.W, m.eps, 0)
	d.Matmul(a.gu, z.n2, b.gateUp.W, none)
}

// feedBackward turns z.dresr, the gradient of x1 + mlp, into that of xr, and leaves the gradient of attr in z.dattr.
func (b *block) feedBackward(m *Model, a *acts, z *scratch) {
	d := m.Dev
	d.MatmulDX(z.dh, z.dresr, b.down.W, false)
	d.SwiGLUBackward(z.dgu, z.h, z.dh, a.gu)
	d.MatmulDW(b.down.G, z.dresr, z.h)
	d.MatmulDX(z.dnr, z.dgu, b.gateUp.W, false)
	d.RMSNormBackward(z.dresr, b.norm2.G, z.n2, z.dnr, a.x1, b.norm2.W, a.rstd2, 0) // dresr += …
	d.MatmulDW(b.gateUp.G, z.dgu, z.n2)
	d.MatmulDX(z.dattr, z.dresr, b.out.W, false)
	d.MatmulDW(b.out.G, z.dresr, a.attr)
}

// attendBackward turns z.dres, the gradient of x, into that of the layer below's x1 + mlp; z.datt is the gradient of att.
func (b *block) attendBackward(m *Model, a *acts, s *deviceBatch, z *scratch) {
	d := m.Dev
	d.AttentionBackward(z.dqkv, z.delta, z.datt, a.att, a.lse, a.qkv, s.sight(), m.scores())
	d.RoPEBackward(z.dqkv, m.rope, s.pos, m.NumKeyValueHeads)
	d.MatmulDX(z.dn, z.dqkv2, b.qkv.W, false)
	d.RMSNormBackward(z.dres, b.norm1.G, z.n1, z.dn, a.x, b.norm1.W, a.rstd1, 0) // dres += …
	d.MatmulDW(b.qkv.G, z.dqkv2, z.n1)
}

var none kernels.Tensor // an argument that is left out
