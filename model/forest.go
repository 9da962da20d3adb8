package model

import (
	"fmt"
	"math"
	"slices"
)

// Forest is a packed stream of N tokens: trees of nodes, depth first, without padding. A token sees the tokens before it in its own
// node and in the nodes above: query q sees key k iff k <= q < End[k].
type Forest struct {
	IDs []int32 // token ids
	Pos []int32 // depth along the token's branch, from 0
	End []int32 // index just past the subtree of the token's node

	open []openNode
}

type openNode struct{ first, last, next int32 } // tokens [first, last) of the node, position of the next token below it

// Open appends a node as child of the open one, or as a root. Its positions go on from the parent's last token.
func (f *Forest) Open(ids []int32) {
	var pos int32
	if n := len(f.open); n > 0 {
		pos = f.open[n-1].next
	}
	first := int32(len(f.IDs))
	f.IDs = append(f.IDs, ids...)
	for i := range ids {
		f.Pos = append(f.Pos, pos+int32(i))
		f.End = append(f.End, 0)
	}
	f.open = append(f.open, openNode{first, first + int32(len(ids)), pos + int32(len(ids))})
}

// Close closes the open node and sets End of its tokens. It panics where no node is open.
func (f *Forest) Close() {
	n := len(f.open) - 1
	if n < 0 {
		panic("model: Close without Open")
	}
	o := f.open[n]
	f.open = f.open[:n]
	for i := o.first; i < o.last; i++ {
		f.End[i] = int32(len(f.IDs))
	}
}

// CommonPrefix is how many leading tokens a and b share.
func CommonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Len is the number of tokens.
func (f *Forest) Len() int { return len(f.IDs) }

// Reset empties the forest and keeps its memory.
func (f *Forest) Reset() {
	f.IDs, f.Pos, f.End, f.open = f.IDs[:0], f.Pos[:0], f.End[:0], f.open[:0]
}

func (f *Forest) validate(c *Config) error {
	n := len(f.IDs)
	switch {
	case n == 0:
		return fmt.Errorf("the forest is empty")
	case n > math.MaxInt32:
		return fmt.Errorf("the forest has %d tokens, limit %d", n, math.MaxInt32)
	case len(f.open) > 0:
		return fmt.Errorf("the forest has %d open nodes: Close is missing", len(f.open))
	case len(f.Pos) != n || len(f.End) != n:
		return fmt.Errorf("the forest has %d ids, %d positions and %d ends", n, len(f.Pos), len(f.End))
	}
	var stack []int32 // ends of the subtrees around the token, the innermost last
	for i, id := range f.IDs {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("token %d: id %d, want 0..%d", i, id, c.VocabSize-1)
		}
		if p := f.Pos[i]; p < 0 || int(p) >= c.MaxPositionEmbeddings {
			return fmt.Errorf("token %d: position %d, want 0..%d (max_position_embeddings)", i, p, c.MaxPositionEmbeddings-1)
		}
		for len(stack) > 0 && stack[len(stack)-1] <= int32(i) {
			stack = stack[:len(stack)-1]
		}
		e, limit := f.End[i], int32(n)
		if len(stack) > 0 {
			limit = stack[len(stack)-1]
		}
		if e <= int32(i) || e > limit {
			return fmt.Errorf("token %d: end %d, want %d..%d: subtrees must nest", i, e, i+1, limit)
		}
		if len(stack) == 0 || e < limit {
			stack = append(stack, e)
		}
	}
	return nil
}

// Batch is a forest with what is read from it.
type Batch struct {
	Forest
	Row     []int32   // (R) the token at Row[i] predicts Target[i]; a row may occur several times
	Target  []int32   // (R) token ids
	Weight  []float32 // (R) of each prediction in the critique loss; may be left out for Evaluate
	Leaf    []int32   // (L) positions where rewards are read, after the final norm
	SidePtr []int32   // (S+1), S = 2P; leaves of pair p: chosen [Side[2p], Side[2p+1]), rejected [Side[2p+1], Side[2p+2]); empty: no pairs
	Margin  []float32 // (P) or empty: 0
	Scale   []float32 // (P) or empty: 1, weight of the pair's logistic loss, at least 0
	Score   []float32 // (2P) or empty: of each side, what its rewards are to equal; they are not compared then
	List    []int32   // (P+1) or empty: in place of pairs, list p is the sides [List[p], List[p+1]), the best first
	Worse   []int32   // (S) with List: the first side of the same list that is worse than this one; its end, if there is none
}

func (b *Batch) validate(m *Model, train bool) error {
	if err := b.Forest.validate(&m.Config); err != nil {
		return err
	}
	n := int32(b.Len())
	if len(b.Target) != len(b.Row) || len(b.Weight) != len(b.Row) && (train || len(b.Weight) > 0) {
		return fmt.Errorf("%d rows, %d targets and %d weights", len(b.Row), len(b.Target), len(b.Weight))
	}
	if len(b.Row) > 0 && m.head.W.IsNil() {
		return fmt.Errorf("%d rows predict tokens, but a sequence classifier has no LM head", len(b.Row))
	}
	if len(b.Leaf) > 0 && !m.hasReward {
		return fmt.Errorf("%d rewards are read, but the model has no reward head", len(b.Leaf))
	}
	for i, r := range b.Row {
		if r < 0 || r >= n {
			return fmt.Errorf("row %d: position %d, want 0..%d", i, r, n-1)
		}
		if t := b.Target[i]; t < 0 || int(t) >= m.VocabSize {
			return fmt.Errorf("row %d: target %d, want 0..%d", i, t, m.VocabSize-1)
		}
	}
	for i, w := range b.Weight {
		if !finite(w) {
			return fmt.Errorf("row %d: weight %v is not finite", i, w)
		}
	}
	for i, l := range b.Leaf {
		if l < 0 || l >= n {
			return fmt.Errorf("leaf %d: position %d, want 0..%d", i, l, n-1)
		}
	}
	return b.validatePairs()
}

func (b *Batch) validatePairs() error {
	s := b.SidePtr
	if len(s) == 0 {
		if n := max(len(b.Margin), len(b.Scale), len(b.Score), len(b.List), len(b.Worse)); n > 0 {
			return fmt.Errorf("%d margins, but no pairs", n)
		}
		return nil
	}
	pairs := len(s) / 2
	if len(b.List) > 0 {
		if err := b.validateLists(); err != nil {
			return err
		}
		pairs = len(b.List) - 1
	}
	if len(b.List) == 0 && len(s)%2 == 0 || s[0] != 0 || int(s[len(s)-1]) != len(b.Leaf) {
		return fmt.Errorf("sides %d..%d of length %d: want 2P+1 numbers from 0 to the number of leaves (%d)", s[0], s[len(s)-1], len(s), len(b.Leaf))
	}
	for i := 1; i < len(s); i++ {
		if s[i] < s[i-1] {
			return fmt.Errorf("side %d: %d after %d, want rising numbers", i, s[i], s[i-1])
		}
	}
	if len(b.Margin) > 0 && len(b.Margin) != pairs {
		return fmt.Errorf("%d margins for %d pairs", len(b.Margin), pairs)
	}
	if len(b.Scale) > 0 && len(b.Scale) != pairs {
		return fmt.Errorf("%d scales for %d pairs", len(b.Scale), pairs)
	}
	if len(b.Score) > 0 && len(b.Score) != len(s)-1 {
		return fmt.Errorf("%d scores for %d sides", len(b.Score), len(s)-1)
	}
	for i, x := range b.Score {
		if !finite(x) {
			return fmt.Errorf("side %d: score %v is not finite", i, x)
		}
	}
	for i, x := range b.Margin {
		if !finite(x) {
			return fmt.Errorf("pair %d: margin %v is not finite", i, x)
		}
	}
	for i, x := range b.Scale {
		if !finite(x) || x < 0 {
			return fmt.Errorf("pair %d: scale %v: want a number of at least 0", i, x)
		}
	}
	return nil
}

func (b *Batch) validateLists() error {
	sides, last := int32(len(b.SidePtr)-1), int32(0)
	if n := len(b.List) - 1; b.List[0] != 0 || b.List[n] != sides || len(b.Worse) != int(sides) || len(b.Score) > 0 {
		return fmt.Errorf("lists %d..%d and %d ranks, %d scores: want lists from 0 to the number of sides (%d), a rank for each, no scores", b.List[0], b.List[n], len(b.Worse), len(b.Score), sides)
	}
	for p, end := range b.List[1:] {
		if end < last {
			return fmt.Errorf("list %d: %d after %d, want rising numbers", p, end, last)
		}
		for s := last; s < end; s++ {
			if w := b.Worse[s]; w <= s || w > end || s > last && w < b.Worse[s-1] {
				return fmt.Errorf("side %d: the worse ones begin at %d, want %d..%d, and not falling", s, w, s+1, end)
			}
		}
		last = end
	}
	return nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// lists groups indices by key in rising order of index: those of key k are src[ptr[k]:ptr[k+1]] (compressed sparse rows).
// Both slices are reused where they are large enough.
func lists(ptr, src []int32, keys []int32, count int) ([]int32, []int32) {
	ptr, src = resize(ptr, count+1), resize(src, len(keys))
	clear(ptr)
	for _, k := range keys {
		ptr[k+1]++
	}
	for k := range count {
		ptr[k+1] += ptr[k]
	}
	for i, k := range keys { // ptr[k] walks to the end of its list …
		src[ptr[k]] = int32(i)
		ptr[k]++
	}
	copy(ptr[1:], ptr[:count]) // … which is the start of the next
	ptr[0] = 0
	return ptr, src
}

// occurring does the same for the keys that occur, in rising order: the indices of row[u] are src[ptr[u]:ptr[u+1]]. Its work does not
// depend on how many keys there could be.
func (g *grouping) occurring(keys []int32) (row, ptr, src []int32) {
	const bits = 11 // of a key, at a time
	n, most := len(keys), slices.Max(keys)
	g.src, g.next = resize(g.src, n), resize(g.next, n)
	for i := range g.src {
		g.src[i] = int32(i)
	}
	for shift := 0; most>>shift > 0; shift += bits { // a sort by digits, the lowest first, that keeps the order of equals
		var at [1 << bits]int32
		for _, k := range keys {
			at[k>>shift&(1<<bits-1)]++
		}
		sum := int32(0)
		for d, count := range at {
			at[d] = sum
			sum += count
		}
		for _, i := range g.src {
			p := &at[keys[i]>>shift&(1<<bits-1)]
			g.next[*p] = i
			*p++
		}
		g.src, g.next = g.next, g.src
	}
	g.row, g.ptr = g.row[:0], g.ptr[:0]
	for j, i := range g.src {
		if k := keys[i]; j == 0 || k != g.row[len(g.row)-1] {
			g.row, g.ptr = append(g.row, k), append(g.ptr, int32(j))
		}
	}
	g.ptr = append(g.ptr, int32(n))
	return g.row, g.ptr, g.src
}

// grouping is the memory of occurring's result.
type grouping struct{ row, ptr, src, next []int32 }

func resizeLists(s [][]int32, n int) [][]int32 {
	for len(s) < n {
		s = append(s, nil)
	}
	return s[:n]
}

func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n, n+n/8)
	}
	return s[:n]
}
