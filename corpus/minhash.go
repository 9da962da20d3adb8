package corpus

// Sketches of prompts: what is kept of a text to find others that are like it.

import (
	"slices"
	"unicode/utf8"

	"criticrm/splitmix"
)

// Near is the Jaccard similarity of two prompts' sets of shingles from which they are near duplicates.
const Near = 0.8

const (
	shingle  = 5  // characters
	bands    = 20 // of a signature
	bandRows = 5  // minima in a band
	minima   = bands * bandRows
)

// sketcher makes sketches under one seed. It is read-only once made.
type sketcher struct {
	key  uint64
	a, b [minima]uint64 // hash function i maps x to a[i]·x + b[i] mod 2⁶⁴
}

func newSketcher(seed uint64) *sketcher {
	s := &sketcher{key: splitmix.Mix(seed ^ 0x6e656172)}
	for i := range minima {
		s.a[i] = splitmix.Draw(s.key, uint64(2*i)) | 1
		s.b[i] = splitmix.Draw(s.key, uint64(2*i+1))
	}
	return s
}

// shingles is the set of hashes of a normal text's shingles, in order.
func (s *sketcher) shingles(normal string) []uint64 {
	set := s.hashes(nil, normal)
	slices.Sort(set)
	return slices.Compact(set)
}

// hashes are those of a normal text's shingles, with repetitions; a text that is shorter than one is its own.
func (s *sketcher) hashes(dst []uint64, normal string) []uint64 {
	dst = slices.Grow(dst[:0], max(1, len(normal)-shingle+1))
	var window [shingle]uint64
	n := 0
	for i := 0; i < len(normal); {
		r, size := rune(normal[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(normal[i:])
		}
		i += size
		window[n%shingle] = uint64(r)
		if n++; n >= shingle {
			dst = append(dst, s.hash(&window, n))
		}
	}
	if n < shingle {
		return append(dst, s.hash(&window, n))
	}
	return dst
}

// hash mixes the last characters; characters have 21 bits, so three of them are one word and no two runs are the same two words.
func (s *sketcher) hash(window *[shingle]uint64, n int) uint64 {
	at := func(i int) uint64 { return window[(n+i)%shingle] }
	return splitmix.Mix(splitmix.Mix(s.key^(at(0)<<42|at(1)<<21|at(2))) ^ (at(3)<<21 | at(4)))
}

// signature hashes each band of the minima over shingles to 32 bits; repetitions do not matter.
func (s *sketcher) signature(hashes []uint64) (sig [bands]uint32) {
	var low [minima]uint64
	for i := range low {
		low[i] = ^uint64(0)
	}
	for _, x := range hashes {
		for i := range low {
			if v := s.a[i]*x + s.b[i]; v < low[i] {
				low[i] = v
			}
		}
	}
	for band := range sig {
		h := uint64(band)
		for _, v := range low[band*bandRows : (band+1)*bandRows] {
			h = splitmix.Mix(h ^ v)
		}
		sig[band] = uint32(h >> 32)
	}
	return sig
}

// jaccard is the size of the intersection of two sorted sets over that of their union; 1 if both are empty.
func jaccard(x, y []uint64) float64 {
	both, i, j := 0, 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case x[i] < y[j]:
			i++
		case x[i] > y[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	all := len(x) + len(y) - both
	if all == 0 {
		return 1
	}
	return float64(both) / float64(all)
}
