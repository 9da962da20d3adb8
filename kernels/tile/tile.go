// Package tile makes the tile lists of a packed forest, which attention kernels read instead of comparing every query with
// every key: which tiles of keys a tile of queries sees at all, which of them need no mask, and in which order to work.
// The array is uploaded once per batch and window, and serves all layers and heads with it. Its layout is in kernels.h, at
// attention_args.
package tile

import "slices"

// Queries in a tile of a list, which has two halves of Half queries; keys in a tile. A block of keys is as long as a tile of
// queries, its list is of halves.
const (
	Queries = 128
	Half    = 64
	Keys    = 64
)

// What queries see of keys: nothing, some pairs, all pairs. An entry of a query tile's list is key tile·16 + second half·4 +
// first half, one of a key block's list is half·4 + what its queries see of the block.
const (
	None = 0
	Some = 1
	All  = 2
)

// Head is the number of elements before the lists: the shortest array for n tokens.
func Head(n int) int { return 4*count(n, Queries) + 2 }

func count(n, size int) int { return (n + size - 1) / size }

// Lists gives the tile lists of a forest in which query q sees key k iff k <= q < end[k] and, with a window that is not 0,
// pos[q] - pos[k] < window; pos counts the tokens above on the branch. It uses the memory of buf if that is large enough. The
// work is proportional to the tokens, and to the entries that there are without a window.
func Lists(buf, end, pos []int32, window int) []int32 {
	n := len(end)
	q := count(n, Queries)
	f := newForest(end, pos, int32(window))
	out := slices.Grow(buf[:0], Head(n)+8*q)[:Head(n)]
	ptr := out[q : 2*q+1]
	live := make([]int32, 0, len(f.most)) // key tiles that later queries may see
	for t := range q {
		ptr[t] = int32(len(out))
		first, past := t*Queries, min((t+1)*Queries, n)
		for i := t * Queries / Keys; i*Keys < past; i++ {
			live = append(live, int32(i))
		}
		kept := live[:0]
		for _, i := range live {
			if int(f.most[i]) <= first {
				continue
			}
			kept = append(kept, i)
			if see := f.sight(i, first+Half, past)*4 + f.sight(i, first, min(first+Half, past)); see > 0 {
				out = append(out, i*16+see)
			}
		}
		live = kept
	}
	ptr[q] = int32(len(out))
	out = transposed(out, q)
	longestFirst(out, 0, q)
	longestFirst(out, 2*q+1, q)
	return out
}

// transposed adds the lists of key blocks to those of q query tiles.
func transposed(out []int32, q int) []int32 {
	lists, ptr := out[:len(out):len(out)], out[3*q+1:4*q+2]
	next := make([]int32, q)
	entries := func(f func(block, half, see int32)) { // from the lists of query tiles, where both tiles of a block are neighbours
		for t := range q {
			for i, past := lists[q+t], lists[q+t+1]; i < past; i++ {
				block, first, second := lists[i]/32, lists[i]%16, int32(0)
				if lists[i]/16%2 == 1 {
					first, second = 0, first
				} else if i+1 < past && lists[i+1]/32 == block {
					i++
					second = lists[i] % 16
				}
				for half := range int32(2) {
					switch a, b := first>>(2*half)&3, second>>(2*half)&3; {
					case a == All && b == All:
						f(block, 2*int32(t)+half, All)
					case a > None || b > None:
						f(block, 2*int32(t)+half, Some)
					}
				}
			}
		}
	}
	entries(func(block, _, _ int32) { next[block]++ })
	at := int32(len(out))
	for b := range q {
		ptr[b], next[b], at = at, at, at+next[b]
	}
	ptr[q] = at
	out = slices.Grow(out, int(at)-len(out))[:at]
	entries(func(block, half, see int32) {
		out[next[block]] = half*4 + see
		next[block]++
	})
	copy(out[3*q+1:], ptr)
	return out
}

// forest is what decides what queries see of a tile of keys. A run is a stretch of tokens with the same end: they lie on one
// branch, one behind the other.
type forest struct {
	end, pos    []int32
	window      int32
	least, most []int32 // of a key tile: the smallest and the largest end; the smallest is 0 for a tile that goes beyond the last token
	low, high   []int32 // of a key tile, or half: the smallest and the largest position
	run         []int32 // of a token: the first of its run
	lowest      []int32 // of a token: the smallest position from the first of its half on up to it
}

func newForest(end, pos []int32, window int32) *forest {
	n := len(end)
	k := count(n, Keys)
	f := &forest{end: end, pos: pos, window: window, least: make([]int32, k), most: make([]int32, k)}
	for t := range k {
		keys := end[t*Keys : min((t+1)*Keys, n)]
		f.most[t] = slices.Max(keys)
		if len(keys) == Keys { // else some keys do not exist, and nobody sees all of them
			f.least[t] = slices.Min(keys)
		}
	}
	if window == 0 {
		return f
	}
	f.low, f.high, f.run, f.lowest = make([]int32, k), make([]int32, k), make([]int32, n), make([]int32, n)
	for i, p := range pos {
		t := i / Keys
		if i%Keys == 0 {
			f.low[t], f.high[t] = p, p
		}
		f.low[t], f.high[t] = min(f.low[t], p), max(f.high[t], p)
		f.lowest[i] = f.low[t]
		if f.run[i] = int32(i); i > 0 && end[i-1] == end[i] {
			f.run[i] = f.run[i-1]
		}
	}
	return f
}

// sight says what queries [lo, hi), a half, see of key tile t.
func (f *forest) sight(t int32, lo, hi int) int32 {
	first := int(t) * Keys
	switch {
	case lo >= hi || first >= hi || int(f.most[t]) <= lo:
		return None
	case first == lo: // each sees itself
		return Some
	case int(f.least[t]) >= hi && (f.window == 0 || f.high[lo/Half]-f.low[t] < f.window):
		return All
	case f.window == 0:
		return Some
	}
	for k := first + Keys - 1; k >= first; k = int(f.run[k]) - 1 { // k is the last of its run here, and the nearest to all that see it
		if e := int(f.end[k]); e > lo && f.lowest[min(e, hi)-1]-f.pos[k] < f.window {
			return Some
		}
	}
	return None
}

// longestFirst fills out[at:at+n] with 0, 1, … sorted by the falling lengths of the lists that out[at+n:at+2n+1] points to; equal
// ones stay in rising order.
func longestFirst(out []int32, at, n int) {
	order, ptr := out[at:at+n], out[at+n:at+2*n+1]
	for i := range order {
		order[i] = int32(i)
	}
	length := func(t int32) int32 { return ptr[t+1] - ptr[t] }
	slices.SortStableFunc(order, func(a, b int32) int { return int(length(b)) - int(length(a)) })
}
