package trainer

import (
	"math"

	"criticrm/kernels"
	"criticrm/model"
)

// listSums is pairSums of ranked lists: Σ over sides of log(1 + Σ exp(r' - r)) over the worse ones, the mean over terms; and of the comparisons in a
// list the share that is right and the mean difference.
func listSums(b *model.Batch, reward []float32, pairing kernels.Pairing, each func(list int, accuracy, margin float64)) (total sums) {
	for p := range len(b.List) - 1 {
		var sides []int
		terms := math.MaxInt
		for s := int(b.List[p]); s < int(b.List[p+1]); s++ {
			if n := int(b.SidePtr[s+1] - b.SidePtr[s]); n > 0 {
				sides, terms = append(sides, s), min(terms, n)
			}
		}
		if pairing == kernels.Mean {
			terms = 1
		}
		if len(sides) == 0 {
			continue
		}
		of := func(s, term int) float64 {
			leaves := reward[b.SidePtr[s]:b.SidePtr[s+1]]
			if pairing == kernels.Mean {
				return mean(leaves)
			}
			return float64(leaves[term])
		}
		var list sums
		compared := 0.0
		for term := range terms {
			for _, s := range sides {
				own := of(s, term)
				top, whole := own, 0.0
				var worse []float64
				for _, z := range sides {
					if z < int(b.Worse[s]) {
						continue
					}
					other := of(z, term)
					worse, top = append(worse, other), max(top, other)
					compared++
					list.margin += own - other
					switch {
					case own > other:
						list.accuracy++
					case own == other:
						list.accuracy += 0.5
						list.ties++
					}
				}
				for _, r := range append(worse, own) {
					whole += math.Exp(r - top)
				}
				list.loss += (top - own + math.Log(whole)) / float64(terms)
			}
		}
		total.loss, total.ties = total.loss+list.loss, total.ties+list.ties
		if compared > 0 {
			each(p, list.accuracy/compared, list.margin/compared)
			total.accuracy, total.margin = total.accuracy+list.accuracy/compared, total.margin+list.margin/compared
		}
	}
	return total
}
