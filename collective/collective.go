// Package collective is what the processes ("ranks") of one training say to each other: sums of gradients, values that all have to agree on,
// and which of them is gone. The bytes are moved by a library that was made for it, which is opened when it is asked for: Open MPI between
// CPUs, NCCL between GPUs.
//
// A sum does not depend on the library's taste. Contributions are exchanged whole, and each rank adds those of its part in the order of the ranks
// in float32 ([Group.Sum]), which moves the bytes of a reduce-scatter and an all-gather: so a run is equal to itself, and to its continuation,
// at the same number of ranks, on any network.
//
// All calls are collective: every rank makes the same ones in the same order, from one goroutine. A rank that is lost, hangs or disagrees makes
// the calls of all others fail within [Limits], with an [Error] that names it.
package collective

import (
	"slices"
	"time"
	"unsafe"

	"criticrm/internal/trace"
	"criticrm/kernels"
)

// Group is the ranks of a run as one of them sees it; nil is a process alone.
type Group struct {
	rank, size int
	dev        *kernels.Device
	move       transport
	control    *control
	spare      []kernels.Tensor // float32, of calls that have ended
	sent       int64            // bytes, to other ranks
	traced     int64            // of them, that calls before had
}

// transport moves bytes between ranks. Each method begins one transfer of memory of the device and gives the function that says whether it
// has ended; counts and offsets are bytes, by rank.
type transport interface {
	exchange(dst unsafe.Pointer, from span, src unsafe.Pointer, to span) (done, error)
	gather(p unsafe.Pointer, parts span) (done, error)
	broadcast(p unsafe.Pointer, bytes, root int) (done, error)
	end(failed bool)
}

type done func() (bool, error)

// span is the parts of a buffer by rank.
type span struct{ at, n []int }

// Limits say when a rank is given up.
type Limits struct {
	Meet    time.Duration // not all ranks have come, from when the first is there
	Silence time.Duration // nothing was heard of a process: it is stopped, or its machine is gone
	Call    time.Duration // it is alive, and does not come to a call in which others wait
}

// DefaultLimits leave time for an evaluation or a slow disk between two calls.
func DefaultLimits() Limits {
	return Limits{Meet: 5 * time.Minute, Silence: 30 * time.Second, Call: 10 * time.Minute}
}

// bucket is how many elements are summed at once: the memory that sums take beside the gradients is that of a bucket.
const bucket = 1 << 22

// aligned is what parts begin at multiples of, in elements: a cache line.
const aligned = 64

// Rank is this process's number, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.rank
}

// Size is the number of ranks.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.size
}

// Sent is how many bytes of tensors this rank has given to others.
func (g *Group) Sent() int64 {
	if g == nil {
		return 0
	}
	return g.sent
}

// Part is the part [lo, hi) of n elements that a rank of size owns, the same for every caller: neighbours are whole cache lines, the last
// ranks may have less or nothing.
func Part(n, rank, size int) (lo, hi int) {
	each := ((n+size-1)/size + aligned - 1) / aligned * aligned
	return min(n, rank*each), min(n, (rank+1)*each)
}

// parts are those of n elements of a number of bytes.
func parts(n, size, bytes int) (s span) {
	for r := range size {
		lo, hi := Part(n, r, size)
		s.at, s.n = append(s.at, lo*bytes), append(s.n, (hi-lo)*bytes)
	}
	return s
}

// Sum makes x, a flat float32 tensor, the sum of all ranks' x: added in the order of the ranks, or with tree, whose size is a power of two, neighbours
// first, ((0+1)+(2+3))+…. what names it in errors.
func (g *Group) Sum(what string, x kernels.Tensor, tree bool) error {
	if x.Type() != kernels.F32 {
		panic("collective: a sum is of float32")
	}
	if g.Size() == 1 {
		return nil
	}
	x = x.View(x.Len())
	for lo := 0; lo < x.Len(); lo += bucket {
		if err := g.sum(what, x.Rows(lo, min(lo+bucket, x.Len())), tree); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) sum(what string, x kernels.Tensor, tree bool) error {
	cuts := make([]int, g.size+1)
	for r := range g.size {
		_, cuts[r+1] = Part(x.Len(), r, g.size)
	}
	own := x.Rows(cuts[g.rank], cuts[g.rank+1])
	p, err := g.BeginReduce(what, own, x, cuts, tree, func() { g.dev.Zero(own) })
	if err != nil {
		return err
	}
	if err := p.Wait(); err != nil {
		return err
	}
	return g.Gather(what, x)
}

// BeginReduce begins to add up the x of all ranks, flat float32 tensors, of which rank r gets elements [cuts[r], cuts[r+1]): behind Wait the sum
// over the ranks, in the order of Sum, is added to own, which may lie in x. before (nil: nothing) is called behind the transfer, when x has been
// read.
func (g *Group) BeginReduce(what string, own, x kernels.Tensor, cuts []int, tree bool, before func()) (*Pending, error) {
	n := own.Len()
	from := span{}
	for r := range g.size {
		from.at, from.n = append(from.at, 4*r*n), append(from.n, 4*n)
	}
	memory := g.take(g.size * n)
	contributions := memory.View(g.size, n)
	g.sent += int64(x.Bytes() - own.Bytes())
	p, err := g.begin(what, func() (done, error) {
		return g.move.exchange(contributions.Pointer(), from, x.Pointer(), cut(cuts, 4))
	})
	if err != nil {
		return nil, err
	}
	p.then = func() {
		if before != nil {
			before()
		}
		if n > 0 {
			g.add(own, contributions, tree)
		}
		g.spare = append(g.spare, memory)
	}
	return p, nil
}

// add adds to own the contributions of all ranks.
func (g *Group) add(own, contributions kernels.Tensor, tree bool) {
	row := func(r int) kernels.Tensor { return contributions.Rows(r, r+1).View(own.Len()) }
	if !tree {
		g.dev.AddBiasBackward(own, contributions) // own[i] += Σ_r contributions[r, i]
		return
	}
	for step := 1; step < g.size; step *= 2 {
		for r := 0; r < g.size; r += 2 * step {
			g.dev.AddBiasBackward(row(r), contributions.Rows(r+step, r+step+1))
		}
	}
	g.dev.AddBiasBackward(own, contributions.Rows(0, 1))
}

// take gives memory for n float32, of what earlier calls have left if there is enough.
func (g *Group) take(n int) kernels.Tensor {
	best := -1
	for i, t := range g.spare {
		if t.Len() >= n && (best < 0 || t.Len() < g.spare[best].Len()) {
			best = i
		}
	}
	if best < 0 {
		return g.dev.Alloc(kernels.F32, max(n, 1))
	}
	t := g.spare[best]
	g.spare = slices.Delete(g.spare, best, best+1)
	return t
}

// BeginGather begins to complete x, a flat tensor of which rank r holds elements [cuts[r], cuts[r+1]).
func (g *Group) BeginGather(what string, x kernels.Tensor, cuts []int) (*Pending, error) {
	p := cut(cuts, x.Type().Size())
	g.sent += int64(p.n[g.rank]) * int64(g.size-1)
	return g.begin(what, func() (done, error) { return g.move.gather(x.Pointer(), p) })
}

// cut is the parts between cuts, of elements of a number of bytes.
func cut(cuts []int, bytes int) (s span) {
	for r := range len(cuts) - 1 {
		s.at, s.n = append(s.at, cuts[r]*bytes), append(s.n, (cuts[r+1]-cuts[r])*bytes)
	}
	return s
}

// Gather completes x, a flat tensor of which each rank holds its [Part].
func (g *Group) Gather(what string, x kernels.Tensor) error {
	if g.Size() == 1 {
		return nil
	}
	p := parts(x.Len(), g.size, x.Type().Size())
	g.sent += int64(p.n[g.rank]) * int64(g.size-1)
	return g.call(what, func() (done, error) { return g.move.gather(x.Pointer(), p) })
}

// Broadcast gives x of a rank to all.
func (g *Group) Broadcast(what string, x kernels.Tensor, root int) error {
	if g.Size() == 1 {
		return nil
	}
	const piece = 1 << 28 // bytes; counts of MPI are 31 bits
	for at := 0; at < x.Bytes(); at += piece {
		p, n := unsafe.Add(x.Pointer(), at), min(piece, x.Bytes()-at)
		if g.rank == root {
			g.sent += int64(n) * int64(g.size-1)
		}
		if err := g.call(what, func() (done, error) { return g.move.broadcast(p, n, root) }); err != nil {
			return err
		}
	}
	return nil
}

// Barrier waits until all ranks are here.
func (g *Group) Barrier(what string) error {
	_, err := g.talk(what, nil)
	return err
}

// call makes one collective call: it waits for the device's own work and then for the others, as long as they are there.
func (g *Group) call(what string, begin func() (done, error)) error {
	p, err := g.begin(what, begin)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Pending is a call that has begun. It is nil for a group of one.
type Pending struct {
	g        *Group
	what     string
	finished done
	then     func() // behind it; may be nil
	span     trace.Span
	bytes    int64 // that this rank gives to others
}

// begin begins a call behind the device's work so far. Calls are waited for in the order in which they were begun.
func (g *Group) begin(what string, begin func() (done, error)) (*Pending, error) {
	if err := g.dev.Fault(); err != nil {
		return nil, err
	}
	if err := g.control.enter(what); err != nil {
		return nil, err
	}
	p := &Pending{g: g, what: what, span: trace.BeginCall(what), bytes: g.sent - g.traced}
	g.traced = g.sent
	var err error
	if p.finished, err = begin(); err != nil {
		return nil, g.broken(what, err)
	}
	return p, nil
}

// Wait waits until the call has ended, as long as all ranks are there. What it moves may be read, and its memory changed, from then on.
func (p *Pending) Wait() error {
	if p == nil {
		return nil
	}
	g := p.g
	g.control.wait()
	began := time.Now()
	for wait := newPatience(); ; wait.turn() {
		switch ok, err := p.finished(); {
		case err != nil:
			return g.broken(p.what, err)
		case ok:
			g.control.leave()
			p.span.EndWith(trace.Number{Name: "bytes", N: p.bytes}, trace.Number{Name: trace.Waited, N: time.Since(began).Microseconds()})
			if p.then != nil {
				p.then()
			}
			return nil
		}
		if err := g.control.failed(); err != nil {
			return err
		}
	}
}

// Close ends the group when all ranks are here, or, after an error, at once.
func (g *Group) Close() error {
	if g.Size() == 1 {
		return nil
	}
	for _, t := range g.spare {
		g.dev.Free(t)
	}
	g.spare = nil
	err := g.control.failed()
	if err == nil {
		err = g.Barrier("the end")
	}
	if err == nil {
		g.move.end(false)
		err = g.control.failed()
		g.control.close()
		return err
	}
	g.control.close()
	g.move.end(true)
	return err
}

// patience waits for others without keeping the core that they may run on. What is on its way moves only while the library is called, so for a tenth of a
// second it is called whenever nobody else wants the core; who has not come by then is waited for asleep, a fifth of a millisecond at a time.
type patience struct{ began time.Time }

func newPatience() *patience { return &patience{time.Now()} }

func (p *patience) turn() {
	if time.Since(p.began) < 100*time.Millisecond {
		yield()
		return
	}
	time.Sleep(200 * time.Microsecond)
}
