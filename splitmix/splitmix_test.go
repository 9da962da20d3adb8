package splitmix

import (
	"slices"
	"testing"
)

// The first outputs of SplitMix64 from the state 0, as the reference implementation gives them (Vigna, splitmix64.c).
func TestDraw(t *testing.T) {
	want := []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec}
	for i, w := range want {
		if got := Draw(0, uint64(i)); got != w {
			t.Errorf("draw %d: %#x, want %#x", i, got, w)
		}
	}
}

func TestPermutation(t *testing.T) {
	p := Permutation(7, 100)
	if slices.Equal(p, Permutation(8, 100)) {
		t.Error("two keys give the same order")
	}
	slices.Sort(p)
	for i, v := range p {
		if i != v {
			t.Fatalf("not a permutation: %v", p)
		}
	}
}
