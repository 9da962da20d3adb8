package model

import (
	"fmt"
	"slices"
)

// firstRoom is how many slots a sequence gets for its first tokens; with more, its room doubles. Most end long before MaxTokens.
const firstRoom = 64

// grow gives running sequences room for one more token. Those that have none move to a longer run.
func (g *Decoder) grow() {
	type move struct{ from, to, n int }
	var moves []move
	for _, s := range g.active {
		_, last := g.last(s)
		if int(last) < s.room {
			continue
		}
		room := min(max(2*s.room, firstRoom, int(last)+1), s.job.of.room)
		at := g.slots.take(room)
		if s.room > 0 {
			moves = append(moves, move{int(s.own), int(at), s.room})
		}
		s.own, s.room = at, room
	}
	if g.reserve(); g.err != nil {
		return
	}
	for _, kv := range g.m.kv {
		for _, x := range moves {
			g.m.Dev.Copy(kv.Rows(x.to, x.to+x.n), kv.Rows(x.from, x.from+x.n))
		}
	}
	for _, x := range moves { // not before all are copied
		g.slots.give(x.from, x.n)
	}
}

// reserve makes the cache hold the slots that were handed out.
func (g *Decoder) reserve() {
	if n := g.slots.size; n > maxSlots {
		g.err = fmt.Errorf("the cache of keys and values needs %d slots, want at most %d: lower max sequences or max tokens", n, maxSlots)
		return
	}
	g.m.reserveCache(g.slots.size)
}

// slots hands out runs of the cache. It grows; freed runs are used again, first fit.
type slots struct {
	size  int
	holes []hole // free runs in rising order, never adjacent
}

type hole struct{ at, n int }

// take gives n slots in a row.
func (s *slots) take(n int) int32 {
	for i := range s.holes {
		if h := &s.holes[i]; h.n >= n {
			at := h.at
			h.at, h.n = h.at+n, h.n-n
			if h.n == 0 {
				s.holes = slices.Delete(s.holes, i, i+1)
			}
			return int32(at)
		}
	}
	at := s.size
	if k := len(s.holes) - 1; k >= 0 && s.holes[k].at+s.holes[k].n == at { // the last hole reaches the end: extend it
		at = s.holes[k].at
		s.holes = s.holes[:k]
	}
	s.size = at + n
	return int32(at)
}

// give takes n slots back.
func (s *slots) give(at, n int) {
	if n == 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(s.holes, at, func(h hole, at int) int { return h.at - at })
	s.holes = slices.Insert(s.holes, i, hole{at, n})
	if i+1 < len(s.holes) && at+n == s.holes[i+1].at {
		s.holes[i].n += s.holes[i+1].n
		s.holes = slices.Delete(s.holes, i+1, i+2)
	}
	if i > 0 && s.holes[i-1].at+s.holes[i-1].n == at {
		s.holes[i-1].n += s.holes[i].n
		s.holes = slices.Delete(s.holes, i, i+1)
	}
}

// reserveCache makes the cache of every layer hold n slots; what is in it stays.
func (m *Model) reserveCache(n int) {
	d := m.Dev
	for l := range m.kv {
		old := m.kv[l]
		if !old.IsNil() && old.Dim(0) >= n {
			continue
		}
		m.kv[l] = d.Alloc(m.opt.DType, n+n/4, 2*m.NumKeyValueHeads, m.HeadDim)
		if old.IsNil() {
			continue
		}
		d.Copy(m.kv[l].Rows(0, old.Dim(0)), old)
		d.Free(old)
	}
}
