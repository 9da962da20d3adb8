package spec

import (
	"fmt"
	"math"
	"math/rand/v2"

	"criticrm/kernels/tile"
)

// Forest builds a packed forest, depth first.
type Forest struct {
	node   []int32 // of each token
	parent []int32 // of each node, -1 for roots
	end    []int32 // of each node: just past the tokens of its subtree
	before []int32 // of each node: the tokens of the nodes above
	below  []int32 // and with its own
	open   []int32 // the open nodes, from a root down
}

// Open starts a node of n tokens below the open one.
func (f *Forest) Open(n int) {
	id, parent, before := int32(len(f.end)), int32(-1), int32(0)
	if len(f.open) > 0 {
		parent = f.open[len(f.open)-1]
		before = f.below[parent]
	}
	f.end, f.parent, f.open = append(f.end, 0), append(f.parent, parent), append(f.open, id)
	f.before, f.below = append(f.before, before), append(f.below, before+int32(n))
	for range n {
		f.node = append(f.node, id)
	}
}

// Close ends the subtree of the open node.
func (f *Forest) Close() {
	f.end[f.open[len(f.open)-1]] = int32(len(f.node))
	f.open = f.open[:len(f.open)-1]
}

// Leaf is a node without children.
func (f *Forest) Leaf(n int) { f.Open(n); f.Close() }

// End gives the end of every token.
func (f *Forest) End() []int32 {
	end := make([]int32, len(f.node))
	for i, n := range f.node {
		end[i] = f.end[n]
	}
	return end
}

// Pos gives how many tokens are above each token on its branch.
func (f *Forest) Pos() []int32 {
	pos := make([]int32, len(f.node))
	for i, n := range f.node {
		pos[i] = f.before[n]
		if i > 0 && f.node[i-1] == n {
			pos[i] = pos[i-1] + 1
		}
	}
	return pos
}

// PairTree is [prompt][chosen][critiques…][rejected][critiques…].
func (f *Forest) PairTree(prompt, response, critique, k int) {
	f.Open(prompt)
	for range 2 {
		f.Open(response)
		for range k {
			f.Leaf(critique)
		}
		f.Close()
	}
	f.Close()
}

func sequences(n ...int) *Forest {
	f := new(Forest)
	for _, n := range n {
		f.Leaf(n)
	}
	return f
}

func pairs(prompt, response, critique, k, trees int) *Forest {
	f := new(Forest)
	for range trees {
		f.PairTree(prompt, response, critique, k)
	}
	return f
}

// chain is a tree of some depth whose nodes have a sibling each.
func chain(depth, n int) *Forest {
	f := new(Forest)
	for range depth {
		f.Leaf(1)
		f.Open(n)
		f.Leaf(2)
	}
	for range depth {
		f.Close()
	}
	return f
}

// random is a forest of about n tokens; a node has 0 to 9 of them, so that empty nodes occur at every place.
func random(r *rand.Rand, n int) *Forest {
	f := new(Forest)
	var grow func(depth int)
	grow = func(depth int) {
		f.Open(r.IntN(10))
		for depth < 6 && len(f.node) < n && r.IntN(3) > 0 {
			grow(depth + 1)
		}
		f.Close()
	}
	for len(f.node) < n {
		grow(1)
	}
	return f
}

type forest struct {
	name string
	make func(g *Gen) *Forest

	large bool
}

func forests() []forest {
	fixed := func(f *Forest) func(*Gen) *Forest { return func(*Gen) *Forest { return f } }
	return []forest{
		{"one_token", fixed(sequences(1)), false},
		{"two_tokens", fixed(sequences(2)), false},
		{"causal17", fixed(sequences(17)), false},
		{"causal129", fixed(sequences(129)), true},
		{"packed_1_2_3_31_33", fixed(sequences(1, 2, 3, 31, 33)), false},
		{"ones", fixed(sequences(1, 1, 1, 1, 1)), false},
		{"pair_3_2_1_k2", fixed(pairs(3, 2, 1, 2, 1)), false},
		{"pairs_17_9_5_k3", fixed(pairs(17, 9, 5, 3, 2)), true},
		{"empty_prompt_and_critiques", fixed(pairs(0, 5, 0, 2, 2)), false},
		{"depth6", fixed(chain(6, 3)), false},
		{"depth6_long", fixed(chain(6, 33)), true},
		{"random40", func(g *Gen) *Forest { return random(g.Rand, 40) }, false},
		{"random150", func(g *Gen) *Forest { return random(g.Rand, 150) }, true},
		{"random300", func(g *Gen) *Forest { return random(g.Rand, 300) }, true},
		{"empty", fixed(new(Forest)), false},
	}
}

func (l *list) attention() {
	for _, f := range forests() {
		for _, s := range [][3]int{{1, 1, 2}, {4, 2, 32}, {3, 1, 6}, {2, 2, 64}, {1, 1, 128}, {6, 3, 80}} {
			if f.large && s[0] == 6 {
				continue // for the time that the reference takes
			}
			l.attend(f, s[0], s[1], s[2], 1)
		}
	}
	// subtrees that end one token before, at and after a multiple of a block's size, whatever it is, with blocks before them
	for _, b := range []int{16, 32, 64, 128} {
		l.attend(forest{fmt.Sprintf("ends_about_%d", b), func(*Gen) *Forest { return sequences(2*b-1, 2, b-2, 1, 2*b, b) }, true}, 2, 1, 16, 1)
		l.attend(forest{fmt.Sprintf("nodes_about_%d", b), func(*Gen) *Forest { return pairs(b, b-1, 2, 3, 2) }, true}, 2, 1, 16, 1)
		if b == 32 {
			l.race(4)
		}
	}
	// few keys and many query heads for each: a device may share the work on a tile of keys among its processors
	for _, s := range [][3]int{{7, 1, 64}, {14, 2, 64}, {7, 1, 128}} {
		l.attend(forest{"causal128", func(*Gen) *Forest { return sequences(128) }, true}, s[0], s[1], s[2], 1)
		if s[0] == 7 {
			l.race(1) // the backward op in bfloat16
		}
	}
	// scores of ±hundreds: without the maximum taken off, exp overflows
	l.attend(forest{"causal33_sharp", func(*Gen) *Forest { return sequences(33) }, false}, 2, 1, 16, 12)
	// longer than any tile, with the critiques of a response far behind it
	l.attend(forest{"stream2100", func(*Gen) *Forest {
		f := new(Forest)
		f.PairTree(300, 200, 100, 3)
		f.PairTree(5, 70, 33, 4)
		f.Leaf(2100 - len(f.node))
		return f
	}, true}, 2, 1, 16, 1)
	// many tiles of queries that see few keys each
	name, forward, backward := attention(forest{"stream8000_of_1_to_9", func(g *Gen) *Forest {
		f := new(Forest)
		for len(f.node) < 8000 {
			f.Leaf(1 + g.IntN(9)*g.IntN(2))
		}
		return f
	}, true}, 1, 1, 2, 1)
	l.add32("attention", name, forward)
	l.add32("attention_backward", name, backward)
	l.tensorCores()
	l.limits()
}

func (l *list) attend(f forest, a, k, d int, scale float64) { l.attendBy(f, scoring{}, a, k, d, scale) }

func (l *list) attendBy(f forest, by scoring, a, k, d int, scale float64) {
	name, forward, backward := attentionBy(f, by, a, k, d, scale)
	l.add("attention", name, forward)
	l.add("attention_backward", name, backward)
}

// scoring is how scores are made: without a window, scaled by 1/sqrt(D) and without a cap where there are zeros.
type scoring struct {
	window     int
	scale, top float64
}

func dims(a, k, d int) string { return fmt.Sprintf("_A%d_G%d_D%d", a, k, d) }

func (s scoring) String() (name string) {
	if s.window > 0 {
		name = fmt.Sprintf("_window%d", s.window)
	}
	if s.scale > 0 {
		name += fmt.Sprintf("_scale%g", s.scale)
	}
	if s.top > 0 {
		name += fmt.Sprintf("_cap%g", s.top)
	}
	return name
}

func (s scoring) of(d int) float64 {
	if s.scale == 0 {
		return 1 / math.Sqrt(float64(d))
	}
	return s.scale
}

func attention(f forest, a, k, d int, scale float64) (name string, forward, backward func(g *Gen) Op) {
	return attentionBy(f, scoring{}, a, k, d, scale)
}

func attentionBy(f forest, by scoring, a, k, d int, scale float64) (name string, forward, backward func(g *Gen) Op) {
	of := func(g *Gen) *Attention[float64] {
		tree := f.make(g)
		end, pos := tree.End(), tree.Pos()
		n, tiles := len(end), tile.Lists(nil, end, pos, by.window)
		return &Attention[float64]{QKV: g.Normal(n*(a+2*k)*d, scale), End: end, Pos: pos, Tiles: tiles, N: n, A: a, G: k, D: d, T: len(tiles),
			Window: by.window, Scale: by.of(d), Cap: by.top}
	}
	return f.name + by.String() + dims(a, k, d), func(g *Gen) Op { return of(g) }, func(g *Gen) Op { return AttentionBackwardOf(of(g), g) }
}

// AttentionBackwardOf runs the forward op and gives the arguments of its backward op, with a random gradient. The output is
// rounded as the device stores it.
func AttentionBackwardOf(f *Attention[float64], g *Gen) *AttentionBackward[float64] {
	if g.Plan { // whoever measures runs the forward op on the device
		return &AttentionBackward[float64]{End: f.End, Pos: f.Pos, Tiles: f.Tiles, N: f.N, A: f.A, G: f.G, D: f.D, T: f.T,
			Window: f.Window, Scale: f.Scale, Cap: f.Cap}
	}
	RoundTo(f.QKV, g.BF16)
	f.Out, f.LSE = make([]float64, f.N*f.A*f.D), make([]float64, f.N*f.A)
	f.Run()
	return &AttentionBackward[float64]{DOut: g.Normal(len(f.Out), 1), Out: f.Out, LSE: f.LSE, QKV: f.QKV, End: f.End, Pos: f.Pos,
		Tiles: f.Tiles, N: f.N, A: f.A, G: f.G, D: f.D, T: f.T, Window: f.Window, Scale: f.Scale, Cap: f.Cap}
}

func (l *list) decode() {
	for _, s := range [][5]int{{1, 1, 1, 2, 1}, {3, 4, 2, 32, 17}, {17, 3, 1, 6, 31}, {2, 6, 3, 128, 33}, {3, 4, 4, 136, 5}, {0, 2, 1, 8, 4}} {
		n, a, k, d, slots := s[0], s[1], s[2], s[3], s[4]
		name := fmt.Sprintf("N%d_A%d_G%d_D%d_S%d", n, a, k, d, slots)
		store := func(g *Gen) Op {
			return &KVStore[float64]{Slot: g.Distinct(n, slots), N: n, A: a, G: k, D: d, S: slots}
		}
		l.add("kv_store", name, store)
		load := func(g *Gen) Op { // of slots that several tokens may share, into some of the rows
			m := n - n/3
			return &KVLoad[float64]{Slot: g.Ints(m, slots), Row: g.Distinct(m, n), M: m, N: n, A: a, G: k, D: d, S: slots}
		}
		l.add("kv_load", name, load)
		if d == 32 {
			l.addSkewed("kv_store", name, store)
			l.race(4)
			l.addSkewed("kv_load", name, load)
			l.race(4)
		}
	}
	// per group: lengths of the shared segments, then of each sequence's own slots
	contexts := []struct {
		name   string
		shared [][]int
		own    [][]int
	}{
		{"one_slot", [][]int{{}}, [][]int{{1}}},
		{"only_shared", [][]int{{5}}, [][]int{{0}}},
		{"only_own", [][]int{{}, {}}, [][]int{{3, 17}, {1}}},
		{"eight_samples", [][]int{{33}}, [][]int{{1, 2, 3, 4, 5, 6, 7, 31}}},
		{"levels_with_empty_segments", [][]int{{17, 0, 9, 1}, {0}, {129}}, [][]int{{2, 0, 33}, {1, 1}, {7}}},
		{"group_without_sequences", [][]int{{3}, {4}, {2, 2}}, [][]int{{1, 1}, {}, {0, 5}}},
		{"long", [][]int{{700, 300}, {64}}, [][]int{{1, 129, 64, 65}, {500, 3}}},
		{"forty_samples", [][]int{{3, 64}, {1}}, [][]int{make([]int, 40), {1, 1, 1}}}, // all at their first token
		{"none", [][]int{}, [][]int{}},
	}
	for _, c := range contexts {
		for _, s := range [][3]int{{1, 1, 2}, {4, 2, 32}, {3, 1, 6}, {4, 4, 64}, {3, 1, 80}, {8, 2, 96}, {8, 2, 128}, {4, 1, 256}} {
			a, k, d := s[0], s[1], s[2]
			l.add("attention_decode", fmt.Sprintf("%s_A%d_G%d_D%d", c.name, a, k, d), func(g *Gen) Op {
				return Decode(g, c.shared, c.own, scoring{}, a, k, d)
			})
			if c.name == "eight_samples" {
				l.race(2)
			} else if d == 32 {
				l.race(1)
			}
		}
	}
	// long enough for several tiles of keys in each of the parts that a GPU may cut a context into
	for _, s := range [][3]int{{2, 2, 64}, {2, 1, 96}, {2, 1, 128}, {2, 1, 256}} {
		a, k, d := s[0], s[1], s[2]
		l.add("attention_decode", fmt.Sprintf("many_tiles_A%d_G%d_D%d", a, k, d), func(g *Gen) Op {
			return Decode(g, [][]int{{4000, 300}}, [][]int{{4100, 5}}, scoring{}, a, k, d)
		})
		l.add("attention_decode", fmt.Sprintf("two_groups_A%d_G%d_D%d", a, k, d), func(g *Gen) Op {
			return Decode(g, [][]int{{70, 5}, {130}}, [][]int{{3, 66}, {1}}, scoring{}, a, k, d)
		})
		l.skewed(2)
		l.race(4)
	}
	l.decodeLimits()
}

// Decode lays the segments and the sequences' own slots out in random order, with gaps. A gap holds NaN, as fresh memory may.
func Decode(g *Gen, shared, own [][]int, by scoring, a, k, d int) *AttentionDecode[float64] {
	o := &AttentionDecode[float64]{A: a, G: k, D: d, Window: by.window, Scale: by.of(d), Cap: by.top, Groups: len(shared), Group: []int32{}, SegPtr: []int32{0},
		SegStart: []int32{}, SegLen: []int32{}, OwnStart: []int32{}, OwnLen: []int32{}}
	for i := range shared {
		for _, n := range shared[i] {
			o.SegLen = append(o.SegLen, int32(n))
		}
		o.SegPtr = append(o.SegPtr, int32(len(o.SegLen)))
		for _, n := range own[i] {
			o.Group, o.OwnLen = append(o.Group, int32(i)), append(o.OwnLen, int32(n))
		}
	}
	o.B, o.Segments = len(o.Group), len(o.SegLen)
	starts := make([]int32, o.B+o.Segments)
	for _, i := range g.Perm(len(starts)) {
		gap, n := g.IntN(3), o.SegLen
		if i >= o.Segments {
			n = o.OwnLen[i-o.Segments:]
		} else {
			n = n[i:]
		}
		starts[i] = int32(o.S + gap)
		o.S += gap + int(n[0])
		if !g.Plan {
			o.KV = append(o.KV, g.Constant(gap*2*k*d, math.NaN())...)
			o.KV = append(o.KV, g.Normal(int(n[0])*2*k*d, 1)...)
		}
	}
	if o.KV == nil && !g.Plan {
		o.KV = []float64{}
	}
	o.SegStart, o.OwnStart = append(o.SegStart, starts[:o.Segments]...), append(o.OwnStart, starts[o.Segments:]...)
	return o
}
