package model

// What training keeps of a model, divided among the ranks of a group (ZeRO, Rajbhandari et al. 2020): the parameters that are trained are cut
// into buckets of neighbours, and every bucket into a part for each rank. This file says where everything lies; exchange.go moves it.

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"criticrm/collective"
	"criticrm/kernels"
)

// Sharding says what is divided, and among whom. The zero Sharding divides nothing.
type Sharding struct {
	Stage  int               // 1: masters and moments; 2: and gradients; 3: and the weights of the layers
	Ranks  int               // among so many
	Group  *collective.Group // of them; nil: nothing is moved, for what depends on sizes alone
	Bucket int               // elements that are moved at once, at most; 0: 16 Mi
}

// usualBucket is 64 MiB of gradients.
const usualBucket = 16 << 20

// on says whether something is divided.
func (s Sharding) on() bool { return s.Stage > 0 && s.Ranks > 1 }

// check says why a model cannot be divided so.
func (s Sharding) check(o Options, packed bool) error {
	switch {
	case s.Stage < 0 || s.Stage > 3:
		return fmt.Errorf("model: sharding: stage %d: want 0 to 3", s.Stage)
	case s.Group != nil && s.Group.Size() != s.Ranks:
		return fmt.Errorf("model: sharding: %d ranks, the group has %d", s.Ranks, s.Group.Size())
	case s.Stage == 3 && (o.Frozen != nil || o.LoRA != nil || o.NF4 || packed):
		return errors.New("model: sharding: stage 3 divides weights that are trained, and some stay as they are: take stage 2, at which nothing is kept for those")
	case !o.Train:
		return errors.New("model: sharding: nothing is trained")
	}
	return nil
}

// Own is a piece of a parameter whose state this process keeps: flat, elements [Lo, Hi). G is the sum of all ranks' gradients, where the model is divided.
type Own struct {
	Lo, Hi       int
	W, G, Master kernels.Tensor
	M, V         kernels.Tensor
	Scale        kernels.Tensor // (blocks, 2); Lo is a multiple of kernels.MomentBlock
}

// bucket is neighbouring parameters that are moved together.
type bucket struct {
	name  string
	layer int            // whose they are; beforeLayers, or behindLayers
	w, g  kernels.Tensor // whole; of a layer they may lie in a slot
	cuts  []int          // rank r has elements [cuts[r], cuts[r+1])
	own   kernels.Tensor // this rank's part of the summed gradient
	ownW  kernels.Tensor // its part of the weights, where w lies in a slot; else it is in w

	from   int            // where it begins, among the gradients of all parameters
	master kernels.Tensor // this rank's part of the masters, or nil
}

// What is of no layer.
const (
	beforeLayers = -1      // the embedding
	behindLayers = 1 << 20 // the last norm and the heads
)

// shards is how a model is divided, and what is on its way.
type shards struct {
	Sharding
	buckets []*bucket // in the order in which the backward pass has their gradients
	at      []place   // where the layers begin, and where the last one ends

	g, w     [2]kernels.Tensor // slots, for layer l that of l%2
	flatOwn  kernels.Tensor    // gradients of the rank's parts
	flatOwnW kernels.Tensor    // weights of its parts of layers, in stage 3
	norms    kernels.Tensor    // (ranks, 2) float32, and (2) of all

	loaded uint32 // CRC of all values that set has got

	traffic
}

// layerOf is the layer of a parameter.
func (m *Model) layerOf(name string) int {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		if strings.HasPrefix(name, embedModule+".") {
			return beforeLayers
		}
		return behindLayers
	}
	number, _, _ := strings.Cut(rest, ".")
	l, err := strconv.Atoi(number)
	if err != nil {
		panic("model: " + name + " is of no layer")
	}
	return l
}

// slotted gives where an element of the flat buffer of a kind lies: in a layer's slot, or in what is left of the buffer without the layers.
func (s *shards) slotted(layer, at int, of func(p place) int, flat kernels.Tensor, slots *[2]kernels.Tensor) (kernels.Tensor, int) {
	first, end := of(s.at[0]), of(s.at[len(s.at)-1])
	switch {
	case layer == beforeLayers:
		return flat, at
	case layer == behindLayers:
		return flat, at - (end - first)
	}
	return slots[layer%2], at - of(s.at[layer])
}

func weightOf(p place) int   { return p.weight }
func gradientOf(p place) int { return p.gradient }

// weightAt and gradientAt give where a parameter's elements lie: a buffer, and from where on.
func (m *Model) weightAt(layer, at int) (kernels.Tensor, int) {
	if s := m.shards; s != nil && s.Stage == 3 {
		return s.slotted(layer, at, weightOf, m.flatW, &s.w)
	}
	return m.flatW, at
}

func (m *Model) gradientAt(layer, at int) (kernels.Tensor, int) {
	if s := m.shards; s != nil && s.Stage >= 2 {
		return s.slotted(layer, at, gradientOf, m.flatG, &s.g)
	}
	return m.flatG, at
}

// isSlotted says whether a parameter's weight is there only while its layer is worked on.
func (m *Model) isSlotted(p *Param) bool {
	return m.shards != nil && m.shards.Stage == 3 && p.layer != beforeLayers && p.layer != behindLayers
}

// slotSizes takes what lies in slots out of the sizes of the flat buffers, and makes the slots.
func (m *Model) slotSizes(size *place) {
	s, most := m.shards, place{}
	first, end := s.at[0], s.at[len(s.at)-1]
	for l := range m.blocks {
		most.weight = max(most.weight, s.at[l+1].weight-s.at[l].weight)
		most.gradient = max(most.gradient, s.at[l+1].gradient-s.at[l].gradient)
	}
	slots := min(2, len(m.blocks))
	if s.Stage >= 2 {
		size.gradient -= end.gradient - first.gradient
		for i := range slots {
			s.g[i] = m.Dev.AllocZero(kernels.F32, most.gradient)
		}
	}
	if s.Stage == 3 {
		size.weight -= end.weight - first.weight
		for i := range slots {
			s.w[i] = m.Dev.AllocZero(m.opt.DType, most.weight)
		}
	}
}

// run is parameters that are neighbours, among the weights as among the gradients.
type run struct {
	params    []*Param
	layer     int
	from, end int // among the gradients
}

// runs are those of everything that is trained.
func (m *Model) runs() (list []*run) {
	var last *Param
	for _, p := range m.params {
		if p.G.IsNil() {
			continue
		}
		if last == nil || p.layer != last.layer || p.First-p.gradient != last.First-last.gradient || p.W.Type() != last.W.Type() {
			list = append(list, &run{layer: p.layer, from: p.gradient})
		}
		r := list[len(list)-1]
		r.params, r.end = append(r.params, p), p.gradient+p.Len()
		last = p
	}
	return list
}

// snap moves a place among the gradients to where a parameter may be cut, at or before it.
func (r *run) snap(at int) int {
	i, _ := slices.BinarySearchFunc(r.params, at, func(p *Param, at int) int { return p.gradient + p.Len() - 1 - at })
	if at >= r.end {
		return r.end
	}
	p := r.params[i]
	return p.gradient + max(0, at-p.gradient)/kernels.MomentBlock*kernels.MomentBlock
}

// cuts divides [lo, hi) into n parts of about the same size.
func (r *run) cuts(lo, hi, n int) []int {
	out := []int{lo}
	for i := 1; i < n; i++ {
		out = append(out, max(out[i-1], r.snap(lo+(hi-lo)*i/n)))
	}
	return append(out, hi)
}

// piece is a part of a parameter that is this rank's, and where its state lies in the rank's buffers.
type piece struct {
	p      *Param
	lo, hi int
	at     place // its gradient and, with them, masters and float32 moments; weights of a layer; codes and blocks
}

// planned is a bucket in the making.
type planned struct {
	*run
	*bucket
	lo     int // among the gradients
	at     place
	pieces []piece
}

// congruent is the next place from at on that lies to a cache line as like does: ops see rows of equal alignment.
func congruent(at, like int) int { return at + ((like-at)%alignElems+alignElems)%alignElems }

// divide makes the buckets, and memory for this rank's parts.
func (m *Model) divide() {
	s, at := m.shards, place{}
	var plans []*planned
	for _, r := range m.runs() {
		limit := s.Bucket
		if limit == 0 {
			limit = usualBucket
		}
		parts := r.cuts(r.from, r.end, (r.end-r.from+limit-1)/limit)
		for i := range len(parts) - 1 {
			if parts[i] == parts[i+1] {
				continue
			}
			name := r.params[0].Name
			if r.layer >= 0 && r.layer < behindLayers {
				name = "layer " + strconv.Itoa(r.layer)
			}
			plans = append(plans, &planned{run: r, lo: parts[i], bucket: &bucket{name: name, layer: r.layer, cuts: r.cuts(parts[i], parts[i+1], s.Ranks)}})
		}
	}
	slices.SortStableFunc(plans, func(a, b *planned) int { return b.bucket.layer - a.bucket.layer })
	for _, p := range plans {
		m.place(p, &at)
	}
	m.allocateShards(at)
	for _, p := range plans {
		m.bindBucket(p)
		s.buckets = append(s.buckets, p.bucket)
	}
}

// place finds room for this rank's part of a bucket.
func (m *Model) place(b *planned, at *place) {
	rank := m.shards.Group.Rank()
	lo, hi := b.bucket.cuts[rank], b.bucket.cuts[rank+1]
	at.gradient = congruent(at.gradient, lo)
	b.at.gradient = at.gradient
	at.gradient += hi - lo
	if m.isSlotted(b.params[0]) {
		at.weight = congruent(at.weight, lo)
		b.at.weight = at.weight
		at.weight += hi - lo
	}
	for _, p := range b.params {
		q := piece{p: p, lo: max(0, lo-p.gradient), hi: min(p.Len(), hi-p.gradient)}
		if q.lo >= q.hi {
			continue
		}
		n := q.hi - q.lo
		q.at.gradient = b.at.gradient + p.gradient + q.lo - lo
		switch {
		case m.coded(p.Kind):
			at.code = congruent(at.code, p.gradient+q.lo)
			q.at.code, q.at.block = at.code, at.block
			at.code += n
			at.block += (n + kernels.MomentBlock - 1) / kernels.MomentBlock
		case m.opt.Moments8Bit:
			at.moment = congruent(at.moment, p.gradient+q.lo)
			q.at.moment = at.moment
			at.moment += n
		default: // as the gradients lie, so that neighbours stay neighbours
			q.at.moment = q.at.gradient
		}
		b.pieces = append(b.pieces, q)
	}
	if !m.opt.Moments8Bit {
		at.moment = at.gradient
	}
}

// allocateShards makes the buffers of this rank's parts.
func (m *Model) allocateShards(size place) {
	s, fresh := m.shards, m.Dev.AllocZero
	s.flatOwn = fresh(kernels.F32, size.gradient)
	m.flatM, m.flatV = fresh(kernels.F32, size.moment), fresh(kernels.F32, size.moment)
	if m.opt.Moments8Bit {
		m.codeM, m.codeV, m.scale = fresh(kernels.U8, size.code), fresh(kernels.U8, size.code), fresh(kernels.F32, 2*size.block)
	}
	if m.opt.DType != kernels.F32 && !m.opt.StochasticRounding {
		m.flatMaster = fresh(kernels.F32, size.gradient)
	}
	if s.Stage == 3 {
		s.flatOwnW = fresh(m.opt.DType, size.weight)
	}
	s.norms = fresh(kernels.F32, 2*s.Ranks+2)
}

// bindBucket gives a bucket and its pieces their tensors.
func (m *Model) bindBucket(p *planned) {
	s, b, first := m.shards, p.bucket, p.params[0]
	n := b.cuts[len(b.cuts)-1] - p.lo
	flat, at := m.gradientAt(b.layer, p.lo)
	b.g = flat.Rows(at, at+n)
	flat, at = m.weightAt(b.layer, p.lo+first.First-first.gradient)
	if first.W.Type() != m.opt.DType { // the head beside bfloat16 weights
		flat, at = m.flatScore, p.lo-first.gradient
	}
	b.w = flat.Rows(at, at+n)
	for i := range b.cuts {
		b.cuts[i] -= p.lo
	}
	lo, hi := b.cuts[s.Group.Rank()], b.cuts[s.Group.Rank()+1]
	b.own, b.from = s.flatOwn.Rows(p.at.gradient, p.at.gradient+hi-lo), p.lo
	if !m.flatMaster.IsNil() && first.W.Type() == m.opt.DType {
		b.master = m.flatMaster.Rows(p.at.gradient, p.at.gradient+hi-lo)
	}
	weights := b.w.Rows(lo, hi)
	if m.isSlotted(first) {
		b.ownW = s.flatOwnW.Rows(p.at.weight, p.at.weight+hi-lo)
		weights = b.ownW
	}
	for _, q := range p.pieces {
		k := q.hi - q.lo
		part := func(t kernels.Tensor, at int) kernels.Tensor {
			if t.IsNil() {
				return t
			}
			return t.Rows(at, at+k)
		}
		from := q.p.gradient + q.lo - p.lo - lo
		o := Own{Lo: q.lo, Hi: q.hi, W: part(weights, from), G: part(b.own, from)}
		if o.W.Type() == m.opt.DType {
			o.Master = part(m.flatMaster, q.at.gradient)
		}
		if m.coded(q.p.Kind) {
			blocks := (k + kernels.MomentBlock - 1) / kernels.MomentBlock
			o.M, o.V = part(m.codeM, q.at.code), part(m.codeV, q.at.code)
			o.Scale = m.scale.Rows(2*q.at.block, 2*(q.at.block+blocks)).View(blocks, 2)
		} else {
			o.M, o.V = part(m.flatM, q.at.moment), part(m.flatV, q.at.moment)
		}
		q.p.Own = append(q.p.Own, o)
	}
}

// spans are this rank's pieces, neighbours as one.
func (m *Model) ownSpans() (list []*Param) {
	for _, p := range m.params {
		for _, o := range p.Own {
			q := &Param{Name: p.Name, Kind: p.Kind, Shape: []int{o.Hi - o.Lo}, W: o.W, G: o.G, Master: o.Master, M: o.M, V: o.V, Scale: o.Scale, First: p.First + o.Lo}
			if n := len(list); n == 0 || !list[n-1].extend(q) {
				list = append(list, q)
			}
		}
	}
	return list
}
