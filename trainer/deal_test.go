package trainer

import (
	"math"
	"testing"
)

// TestDeal: every item is in one bin, none is over the capacity unless its item is alone, and ranks have about the same work, which is not what their
// tokens are.
func TestDeal(t *testing.T) {
	const ranks, capacity = 3, 100
	var sizes []int
	var work []float64
	for i := range 60 {
		sizes = append(sizes, 5+i*7%40)
		work = append(work, float64(sizes[i])*(1+float64(i%5))) // a token of some items is five times one of others
	}
	bins := Deal(sizes, work, capacity, ranks)
	seen := make([]int, len(sizes))
	load, size := make([]float64, ranks), make([]int, ranks)
	for b, bin := range bins {
		all := 0
		for _, i := range bin {
			seen[i]++
			all += sizes[i]
			load[b%ranks] += work[i]
		}
		size[b%ranks] += all
		if all > capacity {
			t.Errorf("bin %d has %d of %d", b, all, capacity)
		}
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("item %d is in %d bins", i, n)
		}
	}
	if len(bins)%ranks != 0 {
		t.Errorf("%d bins for %d ranks", len(bins), ranks)
	}
	for r := range load {
		if math.Abs(load[r]/load[0]-1) > 0.03 {
			t.Errorf("rank %d has %v to do, rank 0 %v (%v tokens)", r, load[r], load[0], size)
		}
	}
	if size[0] == size[1] && size[1] == size[2] {
		t.Errorf("tokens are %v: the test shows nothing", size)
	}
}
