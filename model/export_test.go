package model

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
