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

// append appends the ids of a piece, which encode appends where it is new.
func (c *cache) append(dst []int32, piece string, encode func(dst []int32, piece string) []int32) []int32 {
	if len(piece) > cachePiece {
		return encode(dst, piece)
	}
	slot := &c.slots[maphash.String(c.seed, piece)&(cacheSlots-1)]
	if hit := slot.Load(); hit != nil && hit.piece == piece {
		return append(dst, hit.ids...)
	}
	n := len(dst)
	dst = encode(dst, piece)
	// Cloned, so that the cache does not keep the whole text alive.
	slot.Store(&cached{strings.Clone(piece), append([]int32(nil), dst[n:]...)})
	return dst
}
