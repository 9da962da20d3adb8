package measure

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// In blocks or in one, a tally is the bootstrap's mean, to the last digit.
func TestTally(t *testing.T) {
	for round := range 20 {
		rng := rand.New(rand.NewPCG(uint64(round), 5))
		categories := []string{"none", "b", "a", "ü", "B"}
		var prompts []int
		var names []string
		var x []float64
		parts, order := map[int][]Part{}, []int(nil)
		for range 1 + rng.IntN(300) {
			prompt, c, halves := rng.IntN(1+10*round), 1+rng.IntN(4), rng.IntN(3)
			prompts, names, x = append(prompts, prompt), append(names, categories[c]), append(x, float64(halves)/2)
			if parts[prompt] == nil {
				order = append(order, prompt)
			}
			i := slices.IndexFunc(parts[prompt], func(p Part) bool { return p.Category == c })
			if i < 0 {
				i = len(parts[prompt])
				parts[prompt] = append(parts[prompt], Part{Category: c})
			}
			add(&parts[prompt][i], Part{N: 1, Halves: halves}, 1)
		}
		want := NewBootstrapBy(prompts, names, 70, .9, 3).Mean(x)
		for _, most := range [][2]int{{tallyBlock, tallyKinds}, {7, 100}, {1000, 3}, {1, 1}} {
			tally := newTally(len(order), categories, 70, .9, 3, most[0], most[1])
			for _, prompt := range order {
				tally.Add(parts[prompt])
			}
			if d := cmp.Diff(want, tally.Estimate()); d != "" {
				t.Errorf("round %d, %s: %s", round, fmt.Sprint(most), d)
			}
		}
	}
}
