package checkpoint

import (
	"encoding/binary"
	"math/bits"
)

// The five primes of xxHash64, from its specification (xxhash_spec.md, "XXH64 Algorithm Description").
const (
	xxP1 = 0x9E3779B185EBCA87
	xxP2 = 0xC2B2AE3D27D4EB4F
	xxP3 = 0x165667B19E3779F9
	xxP4 = 0x85EBCA77C2B2AE63
	xxP5 = 0x27D4EB2F165667C5
)

// xxh64 is xxHash64 with seed 0; its low 32 bits are a zstd frame's content checksum.
func xxh64(b []byte) uint64 {
	n := uint64(len(b))
	h := uint64(xxP5)
	if len(b) >= 32 {
		var p1, p2 uint64 = xxP1, xxP2
		v1, v2, v3, v4 := p1+p2, p2, uint64(0), -p1
		for len(b) >= 32 {
			v1 = xxRound(v1, binary.LittleEndian.Uint64(b[0:8]))
			v2 = xxRound(v2, binary.LittleEndian.Uint64(b[8:16]))
			v3 = xxRound(v3, binary.LittleEndian.Uint64(b[16:24]))
			v4 = xxRound(v4, binary.LittleEndian.Uint64(b[24:32]))
			b = b[32:]
		}
		h = bits.RotateLeft64(v1, 1) + bits.RotateLeft64(v2, 7) + bits.RotateLeft64(v3, 12) + bits.RotateLeft64(v4, 18)
		for _, v := range [...]uint64{v1, v2, v3, v4} {
			h = (h^xxRound(0, v))*xxP1 + xxP4
		}
	}
	h += n
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^xxRound(0, binary.LittleEndian.Uint64(b)), 27)*xxP1 + xxP4
	}
	if len(b) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(b))*xxP1, 23)*xxP2 + xxP3
		b = b[4:]
	}
	for _, c := range b {
		h = bits.RotateLeft64(h^uint64(c)*xxP5, 11) * xxP1
	}
	h = (h ^ h>>33) * xxP2
	h = (h ^ h>>29) * xxP3
	return h ^ h>>32
}

func xxRound(acc, lane uint64) uint64 {
	return bits.RotateLeft64(acc+lane*xxP2, 31) * xxP1
}
