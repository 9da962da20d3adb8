package model

import "slices"

// segment is a run of prefix tokens in the cache: a node of the tree of prefixes. All jobs whose prefix runs through it share it.
type segment struct {
	start    int32   // first of its slots
	ids      []int32 // its tokens
	jobs     int32   // that run through it
	parent   *segment
	children []*segment // no two begin with the same token
	used     uint64     // when a job last came through it
	fresh    bool       // its keys and values are not computed yet
}

// prefixes is a radix tree of what the cache knows. Segments that no job runs through stay, up to a number of tokens, for jobs that come
// later; those that were not used for the longest time go first.
type prefixes struct {
	slots *slots
	root  segment
	keep  int // tokens of idle segments that stay, at most
	idle  int // tokens of segments that no job runs through
	clock uint64
}

// known is how many tokens at the start of a prefix are in the tree.
func (t *prefixes) known(prefix []int32) int {
	n := 0
	for at := &t.root; ; {
		child := at.child(prefix[n:])
		if child == nil {
			return n
		}
		c := CommonPrefix(child.ids, prefix[n:])
		if n += c; c < len(child.ids) {
			return n
		}
		at = child
	}
}

// child is the segment below that begins as ids do.
func (s *segment) child(ids []int32) *segment {
	if len(ids) == 0 {
		return nil
	}
	i := slices.IndexFunc(s.children, func(c *segment) bool { return c.ids[0] == ids[0] })
	if i < 0 {
		return nil
	}
	return s.children[i]
}

// enter lets a job run through the tree along its prefix, and gives the segment at whose end it lies. What is not there yet is added, fresh.
func (t *prefixes) enter(prefix []int32) *segment {
	t.clock++
	at := &t.root
	for n := 0; n < len(prefix); {
		child := at.child(prefix[n:])
		if child == nil {
			child = &segment{start: t.slots.take(len(prefix) - n), ids: slices.Clone(prefix[n:]), parent: at, fresh: true}
			t.idle += len(child.ids) // until the job is counted
			at.children = append(at.children, child)
		} else if c := CommonPrefix(child.ids, prefix[n:]); c < len(child.ids) {
			child = t.split(child, c)
		}
		n += len(child.ids)
		if child.used = t.clock; child.jobs == 0 {
			t.idle -= len(child.ids)
		}
		child.jobs++
		at = child
	}
	return at
}

// split cuts a segment behind its first n tokens and gives the part before the cut. The part behind it stays the same segment for the jobs that
// end there.
func (t *prefixes) split(s *segment, n int) *segment {
	up := &segment{start: s.start, ids: s.ids[:n:n], jobs: s.jobs, parent: s.parent, children: []*segment{s}, used: s.used, fresh: s.fresh}
	s.parent.children[slices.Index(s.parent.children, s)] = up
	s.parent, s.start, s.ids = up, s.start+int32(n), s.ids[n:]
	return up
}

// path lists the segments from the root to s.
func (s *segment) path(to []*segment) []*segment {
	from := len(to)
	for ; s.parent != nil; s = s.parent {
		to = append(to, s)
	}
	slices.Reverse(to[from:])
	return to
}

// leave ends a job's use of the path to s.
func (t *prefixes) leave(s *segment) {
	for ; s.parent != nil; s = s.parent {
		if s.jobs--; s.jobs == 0 {
			t.idle += len(s.ids)
		}
	}
	t.evict(t.keep)
}

// evict frees idle segments, the longest unused first, until at most keep idle tokens are left.
func (t *prefixes) evict(keep int) {
	for t.idle > keep {
		s := t.root.stalest()
		t.slots.give(int(s.start), len(s.ids))
		t.idle -= len(s.ids)
		at := s.parent
		at.children = slices.Delete(at.children, slices.Index(at.children, s), slices.Index(at.children, s)+1)
	}
}

// stalest is the idle segment without any below it that was not used for the longest time; nil if no segment is idle.
func (s *segment) stalest() (oldest *segment) {
	for _, c := range s.children {
		x := c
		if len(c.children) > 0 {
			x = c.stalest()
		}
		if x == nil || x.jobs > 0 {
			continue
		}
		if oldest == nil || x.used < oldest.used {
			oldest = x
		}
	}
	return oldest
}

// planting is the forest of the prefixes of some jobs: the tokens that are computed, and around them those that are in the cache.
type planting struct {
	Forest                      // all
	row      []int32            // place of each computed token in the forest
	slot     []int32            // of each computed token, to fill
	cached   []int32            // slot of each other token
	cachedAt []int32            // and its place
	last     map[*segment]int32 // index among the computed tokens of a segment's last one, where a job ends
}

// plant lays out the paths to some segments. The last token of each is computed in any case, because what follows it is wanted.
func plant(leaves []*segment, root *segment) *planting {
	p := &planting{last: map[*segment]int32{}}
	ends, on := map[*segment]bool{}, map[*segment]bool{}
	for _, s := range leaves {
		ends[s] = true
		for ; s.parent != nil && !on[s]; s = s.parent {
			on[s] = true
		}
	}
	p.below(root, on, ends)
	return p
}

func (p *planting) below(s *segment, on, ends map[*segment]bool) {
	for _, c := range s.children {
		if !on[c] {
			continue
		}
		first := int32(p.Len())
		p.Open(c.ids)
		for i := range c.ids {
			at, slot := first+int32(i), c.start+int32(i)
			if c.fresh || ends[c] && i == len(c.ids)-1 {
				p.row, p.slot = append(p.row, at), append(p.slot, slot)
			} else {
				p.cached, p.cachedAt = append(p.cached, slot), append(p.cachedAt, at)
			}
		}
		if ends[c] {
			p.last[c] = int32(len(p.row)) - 1
		}
		c.fresh = false
		p.below(c, on, ends)
		p.Close()
	}
}
