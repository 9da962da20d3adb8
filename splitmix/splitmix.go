// Package splitmix is counter-based randomness: a value is a pure function of a key and a counter, so that nothing depends on the
// order in which values are drawn. The generator is SplitMix64 (Steele, Lea & Flood, Fast splittable pseudorandom number
// generators, OOPSLA 2014).
package splitmix

import "math/bits"

// Golden is the increment of the generator's state: 2⁶⁴ divided by the golden ratio.
const Golden = 0x9e3779b97f4a7c15

// Mix is the finaliser: a bijection on 64 bits.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Draw is output number counter, from 0, of the stream that starts at key.
func Draw(key, counter uint64) uint64 { return Mix(key + (counter+1)*Golden) }

// Below maps 64 random bits to 0 … n-1; the bias is at most n/2⁶⁴.
func Below(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}

// Permutation is a Fisher–Yates shuffle of 0 … n-1.
func Permutation(key uint64, n int) []int {
	p := make([]int, n)
	for i := range p {
		j := Below(Draw(key, uint64(i)), i+1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}
