package model

import (
	"math"
	"testing"
)

func TestRewards(t *testing.T) {
	x := []float32{3, -1, 4, -1.5, 9, 2.5}
	var all, a, b, none Rewards
	all.Add(x)
	a.Add(x[:2])
	b.Add(x[2:])
	a.Join(none)
	none.Join(b)
	a.Join(none)
	if a != all {
		t.Errorf("%+v in two parts, %+v in one", a, all)
	}
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += float64(v) / 6
	}
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean) / 6
	}
	if all.N != 6 || all.Min != -1.5 || all.Max != 9 || math.Abs(all.Mean()-mean) > 1e-14 || math.Abs(all.Std()-math.Sqrt(square)) > 1e-14 {
		t.Errorf("%+v: mean %v, deviation %v", all, all.Mean(), all.Std())
	}
	var equal Rewards
	equal.Add([]float32{0.1, 0.1, 0.1})
	if equal.Std() > 1e-8 || math.IsNaN(equal.Std()) || !math.IsNaN((Rewards{}).Mean()) {
		t.Errorf("equal rewards: %v, none: %v", equal.Std(), (Rewards{}).Mean())
	}
}
