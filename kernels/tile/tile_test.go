package tile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// grow appends a node of random length and, to some depth, its children, and sets ends and positions.
func grow(r *rand.Rand, end, pos []int32, depth, longest, above int) ([]int32, []int32) {
	first := len(end)
	n := 0
	if r.IntN(4) > 0 { // else a node without tokens
		n = 1 + r.IntN(longest)
	}
	for i := range n {
		end, pos = append(end, 0), append(pos, int32(above+i))
	}
	for depth < 6 && r.IntN(5) > 1 {
		end, pos = grow(r, end, pos, depth+1, longest, above+n)
	}
	for i := range n {
		end[first+i] = int32(len(end))
	}
	return end, pos
}

type sample struct {
	name     string
	end, pos []int32
}

func forests() []sample {
	f := []sample{{"empty", []int32{}, []int32{}}, {"one_token", []int32{1}, []int32{0}}}
	for _, n := range []int{63, 64, 65, 127, 128, 129, 192, 193, 640} {
		causal, ones, pos := make([]int32, n), make([]int32, n), make([]int32, n)
		for i := range n {
			causal[i], ones[i], pos[i] = int32(n), int32(i+1), int32(i)
		}
		f = append(f, sample{fmt.Sprint("causal", n), causal, pos}, sample{fmt.Sprint("ones", n), ones, make([]int32, n)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		var end, pos []int32
		for n := r.IntN(1500); len(end) < n; {
			end, pos = grow(r, end, pos, 1, []int{1, 9, 70, 300}[i%4], 0)
		}
		f = append(f, sample{fmt.Sprint("random", i), end, pos})
	}
	return f
}

// TestLists compares the lists with the definition, pair by pair.
func TestLists(t *testing.T) {
	var buf []int32
	for _, f := range forests() {
		for _, window := range []int{0, 1, 2, 63, 64, 65, 100, 200, 1 << 30} {
			buf = Lists(buf, f.end, f.pos, window)
			if err := verify(buf, f, window); err != "" {
				t.Errorf("%s (%d tokens), window %d: %s", f.name, len(f.end), window, err)
			}
		}
	}
}

func verify(out []int32, f sample, window int) string {
	n := len(f.end)
	q, k := count(n, Queries), count(n, Keys)
	if len(out) < Head(n) || int(out[q]) != Head(n) || out[2*q] != out[3*q+1] || int(out[4*q+1]) != len(out) {
		return "the lists do not lie between the head and the end"
	}
	table := make([]int32, (2*q)*(2*q)) // what each half sees of each tile of as many keys, by the definition
	for half := range 2 * q {
		for tile := range 2 * q {
			visible, pairs := 0, (min((half+1)*Half, n)-half*Half)*Keys
			for q := half * Half; q < min((half+1)*Half, n); q++ {
				for k := tile * Keys; k < min((tile+1)*Keys, q+1); k++ {
					if q < int(f.end[k]) && (window == 0 || int(f.pos[q]-f.pos[k]) < window) {
						visible++
					}
				}
			}
			if visible > 0 {
				table[half*2*q+tile] = Some
			}
			if pairs > 0 && visible == pairs {
				table[half*2*q+tile] = All
			}
		}
	}
	see := func(half, tile int) int { return int(table[half*2*q+tile]) }
	next := func(list []int32, want int, what string, t int) ([]int32, string) {
		if len(list) == 0 || int(list[0]) != want {
			return nil, fmt.Sprintf("%s %d: its list goes on with %v, want %d", what, t, list, want)
		}
		return list[1:], ""
	}
	for t := range q {
		queries, keys := out[out[q+t]:out[q+t+1]], out[out[3*q+1+t]:out[3*q+2+t]]
		var err string
		for i := range k {
			if want := see(2*t, i) + 4*see(2*t+1, i); want > 0 {
				if queries, err = next(queries, i*16+want, "query tile", t); err != "" {
					return err
				}
			}
		}
		for half := range 2 * q {
			want := Some
			switch a, b := see(half, 2*t), see(half, 2*t+1); {
			case a == None && b == None:
				continue
			case a == All && b == All:
				want = All
			}
			if keys, err = next(keys, half*4+want, "key block", t); err != "" {
				return err
			}
		}
		if len(queries)+len(keys) > 0 {
			return fmt.Sprintf("tile %d: %v and %v are not seen", t, queries, keys)
		}
	}
	for _, at := range []int{0, 2*q + 1} {
		order, ptr := out[at:at+q], out[at+q:]
		sorted := slices.Clone(order)
		slices.Sort(sorted)
		length := func(t int32) int32 { return ptr[t+1] - ptr[t] }
		for i := range order {
			if sorted[i] != int32(i) || i > 0 && length(order[i-1]) < length(order[i]) {
				return fmt.Sprintf("the order %v is not longest first", order)
			}
		}
	}
	return ""
}

func BenchmarkLists(b *testing.B) {
	end, pos := make([]int32, 131072), make([]int32, 131072)
	for i := range end {
		end[i], pos[i] = int32(i/8192+1)*8192, int32(i%8192)
	}
	for _, window := range []int{0, 512} {
		b.Run(fmt.Sprint("window", window), func(b *testing.B) {
			var buf []int32
			for b.Loop() {
				buf = Lists(buf, end, pos, window)
			}
		})
	}
}
