package tokenizer

import "math"

// Byte-pair encoding of one piece: its bytes are joined by the merge of lowest rank, leftmost
// first, until none applies. Short pieces are scanned for the lowest rank in each round, long
// ones use a heap (n log n), so that a piece of a million bytes is no trouble.

const (
	smallPiece = 64 // longest piece that is merged by scanning, bytes
	noMerge    = math.MaxUint64
)

// bpe is the merge table with its cache.
type bpe struct {
	byteID       [256]int32 // the token of each byte; -1: the vocabulary lacks it
	gaps         bool       // there is a -1 in byteID
	unkToken     string     // as the file names it; "": none
	unk          int32      // stands for what has no token; -1: that is left out, and its neighbours join
	fuseUnk      bool       // one unk for a run of it
	pairs        pairTable
	merges       []pair           // in rank order
	whole        map[string]int32 // pieces that are one token, whatever the merges say; nil without ignore_merges
	ignoreMerges bool
	cache        cache
	direct       bool // merging starts from bytes, and each has a token

	runes    *runeTable // the tokens of characters; nil: merging starts from bytes
	fallback bool       // characters without a token are spelled in tokens of their bytes
}

type pair struct{ left, right int32 }

// pairTable maps a pair of ids to rank<<32 | id of the merged token: open addressing, at most half full.
type pairTable struct {
	slots []pairSlot
	shift uint
}

type pairSlot struct{ key, val uint64 }

// newPairTable makes room for n pairs.
func newPairTable(n int) pairTable {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	t := pairTable{slots: make([]pairSlot, 1<<bits), shift: 64 - bits}
	for i := range t.slots {
		t.slots[i].key = noMerge
	}
	return t
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// slot gives the place of key: where it is, or where it belongs. (Fibonacci hashing.)
func (t *pairTable) slot(key uint64) uint64 {
	h := key * 0x9E3779B97F4A7C15 >> t.shift
	for t.slots[h].key != key && t.slots[h].key != noMerge {
		h = (h + 1) & uint64(len(t.slots)-1)
	}
	return h
}

func (t *pairTable) set(left, right int32, rank int, id int32) {
	key := pairKey(left, right)
	t.slots[t.slot(key)] = pairSlot{key, uint64(rank)<<32 | uint64(uint32(id))}
}

// get gives rank<<32 | id, or noMerge.
func (t *pairTable) get(left, right int32) uint64 {
	s := &t.slots[t.slot(pairKey(left, right))]
	if s.key == noMerge {
		return noMerge
	}
	return s.val
}

// appendPiece appends the ids of a piece, which is not empty.
func (b *bpe) appendPiece(dst []int32, piece string) []int32 {
	if len(piece) == 1 && b.direct {
		return append(dst, b.byteID[piece[0]])
	}
	if len(piece) > cachePiece {
		return b.merge(dst, piece)
	}
	slot := b.cache.slot(piece)
	if hit := slot.Load(); hit != nil && hit.piece == piece {
		return append(dst, hit.ids...)
	}
	n := len(dst)
	dst = b.merge(dst, piece)
	slot.Store(newCached(piece, dst[n:]))
	return dst
}

// merge appends the ids of a piece without the cache.
func (b *bpe) merge(dst []int32, piece string) []int32 {
	if b.whole != nil {
		if id, ok := b.whole[piece]; ok {
			return append(dst, id)
		}
	}
	if len(piece) <= smallPiece {
		return b.mergeSmall(dst, piece)
	}
	return b.mergeLarge(dst, piece)
}

// symbols appends the ids of a piece's bytes or characters, which merging starts from.
func (b *bpe) symbols(dst []int32, piece string) []int32 {
	switch {
	case b.runes != nil:
		return b.runeSymbols(dst, piece)
	case b.direct:
		for i := range len(piece) {
			dst = append(dst, b.byteID[piece[i]])
		}
		return dst
	}
	unknown := false // the byte before had no token
	for i := range len(piece) {
		id := b.byteID[piece[i]]
		if id < 0 && (b.unk < 0 || unknown && b.fuseUnk) {
			continue
		}
		if unknown = id < 0; unknown {
			id = b.unk
		}
		dst = append(dst, id)
	}
	return dst
}

func (b *bpe) mergeSmall(dst []int32, piece string) []int32 {
	var buffer [smallPiece]int32
	var vals [smallPiece]uint64 // vals[i]: the merge of ids[i] with ids[i+1]
	ids := b.symbols(buffer[:0], piece)
	n := len(ids)
	for i := range n - 1 {
		vals[i] = b.pairs.get(ids[i], ids[i+1])
	}
	for n > 1 {
		at, low := -1, uint64(noMerge)
		for i, v := range vals[:n-1] {
			if v < low {
				at, low = i, v
			}
		}
		if at < 0 {
			break
		}
		ids[at] = int32(uint32(low))
		copy(ids[at+1:n-1], ids[at+2:n])
		copy(vals[at:n-2], vals[at+1:n-1])
		n--
		if at+1 < n {
			vals[at] = b.pairs.get(ids[at], ids[at+1])
		}
		if at > 0 {
			vals[at-1] = b.pairs.get(ids[at-1], ids[at])
		}
	}
	return append(dst, ids[:n]...)
}

// mergeLarge keeps the symbols in a linked list and the candidate merges, as rank<<32 | position,
// in a heap. An entry is out of date if its position is gone or its pair has another rank now.
func (b *bpe) mergeLarge(dst []int32, piece string) []int32 {
	ids := b.symbols(make([]int32, 0, len(piece)), piece) // -1 from now on: merged into the one before
	n := len(ids)
	next := make([]int32, n)
	prev := make([]int32, n)
	for i := range n {
		next[i], prev[i] = int32(i+1), int32(i-1)
	}
	h := make(minHeap, 0, n)
	push := func(i int32) {
		if i >= 0 && int(next[i]) < n {
			if v := b.pairs.get(ids[i], ids[next[i]]); v != noMerge {
				h.push(v&^math.MaxUint32 | uint64(uint32(i)))
			}
		}
	}
	for i := range n {
		push(int32(i))
	}
	for len(h) > 0 {
		e := h.pop()
		i := int32(uint32(e))
		if ids[i] < 0 || int(next[i]) >= n {
			continue
		}
		j := next[i]
		v := b.pairs.get(ids[i], ids[j])
		if v == noMerge || v>>32 != e>>32 {
			continue
		}
		ids[i], ids[j] = int32(uint32(v)), -1
		next[i] = next[j]
		if int(next[j]) < n {
			prev[next[j]] = i
		}
		push(i)
		push(prev[i])
	}
	for i := 0; i < n; i = int(next[i]) {
		dst = append(dst, ids[i])
	}
	return dst
}

// minHeap is a binary heap of numbers, the lowest on top.
type minHeap []uint64

func (h *minHeap) push(v uint64) {
	*h = append(*h, v)
	a, i := *h, len(*h)-1
	for i > 0 {
		up := (i - 1) / 2
		if a[up] <= v {
			break
		}
		a[i] = a[up]
		i = up
	}
	a[i] = v
}

func (h *minHeap) pop() uint64 {
	a := *h
	top, v := a[0], a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	if len(a) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(a) {
			break
		}
		if c+1 < len(a) && a[c+1] < a[c] {
			c++
		}
		if v <= a[c] {
			break
		}
		a[i] = a[c]
		i = c
	}
	a[i] = v
	return top
}
