package critic

// Counter-based randomness: a value is a pure function of (key, counter), keys come from names.

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// KeyOf is the random stream of one request: a hash of what the stream is for, the record's id, the side and an
// index. It does not depend on the record's place in the file, so a shuffled file gives the same samples.
func KeyOf(purpose, id string, side Side, index int) uint64 {
	h := sha256.New()
	h.Write([]byte("criticrm critic 1\x00" + purpose + "\x00" + side.String() + "\x00"))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(index)))
	h.Write([]byte(id))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// draw is output number counter of the SplitMix64 stream that starts at key.
func draw(key, counter uint64) uint64 { return mix(key + (counter+1)*0x9E3779B97F4A7C15) }

// below maps 64 random bits to 0 … n-1; the bias is at most n/2⁶⁴.
func below(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}

// permutation is a Fisher-Yates shuffle of 0 … n-1.
func permutation(key uint64, n int) []int {
	p := make([]int, n)
	for i := range p {
		j := below(draw(key, uint64(i)), i+1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}
