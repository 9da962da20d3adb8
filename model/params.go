package model

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"unsafe"

	"criticrm/kernels"
	"criticrm/splitmix"
)

// ParamKind says what a parameter is, for optimizers that treat kinds differently.
type ParamKind int

// Matrix is a projection (O, I) inside a block, Embedding the token table or the LM head (V, H), Norm a vector of weights
// of a norm, Head the reward head, Bias what a projection adds, Adapter one of the two matrices of a low-rank adapter.
const (
	Matrix ParamKind = iota
	Embedding
	Norm
	Head
	Bias
	Adapter
)

func (k ParamKind) String() string {
	return [...]string{"matrix", "embedding", "norm", "head", "bias", "adapter"}[k]
}

// Param is one parameter under its Hugging Face name. W is of the model's type, except that the reward head is always
// float32. G, M and V are float32 and there with Options.Train; Master is there for trained bfloat16 weights, unless with
// Options.StochasticRounding. What Options.Frozen names has none of these. With Options.Moments8Bit, M and V of matrices and embeddings are U8 codes in units of Scale, which
// is nil elsewhere. First is the place of the first element among all parameters. Tensors have
// the shape Shape, the reward head's are (H). Parameters that are multiplied together (q, k, v; gate, up) are neighbouring rows
// of one tensor, so these are views. Own are the pieces whose state this process keeps: one that is all of it, none if the parameter is not trained. Where
// the model is divided (Options.Sharding), Master, M, V and Scale are nil and their parts stand in Own, G is the gradient of this rank's own batches, and
// with stage 3 the W of a layer is there only while the layer is worked on.
type Param struct {
	Name         string
	Shape        []int // as in the file: (V, H), (O, I), (H); (1, H) for the reward head
	Kind         ParamKind
	W, G, Master kernels.Tensor
	M, V         kernels.Tensor // the optimizer's moments
	Scale        kernels.Tensor // (ceil(n/kernels.MomentBlock), 2) float32, or nil
	First        int
	Own          []Own

	layer    int // see layerOf
	gradient int // place of the first element among the gradients

	NF4    *kernels.NF4    // a weight of 4 bits in place of W, which is not there; or nil
	Blocks *kernels.Blocks // one in blocks; or nil
}

// Len is how many elements the parameter has.
func (p *Param) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Packed says whether the parameter's weight is kept in fewer bits: it has no W, and is not trained.
func (p *Param) Packed() bool { return p.NF4 != nil || p.Blocks != nil }

// weight is what the forward and backward passes use: one or more parameters as one tensor, and its gradient.
type weight struct {
	W, G   kernels.Tensor
	packed []packed // in place of W, where it is of 4 bits or in blocks
	low    *lowRank // or nil
}

type part struct {
	name string
	rows int
}

// each is the enumeration of all parameters: allocation, initialisation, import, export, the optimizer and the gradient norm are
// loops over it or over the list it makes. A weight has the rows of its parts and cols columns; cols 0 makes it a vector.
func (m *Model) each(f func(w *weight, kind ParamKind, cols int, parts ...part)) {
	c, fam := m.Config, familyOf(m.ModelType)
	h, ad, gd := c.HiddenSize, c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	norm := func(w *weight, at, name string, n int) {
		if name != "" {
			f(w, Norm, 0, part{at + name + ".weight", n})
		}
	}
	// linear is a projection of cols channels, whose parts are neighbours in memory though they have names of their own.
	linear := func(w, bias *weight, biased bool, cols int, parts []part) {
		ws, bs := slices.Clone(parts), slices.Clone(parts)
		for i, p := range parts {
			ws[i].name, bs[i].name = p.name+".weight", p.name+".bias"
		}
		f(w, Matrix, cols, ws...)
		if biased {
			f(bias, Bias, 0, bs...)
		}
		if w.low != nil {
			w.low.each(f, cols)
		}
	}
	f(&m.embed, Embedding, h, part{embedName, c.VocabSize})
	if m.embed.low != nil {
		m.embed.low.eachOfEmbedding(f, c.VocabSize)
	}
	for l := range m.blocks {
		b, at := &m.blocks[l], fmt.Sprintf("model.layers.%d.", l)
		attention, parts := at+"self_attn.", m.parts(l)
		norm(&b.norm1, at, fam.norms.attention, h)
		linear(&b.qkv, &b.qkvBias, c.AttentionBias || fam.qkvBias, h, parts[0])
		switch fam.qkNorm {
		case perHead:
			norm(&b.qNorm, attention, "q_norm", c.HeadDim)
			norm(&b.kNorm, attention, "k_norm", c.HeadDim)
		case wholeRow:
			norm(&b.qNorm, attention, "q_norm", ad)
			norm(&b.kNorm, attention, "k_norm", gd)
		}
		linear(&b.out, &b.outBias, c.AttentionBias && fam.outBias, ad, parts[1])
		norm(&b.afterAttention, at, fam.norms.afterAttention, h)
		norm(&b.norm2, at, fam.norms.feed, h)
		linear(&b.gateUp, &b.gateUpBias, c.MLPBias, h, parts[2])
		linear(&b.down, &b.downBias, c.MLPBias, c.IntermediateSize, parts[3])
		norm(&b.afterFeed, at, fam.norms.afterFeed, h)
	}
	f(&m.norm, Norm, 0, part{"model.norm.weight", h})
	if m.ownHead() {
		f(&m.head, Embedding, h, part{lmName, c.VocabSize})
	}
	if m.hasReward { // last, because its weights are not of the model's type
		f(&m.score, Head, 0, part{headName, h})
	}
}

// parts are the modules of layer l, by the weights that they are multiplied as: q, k and v; out; gate and up; down.
func (m *Model) parts(l int) [projections][]part {
	c, at := &m.Config, fmt.Sprintf("model.layers.%d.", l)
	attention, mlp := at+"self_attn.", at+"mlp."
	h, ad, gd := c.HiddenSize, c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	p := [projections][]part{
		{{attention + "q_proj", ad}, {attention + "k_proj", gd}, {attention + "v_proj", gd}},
		{{attention + "o_proj", h}},
		{{mlp + "gate_proj", c.IntermediateSize}, {mlp + "up_proj", c.IntermediateSize}},
		{{mlp + "down_proj", h}},
	}
	if familyOf(c.ModelType).fused {
		p[0], p[2] = []part{{attention + "qkv_proj", ad + 2*gd}}, []part{{mlp + "gate_up_proj", 2 * c.IntermediateSize}}
	}
	return p
}

// ownHead says whether there is an LM head apart from the embedding.
func (m *Model) ownHead() bool { return !m.TieWordEmbeddings && !m.classifier }

// alignElems keeps every tensor in the flat buffers on a cache line.
const alignElems = 64

// allocate makes the flat buffers, all zero, and binds every weight and parameter to its place in them. Gaps between
// tensors stay zero for ever, so that an op over a whole buffer (the gradient norm) is exact.
func (m *Model) allocate() (err error) {
	d, real := m.Dev, m.opt.DType
	var size place
	if m.opt.Sharding.on() {
		if err := m.opt.Sharding.check(m.opt, m.keepsBlocks()); err != nil {
			return err
		}
		m.shards = &shards{Sharding: m.opt.Sharding}
		m.shards.clear()
	}
	m.each(func(_ *weight, kind ParamKind, cols int, parts ...part) {
		if m.borrows(kind) {
			return
		}
		trained := m.trained(kind, parts[0].name)
		if s := m.shards; s != nil { // where layers begin and end
			if l := min(m.layerOf(parts[0].name), len(m.blocks)); l == len(s.at) {
				s.at = append(s.at, size)
			}
		}
		for _, p := range parts {
			if m.trained(kind, p.name) != trained && err == nil {
				err = fmt.Errorf("model: %s and %s are multiplied together: freeze both or neither", parts[0].name, p.name)
			}
			if m.inBlocks(kind, trained) {
				info, stored := m.storedBlocks(p.name, p.rows, cols)
				if stored != nil {
					if err == nil {
						err = fmt.Errorf("model: %w", stored)
					}
					continue
				}
				size.passBlocks(info)
				continue
			}
			if m.packs(kind, trained) {
				if cols%kernels.NF4Block != 0 && err == nil {
					err = fmt.Errorf("model: %s has rows of %d: weights of 4 bits have a multiple of %d", p.name, cols, kernels.NF4Block)
				}
				size.pack(p.rows, cols)
				continue
			}
			size.pass(p.rows*max(cols, 1), m.coded(kind), trained)
		}
		size.align()
	})
	if err != nil {
		return err
	}
	fresh := d.AllocZero
	if m.shards != nil {
		m.slotSizes(&size)
	}
	m.flatW = fresh(real, size.weight)
	if size.packedCode > 0 {
		m.packedCode, m.packedMost, m.packedScale, m.packedMap = fresh(kernels.U8, size.packedCode), fresh(kernels.U8, size.packedMost), fresh(kernels.F32, size.packedScale), fresh(kernels.F32, 256)
		d.Upload(m.packedMap, dynamicMap())
	}
	if size.packedBlocks > 0 {
		m.packedBlocks = fresh(kernels.U8, size.packedBlocks)
	}
	if real != kernels.F32 && m.hasReward {
		m.flatScore = fresh(kernels.F32, m.HiddenSize)
	}
	if m.opt.Train {
		m.flatG = fresh(kernels.F32, size.gradient)
		if m.shards == nil {
			m.allocateState(size)
		}
		m.gradNorm = fresh(kernels.F32, 2)
		if m.opt.Frozen != nil {
			m.nowhere = fresh(kernels.F32, max(m.HiddenSize, m.NumAttentionHeads*m.HeadDim))
		}
	}
	var at place
	lend := m.lender()
	m.each(func(w *weight, kind ParamKind, cols int, parts ...part) {
		if m.borrows(kind) {
			m.params = append(m.params, lend(w, parts)...)
			return
		}
		m.bind(w, kind, cols, parts, &at)
	})
	if !m.ownHead() && m.TieWordEmbeddings {
		m.head = m.embed
	}
	if m.shards != nil {
		m.divide()
	}
	for m.lowest < len(m.blocks) && !m.blocks[m.lowest].trained() {
		m.lowest++
	}
	if m.embedTrained() {
		m.lowest = 0
	}
	if m.shards != nil {
		m.spans = m.ownSpans()
		return nil
	}
	for _, p := range m.params {
		if p.Packed() { // no op goes over its elements
			continue
		}
		if n := len(m.spans); n == 0 || !m.spans[n-1].extend(p) {
			span := *p
			span.Own = nil
			m.spans = append(m.spans, &span)
		}
	}
	return nil
}

// allocateState makes what the optimizer keeps of all parameters.
func (m *Model) allocateState(size place) {
	fresh := m.Dev.AllocZero
	m.flatM, m.flatV = fresh(kernels.F32, size.moment), fresh(kernels.F32, size.moment)
	if m.opt.Moments8Bit {
		m.codeM, m.codeV, m.scale = fresh(kernels.U8, size.code), fresh(kernels.U8, size.code), fresh(kernels.F32, 2*size.block)
	}
	if m.opt.DType != kernels.F32 && !m.opt.StochasticRounding {
		m.flatMaster = fresh(kernels.F32, size.gradient)
	}
}

// trained says whether a parameter is.
func (m *Model) trained(kind ParamKind, name string) bool {
	return m.opt.Train && (kind == Head || kind == Adapter || m.opt.Frozen == nil || !m.opt.Frozen(name))
}

// extend makes a span of neighbouring parameters longer by one, if it is of the span's kind and lies where the span ends.
func (p *Param) extend(q *Param) bool {
	if p.Kind != q.Kind || !p.Scale.IsNil() && p.W.Len()%kernels.MomentBlock != 0 {
		return false
	}
	longer := *p
	for _, t := range [...]struct {
		all  *kernels.Tensor
		more kernels.Tensor
	}{{&longer.W, q.W}, {&longer.G, q.G}, {&longer.Master, q.Master}, {&longer.M, q.M}, {&longer.V, q.V}, {&longer.Scale, q.Scale}} {
		var ok bool
		if *t.all, ok = t.all.Join(t.more); !ok {
			return false
		}
	}
	if !longer.Scale.IsNil() {
		longer.Scale = longer.Scale.View(longer.Scale.Len()/2, 2)
	}
	longer.Name, longer.Shape = p.Name+" "+q.Name, []int{longer.W.Len()}
	*p = longer
	return true
}

// place is an element of the flat buffers: of weights; of gradients and masters; of moments in float32, or in codes; and a block of codes.
type place struct {
	weight, gradient, moment, code, block int

	packedCode, packedMost, packedScale int // of weights of 4 bits: bytes, bytes and numbers
	packedBlocks                        int // bytes
}

// pass goes past a parameter of n elements.
func (p *place) pass(n int, coded, trained bool) {
	p.weight += n
	if !trained {
		return
	}
	p.gradient += n
	if coded {
		p.code += n
		p.block += (n + kernels.MomentBlock - 1) / kernels.MomentBlock
	} else {
		p.moment += n
	}
}

// align goes on to where a tensor may begin.
func (p *place) align() {
	for _, x := range []*int{&p.weight, &p.gradient, &p.moment, &p.code} {
		*x = (*x + alignElems - 1) &^ (alignElems - 1)
	}
}

// coded says whether moments of a kind are kept in 8 bits. Those of vectors are not: they are few, and each weighs on a whole channel.
func (m *Model) coded(kind ParamKind) bool {
	return m.opt.Moments8Bit && (kind == Matrix || kind == Embedding)
}

// bind places one weight in the flat buffers, appends its parameters to the list, and moves to the next place.
func (m *Model) bind(w *weight, kind ParamKind, cols int, parts []part, at *place) {
	trained := m.trained(kind, parts[0].name)
	if m.inBlocks(kind, trained) {
		m.bindBlocks(w, cols, parts, at)
		return
	}
	if m.packs(kind, trained) {
		m.bindPacked(w, cols, parts, at)
		return
	}
	rows := 0
	for _, p := range parts {
		rows += p.rows
	}
	shape := func(rows int) []int {
		if cols == 0 {
			return []int{rows}
		}
		return []int{rows, cols}
	}
	view := func(flat kernels.Tensor, at, rows int) kernels.Tensor {
		if flat.IsNil() {
			return kernels.Tensor{}
		}
		return flat.Rows(at, at+rows*max(cols, 1)).View(shape(rows)...)
	}
	layer := m.layerOf(parts[0].name)
	flatW, atW := m.weightAt(layer, at.weight)
	flatG, atG := m.gradientAt(layer, at.gradient)
	flatMaster := m.flatMaster
	if kind == Head && !m.flatScore.IsNil() { // float32 beside bfloat16 weights: its own buffer, and no need of a master
		flatW, atW, flatMaster = m.flatScore, 0, kernels.Tensor{}
	}
	own := func(flat kernels.Tensor, at, rows int) kernels.Tensor { // of what is trained
		if !trained {
			return kernels.Tensor{}
		}
		return view(flat, at, rows)
	}
	w.W, w.G = view(flatW, atW, rows), own(flatG, atG, rows)
	for _, p := range parts {
		n := p.rows * max(cols, 1)
		q := &Param{Name: p.name, Shape: shape(p.rows), Kind: kind, W: view(flatW, atW, p.rows), G: own(flatG, atG, p.rows), First: at.weight, layer: layer, gradient: at.gradient}
		switch {
		case !trained || m.shards != nil:
		case m.coded(kind):
			blocks := (n + kernels.MomentBlock - 1) / kernels.MomentBlock
			q.M, q.V = view(m.codeM, at.code, p.rows), view(m.codeV, at.code, p.rows)
			q.Scale = m.scale.Rows(2*at.block, 2*(at.block+blocks)).View(blocks, 2)
		default:
			q.M, q.V = view(m.flatM, at.moment, p.rows), view(m.flatV, at.moment, p.rows)
		}
		if trained && m.shards == nil {
			q.Master = own(flatMaster, at.gradient, p.rows)
			q.Own = []Own{{0, n, flattened(q.W), flattened(q.G), flattened(q.Master), flattened(q.M), flattened(q.V), q.Scale}}
		}
		if kind == Head {
			q.Shape = []int{1, p.rows}
		}
		m.params = append(m.params, q)
		at.pass(n, m.coded(kind), trained)
		atW, atG = atW+n, atG+n
	}
	at.align()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// flattened is a tensor, or none, with one dimension.
func flattened(t kernels.Tensor) kernels.Tensor {
	if t.IsNil() {
		return t
	}
	return t.View(t.Len())
}

// set writes a parameter's values from element at on, and the float32 master where there is one.
func (m *Model) set(p *Param, at int, x []float32) {
	if p.NF4 != nil {
		m.setPacked(p, at, x)
		return
	}
	if s := m.shards; s != nil {
		s.loaded = crc32.Update(s.loaded, castagnoli, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x)))
	}
	if !m.isSlotted(p) {
		m.Dev.Upload(p.W.View(p.W.Len()).Rows(at, at+len(x)), x)
	}
	for _, o := range p.Own {
		lo, hi := max(at, o.Lo), min(at+len(x), o.Hi)
		if lo >= hi {
			continue
		}
		if m.isSlotted(p) {
			m.Dev.Upload(o.W.Rows(lo-o.Lo, hi-o.Lo), x[lo-at:hi-at])
		}
		if !o.Master.IsNil() {
			m.Dev.Upload(o.Master.Rows(lo-o.Lo, hi-o.Lo), x[lo-at:hi-at])
		}
	}
}

// initialise draws weights: normal with standard deviation InitializerRange, norms such that they multiply by 1, biases 0, the reward
// head 0 (its first gradient does not depend on a draw). A value depends on the seed, the parameter's name and its index only.
func (m *Model) initialise(seed uint64) {
	for _, p := range m.params {
		x := make([]float32, p.Len())
		switch p.Kind {
		case Head, Bias:
		case Adapter:
			m.initialiseAdapter(p)
			continue
		case Norm:
			for i := range x {
				x[i] = 1 - m.shift
			}
		default:
			normals(x, splitmix.Mix(seed^hashName(p.Name)), m.InitializerRange)
		}
		m.set(p, 0, x)
	}
}

// normals fills x with normal numbers of standard deviation sd: Box-Muller on the counter-based stream splitmix.Mix(key + i·φ), on all cores.
func normals(x []float32, key uint64, sd float64) {
	var all sync.WaitGroup
	const part = 1 << 16
	for lo := 0; lo < len(x); lo += part {
		all.Go(func() { normalsIn(x, lo, min(lo+part, len(x)), key, sd) })
	}
	all.Wait()
}

func normalsIn(x []float32, lo, hi int, key uint64, sd float64) {
	for i := lo; i < hi; i += 2 {
		u := splitmix.Mix(key + uint64(i)*splitmix.Golden)
		v := splitmix.Mix(key + uint64(i+1)*splitmix.Golden)
		radius := sd * math.Sqrt(-2*math.Log((float64(u>>11)+0.5)/(1<<53)))
		sin, cos := math.Sincos(2 * math.Pi * float64(v>>11) / (1 << 53))
		x[i] = float32(radius * cos)
		if i+1 < len(x) {
			x[i+1] = float32(radius * sin)
		}
	}
}

// hashName is FNV-1a.
func hashName(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
