package model

// What ranks among which a model is divided send each other: gradients as the backward pass makes them, weights before they are used. All ranks
// make the same calls in the same order, whatever their batches hold: a rank without a batch makes them by IdleStep and IdleForward.

import (
	"errors"
	"fmt"
	"slices"

	"criticrm/collective"
	"criticrm/kernels"
)

// traffic is what is on its way.
type traffic struct {
	failed   error                         // the first failure, for whoever ends the pass
	reducing map[int]*collective.Pending   // by bucket
	taken    map[int]kernels.Tensor        // by bucket, without a group
	next     int                           // bucket whose gradients are sent next
	sends    bool                          // the backward pass sends gradients
	coming   map[int][]*collective.Pending // weights, by layer
	holds    [2]int                        // the layer whose weights a slot has, or will have; -1: none
	alone    bool                          // rank 0 works, and the others attend
}

func (t *traffic) clear() {
	t.taken = map[int]kernels.Tensor{}
	t.reducing, t.coming, t.holds = map[int]*collective.Pending{}, map[int][]*collective.Pending{}, [2]int{-1, -1}
}

// moves says whether there is somebody to send to.
func (s *shards) moves() bool { return s != nil && s.Group != nil && s.failed == nil }

// fail keeps the first failure.
func (s *shards) fail(err error) {
	if err != nil && s.failed == nil {
		s.failed = err
	}
}

// shardError is what has become of transfers so far.
func (m *Model) shardError() error {
	if m.shards == nil || m.shards.failed == nil {
		return nil
	}
	return fmt.Errorf("model: %w", m.shards.failed)
}

// inFlight is how many buckets of gradients are on their way at once: each takes its own size of memory, for what other ranks send.
const inFlight = 8

// send begins to send the gradients of a bucket.
func (m *Model) send(i int, tree bool) {
	s := m.shards
	b := s.buckets[i]
	if first := i - inFlight; first >= 0 {
		m.arriveOne(first)
	}
	if s.Group == nil { // what the transfer would take is taken
		s.taken[i] = m.Dev.Alloc(kernels.F32, s.Ranks*b.own.Len())
		return
	}
	if s.failed != nil {
		return
	}
	p, err := s.Group.BeginReduce("the gradients of "+b.name, b.own, b.g, b.cuts, tree, nil)
	s.reducing[i] = p
	s.fail(err)
}

// sendFrom sends what the backward pass has finished: all that is at or above a layer.
func (m *Model) sendFrom(layer int) {
	s := m.shards
	if s == nil || !s.sends {
		return
	}
	for ; s.next < len(s.buckets) && s.buckets[s.next].layer >= layer; s.next++ {
		m.send(s.next, false)
	}
}

// arrive waits for the gradients of a layer's buckets, or of all with everything.
func (m *Model) arrive(of func(layer int) bool) {
	for i, b := range m.shards.buckets {
		if of(b.layer) {
			m.arriveOne(i)
		}
	}
}

// arriveOne waits for the gradients of a bucket, if they are on their way.
func (m *Model) arriveOne(i int) {
	s := m.shards
	if t, ok := s.taken[i]; ok {
		m.Dev.Free(t)
		delete(s.taken, i)
	}
	if p := s.reducing[i]; p != nil {
		delete(s.reducing, i)
		if s.failed == nil {
			s.fail(p.Wait())
		}
	}
}

func everything(int) bool { return true }

// beginGradients makes the buffers ready that a step adds its gradients to; with stage 1 these are ZeroGrad's.
func (m *Model) beginGradients() {
	s := m.shards
	if s == nil {
		return
	}
	if s.Stage >= 2 {
		m.arrive(everything)
		m.Dev.Zero(m.flatG)
		s.sends = true
	}
	s.next = 0
}

// beginLayerGradients makes the slot of a layer's gradients ready.
func (m *Model) beginLayerGradients(l int) {
	if s := m.shards; s != nil && s.Stage >= 2 {
		m.arrive(func(layer int) bool { return layer == l+2 })
		m.Dev.Zero(s.g[l%2])
	}
}

// SendGradients makes the backward pass of the next batch, the last one of an update, send gradients as it makes them: other ranks' are added to them
// while it goes on. With stages 2 and 3 every one does.
func (m *Model) SendGradients() {
	if m.shards != nil {
		m.shards.sends = true
	}
}

// Reduce waits until the gradients of all ranks are added up, and sends those that were not sent: behind it each rank has the sums of its parts. With tree
// they are added as collective.Group.Sum says, which needs stage 1.
func (m *Model) Reduce(tree bool) error {
	s := m.shards
	if s == nil {
		return nil
	}
	if s.Stage == 1 {
		if !s.sends {
			s.next = 0
		}
		for ; s.next < len(s.buckets); s.next++ {
			m.send(s.next, tree)
		}
		s.sends = false
	}
	m.arrive(everything)
	s.next = 0
	return m.shardError()
}

// dividedNorm is GradNorm of gradients that are divided.
func (m *Model) dividedNorm() {
	s, d := m.shards, m.Dev
	rank := s.Group.Rank()
	all, sum := s.norms.Rows(0, 2*s.Ranks), s.norms.Rows(2*s.Ranks, 2*s.Ranks+2)
	d.GradNorm(all.Rows(2*rank, 2*rank+2), s.flatOwn)
	if s.moves() {
		cuts := make([]int, s.Ranks+1)
		for r := range cuts {
			cuts[r] = 2 * r
		}
		p, err := s.Group.BeginGather("the norms of the gradients", all, cuts)
		s.fail(err)
		if err == nil {
			s.fail(p.Wait())
		}
	}
	d.GradNorm(m.gradNorm, all) // counts are zeros, or nothing is updated
	d.Zero(sum)
	d.AddBiasBackward(sum, all.View(s.Ranks, 2))
	d.Copy(m.gradNorm.Rows(1, 2), sum.Rows(1, 2))
}

// Updated says that the weights of this rank's parts are new: the others begin to get them.
func (m *Model) Updated() {
	s := m.shards
	if s == nil {
		return
	}
	s.holds = [2]int{-1, -1}
	for _, b := range slices.Backward(s.buckets) { // what the forward pass needs first comes first
		if b.ownW.IsNil() {
			s.fetch(m, b)
		}
	}
}

// fetch begins to get the weights of a bucket from all ranks.
func (s *shards) fetch(m *Model, b *bucket) {
	if !s.moves() {
		return
	}
	if !b.ownW.IsNil() && b.ownW.Len() > 0 {
		r := s.Group.Rank()
		m.Dev.Copy(b.w.Rows(b.cuts[r], b.cuts[r+1]), b.ownW)
	}
	p, err := s.Group.BeginGather("the weights of "+b.name, b.w, b.cuts)
	s.coming[b.layer] = append(s.coming[b.layer], p)
	s.fail(err)
}

// come waits for the weights of a layer.
func (s *shards) come(layer int) {
	for _, p := range s.coming[layer] {
		if s.failed == nil {
			s.fail(p.Wait())
		}
	}
	delete(s.coming, layer)
}

// prefetch begins to get a layer's weights into its slot, if they are not there.
func (m *Model) prefetch(l int) {
	s := m.shards
	if s.Stage < 3 || l < 0 || l >= len(m.blocks) || s.holds[l%2] == l {
		return
	}
	if s.alone && s.Group.Rank() == 0 {
		s.ask(l)
	}
	s.holds[l%2] = l
	for _, b := range slices.Backward(s.buckets) {
		if b.layer == l {
			s.fetch(m, b)
		}
	}
}

// beginForward makes the weights outside the layers ready.
func (m *Model) beginForward() {
	if s := m.shards; s != nil {
		s.come(beforeLayers)
		s.come(behindLayers)
	}
}

// useLayer makes the weights of a layer ready, and begins to get those of the next one that will be used.
func (m *Model) useLayer(l, next int) {
	s := m.shards
	if s == nil {
		return
	}
	m.prefetch(l)
	s.come(l)
	if !s.alone {
		m.prefetch(next)
	}
}

// IdleForward takes part in a forward pass of other ranks, without a batch.
func (m *Model) IdleForward() error {
	if m.shards == nil {
		return nil
	}
	m.beginForward()
	for l := range m.blocks {
		m.useLayer(l, l+1)
	}
	return m.shardError()
}

// IdleStep takes part in a TrainStep of other ranks, without a batch. Only with stages 2 and 3 there is something to take part in.
func (m *Model) IdleStep() error {
	s := m.shards
	if s == nil || s.Stage < 2 {
		return nil
	}
	if err := m.IdleForward(); err != nil {
		return err
	}
	m.beginGradients()
	for l := len(m.blocks) - 1; l >= m.lowest; l-- {
		m.useLayer(l, m.below(l))
		m.beginLayerGradients(l)
		m.sendFrom(l)
	}
	m.sendFrom(beforeLayers)
	return m.shardError()
}

// below is the layer that the backward pass goes to from l.
func (m *Model) below(l int) int {
	if l == m.lowest {
		return -1
	}
	return l - 1
}

// Alone lets rank 0 work with the whole model while the others give it what it asks for: each rank calls it, and f is called at rank 0. Its error is only
// that rank's.
func (m *Model) Alone(f func() error) error {
	s := m.shards
	if s == nil {
		return f()
	}
	m.settle()
	if !s.moves() {
		return errors.Join(m.shardError(), f())
	}
	s.alone, s.holds = true, [2]int{-1, -1}
	defer func() { s.alone = false }()
	if s.Group.Rank() > 0 {
		return m.attend()
	}
	err := f()
	s.ask(noMore)
	return errors.Join(m.shardError(), err)
}

// What rank 0 asks for: a layer's weights, or, from someMasters on, the masters of a bucket; or it is done.
const (
	noMore      = -1
	someMasters = 1 << 30
)

// attend gives rank 0 what it asks for, until it is done.
func (m *Model) attend() error {
	s := m.shards
	for s.failed == nil {
		what, err := s.Group.Share("what rank 0 asks for", []float64{0})
		if s.fail(err); err != nil || what[0][0] == noMore {
			break
		}
		if n := int(what[0][0]); n >= someMasters {
			m.Dev.Free(m.masters(n - someMasters))
		} else {
			m.prefetch(n)
			s.come(n)
		}
	}
	return m.shardError()
}

// ask tells the ranks that attend what rank 0 wants next.
func (s *shards) ask(what int) {
	if s.moves() {
		_, err := s.Group.Share("what rank 0 asks for", []float64{float64(what)})
		s.fail(err)
	}
}

// settle waits for everything that is on its way.
func (m *Model) settle() {
	s := m.shards
	m.arrive(everything)
	s.come(beforeLayers)
	s.come(behindLayers)
	for l := range m.blocks {
		s.come(l)
	}
}

// masters gets the masters of a bucket from all ranks, which all call it.
func (m *Model) masters(i int) kernels.Tensor {
	s := m.shards
	b, r := s.buckets[i], s.Group.Rank()
	all := m.Dev.Alloc(kernels.F32, b.w.Len())
	if b.master.Len() > 0 {
		m.Dev.Copy(all.Rows(b.cuts[r], b.cuts[r+1]), b.master)
	}
	p, err := s.Group.BeginGather("the masters of "+b.name, all, b.cuts)
	s.fail(err)
	if err == nil {
		s.fail(p.Wait())
	}
	return all
}

// downloadMaster fills x with a parameter's masters, where they are divided. It is for rank 0, in Alone.
func (m *Model) downloadMaster(x []float32, p *Param) {
	s := m.shards
	for i, b := range s.buckets {
		lo, hi := max(p.gradient, b.from), min(p.gradient+p.Len(), b.from+b.w.Len())
		if lo >= hi || b.master.IsNil() {
			continue
		}
		s.ask(someMasters + i)
		all := m.masters(i)
		m.Dev.Download(x[lo-p.gradient:hi-p.gradient], all.Rows(lo-b.from, hi-b.from))
		m.Dev.Free(all)
	}
}

// use makes a parameter's weight ready to be read.
func (m *Model) use(p *Param) kernels.Tensor {
	if m.isSlotted(p) {
		m.useLayer(p.layer, -1)
	}
	return p.W
}

// Divided is the stage of Sharding at which the model is divided among several processes; 0: it is not.
func (m *Model) Divided() int {
	if m.shards == nil {
		return 0
	}
	return m.shards.Stage
}

// Ranks is among how many processes the model is divided; 1: it is not.
func (m *Model) Ranks() int {
	if m.shards == nil {
		return 1
	}
	return m.shards.Ranks
}

// Fingerprint tells weights as they were loaded from others: equal ones have one. It is "" where the model is not divided, and all of it can be compared.
func (m *Model) Fingerprint() string {
	if m.shards == nil {
		return ""
	}
	return fmt.Sprintf("%08x", m.shards.loaded)
}
