package model

import (
	"math/rand/v2"
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

func TestPlant(t *testing.T) {
	var p planting
	for _, x := range [][]int32{{1, 2, 3}, {1, 2, 4}, {1, 2}, {1, 2}, {5}, {1, 2}} {
		p.jobs = append(p.jobs, &job{prefix: x})
	}
	p.row = make([]int32, len(p.jobs))
	var free slots
	p.plant(&free, 0, len(p.jobs), 0, nil, -1)
	if got, want := p.Len(), 2+1+1+1+2; got != want {
		t.Errorf("%d tokens are computed, want %d: %v", got, want, p.IDs)
	}
	for i, j := range p.jobs {
		var seen []int32
		for _, seg := range j.path {
			for k := range seg.n {
				for n, s := range p.slot {
					if s == seg.start+k {
						seen = append(seen, p.IDs[n])
					}
				}
			}
		}
		if len(seen) != len(j.prefix) || p.IDs[p.row[i]] != j.prefix[len(j.prefix)-1] || int(p.Pos[p.row[i]]) != len(j.prefix)-1 {
			t.Errorf("job %d: cache holds %v, row %d; want %v", i, seen, p.row[i], j.prefix)
		}
		for k := range seen {
			if seen[k] != j.prefix[k] {
				t.Errorf("job %d: cache holds %v, want %v", i, seen, j.prefix)
			}
		}
	}
	for _, j := range p.jobs {
		free.release(j.path)
	}
	if len(free.holes) != 1 || free.holes[0].n != free.size {
		t.Errorf("holes %v of %d slots after all jobs ended", free.holes, free.size)
	}
}
