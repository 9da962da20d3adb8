package trainer

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"criticrm/collective"
	"criticrm/model"
	"criticrm/record"
	"criticrm/render"
)

// Dataset is random access to examples. Example may be called in any order and more than once for an index, and must give
// the same example each time; the trainer does not change what it gets.
type Dataset interface {
	Len() int
	Example(i int) (render.Example, error)
}

// Hasher is a Dataset that can tell whether it is the same as in an earlier process. A run over one can be resumed only
// with equal data.
type Hasher interface {
	Hash() (string, error)
}

// Slice is a Dataset in memory.
type Slice []render.Example

// Len is the number of examples.
func (s Slice) Len() int { return len(s) }

// Hash is the sha256 of the examples. It implements [Hasher].
func (s Slice) Hash() (string, error) {
	h := sha256.New()
	for i := range s {
		s[i].Digest(h)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Example is example i.
func (s Slice) Example(i int) (render.Example, error) { return s[i], nil }

// Pack puts items of the given sizes into bins of a capacity: first-fit decreasing, equal sizes in order, so that the
// result is a function of the arguments. An item over the capacity is alone in its bin. The items of a bin are in
// order; capacity 0 is one bin.
func Pack(sizes []int, capacity int) [][]int {
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	if len(sizes) == 0 {
		return nil
	}
	if capacity <= 0 {
		return [][]int{order}
	}
	slices.SortStableFunc(order, func(a, b int) int { return sizes[b] - sizes[a] })
	var bins [][]int
	var room []int
	for _, i := range order {
		at := slices.IndexFunc(room, func(r int) bool { return r >= sizes[i] })
		if at < 0 {
			at = len(bins)
			bins, room = append(bins, nil), append(room, capacity)
		}
		bins[at] = append(bins[at], i)
		room[at] -= sizes[i]
	}
	for _, b := range bins {
		slices.Sort(b)
	}
	return bins
}

// Deal packs items for several ranks: as many micro-batches for each, of at most capacity (0: no bound), and no more than there must be, so
// that all ranks have about the same to do, which work tells of each item. Bin i is rank i mod ranks's; it may be empty where there are fewer items than bins.
// The most work first, each to the bin with the least so far: the result is a function of the arguments.
func Deal(sizes []int, work []float64, capacity, ranks int) [][]int {
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(work[b], work[a]) })
	for n := ranks; ; n += ranks {
		bins, load, size := make([][]int, n), make([]float64, n), make([]int, n)
		fits := true
		for _, i := range order {
			at := slices.Index(load, slices.Min(load))
			fits = fits && (capacity <= 0 || len(bins[at]) == 0 || size[at]+sizes[i] <= capacity)
			bins[at] = append(bins[at], i)
			load[at] += work[i]
			size[at] += sizes[i]
		}
		if fits {
			for _, b := range bins {
				slices.Sort(b)
			}
			return bins
		}
	}
}

// Packed is the work of one update: its micro-batches, and the sums over all of them that the losses are divided by.
type Packed struct {
	Batches  []*model.Batch // this rank's
	Leaf     []int          // of each of them, with gradient_sum: tree
	Index    [][]int        // of each of them, the examples' numbers in the data set, in their order in the batch
	All      int            // micro-batches of all ranks
	Rounds   int            // the most that a rank has
	Weight   float64        // sum of the loss weights of all rows
	Pairs    int            // pairs whose rewards are learned from: see render.Size
	Compared int            // of them, those whose rewards are compared
	Examples int
	Tokens   int // of all micro-batches
	Flat     int // tokens if no branch shared its prefix
	Dropped  int // examples without anything to train on, and with overlong: drop those over the length limit
}

// packExamples fetches the examples of the indices, checks and packs them. limit is the longest sequence, 0 for none. What is
// longer was not made for it, by package render or by hand: it is an error, or with overlong: drop left out.
func packExamples(data Dataset, indices []int, c *Config, limit, vocab int) (*Packed, error) {
	return packShare(data, indices, c, limit, vocab, nil, nil)
}

// packShare is packExamples of a group, which packs for all and keeps the micro-batches of its rank. The sums are those of all. Work is dealt out as m
// has it; nil: by tokens.
func packShare(data Dataset, indices []int, c *Config, limit, vocab int, g *collective.Group, m *model.Model) (*Packed, error) {
	p := &Packed{}
	parts := c.Parts()
	var work []float64
	examples, tokens, numbers := make([]render.Example, 0, len(indices)), make([]int, 0, len(indices)), make([]int, 0, len(indices))
	for _, i := range indices {
		e, err := data.Example(i)
		if err != nil {
			return nil, err
		}
		if err := e.Check(parts, vocab); err != nil {
			return nil, fmt.Errorf("trainer: %w", err)
		}
		s := e.Size(parts)
		over := limit > 0 && s.Longest > limit
		if over && c.Overlong != record.OverlongDrop {
			return nil, fmt.Errorf("trainer: example %.40q: %d tokens, the limit is %d (render it with that limit, or set overlong to drop)", e.ID, s.Longest, limit)
		}
		if over || s.Weight == 0 && s.Pairs == 0 {
			p.Dropped++
			continue
		}
		examples, tokens, numbers = append(examples, e), append(tokens, s.Tokens), append(numbers, i)
		work = append(work, float64(s.Tokens))
		if m != nil {
			work[len(work)-1] = m.Multiplications(s.Tokens, s.Longest)
		}
		p.Examples++
		p.Weight += s.Weight
		p.Pairs += s.Pairs
		p.Compared += s.Compared
		p.Tokens += s.Tokens
		p.Flat += s.Flat
	}
	bins, own := Pack(tokens, c.BatchTokens), func(int) bool { return true }
	switch {
	case c.GradientSum == SumTree:
		bins, own = Deal(tokens, work, c.BatchTokens, leaves), func(i int) bool { lo, hi := ownLeaves(g); return i%leaves >= lo && i%leaves < hi }
	case g.Size() > 1:
		bins, own = Deal(tokens, work, c.BatchTokens, g.Size()), func(i int) bool { return i%g.Size() == g.Rank() }
	}
	rounds := make([]int, max(g.Size(), 1))
	for i, bin := range bins {
		if len(bin) == 0 {
			continue
		}
		p.All++
		rounds[i%len(rounds)]++
		p.Rounds = max(p.Rounds, rounds[i%len(rounds)])
		if !own(i) {
			continue
		}
		b := &model.Batch{}
		var index []int
		for _, i := range bin {
			examples[i].AppendTo(b, parts)
			index = append(index, numbers[i])
		}
		p.Batches, p.Leaf, p.Index = append(p.Batches, b), append(p.Leaf, i%leaves), append(p.Index, index)
	}
	return p, nil
}

// lossOptions are the loss's arguments for every micro-batch: the sums over the micro-batches of what TrainStep gives are
// then the means over the whole update.
func (p *Packed) lossOptions(c *Config, lambda float64) model.LossOptions {
	o := model.LossOptions{Lambda: float32(lambda), Center: float32(c.CenterCoefficient), Pairing: c.pairing(), Smoothing: float32(c.LabelSmoothing), Alone: true}
	if p.Weight > 0 {
		o.TokenScale = float32(1 / p.Weight)
	}
	if p.Pairs > 0 {
		o.PairScale = 1 / float32(p.Pairs)
	}
	return o
}
