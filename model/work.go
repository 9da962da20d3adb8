package model

// What a pass works on: one line for each tensor, with its shape. Each has memory of its own, which grows only.

import "criticrm/kernels"

// acts is what a block's forward pass keeps for its backward pass, as views for the current sizes.
type acts struct {
	x          kernels.Tensor // (n, H)           residual stream
	rstd1      kernels.Tensor // (n) f32
	qkv, qkv2  kernels.Tensor // (n, A+2G, D)     after rope; the same as (n, (A+2G)·D)
	q, k       kernels.Tensor // (n, parts, width) queries and keys before their norms, where they have some
	rstdQ      kernels.Tensor // (n, parts) f32
	rstdK      kernels.Tensor // (n, parts) f32
	att, att2  kernels.Tensor // (n, A, D)        the same as (n, A·D)
	lse        kernels.Tensor // (n, A) f32
	xr, attr   kernels.Tensor // (r, H), (r, A·D) the rows that go on; x and att2 themselves where all do
	o, rstdO   kernels.Tensor // (r, H) (r) f32   output of the attention before its norm, where it has one
	x1         kernels.Tensor // (r, H)
	rstd2      kernels.Tensor // (r) f32
	gu         kernels.Tensor // (r, 2F)
	mlp, rstdM kernels.Tensor // (r, H) (r) f32  as o

	low [projections]kernels.Tensor // (n or r, sum of the ranks) s·x·Aᵀ of the adapters

	n, r     int
	gathered kernels.Tensor // xr and attr where they are not x and att2
}

// scratch is shared by all blocks.
type scratch struct {
	n1, n2                                   kernels.Tensor // (n, H) (r, H) norms, the same memory
	o, mlp                                   kernels.Tensor // (r, H)        outputs of attention and feed-forward, before the sum
	dres, dresr                              kernels.Tensor // (n, H) (r, H) gradient of the residual stream; one tensor where r = n
	dn, dnr                                  kernels.Tensor // (n, H) (r, H) gradient of a norm's output
	h, dh, dgu                               kernels.Tensor // (r, F) (r, F) (r, 2F)
	datt, datt2                              kernels.Tensor // (n, A, D)     the same as (n, A·D)
	dattr                                    kernels.Tensor // (r, A·D)
	dqkv, dqkv2                              kernels.Tensor // (n, A+2G, D)  the same as (n, (A+2G)·D)
	delta                                    kernels.Tensor // (n, A) f32
	allQKV, allQKV2, allAtt, allAtt2, allLSE kernels.Tensor // as acts' qkv, att and lse, of a forest around the tokens
	dadd, dpart                              kernels.Tensor // (r, H)        gradient of what a layer adds, where it is scaled; before its norm, where it has one

	dlow kernels.Tensor // (n or r, sum of the ranks) gradient of x·Aᵀ, of one adapter after the other

	norms, gathered kernels.Tensor // n1 and n2; dresr and dattr where they are not dres and datt2
}

// sampled is what a step of Generate draws.
type sampled struct {
	keys    kernels.Tensor // (n) u64
	figures kernels.Tensor // (3, n) f32: ids as they are, log-probabilities, rewards
	rows    kernels.Tensor // (n) 0, 1, …
}

// fit makes view a view of the shape in its own memory, which is replaced by a larger one where it is too small; its content is
// undefined then. Large tensors have next to no room to grow: there are hundreds of them, and the longest batch comes early.
func (m *Model) fit(view *kernels.Tensor, t kernels.DType, shape ...int) {
	n := 1
	for _, s := range shape {
		n *= s
	}
	base := m.memory[view]
	if base.IsNil() || base.Len() < n {
		m.Dev.Free(base)
		m.memory[view] = kernels.Tensor{} // Alloc may panic
		base = m.Dev.Alloc(t, max(n+min(n/8, 1<<14), 64))
		m.memory[view] = base
	}
	*view = base.View(shape...)
}

// reserve sizes the views for n tokens of which r rows go on; compact says that the rows are gathered.
func (a *acts) reserve(m *Model, n, r int, compact bool) {
	c, t := &m.Config, m.opt.DType
	if a.n == n && a.r == r && compact == (a.xr != a.x) {
		return
	}
	heads, ad := c.NumAttentionHeads+2*c.NumKeyValueHeads, c.NumAttentionHeads*c.HeadDim
	a.n, a.r = n, r
	m.fit(&a.x, t, n, c.HiddenSize)
	m.fit(&a.rstd1, kernels.F32, n)
	m.fit(&a.qkv, t, n, heads, c.HeadDim)
	a.qkv2 = a.qkv.View(n, heads*c.HeadDim)
	switch familyOf(c.ModelType).qkNorm {
	case perHead:
		m.fitNormed(&a.q, &a.rstdQ, n, c.NumAttentionHeads, c.HeadDim)
		m.fitNormed(&a.k, &a.rstdK, n, c.NumKeyValueHeads, c.HeadDim)
	case wholeRow:
		m.fitNormed(&a.q, &a.rstdQ, n, 1, ad)
		m.fitNormed(&a.k, &a.rstdK, n, 1, c.NumKeyValueHeads*c.HeadDim)
	}
	m.fit(&a.att, t, n, c.NumAttentionHeads, c.HeadDim)
	a.att2 = a.att.View(n, ad)
	m.fit(&a.lse, kernels.F32, n, c.NumAttentionHeads)
	a.xr, a.attr = a.x, a.att2
	if compact {
		a.xr, a.attr = m.pair(&a.gathered, r, ad)
	}
	m.fit(&a.x1, t, r, c.HiddenSize)
	m.fit(&a.rstd2, kernels.F32, r)
	m.fit(&a.gu, t, r, 2*c.IntermediateSize)
	if m.normsAfter() {
		m.fit(&a.o, t, r, c.HiddenSize)
		m.fit(&a.mlp, t, r, c.HiddenSize)
		m.fit(&a.rstdO, kernels.F32, r)
		m.fit(&a.rstdM, kernels.F32, r)
	}
}

// normsAfter says whether norms follow the parts of a layer.
func (m *Model) normsAfter() bool { return !m.blocks[0].afterFeed.W.IsNil() }

// fitNormed sizes what a norm of parts keeps.
func (m *Model) fitNormed(x, rstd *kernels.Tensor, n, parts, width int) {
	m.fit(x, m.opt.DType, n, parts, width)
	m.fit(rstd, kernels.F32, n, parts)
}

// pair gives (r, H) and (r, cols) in one memory.
func (m *Model) pair(both *kernels.Tensor, r, cols int) (first, second kernels.Tensor) {
	m.fit(both, m.opt.DType, r*(m.HiddenSize+cols))
	return both.View(r, m.HiddenSize), both.Rows(r*m.HiddenSize, r*(m.HiddenSize+cols)).View(r, cols)
}

// reserveNorms sizes the norms for n tokens of which r rows go on.
func (z *scratch) reserveNorms(m *Model, n, r int) {
	m.fit(&z.norms, m.opt.DType, max(n, r), m.HiddenSize)
	z.n1, z.n2 = z.norms.Rows(0, n), z.norms.Rows(0, r)
}

// reserveForward sizes what else the forward pass does not keep, for r rows.
func (z *scratch) reserveForward(m *Model, r int) {
	m.fit(&z.o, m.opt.DType, r, m.HiddenSize)
	m.fit(&z.mlp, m.opt.DType, r, m.HiddenSize)
	m.fit(&z.h, m.opt.DType, r, m.IntermediateSize)
}

// reserveAround sizes what attention works on where a forest of n tokens is around those that are computed.
func (z *scratch) reserveAround(m *Model, n int) {
	c, t := &m.Config, m.opt.DType
	heads := c.NumAttentionHeads + 2*c.NumKeyValueHeads
	m.fit(&z.allQKV, t, n, heads, c.HeadDim)
	z.allQKV2 = z.allQKV.View(n, heads*c.HeadDim)
	m.fit(&z.allAtt, t, n, c.NumAttentionHeads, c.HeadDim)
	z.allAtt2 = z.allAtt.View(n, c.NumAttentionHeads*c.HeadDim)
	m.fit(&z.allLSE, kernels.F32, n, c.NumAttentionHeads)
}

// reserveBackward sizes the gradients; compact says that the r rows are gathered from n tokens.
func (z *scratch) reserveBackward(m *Model, n, r int, compact bool) {
	c, t := &m.Config, m.opt.DType
	heads, ad := c.NumAttentionHeads+2*c.NumKeyValueHeads, c.NumAttentionHeads*c.HeadDim
	z.reserveNorms(m, n, r)
	m.fit(&z.dres, t, n, c.HiddenSize)
	m.fit(&z.dn, t, n, c.HiddenSize)
	if m.addScale != 1 {
		m.fit(&z.dadd, t, r, c.HiddenSize)
	}
	if m.normsAfter() {
		m.fit(&z.dpart, t, r, c.HiddenSize)
	}
	m.fit(&z.dnr, t, r, c.HiddenSize)
	m.fit(&z.h, t, r, c.IntermediateSize)
	m.fit(&z.dh, t, r, c.IntermediateSize)
	m.fit(&z.dgu, t, r, 2*c.IntermediateSize)
	m.fit(&z.datt, t, n, c.NumAttentionHeads, c.HeadDim)
	z.datt2 = z.datt.View(n, ad)
	m.fit(&z.dqkv, t, n, heads, c.HeadDim)
	z.dqkv2 = z.dqkv.View(n, heads*c.HeadDim)
	m.fit(&z.delta, kernels.F32, n, c.NumAttentionHeads)
	z.dresr, z.dattr = z.dres, z.datt2
	if compact {
		z.dresr, z.dattr = m.pair(&z.gathered, r, ad)
	}
}
