package model

import "criticrm/kernels"

// block is one layer of the decoder: x1 = x + Wo·attention(norm1(x));  y = x1 + Wd·(act(gate)·up), gate and up from norm2(x1). A weight
// that a family does not have is the zero weight, and what it would do is left out: norms before or after a part, norms of queries
// and keys, biases.
//
// The sums are taken by the norm that follows them, so the residual stream between two layers is the pair (x1, mlp). In the
// last layer only the rows that are read go on after the attention: r rows from n tokens (everywhere else r = n).
type block struct {
	norm1, qkv, qkvBias, qNorm, kNorm, out, outBias, afterAttention weight
	norm2, gateUp, gateUpBias, down, downBias, afterFeed            weight
}

// attend is the first half of the forward pass, on all tokens. in and mlp are the residual stream (their sum); without them
// a.x already holds it.
func (b *block) attend(m *Model, l int, a *acts, s *deviceBatch, z *scratch, in, mlp kernels.Tensor) {
	d, own := m.Dev, &m.layers[l]
	var n1 kernels.Tensor
	if mlp.IsNil() {
		n1 = m.normalise(z.n1, none, a.rstd1, a.x, none, b.norm1)
	} else {
		n1 = m.normalise(z.n1, a.x, a.rstd1, in, mlp, b.norm1)
	}
	m.linear(a, a.qkv2, n1, b.qkv, b.qkvBias)
	b.normaliseHeads(m, a)
	if own.rope != nil {
		d.RoPE(a.qkv, own.rope.table, s.pos, m.NumKeyValueHeads)
	}
	if !s.slot.IsNil() {
		d.KVStore(m.kv[l], a.qkv, s.slot)
	}
	switch w := s.around; {
	case s.decode:
		d.AttentionDecode(a.att, a.qkv, m.kv[l], s.context, own.scores)
	case w != nil: // queries of tokens that are not computed are 0, and what they see is not read
		d.GatherBackward(z.allQKV2, a.qkv2, w.ptr, w.src)
		d.KVLoad(z.allQKV, m.kv[l], w.cached, w.cachedAt)
		d.Attention(z.allAtt, z.allLSE, z.allQKV, s.sight(own), own.scores)
		d.Gather(a.att2, z.allAtt2, w.row)
	default:
		d.Attention(a.att, a.lse, a.qkv, s.sight(own), own.scores)
	}
}

// normalise gives the norm of sum = x + res, in out, and the sum itself where there is no norm; sum and res may be left out.
func (m *Model) normalise(out, sum, rstd, x, res kernels.Tensor, w weight) kernels.Tensor {
	if !w.W.IsNil() {
		m.Dev.RMSNorm(out, sum, rstd, x, res, w.W, m.eps, m.shift)
		return out
	}
	if res.IsNil() {
		return x
	}
	m.Dev.RMSNorm(out, sum, rstd, x, res, m.norm.W, m.eps, m.shift) // for the sum; the norm is of no use
	return sum
}

// linear is y = x·wᵀ + bias, and what w's adapter adds.
func (m *Model) linear(a *acts, y, x kernels.Tensor, w, bias weight) {
	m.multiply(y, x, w)
	if !bias.W.IsNil() {
		m.Dev.AddBias(y, bias.W)
	}
	if w.low != nil {
		m.addLow(a, y, x, w.low)
	}
}

// normaliseHeads normalises queries and keys, and keeps what they were.
func (b *block) normaliseHeads(m *Model, a *acts) {
	if b.qNorm.W.IsNil() {
		return
	}
	ad := m.NumAttentionHeads * m.HeadDim
	m.Dev.SliceNorm(a.qkv2, a.q, a.rstdQ, b.qNorm.W, a.q.Dim(1), 0, m.eps, m.shift)
	m.Dev.SliceNorm(a.qkv2, a.k, a.rstdK, b.kNorm.W, a.k.Dim(1), ad, m.eps, m.shift)
}

// add leaves in out what a part of the layer adds to the residual stream: x·wᵀ + bias, its norm, scaled; own is what goes into the norm.
func (m *Model) add(a *acts, out, own, rstd, x kernels.Tensor, w, bias, after weight) {
	if after.W.IsNil() {
		m.linear(a, out, x, w, bias)
	} else {
		m.linear(a, own, x, w, bias)
		m.Dev.RMSNorm(out, none, rstd, own, none, after.W, m.eps, m.shift)
	}
	if m.addScale != 1 {
		m.Dev.Scale(out, m.addScale)
	}
}

// addBackward gives the gradient of x·wᵀ + bias, with dres that of what was added.
func (m *Model) addBackward(z *scratch, own, rstd kernels.Tensor, bias, after weight) kernels.Tensor {
	d, dy := m.Dev, z.dresr
	if m.addScale != 1 {
		d.Copy(z.dadd, dy)
		d.Scale(z.dadd, m.addScale)
		dy = z.dadd
	}
	if !after.W.IsNil() {
		d.Zero(z.dpart)
		d.RMSNormBackward(z.dpart, m.normGradient(after), z.n2, dy, own, after.W, rstd, m.shift)
		dy = z.dpart
	}
	if !bias.G.IsNil() {
		d.AddBiasBackward(bias.G, dy)
	}
	return dy
}

// feed is the second half, on the rows that go on. It leaves the residual stream in a.x1 and z.mlp.
func (b *block) feed(m *Model, a *acts, z *scratch) {
	m.add(a, z.o, a.o, a.rstdO, a.attr, b.out, b.outBias, b.afterAttention)
	n2 := m.normalise(z.n2, a.x1, a.rstd2, a.xr, z.o, b.norm2)
	m.linear(a, a.gu, n2, b.gateUp, b.gateUpBias)
	m.activate(z, a)
	m.add(a, z.mlp, a.mlp, a.rstdM, z.h, b.down, b.downBias, b.afterFeed)
}

// feedAgain is feed as far as the backward pass needs it.
func (b *block) feedAgain(m *Model, a *acts, z *scratch) {
	m.add(a, z.o, a.o, a.rstdO, a.attr, b.out, b.outBias, b.afterAttention)
	n2 := m.normalise(z.n2, a.x1, a.rstd2, a.xr, z.o, b.norm2)
	m.linear(a, a.gu, n2, b.gateUp, b.gateUpBias)
	switch {
	case !b.afterFeed.W.IsNil():
		m.activate(z, a)
		m.add(a, z.mlp, a.mlp, a.rstdM, z.h, b.down, b.downBias, b.afterFeed)
	case b.down.low != nil:
		m.activate(z, a)
		m.shrink(a, z.h, b.down.low)
	}
}

func (m *Model) activate(z *scratch, a *acts) {
	if m.gelu {
		m.Dev.GeGLU(z.h, a.gu)
	} else {
		m.Dev.SwiGLU(z.h, a.gu)
	}
}

func (m *Model) activateBackward(z *scratch, a *acts) {
	if m.gelu {
		m.Dev.GeGLUBackward(z.dgu, z.h, z.dh, a.gu)
	} else {
		m.Dev.SwiGLUBackward(z.dgu, z.h, z.dh, a.gu)
	}
}

// feedBackward turns z.dresr, the gradient of x1 + mlp, into that of xr, and leaves the gradient of attr in z.dattr.
func (b *block) feedBackward(m *Model, a *acts, z *scratch) {
	dy := m.addBackward(z, a.mlp, a.rstdM, b.downBias, b.afterFeed)
	m.inputGradient(a, z.dh, dy, b.down, false)
	m.activateBackward(z, a)
	m.weightGradient(b.down, dy, z.h)
	m.linearBackward(a, z.dresr, z.dnr, z.n2, z.dgu, a.x1, a.rstd2, b.norm2, b.gateUp, b.gateUpBias)
	dy = m.addBackward(z, a.o, a.rstdO, b.outBias, b.afterAttention)
	m.inputGradient(a, z.dattr, dy, b.out, false)
	m.weightGradient(b.out, dy, a.attr)
}

// linearBackward adds to dres, the gradient of x, what comes through x's norm and the projection, whose gradient is dy.
func (m *Model) linearBackward(a *acts, dres, dn, n, dy, x, rstd kernels.Tensor, norm, w, bias weight) {
	d := m.Dev
	if !bias.G.IsNil() {
		d.AddBiasBackward(bias.G, dy)
	}
	if norm.W.IsNil() {
		m.inputGradient(a, dres, dy, w, true)
		m.weightGradient(w, dy, x)
		return
	}
	m.inputGradient(a, dn, dy, w, false)
	d.RMSNormBackward(dres, m.normGradient(norm), n, dn, x, norm.W, rstd, m.shift) // dres += …
	m.weightGradient(w, dy, n)
}

// attendBackward turns z.dres, the gradient of x, into that of the layer below's x1 + mlp; z.datt is the gradient of att.
func (b *block) attendBackward(m *Model, l int, a *acts, s *deviceBatch, z *scratch) {
	d, own := m.Dev, &m.layers[l]
	d.AttentionBackward(z.dqkv, z.delta, z.datt, a.att, a.lse, a.qkv, s.sight(own), own.scores)
	if own.rope != nil {
		d.RoPEBackward(z.dqkv, own.rope.table, s.pos, m.NumKeyValueHeads)
	}
	if !b.qNorm.W.IsNil() {
		d.SliceNormBackward(z.dqkv2, m.normGradient(b.qNorm), a.q, b.qNorm.W, a.rstdQ, 0, m.shift)
		d.SliceNormBackward(z.dqkv2, m.normGradient(b.kNorm), a.k, b.kNorm.W, a.rstdK, m.NumAttentionHeads*m.HeadDim, m.shift)
	}
	m.linearBackward(a, z.dres, z.dn, z.n1, z.dqkv2, a.x, a.rstd1, b.norm1, b.qkv, b.qkvBias)
}

// weightGradient adds dyᵀ·x to a weight's gradient, if it is trained, and to that of its adapter what inputGradient has left for it.
func (m *Model) weightGradient(w weight, dy, x kernels.Tensor) {
	if !w.G.IsNil() {
		m.Dev.MatmulDW(w.G, dy, x)
	}
	if w.low != nil {
		m.Dev.MatmulDW(w.low.a.G, m.scratch.dlow, x)
	}
}

// normGradient is where the gradient of a norm goes: nowhere, if it is not trained.
func (m *Model) normGradient(w weight) kernels.Tensor {
	if w.G.IsNil() {
		return m.nowhere.Rows(0, w.W.Len())
	}
	return w.G
}

// trained says whether something in the block is.
func (b *block) trained() bool {
	for _, w := range b.projections() {
		if w.low != nil {
			return true
		}
	}
	for _, w := range []weight{b.norm1, b.qkv, b.qkvBias, b.qNorm, b.kNorm, b.out, b.outBias, b.afterAttention, b.norm2, b.gateUp, b.gateUpBias, b.down, b.downBias, b.afterFeed} {
		if !w.G.IsNil() {
			return true
		}
	}
	return false
}

var none kernels.Tensor // an argument that is left out
