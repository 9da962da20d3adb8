package model

import "criticrm/kernels"

// block is one layer of the decoder: x1 = x + Wo·attention(norm1(x));  y = x1 + Wd·swiglu(norm2(x1)).
//
// The sums are taken by the norm that follows them, so the residual stream between two layers is the pair (x1, mlp). In the
// last layer only the rows that are read go on after the attention: r rows from n tokens (everywhere else r = n).
type block struct{ norm1, qkv, out, norm2, gateUp, down weight }

// acts is what a block's forward pass keeps for its backward pass, as views for the current sizes.
type acts struct {
	x         kernels.Tensor // (n, H)           residual stream
	rstd1     kernels.Tensor // (n) f32
	qkv, qkv2 kernels.Tensor // (n, A+2G, D)     after rope; the same as (n, (A+2G)·D)
	att, att2 kernels.Tensor // (n, A, D)        the same as (n, A·D)
	lse       kernels.Tensor // (n, A) f32
	xr, attr  kernels.Tensor // (r, H), (r, A·D) the rows that go on; x and att2 themselves where all do
	x1        kernels.Tensor // (r, H)
	rstd2     kernels.Tensor // (r) f32
	gu        kernels.Tensor // (r, 2F)

	n, r int
	base [9]kernels.Tensor // memory of the views; it grows only
}

// scratch is shared by all blocks.
type scratch struct {
	n1, n2      kernels.Tensor // (n, H) (r, H) norms, the same memory
	o, mlp      kernels.Tensor // (r, H)        outputs of attention and feed-forward, before the sum
	dres, dresr kernels.Tensor // (n, H) (r, H) gradient of the residual stream; one tensor where r = n
	dn, dnr     kernels.Tensor // (n, H) (r, H) gradient of a norm's output
	h, dh, dgu  kernels.Tensor // (r, F) (r, F) (r, 2F)
	datt, datt2 kernels.Tensor // (n, A, D)     the same as (n, A·D)
	dattr       kernels.Tensor // (r, A·D)
	dqkv, dqkv2 kernels.Tensor // (n, A+2G, D)  the same as (n, (A+2G)·D)
	delta       kernels.Tensor // (n, A) f32

	base [13]kernels.Tensor
}

// attend is the first half of the forward pass, on all tokens. in and mlp are the residual stream (their sum); without them
// a.x already holds it.
func (b *block) attend(m *Model, l int, a *acts, s *deviceBatch, z *scratch, in, mlp kernels.Tensor) {
	d := m.Dev
	if mlp.IsNil() {
		d.RMSNorm(z.n1, none, a.rstd1, a.x, none, b.norm1.W, m.eps)
	} else {
		d.RMSNorm(z.n1, a.x, a.rstd1, in, mlp, b.norm1.W, m.eps)
	}
	d.Matmul(a.qkv2, z.n1, b.qkv.W, none)
	d.RoPE(a.qkv, m.rope, s.pos, m.NumKeyValueHeads)
	if !s.slot.IsNil() {
		d.KVStore(m.kv[l], a.qkv, s.slot)
	}
	if s.decode {
		d.AttentionDecode(a.att, a.qkv, m.kv[l], s.context)
	} else {
		d.Attention(a.att, a.lse, a.qkv, s.end, s.tiles)
	}
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
	d.RMSNorm(z.n2, a.x1, a.rstd2, a.xr, z.o, b.norm2.W, m.eps)
	d.Matmul(a.gu, z.n2, b.gateUp.W, none)
}

// feedBackward turns z.dresr, the gradient of x1 + mlp, into that of xr, and leaves the gradient of attr in z.dattr.
func (b *block) feedBackward(m *Model, a *acts, z *scratch) {
	d := m.Dev
	d.MatmulDX(z.dh, z.dresr, b.down.W, false)
	d.SwiGLUBackward(z.dgu, z.h, z.dh, a.gu)
	d.MatmulDW(b.down.G, z.dresr, z.h)
	d.MatmulDX(z.dnr, z.dgu, b.gateUp.W, false)
	d.RMSNormBackward(z.dresr, b.norm2.G, z.n2, z.dnr, a.x1, b.norm2.W, a.rstd2) // dresr += …
	d.MatmulDW(b.gateUp.G, z.dgu, z.n2)
	d.MatmulDX(z.dattr, z.dresr, b.out.W, false)
	d.MatmulDW(b.out.G, z.dresr, a.attr)
}

// attendBackward turns z.dres, the gradient of x, into that of the layer below's x1 + mlp; z.datt is the gradient of att.
func (b *block) attendBackward(m *Model, a *acts, s *deviceBatch, z *scratch) {
	d := m.Dev
	d.AttentionBackward(z.dqkv, z.delta, z.datt, a.att, a.lse, a.qkv, s.end, s.tiles)
	d.RoPEBackward(z.dqkv, m.rope, s.pos, m.NumKeyValueHeads)
	d.MatmulDX(z.dn, z.dqkv2, b.qkv.W, false)
	d.RMSNormBackward(z.dres, b.norm1.G, z.n1, z.dn, a.x, b.norm1.W, a.rstd1) // dres += …
	d.MatmulDW(b.qkv.G, z.dqkv2, z.n1)
}

var none kernels.Tensor // an argument that is left out

// reserve sizes the views for n tokens of which r rows go on; compact says that the rows are gathered.
func (a *acts) reserve(m *Model, n, r int, compact bool) {
	c, t := &m.Config, m.opt.DType
	if a.n == n && a.r == r && compact == (a.xr != a.x) {
		return
	}
	heads, ad := c.NumAttentionHeads+2*c.NumKeyValueHeads, c.NumAttentionHeads*c.HeadDim
	a.n, a.r = n, r
	a.x = m.reserve(&a.base[0], t, n, c.HiddenSize)
	a.rstd1 = m.reserve(&a.base[1], kernels.F32, n)
	a.qkv = m.reserve(&a.base[2], t, n, heads, c.HeadDim)
	a.qkv2 = a.qkv.View(n, heads*c.HeadDim)
	a.att = m.reserve(&a.base[3], t, n, c.NumAttentionHeads, c.HeadDim)
	a.att2 = a.att.View(n, ad)
	a.lse = m.reserve(&a.base[4], kernels.F32, n, c.NumAttentionHeads)
	a.xr, a.attr = a.x, a.att2
	if compact {
		both := m.reserve(&a.base[5], t, r*(c.HiddenSize+ad))
		a.xr = both.View(r, c.HiddenSize)
		a.attr = both.Rows(r*c.HiddenSize, r*(c.HiddenSize+ad)).View(r, ad)
	}
	a.x1 = m.reserve(&a.base[6], t, r, c.HiddenSize)
	a.rstd2 = m.reserve(&a.base[7], kernels.F32, r)
	a.gu = m.reserve(&a.base[8], t, r, 2*c.IntermediateSize)
}

// reserveNorms sizes the norms for n tokens of which r rows go on.
func (z *scratch) reserveNorms(m *Model, n, r int) {
	both := m.reserve(&z.base[12], m.opt.DType, max(n, r), m.HiddenSize)
	z.n1, z.n2 = both.Rows(0, n), both.Rows(0, r)
}

// reserveForward sizes what else the forward pass does not keep, for r rows.
func (z *scratch) reserveForward(m *Model, r int) {
	z.o = m.reserve(&z.base[0], m.opt.DType, r, m.HiddenSize)
	z.mlp = m.reserve(&z.base[1], m.opt.DType, r, m.HiddenSize)
	z.h = m.reserve(&z.base[11], m.opt.DType, r, m.IntermediateSize)
}

// reserveBackward sizes the gradients; compact says that the r rows are gathered from n tokens.
func (z *scratch) reserveBackward(m *Model, n, r int, compact bool) {
	c, t := &m.Config, m.opt.DType
	heads, ad := c.NumAttentionHeads+2*c.NumKeyValueHeads, c.NumAttentionHeads*c.HeadDim
	z.reserveNorms(m, n, r)
	z.dres = m.reserve(&z.base[2], t, n, c.HiddenSize)
	z.dn = m.reserve(&z.base[3], t, n, c.HiddenSize)
	z.dnr = m.reserve(&z.base[4], t, r, c.HiddenSize)
	z.h = m.reserve(&z.base[11], t, r, c.IntermediateSize)
	z.dh = m.reserve(&z.base[5], t, r, c.IntermediateSize)
	z.dgu = m.reserve(&z.base[6], t, r, 2*c.IntermediateSize)
	z.datt = m.reserve(&z.base[7], t, n, c.NumAttentionHeads, c.HeadDim)
	z.datt2 = z.datt.View(n, ad)
	z.dqkv = m.reserve(&z.base[8], t, n, heads, c.HeadDim)
	z.dqkv2 = z.dqkv.View(n, heads*c.HeadDim)
	z.delta = m.reserve(&z.base[9], kernels.F32, n, c.NumAttentionHeads)
	z.dresr, z.dattr = z.dres, z.datt2
	if compact {
		both := m.reserve(&z.base[10], t, r*(c.HiddenSize+ad))
		z.dresr = both.View(r, c.HiddenSize)
		z.dattr = both.Rows(r*c.HiddenSize, r*(c.HiddenSize+ad)).View(r, ad)
	}
}
