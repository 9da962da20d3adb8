package corpus

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"criticrm/splitmix"
)

// Hold chooses a share of distinct keys, rounded up, by the seed alone: their order does not matter. At least one is left.
func Hold[K cmp.Ordered](keys []K, share float64, seed uint64) (map[K]bool, error) {
	slices.Sort(keys)
	n := int(math.Ceil(share * float64(len(keys))))
	if n >= len(keys) {
		return nil, fmt.Errorf("it has %d prompts: %d of them cannot be held out", len(keys), n)
	}
	held := map[K]bool{}
	for _, i := range splitmix.Permutation(splitmix.Mix(seed), len(keys))[:n] {
		held[keys[i]] = true
	}
	return held, nil
}
