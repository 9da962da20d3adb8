package trainer

import "math/bits"

// Purposes of random numbers. A stream is keyed by (seed, purpose, …), so that no draw depends on another one.
const purposeOrder = 1

// philox is Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011): four words for a key and
// a counter, with no state in between.
func philox(key uint64, counter [4]uint32) [4]uint32 {
	k0, k1 := uint32(key), uint32(key>>32)
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, counter[0])
		h1, l1 := bits.Mul32(0xCD9E8D57, counter[2])
		counter = [4]uint32{h1 ^ counter[1] ^ k0, l1, h0 ^ counter[3] ^ k1, l0}
		k0 += 0x9E3779B9
		k1 += 0xBB67AE85
	}
	return counter
}

// Order is the permutation of n examples in an epoch: Fisher–Yates, whose i-th draw is a function of (seed, epoch, i).
func Order(seed uint64, epoch, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		w := philox(seed, [4]uint32{uint32(i), uint32(uint64(i) >> 32), uint32(epoch), purposeOrder})
		j, _ := bits.Mul64(uint64(w[0])|uint64(w[1])<<32, uint64(i+1)) // uniform in [0, i] up to (i+1)/2⁶⁴
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// order is the order of n examples in an epoch.
func (c *Config) order(epoch, n int) []int {
	if c.DataOrder == "shuffled" {
		return Order(c.Seed, epoch, n)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}
