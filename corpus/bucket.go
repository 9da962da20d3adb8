package corpus

// Prompts that have a band in common are compared.

import (
	"cmp"
	"context"
	"errors"
	"math/bits"

	"criticrm/internal/spill"
)

const (
	maxCompared = 64 // groups that a prompt is compared with in a bucket
	maxAlike    = 20 // pairs that are listed
)

// alike finds the prompts that are alike and joins them to groups. Each prompt is compared with one member of every other group in its buckets, the
// first; done gets the share of the work that is behind it.
func (x *Index) alike(ctx context.Context, done func(share float64)) error {
	if err := x.fold(); err != nil {
		return err
	}
	b := &bucket{index: x, seen: newTwice(x.count())}
	const what = "the groups of a crowd of prompts"
	b.crowd, b.counts = spill.NewArray(x.numbers, what), spill.NewArray(x.numbers, what)
	defer func() { b.crowd.Close(); b.counts.Close() }()
	for band := range bands {
		if err := b.band(ctx, band); err != nil {
			return err
		}
		if done != nil {
			done(float64(band+1) / bands)
		}
	}
	return errors.Join(x.same.Err(), x.parents.Err(), b.crowd.Err(), b.counts.Err())
}

// bucket has the prompts of one key of a band, in the order in which they came.
type bucket struct {
	index *Index
	first []member // of each group in the bucket, as many as are compared
	more  int      // groups beyond those
	// Of the first prompts of groups beyond those: the number of the bucket that they were counted in, and how many there have become one group.
	crowd, counts *spill.Array
	crowded       uint32 // buckets that had such groups
	seen          *twice
}

type member struct {
	id  int32
	set []uint64 // of its shingles; nil: not read yet
}

var keyForm = spill.Form[uint64]{
	Size:    8,
	Put:     func(b []byte, v uint64) { spill.Put(b, v) },
	Get:     func(b []byte) uint64 { return spill.Word(b, 0) },
	Compare: cmp.Compare[uint64],
}

// band goes through the buckets of a band, in the order of their keys.
func (b *bucket) band(ctx context.Context, band int) error {
	x := b.index
	each := func(do func(id int32, key uint32) error) error {
		return x.column(band, func(first int32, keys []uint32) error {
			for i, key := range keys {
				if id := first + int32(i); x.first(id) == id {
					if err := do(id, key); err != nil {
						return err
					}
				}
			}
			return ctx.Err()
		})
	}
	b.seen.clear()
	if err := each(func(_ int32, key uint32) error { b.seen.add(key); return nil }); err != nil {
		return err
	}
	sorted := spill.NewSorter(keyForm, x.sorted, "the bands of prompts, to find the ones that are alike")
	defer sorted.Close()
	if err := each(func(id int32, key uint32) error {
		if !b.seen.maybe(key) {
			return nil
		}
		return sorted.Add(uint64(key)<<32 | uint64(id))
	}); err != nil {
		return err
	}
	if err := sorted.End(); err != nil {
		return err
	}
	key, open := uint64(0), false
	for v, err := range sorted.Sorted() {
		if err != nil {
			return err
		}
		if id := int32(v & (1<<32 - 1)); !open || v>>32 != key {
			clear(b.first)
			key, open, b.first, b.more = v>>32, true, append(b.first[:0], member{id: id}), 0
		} else if err := cmp.Or(ctx.Err(), b.add(id)); err != nil {
			return err
		}
	}
	return nil
}

// add compares a prompt with those before it in the bucket.
func (b *bucket) add(id int32) error {
	x := b.index
	own, known := member{id: id}, false
	for i := range b.first {
		m := &b.first[i]
		if x.root(m.id) == x.root(id) {
			known = true
			continue
		}
		if err := cmp.Or(b.read(&own), b.read(m)); err != nil {
			return err
		}
		if j := jaccard(m.set, own.set); j >= Near {
			if err := b.join(m.id, id, j); err != nil {
				return err
			}
			known = true
		}
	}
	if b.more > 0 {
		n := b.beyond(x.root(id))
		x.over += b.more - n
		known = known || n > 0
	}
	switch {
	case known:
	case len(b.first) < maxCompared:
		b.first = append(b.first, own)
	default:
		if b.more++; b.more == 1 {
			b.crowded++
		}
		root := x.root(id)
		b.setBeyond(root, b.beyond(root)+1)
	}
	return nil
}

// read reads the shingles of a prompt.
func (b *bucket) read(m *member) error {
	if m.set != nil {
		return nil
	}
	text, err := b.index.text(m.id)
	m.set = b.index.sketcher.shingles(text)
	return err
}

func (b *bucket) join(first, second int32, j float64) error {
	n := 0
	if b.more > 0 {
		n = b.beyond(b.index.root(first)) + b.beyond(b.index.root(second))
	}
	if err := b.index.join(first, second, j); err != nil {
		return err
	}
	if n > 0 {
		b.setBeyond(b.index.root(first), n)
	}
	return nil
}

// beyond is how many of the groups that are not compared have become the one with this first prompt.
func (b *bucket) beyond(root int32) int {
	if b.crowd.Get(int(root)) != b.crowded {
		return 0
	}
	return int(b.counts.Get(int(root)))
}

func (b *bucket) setBeyond(root int32, n int) {
	b.crowd.Set(int(root), b.crowded)
	b.counts.Set(int(root), uint32(n))
}

// twice says which keys may have been added twice: what it says no to was not. It spares most keys the sorting.
type twice struct {
	shift     int
	one, more []uint64 // a bit for all keys of one beginning
}

// newTwice makes one for n keys, of at most 8 MiB.
func newTwice(n int) *twice {
	size := min(max(bits.Len(uint(n))+4, 6), 25)
	return &twice{shift: 32 - size, one: make([]uint64, 1<<(size-6)), more: make([]uint64, 1<<(size-6))}
}

func (t *twice) clear() {
	clear(t.one)
	clear(t.more)
}

func (t *twice) add(key uint32) {
	at, bit := key>>t.shift>>6, uint64(1)<<(key>>t.shift&63)
	t.more[at] |= t.one[at] & bit
	t.one[at] |= bit
}

func (t *twice) maybe(key uint32) bool {
	return t.more[key>>t.shift>>6]>>(key>>t.shift&63)&1 != 0
}
