package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

const (
	cacheSlots = 1 << 15 // entries of the cache; one per slot, the newest stays
	cachePiece = 48      // longest piece that is cached, bytes
)

// cache holds the ids of pieces seen before.
type cache struct {
	seed  maphash.Seed // of places only; no id depends on it
	slots []atomic.Pointer[cached]
}

// cached is one entry of the cache; it never changes.
type cached struct {
	piece string
	ids   []int32
}

func newCache() cache {
	return cache{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[cached], cacheSlots)}
}

// slot is where a piece of at most cachePiece bytes is, if it is there.
func (c *cache) slot(piece string) *atomic.Pointer[cached] {
	return &c.slots[maphash.String(c.seed, piece)&(cacheSlots-1)]
}

// newCached is an entry. Both parts are cloned, so that the cache does not keep a whole text alive.
func newCached(piece string, ids []int32) *cached {
	return &cached{strings.Clone(piece), append([]int32(nil), ids...)}
}
