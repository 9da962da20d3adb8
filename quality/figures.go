package quality

// Figures of verdicts. All take weights, so that a bootstrap draws items by them.

import (
	"cmp"
	"math"
	"slices"
)

// observation is a value that was given to an item: high says right.
type observation struct {
	item  int
	value float64 // NaN: there is none
	right bool
}

// counts are weighted numbers of verdicts; positive is "wrong".
type counts struct{ tp, fp, fn, tn float64 }

func (c *counts) add(saysRight, right bool, w float64) {
	switch {
	case saysRight && right:
		c.tn += w
	case saysRight:
		c.fn += w
	case right:
		c.fp += w
	default:
		c.tp += w
	}
}

// The figures of a method, in this order.
const (
	precision = iota
	recall
	f1
	mcc
	auroc
	accuracy
	figures
)

// ratio is a/b; NaN for 0/0.
func ratio(a, b float64) float64 { return a / b }

// figuresOf writes P, R, F1, MCC and accuracy. F1 is 0 where nothing was found, as CriticBench has it. Matthews' correlation coefficient is
//
//	(tp·tn − fp·fn) / √((tp+fp)(tp+fn)(tn+fp)(tn+fn))
//
// and 0 where a factor is 0 (Chicco and Jurman, BMC Genomics 2020).
func (c *counts) figuresOf(out []float64) {
	out[precision], out[recall] = ratio(c.tp, c.tp+c.fp), ratio(c.tp, c.tp+c.fn)
	out[f1] = 0
	if c.tp > 0 {
		out[f1] = 2 * c.tp / (2*c.tp + c.fp + c.fn)
	}
	out[mcc] = 0
	if d := (c.tp + c.fp) * (c.tp + c.fn) * (c.tn + c.fp) * (c.tn + c.fn); d > 0 {
		out[mcc] = (c.tp*c.tn - c.fp*c.fn) / math.Sqrt(d)
	}
	out[accuracy] = ratio(c.tp+c.tn, c.tp+c.fp+c.fn+c.tn)
}

// verdicts counts what values say against a threshold; a value that is missing is the wrong verdict.
func verdicts(list []observation, threshold float64, drawn []float64) (c counts) {
	for _, o := range list {
		w := drawn[o.item]
		if w == 0 {
			continue
		}
		says := o.value > threshold
		if math.IsNaN(o.value) {
			says = !o.right
		}
		c.add(says, o.right, w)
	}
	return c
}

// byValue sorts those that have a value, once for all draws.
func byValue(list []observation) []observation {
	out := slices.DeleteFunc(slices.Clone(list), func(o observation) bool { return math.IsNaN(o.value) })
	slices.SortStableFunc(out, func(a, b observation) int { return cmp.Compare(a.value, b.value) })
	return out
}

// area is the chance that a right item has a higher value than a wrong one, ties one half: the area under the ROC curve. sorted is byValue's;
// NaN where one of the classes is not there.
func area(sorted []observation, drawn []float64) float64 {
	var wrongBelow, pairs, rights, wrongs float64
	for i := 0; i < len(sorted); {
		var right, wrong float64
		j := i
		for ; j < len(sorted) && sorted[j].value == sorted[i].value; j++ {
			if w := drawn[sorted[j].item]; sorted[j].right {
				right += w
			} else {
				wrong += w
			}
		}
		pairs += right * (wrongBelow + wrong/2)
		wrongBelow += wrong
		rights, wrongs = rights+right, wrongs+wrong
		i = j
	}
	return ratio(pairs, rights*wrongs)
}

// bestThreshold is the threshold with the highest MCC: half-way between two neighbouring values, or as given, and of equally good ones the one
// nearest to given. ok is false where one of the classes is not there.
func bestThreshold(list []observation, given float64) (threshold float64, ok bool) {
	sorted := byValue(list)
	var all counts
	for _, o := range list {
		if math.IsNaN(o.value) {
			all.add(!o.right, o.right, 1)
		}
	}
	var rights, wrongs float64
	for _, o := range sorted { // above a threshold below all: everything is called right
		all.add(true, o.right, 1)
		if o.right {
			rights++
		} else {
			wrongs++
		}
	}
	if rights == 0 || wrongs == 0 {
		return given, false
	}
	var out [figures]float64
	best, at := math.Inf(-1), given
	consider := func(c counts, t float64) {
		c.figuresOf(out[:])
		if v := out[mcc]; v > best+1e-12 || v > best-1e-12 && math.Abs(t-given) < math.Abs(at-given) {
			best, at = max(v, best), t
		}
	}
	here, g := all, all // with the verdicts of the threshold in hand, and of the given one
	for _, o := range sorted {
		if o.value <= given {
			moveToWrong(&g, o.right)
		}
	}
	consider(g, given)
	for i := 0; i < len(sorted); {
		j := i
		for ; j < len(sorted) && sorted[j].value == sorted[i].value; j++ {
			moveToWrong(&here, sorted[j].right)
		}
		if j < len(sorted) {
			consider(here, (sorted[j-1].value+sorted[j].value)/2)
		}
		i = j
	}
	return at, true
}

// moveToWrong turns a verdict "right" into "wrong".
func moveToWrong(c *counts, right bool) {
	c.add(true, right, -1)
	c.add(false, right, 1)
}
