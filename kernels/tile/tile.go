// Package tile makes the tile lists of a packed forest, which attention kernels read instead of comparing every query with
// every key: which tiles of keys a tile of queries sees at all, which of them need no mask, and in which order to work.
// The array is uploaded once per batch and serves all layers and heads. Its layout is in kernels.h, at attention_args.
package tile

import "slices"

// Queries in a tile of a list, which has two halves of Half queries; keys in a tile.
const (
	Queries = 128
	Half    = 64
	Keys    = 64
)

// What the queries of a half see of a tile of keys: nothing, some pairs, all pairs. An entry of a list is
// key tile·16 + second half·4 + first half.
const (
	None = 0
	Some = 1
	All  = 2
)

// Head is the number of elements before the lists: the shortest array for n tokens.
func Head(n int) int { return 2*count(n, Queries) + 1 + 3*count(n, Keys) }

func count(n, size int) int { return (n + size - 1) / size }

// Lists gives the tile lists of a forest in which query q sees key k iff k <= q < end[k]. It uses the memory of buf if that is
// large enough. The work is proportional to the tokens and the entries.
func Lists(buf, end []int32) []int32 {
	n := len(end)
	q, k := count(n, Queries), count(n, Keys)
	least, most := make([]int32, k), make([]int32, k)
	for t := range k {
		keys := end[t*Keys : min((t+1)*Keys, n)]
		most[t] = slices.Max(keys)
		if len(keys) == Keys { // else some keys do not exist, and nobody sees all of them
			least[t] = slices.Min(keys)
		}
	}
	out := slices.Grow(buf[:0], Head(n)+4*q)[:Head(n)]
	live := make([]int32, 0, k) // key tiles that later queries may see
	for t := range q {
		out[q+t] = int32(len(out))
		first, past := t*Queries, min((t+1)*Queries, n)
		for i := t * Queries / Keys; i*Keys < past; i++ {
			live = append(live, int32(i))
		}
		kept := live[:0]
		for _, i := range live {
			if int(most[i]) <= first {
				continue
			}
			kept = append(kept, i)
			see := func(lo, hi int) int32 { return sight(int(i)*Keys, int(least[i]), int(most[i]), lo, hi) }
			out = append(out, i*16+see(first+Half, past)*4+see(first, min(first+Half, past)))
		}
		live = kept
	}
	out[2*q] = int32(len(out))
	longestFirst(out[:q], func(t int32) int32 { return out[q+int(t)+1] - out[q+int(t)] })
	keys := out[2*q+1:]
	longestFirst(keys[:k], func(t int32) int32 { return most[t] - t*Keys })
	copy(keys[k:], least)
	copy(keys[2*k:], most)
	return out
}

// sight says what queries [lo, hi) see of the key tile at first whose ends are in [least, most].
func sight(first, least, most, lo, hi int) int32 {
	switch {
	case lo >= hi || first >= hi || most <= lo:
		return None
	case first+Keys-1 <= lo && least >= hi:
		return All
	}
	return Some
}

// longestFirst fills order with 0, 1, … sorted by falling length; equal ones stay in rising order.
func longestFirst(order []int32, length func(int32) int32) {
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return int(length(b)) - int(length(a)) })
}
