package trainer

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/render"
)

// labels makes single responses of pairs, each with its label, with critiques or without.
func labels(d Slice) (out Slice) {
	for _, e := range d {
		right, wrong := e, e
		right.Rejected, wrong.Chosen = render.Reply{}, render.Reply{}
		out = append(out, right, wrong)
	}
	return out
}

// TestObjectives: each way to weigh and smooth pairs is learned; before the first update the loss is what the formulas say of equal rewards, and
// behind each one the kernels' loss and the evaluation's, which is computed apart and in float64, are the same.
func TestObjectives(t *testing.T) {
	n := devicetest.Fewer(12, 6)
	weighted := pairs(n)
	for i := range weighted {
		weighted[i].Margin = float32(i%3 + 1)
	}
	for _, x := range []struct {
		name   string
		data   Slice
		change func(*Config)
		first  float64
	}{
		{"smoothing", pairs(n), func(c *Config) { c.LabelSmoothing = 0.2 }, math.Ln2},
		{"scaled", weighted, func(c *Config) { c.ScaleByMargin = true }, 2 * math.Ln2},
		{"scaled, smoothed and centred", weighted, func(c *Config) { c.ScaleByMargin, c.LabelSmoothing, c.CenterCoefficient = true, 0.1, 0.01 }, 2 * math.Ln2},
		{"labels", labels(pairs(n)), func(*Config) {}, math.Ln2},
		{"labels, mean", labels(pairs(n)), func(c *Config) { c.Pairing = "mean" }, math.Ln2},
		{"labels, zip, smoothed", labels(pairs(n)), func(c *Config) { c.Pairing, c.LabelSmoothing = "zip", 0.05 }, math.Ln2},
		{"labels and pairs", slices.Concat(labels(pairs(n/2)), pairs(n)), func(*Config) {}, math.Ln2},
	} {
		for _, method := range []string{BT, Critic} {
			c := testConfig("")
			c.UseMargin, c.CenterCoefficient, c.Method, c.LambdaSchedule, c.BatchSize, c.Accumulation, c.BatchTokens = false, 0, method, "constant", len(x.data), 1, 0
			c.MaxSteps, c.LearningRate, c.WarmupSteps, c.Scheduler, c.WeightDecay, c.MaxGradNorm = 60, 1e-2, 1, "constant", 0, 0
			x.change(&c)
			m := tiny(t, c, 1)
			var all []Metrics
			var ahead []float64
			if _, err := Train(t.Context(), m, x.data, c, WithReport(Report{OnStep: func(s Metrics) {
				all = append(all, s)
			}})); err != nil {
				t.Fatal(err)
			}
			if first := all[0].RewardLoss; math.Abs(first-x.first) > 1e-5 {
				t.Errorf("%s, %s: the first loss is %v, want %v", method, x.name, first, x.first)
			}
			if last := all[len(all)-1]; last.Accuracy < 0.95 || last.RewardLoss > 0.8*x.first {
				t.Errorf("%s, %s: accuracy %v, reward loss %v at the end", method, x.name, last.Accuracy, last.RewardLoss)
			}
			c.MaxSteps = 1 // the kernels' loss of the next step, before its update
			next := c
			next.LearningRate = 1e-30
			e, err := Evaluate(t.Context(), m, x.data, c, 0.5)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Train(t.Context(), m, x.data, next, WithReport(Report{OnStep: func(s Metrics) { ahead = append(ahead, s.RewardLoss, s.Accuracy, s.Margin) }})); err != nil {
				t.Fatal(err)
			}
			for i, want := range []float64{e.RewardLoss, e.Accuracy, e.Margin} {
				if math.Abs(ahead[i]-want) > 2e-5*(1+math.Abs(want)) {
					t.Errorf("%s, %s: figure %d is %v, the evaluation's %v", method, x.name, i, ahead[i], want)
				}
			}
		}
	}
}

// TestScaleIsRepetition: a pair of weight 2 has the gradient of the pair twice.
func TestScaleIsRepetition(t *testing.T) {
	d := pairs(2)
	d[0].Margin, d[1].Margin = 2, 1
	twice := Slice{d[0], d[0], d[1]}
	run := func(data Slice, scaled bool) []float32 {
		c := testConfig("")
		c.Method, c.UseMargin, c.CenterCoefficient, c.ScaleByMargin, c.BatchSize, c.Accumulation, c.MaxSteps = BT, false, 0, scaled, len(data), 1, 1
		c.Scheduler, c.LearningRate, c.DataOrder, c.MaxGradNorm = "constant", 1e-2, "sequential", 0
		m := tiny(t, c, 1)
		if _, err := Train(t.Context(), m, data, c); err != nil {
			t.Fatal(err)
		}
		g := make([]float32, m.Gradients().Len())
		m.Dev.Download(g, m.Gradients())
		return g
	}
	a, b := run(d, true), run(twice, false)
	for i := range a {
		if want := 1.5 * b[i]; math.Abs(float64(a[i]-want)) > 1e-5*(1+math.Abs(float64(want))) { // means over 2 and 3 pairs
			t.Fatalf("gradient %d is %v, want %v", i, a[i], want)
		}
	}
}

// TestLabelledExamples: one response with a label keeps its bytes and counts as a pair.
func TestLabelledExamples(t *testing.T) {
	for _, e := range labels(pairs(3)) {
		b, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back render.Example
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		again, err := back.AppendBinary(nil)
		if p := (render.Parts{Rewards: true}); err != nil || !bytes.Equal(b, again) || !back.IsLabelled() || back.Size(p).Pairs != 1 || back.Check(p, tinyVocab) != nil {
			t.Errorf("%+v, %v", back, err)
		}
	}
}
