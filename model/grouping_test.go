package model

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Keys are grouped as a map would, in rising order, whatever their size; memory of an earlier result does no harm.
func TestOccurring(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var g grouping
	for _, limit := range []int{1, 2, 3000, 1 << 11, 1<<11 + 1, 1 << 18, 1<<31 - 1} {
		for _, n := range []int{1, 2, 100, 5000, 7} {
			keys := make([]int32, n)
			want := map[int32][]int32{}
			for i := range keys {
				keys[i] = int32(r.IntN(limit))
				want[keys[i]] = append(want[keys[i]], int32(i))
			}
			row, ptr, src := g.occurring(keys)
			if len(row) != len(want) || len(ptr) != len(row)+1 || len(src) != n || !slices.IsSorted(row) {
				t.Fatalf("%d keys below %d: %d groups, want %d", n, limit, len(row), len(want))
			}
			for u, k := range row {
				if !slices.Equal(src[ptr[u]:ptr[u+1]], want[k]) {
					t.Fatalf("%d keys below %d: key %d is at %v, want %v", n, limit, k, src[ptr[u]:ptr[u+1]], want[k])
				}
			}
		}
	}
}
