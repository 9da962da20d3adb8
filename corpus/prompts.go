package corpus

// The prompts of one file, by their whole conversations, and which of its pairs belong to them.

import (
	"cmp"
	"errors"
	"iter"

	"criticrm/internal/spill"
	"criticrm/measure"
)

// asking is a row's prompt, by the first half of its hash.
type asking struct {
	key  [2]uint64
	what uint64 // number of the row, above what is known of its pair
}

// What is known of a row's pair, below its number.
const (
	isPair       = 1
	winsBits     = 2 // 2: the longer response was chosen, 1: they are of equal length, 0: the shorter one
	categoryBits = 10
	pairBits     = 1 + winsBits + categoryBits
)

// categories that are told apart, and the rest, must have numbers.
const _ = uint(1<<categoryBits - maxCategories - 1)

func (a asking) compare(b asking) int {
	return cmp.Or(cmp.Compare(a.key[0], b.key[0]), cmp.Compare(a.key[1], b.key[1]), cmp.Compare(a.what, b.what))
}

func (a asking) paired() bool  { return a.what&isPair != 0 }
func (a asking) wins() uint64  { return a.what >> 1 & (1<<winsBits - 1) }
func (a asking) group() uint64 { return a.what >> (1 + winsBits) & (1<<categoryBits - 1) }

var askingForm = spill.Form[asking]{
	Size: 24,
	Put:  func(b []byte, a asking) { spill.Put(b, a.key[0], a.key[1], a.what) },
	Get: func(b []byte) asking {
		return asking{[2]uint64{spill.Word(b, 0), spill.Word(b, 1)}, spill.Word(b, 2)}
	},
	Compare: asking.compare,
}

func newAsked(most int) *spill.Sorter[asking] {
	return spill.NewSorter(askingForm, most, "the hashes of prompts, to find the ones that come again")
}

// eachPrompt gives the distinct prompts in the order of their hashes, and how many rows they have.
func (f *File) eachPrompt() iter.Seq2[prompted, error] {
	return func(yield func(prompted, error) bool) {
		var p prompted
		for a, err := range f.asked.Sorted() {
			if err != nil {
				yield(p, err)
				return
			}
			if p.rows > 0 && a.key != p.key {
				if !yield(p, nil) {
					return
				}
				p = prompted{}
			}
			p.key = a.key
			p.rows++
		}
		if p.rows > 0 {
			yield(p, nil)
		}
	}
}

// prompted is a distinct prompt.
type prompted struct {
	key  [2]uint64
	rows int
}

func (p prompted) compare(q prompted) int {
	return cmp.Or(cmp.Compare(p.key[0], q.key[0]), cmp.Compare(p.key[1], q.key[1]))
}

// Overlaps compares two files that are not closed. Errors are of temporary files.
func Overlaps(first, second *File) (o Overlap, err error) {
	if o.Swapped, err = first.check.Contradictions(second.check); err != nil {
		return o, err
	}
	next, stop := iter.Pull2(first.eachPrompt())
	defer stop()
	own, err, ok := next()
	for theirs, fault := range second.eachPrompt() {
		for ok && err == nil && fault == nil && own.compare(theirs) < 0 {
			own, err, ok = next()
		}
		if err := errors.Join(err, fault); err != nil || !ok {
			return o, err
		}
		if own.key == theirs.key {
			o.Prompts++
			o.Rows += theirs.rows
		}
	}
	return o, nil
}

// pairs are those of a prompt in a category.
type pairs struct {
	first uint64 // row of the prompt's first pair, above the category
	n     uint64
	wins  uint64 // twice
}

var pairsForm = spill.Form[pairs]{
	Size:    24,
	Put:     func(b []byte, p pairs) { spill.Put(b, p.first, p.n, p.wins) },
	Get:     func(b []byte) pairs { return pairs{spill.Word(b, 0), spill.Word(b, 1), spill.Word(b, 2)} },
	Compare: func(p, q pairs) int { return cmp.Compare(p.first, q.first) },
}

// bias measures how often the longer response is the chosen one, with an interval by prompt. Prompts are drawn by the order of their first pairs.
func (f *File) bias() error {
	sorted := spill.NewSorter(pairsForm, f.o.memory().sorted, "the pairs of prompts, for the interval of the length bias")
	defer sorted.Close()
	prompts := 0
	var key [2]uint64
	first := uint64(0)
	own := map[uint64]pairs{} // by category
	end := func() error {
		for _, p := range own {
			if err := sorted.Add(p); err != nil {
				return err
			}
		}
		clear(own)
		return nil
	}
	for a, err := range f.asked.Sorted() {
		if err != nil {
			return err
		}
		if !a.paired() {
			continue
		}
		if prompts == 0 || a.key != key {
			if err := end(); err != nil {
				return err
			}
			prompts++
			key, first = a.key, a.what>>pairBits
		}
		p := own[a.group()]
		own[a.group()] = pairs{first<<categoryBits | a.group(), p.n + 1, p.wins + a.wins()}
	}
	if err := cmp.Or(end(), sorted.End()); err != nil {
		return err
	}
	t := measure.NewTally(prompts, f.groups, f.o.Draws, f.o.Level, f.o.Seed)
	var parts []measure.Part
	last := uint64(0)
	for p, err := range sorted.Sorted() {
		if err != nil {
			return err
		}
		if row := p.first >> categoryBits; len(parts) > 0 && row != last {
			t.Add(parts)
			parts = parts[:0]
		}
		last = p.first >> categoryBits
		parts = append(parts, measure.Part{Category: int(p.first & (1<<categoryBits - 1)), N: int(p.n), Halves: int(p.wins)})
	}
	if len(parts) > 0 {
		t.Add(parts)
	}
	e := t.Estimate()
	f.Bias = &e
	return nil
}
