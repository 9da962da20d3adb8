package measure

// The bootstrap over files of any length.

import (
	"encoding/binary"
	"slices"

	"criticrm/splitmix"
)

const (
	tallyBlock = 1 << 22 // prompts in memory, 2 bytes each
	tallyKinds = 1 << 16
)

// Part is what a prompt has in a category: pairs, and the sum of their values in halves.
type Part struct{ Category, N, Halves int }

// Tally is what NewBootstrapBy(…).Mean(x) gives, to the last digit, where the values are 0, ½ and 1. A prompt counts by its Parts alone, of which few
// differ: what is in memory of it is the number of its kind. Prompts are taken in blocks, and each block is drawn from by itself, so memory
// has a bound; a sum of halves is exact, in whatever order it is made.
type Tally struct {
	names   []string // in order
	order   []int    // of the caller's categories, places in names
	prompts int
	draws   int
	block   int // prompts
	most    int // kinds
	b       Bootstrap

	from  int // number of the first prompt of the block
	list  []uint16
	kinds map[string]uint16
	parts [][]Part

	total []Part
	drawn [][]Part // of each draw, by category
}

// NewTally begins one of so many prompts; the categories are those that Part numbers, in any order.
func NewTally(prompts int, categories []string, draws int, level float64, seed uint64) *Tally {
	return newTally(prompts, categories, draws, level, seed, tallyBlock, tallyKinds)
}

func newTally(prompts int, categories []string, draws int, level float64, seed uint64, block, kinds int) *Tally {
	b := NewBootstrapBy([]int{}, nil, draws, level, seed) // checks what it is given
	t := &Tally{b: *b, names: slices.Sorted(slices.Values(categories)), prompts: prompts, draws: draws, block: block, most: kinds, kinds: map[string]uint16{}}
	for _, name := range categories {
		i, _ := slices.BinarySearch(t.names, name)
		t.order = append(t.order, i)
	}
	t.total = make([]Part, len(t.names))
	t.drawn = make([][]Part, draws)
	for d := range t.drawn {
		t.drawn[d] = make([]Part, len(t.names))
	}
	return t
}

// Add takes the next prompt; its parts are of different categories.
func (t *Tally) Add(parts []Part) {
	if len(t.list) == t.block || len(t.parts) == t.most {
		t.draw()
	}
	var key []byte
	for _, p := range parts {
		for _, v := range [...]int{p.Category, p.N, p.Halves} {
			key = binary.AppendUvarint(key, uint64(v))
		}
		add(&t.total[t.order[p.Category]], p, 1)
	}
	kind, ok := t.kinds[string(key)]
	if !ok {
		kind = uint16(len(t.parts))
		own := slices.Clone(parts)
		for i := range own {
			own[i].Category = t.order[own[i].Category]
		}
		t.kinds[string(key)], t.parts = kind, append(t.parts, own)
	}
	t.list = append(t.list, kind)
}

func add(to *Part, p Part, times int) {
	to.N += times * p.N
	to.Halves += times * p.Halves
}

// draw counts how often the block's prompts are drawn, and forgets them.
func (t *Tally) draw() {
	times := make([]int, len(t.parts))
	for d := range t.draws {
		clear(times)
		key := splitmix.Mix(t.b.seed ^ splitmix.Mix(uint64(d)+1))
		for i := range t.prompts {
			if g := splitmix.Below(splitmix.Draw(key, uint64(i)), t.prompts) - t.from; uint(g) < uint(len(t.list)) {
				times[t.list[g]]++
			}
		}
		for kind, n := range times {
			for _, p := range t.parts[kind] {
				add(&t.drawn[d][p.Category], p, n)
			}
		}
	}
	t.from += len(t.list)
	t.list, t.parts = t.list[:0], t.parts[:0]
	clear(t.kinds)
}

// Estimate ends it.
func (t *Tally) Estimate() Estimate {
	t.draw()
	if t.from != t.prompts {
		panic("measure: Tally.Estimate: want as many prompts as were announced")
	}
	var present []int // a category without pairs is none
	for c, p := range t.total {
		if p.N > 0 {
			present = append(present, c)
		}
	}
	sums := func(parts []Part) (out []partial) {
		for _, c := range present {
			out = append(out, partial{float64(parts[c].Halves) / 2, float64(parts[c].N)})
		}
		return out
	}
	names := make([]string, len(present))
	for i, c := range present {
		names[i] = t.names[c]
	}
	drawn := make([][]partial, t.draws)
	for d := range drawn {
		drawn[d] = sums(t.drawn[d])
	}
	t.b.names = names
	return t.b.estimate(sums(t.total), drawn)
}
