package corpus

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"criticrm/splitmix"
)

// Hold chooses keys whose sizes come to a share of all, rounded up, or to less where they do not fit: by the seed and the keys alone, their order does not
// matter. Keys of one size are chosen with equal chances.
func Hold[K cmp.Ordered](sizes map[K]int, share float64, seed uint64) map[K]bool {
	keys := slices.Sorted(maps.Keys(sizes))
	list := make([]int32, len(keys))
	for i, key := range keys {
		list[i] = int32(sizes[key])
	}
	held := map[K]bool{}
	for i := range hold(list, share, seed) {
		held[keys[i]] = true
	}
	return held
}

// hold is Hold for the sizes of keys in order; it gives their places.
func hold(sizes []int32, share float64, seed uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		total := 0
		for _, n := range sizes {
			total += int(n)
		}
		room := int(math.Ceil(share * float64(total)))
		for _, i := range splitmix.Permutation(splitmix.Mix(seed), len(sizes)) {
			if n := int(sizes[i]); n <= room {
				if room -= n; !yield(i) {
					return
				}
			}
		}
	}
}
