package tile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// grow appends a node of random length and, to some depth, its children, and sets the ends.
func grow(r *rand.Rand, end []int32, depth, longest int) []int32 {
	first := len(end)
	n := 0
	if r.IntN(4) > 0 { // else a node without tokens
		n = 1 + r.IntN(longest)
	}
	end = append(end, make([]int32, n)...)
	for depth < 6 && r.IntN(5) > 1 {
		end = grow(r, end, depth+1, longest)
	}
	for i := range n {
		end[first+i] = int32(len(end))
	}
	return end
}

func forests() map[string][]int32 {
	f := map[string][]int32{"empty": {}, "one_token": {1}}
	for _, n := range []int{63, 64, 65, 127, 128, 129, 192, 193, 640} {
		causal, ones := make([]int32, n), make([]int32, n)
		for i := range n {
			causal[i], ones[i] = int32(n), int32(i+1)
		}
		f[fmt.Sprint("causal", n)], f[fmt.Sprint("ones", n)] = causal, ones
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		var end []int32
		for n := r.IntN(1500); len(end) < n; {
			end = grow(r, end, 1, []int{1, 9, 70, 300}[i%4])
		}
		f[fmt.Sprint("random", i)] = end
	}
	return f
}

// TestLists compares the lists with the definition, pair by pair: query q sees key k iff k <= q < end[k].
func TestLists(t *testing.T) {
	var buf []int32
	for name, end := range forests() {
		buf = Lists(buf, end)
		if err := verify(buf, end); err != "" {
			t.Errorf("%s (%d tokens): %s", name, len(end), err)
		}
	}
}

func verify(out, end []int32) string {
	n := len(end)
	q, k := count(n, Queries), count(n, Keys)
	if len(out) < Head(n) || int(out[q]) != Head(n) || int(out[2*q]) != len(out) {
		return "the lists do not lie between the head and the end"
	}
	see := func(lo, hi, tile int) int { // by the definition
		visible, pairs := 0, (min(hi, n)-lo)*Keys
		for q := lo; q < min(hi, n); q++ {
			for k := tile * Keys; k < min((tile+1)*Keys, n); k++ {
				if k <= q && q < int(end[k]) {
					visible++
				}
			}
		}
		switch {
		case visible == 0:
			return None
		case visible == pairs:
			return All
		}
		return Some
	}
	for t := range q {
		list := out[out[q+t]:out[q+t+1]]
		for tile := range k {
			want := see(t*Queries, t*Queries+Half, tile) + 4*see(t*Queries+Half, (t+1)*Queries, tile)
			if want > 0 {
				if len(list) == 0 || int(list[0]) != tile*16+want {
					return fmt.Sprintf("query tile %d: list goes on with %v, want key tile %d with %d", t, list, tile, want)
				}
				list = list[1:]
			}
		}
		if len(list) > 0 {
			return fmt.Sprintf("query tile %d: %v is not seen", t, list)
		}
	}
	keys := out[2*q+1:]
	for t := range k {
		lo, hi := int(keys[k+t]), int(keys[2*k+t])
		for i := range k { // tiles of queries, as long as those of keys
			a, b := i*Half, min((i+1)*Half, n)
			want := see(a, b, t)
			if in := i >= t && a < hi; in != (want != None) {
				return fmt.Sprintf("key tile %d: query tile %d is in its range: %v", t, i, in)
			}
			if full := i > t && lo >= b; full != (want == All) {
				return fmt.Sprintf("key tile %d: query tile %d sees all: %v", t, i, full)
			}
		}
	}
	longest := func(order []int32, length func(i int32) int32) string {
		sorted := slices.Clone(order)
		slices.Sort(sorted)
		for i := range order {
			if sorted[i] != int32(i) || i > 0 && length(order[i-1]) < length(order[i]) {
				return fmt.Sprintf("the order %v is not longest first", order)
			}
		}
		return ""
	}
	if err := longest(out[:q], func(t int32) int32 { return out[q+int(t)+1] - out[q+int(t)] }); err != "" {
		return err
	}
	return longest(keys[:k], func(t int32) int32 { return keys[2*k+int(t)] - t*Keys })
}

func BenchmarkLists(b *testing.B) {
	end := make([]int32, 131072)
	for i := range end {
		end[i] = int32(i/8192+1) * 8192
	}
	var buf []int32
	for b.Loop() {
		buf = Lists(buf, end)
	}
}
