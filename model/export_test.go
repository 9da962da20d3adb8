package model

import (
	"math"

	"criticrm/kernels"
)

// FirstRoom is firstRoom for tests.
const FirstRoom = firstRoom

// CacheSlots is how many slots the cache holds.
func CacheSlots(m *Model) int {
	if m.kv[0].IsNil() {
		return 0
	}
	return m.kv[0].Dim(0)
}

// Repack gives what numbers are behind 4 bits.
func Repack(x []float32) []float32 {
	q := quantise(x)
	return q.unpack()
}

// unpack gives the numbers that a weight stands for, in float32.
func (q *quantised) unpack() []float32 {
	w, values := make([]float32, 2*len(q.code)), kernels.NF4Values()
	for i := range w {
		b := i / kernels.NF4Block
		most := float32(math.FMA(float64(dynamicMap()[q.absmax[b]]), float64(q.scale[b/kernels.NF4Scales]), float64(q.offset)))
		w[i] = values[q.code[i/2]>>(4*(1-i%2))&15] * most
	}
	return w
}
