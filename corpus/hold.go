package corpus

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"criticrm/splitmix"
)

// Hold chooses keys whose sizes come to a share of all, rounded up, or to less where they do not fit: by the seed and the keys alone, their order does not
// matter. Keys of one size are chosen with equal chances.
func Hold[K cmp.Ordered](sizes map[K]int, share float64, seed uint64) map[K]bool {
	keys := slices.Sorted(maps.Keys(sizes))
	total := 0
	for _, n := range sizes {
		total += n
	}
	room := int(math.Ceil(share * float64(total)))
	held := map[K]bool{}
	for _, i := range splitmix.Permutation(splitmix.Mix(seed), len(keys)) {
		if n := sizes[keys[i]]; n <= room {
			held[keys[i]] = true
			room -= n
		}
	}
	return held
}
