package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Runs of slots never overlap, and once all are given back one hole is left.
func TestSlots(t *testing.T) {
	s := slots{}
	owner := map[int]int{}
	type run struct{ at, n int }
	var live []run
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		if len(live) > 0 && r.IntN(5) < 2 {
			k := r.IntN(len(live))
			x := live[k]
			for j := range x.n {
				delete(owner, x.at+j)
			}
			s.give(x.at, x.n)
			live = append(live[:k], live[k+1:]...)
			continue
		}
		if len(live) > 40 {
			continue
		}
		n := 1 + r.IntN(30)
		at := int(s.take(n))
		for j := range n {
			if o, taken := owner[at+j]; taken || at+j < 0 || at+j >= s.size {
				t.Fatalf("step %d: slot %d belongs to %d or lies outside", i, at+j, o)
			}
			owner[at+j] = i
		}
		live = append(live, run{at, n})
	}
	for _, x := range live {
		s.give(x.at, x.n)
	}
	if len(s.holes) != 1 || s.holes[0] != (hole{0, s.size}) {
		t.Errorf("holes %v of %d slots after everything is given back", s.holes, s.size)
	}
}

// The tree of prefixes holds what jobs need, gives slots to nobody twice, forgets what was idle longest first, and knows at the end nothing
// that was not entered.
func TestPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, keep := range []int{0, 40} {
		var free slots
		tree := prefixes{slots: &free, keep: keep}
		type use struct {
			prefix []int32
			leaf   *segment
		}
		var live []use
		where := map[string]int32{} // slot of each prefix that is in use
		for step := range 3000 {
			if len(live) > 12 || len(live) > 0 && r.IntN(2) == 0 {
				k := r.IntN(len(live))
				tree.leave(live[k].leaf)
				live = append(live[:k], live[k+1:]...)
			} else {
				p := make([]int32, 1+r.IntN(9))
				for i := range p {
					p[i] = int32(r.IntN(2))
				}
				known := tree.known(p)
				for n := range known + 1 { // what is known stays known, nothing else
					if tree.known(p[:n]) != n {
						t.Fatalf("of %v %d tokens are known, of its first %d not all", p, known, n)
					}
				}
				live = append(live, use{p, tree.enter(p)})
				if got := tree.known(p); got != len(p) {
					t.Fatalf("of %v %d tokens are known after it was entered", p, got)
				}
			}
			taken, idle := map[int32]bool{}, 0
			var count func(s *segment)
			count = func(s *segment) {
				for i := range s.ids {
					if at := s.start + int32(i); taken[at] {
						t.Fatalf("step %d: slot %d is taken twice", step, at)
					} else {
						taken[at] = true
					}
				}
				jobs := 0
				for _, c := range s.children {
					if c.parent != s || len(c.ids) == 0 {
						t.Fatalf("step %d: a segment hangs wrong", step)
					}
					jobs += int(c.jobs)
					count(c)
				}
				if s.parent != nil && s.jobs == 0 {
					idle += len(s.ids)
				}
				if s.parent != nil && jobs > int(s.jobs) {
					t.Fatalf("step %d: %d jobs run through a segment, %d below it", step, s.jobs, jobs)
				}
			}
			count(&tree.root)
			if idle != tree.idle || idle > keep {
				t.Fatalf("step %d: %d tokens are idle, counted %d, at most %d may be", step, idle, tree.idle, keep)
			}
			now := map[string]int32{}
			for _, u := range live {
				at := 0
				for _, s := range u.leaf.path(nil) {
					for i, id := range s.ids {
						if id != u.prefix[at] {
							t.Fatalf("step %d: the path of %v holds %v there", step, u.prefix, s.ids)
						}
						at++
						key := string(append([]byte{byte(at)}, fmt.Sprint(u.prefix[:at])...))
						now[key] = s.start + int32(i)
						if was, ok := where[key]; ok && was != now[key] {
							t.Fatalf("step %d: the keys of %v have moved from slot %d to %d", step, u.prefix[:at], was, now[key])
						}
					}
				}
				if at != len(u.prefix) {
					t.Fatalf("step %d: the path of %v is %d tokens long", step, u.prefix, at)
				}
			}
			where = now
		}
		for _, u := range live {
			tree.leave(u.leaf)
		}
		tree.evict(0)
		if len(free.holes) != 1 || free.holes[0].n != free.size || len(tree.root.children) > 0 {
			t.Errorf("holes %v of %d slots after all have left", free.holes, free.size)
		}
	}
}

// A forest of prefixes computes what is fresh, and the last token of each; the rest is fetched from its slot.
func TestPlant(t *testing.T) {
	var free slots
	tree := prefixes{slots: &free}
	enter := func(list ...[]int32) (leaves []*segment) {
		for _, p := range list {
			leaves = append(leaves, tree.enter(p))
		}
		return leaves
	}
	check := func(prefixes [][]int32, leaves []*segment, computed int) {
		t.Helper()
		p := plant(leaves, &tree.root)
		if len(p.row) != computed || len(p.row)+len(p.cached) != p.Len() || len(p.slot) != len(p.row) || len(p.cachedAt) != len(p.cached) {
			t.Errorf("%d tokens are computed, want %d, and %d of %d are fetched", len(p.row), computed, len(p.cached), p.Len())
		}
		slot := map[int32]int32{} // by place
		for i, at := range p.row {
			slot[at] = p.slot[i]
		}
		for i, at := range p.cachedAt {
			slot[at] = p.cached[i]
		}
		for i, leaf := range leaves {
			at := p.row[p.last[leaf]]
			if int(p.Pos[at]) != len(prefixes[i])-1 {
				t.Errorf("prefix %v ends at position %d", prefixes[i], p.Pos[at])
			}
			var ids []int32
			for n := range int32(p.Len()) { // the branch above
				if n <= at && p.End[n] > at {
					ids = append(ids, p.IDs[n])
				}
			}
			if !slices.Equal(ids, prefixes[i]) {
				t.Errorf("the branch of %v is %v", prefixes[i], ids)
			}
			k := 0
			for _, s := range leaf.path(nil) {
				for j := range s.ids {
					for n := range int32(p.Len()) {
						if n <= at && p.End[n] > at && int(p.Pos[n]) == k && slot[n] != s.start+int32(j) {
							t.Errorf("token %d of %v lies in slot %d, its segment says %d", k, prefixes[i], slot[n], s.start+int32(j))
						}
					}
					k++
				}
			}
		}
	}
	first := [][]int32{{1, 2, 3}, {1, 2, 4}, {1, 2}, {1, 2}, {5}, {1, 2}}
	leaves := enter(first...)
	check(first, leaves, 2+1+1+1)
	second := [][]int32{{1, 2, 3}, {1, 7}, {1, 2, 4, 8, 9}, {6, 6}}
	check(second, enter(second...), 1+1+2+2) // the last of the first, then what is new
}
