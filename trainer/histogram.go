package trainer

// How the margins of held-out pairs are spread.

import (
	"encoding/json"
	"fmt"
	"math"

	"criticrm/collective"
	"criticrm/internal/tfevents"
)

// histogramBins is how many equal parts the range of the margins has.
const histogramBins = 30

// Histogram counts values in equal parts of [Min, Max]; the last one has its upper end. Of values that are all equal there is one part.
type Histogram struct {
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Counts []int   `json:"counts"`

	sum, squares float64 // of the values
}

// margins is the histogram of the values of all ranks, nil if there are none or one is not finite.
func margins(g *collective.Group, values []float64) (*Histogram, error) {
	own := []float64{float64(len(values)), math.Inf(1), math.Inf(-1), 0, 0}
	for _, x := range values {
		own[1], own[2], own[3], own[4] = min(own[1], x), max(own[2], x), own[3]+x, own[4]+x*x
	}
	all, err := shareAll(g, "the range of an evaluation's margins", own)
	if err != nil {
		return nil, err
	}
	n, h := 0.0, &Histogram{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, x := range all {
		n, h.Min, h.Max, h.sum, h.squares = n+x[0], min(h.Min, x[1]), max(h.Max, x[2]), h.sum+x[3], h.squares+x[4]
	}
	if n == 0 || math.IsNaN(h.sum) || math.IsInf(h.Max-h.Min, 0) {
		return nil, nil
	}
	bins := histogramBins
	if h.Min == h.Max {
		bins = 1
	}
	counts := make([]float64, bins)
	for _, x := range values {
		i := 0
		if bins > 1 {
			i = min(int((x-h.Min)/(h.Max-h.Min)*float64(bins)), bins-1)
		}
		counts[i]++
	}
	if all, err = shareAll(g, "the histogram of an evaluation's margins", counts); err != nil {
		return nil, err
	}
	h.Counts = make([]int, bins)
	for _, x := range all {
		for i := range h.Counts {
			h.Counts[i] += int(x[i])
		}
	}
	return h, nil
}

// shareAll gives the values of all ranks, or of the one there is.
func shareAll(g *collective.Group, what string, own []float64) ([][]float64, error) {
	if g.Size() == 1 {
		return [][]float64{own}, nil
	}
	return g.Share(what, own)
}

// text is the histogram as JSON.
func (h *Histogram) text() []byte {
	b, err := json.Marshal(h)
	if err != nil {
		panic(fmt.Sprintf("trainer: numbers that are finite: %v", err))
	}
	return b
}

// event is the histogram as TensorBoard has it.
func (h *Histogram) event() *tfevents.Histogram {
	e := &tfevents.Histogram{Min: h.Min, Max: h.Max, Sum: h.sum, Squares: h.squares}
	for i, n := range h.Counts {
		e.Limits = append(e.Limits, h.Min+(h.Max-h.Min)*float64(i+1)/float64(len(h.Counts)))
		e.Counts = append(e.Counts, float64(n))
	}
	return e
}
