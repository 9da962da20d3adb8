package model_test

import (
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// TestSpans: the spans have the elements of all parameters, in their order, and their moments with the scales of their blocks.
func TestSpans(t *testing.T) {
	for _, o := range []model.Options{{}, {DType: kernels.BF16}, {DType: kernels.BF16, StochasticRounding: true, Moments8Bit: true}} {
		for _, f := range []int{48, 42, 41} { // parts of whole blocks of 256; not; and gaps between tensors
			c := tinyConfig()
			c.HiddenSize, c.IntermediateSize, o.Train, o.Head = 64, f, true, true
			m := newModel(t, c, o, 1)
			var want, got [2][]float32
			scales, names := [2]int{}, 0
			for i, p := range m.Params() {
				x := random(p.W.Len(), float64(i+1))
				m.Dev.Upload(p.W, x)
				m.Dev.Upload(p.G, x)
				w := make([]float32, len(x))
				m.Dev.Download(w, p.W)
				want[0], want[1] = append(want[0], w...), append(want[1], x...)
				if !p.Scale.IsNil() {
					scales[0] += p.Scale.Shape()[0]
				}
				names++
			}
			first := -1
			for _, r := range m.Spans() {
				for i, t := range []kernels.Tensor{r.W, r.G} {
					x := make([]float32, t.Len())
					m.Dev.Download(x, t)
					got[i] = append(got[i], x...)
				}
				if !r.Scale.IsNil() {
					scales[1] += r.Scale.Shape()[0]
				}
				if n := r.W.Len(); r.M.Len() != n || r.V.Len() != n || !r.Master.IsNil() && r.Master.Len() != n || r.First <= first {
					t.Errorf("%v: a run of %d elements from %d on has moments of %d and %d", r.Name, n, r.First, r.M.Len(), r.V.Len())
				}
				first = r.First
			}
			if !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) || scales[0] != scales[1] {
				t.Errorf("%+v, F %d: the runs have other elements than the parameters", o, f)
			}
			if f == 48 && len(m.Spans()) > names/2 {
				t.Errorf("%+v: %d spans of %d parameters", o, len(m.Spans()), names)
			}
		}
	}
}
