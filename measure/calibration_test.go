package measure

import (
	"math"
	"testing"

	"criticrm/record"
	"criticrm/splitmix"
)

func rewarded(category, chosen, rejected string, difference float64) *record.Record {
	return &record.Record{Prompt: record.Prompt{Text: "p"}, Category: category, Chosen: chosen, Rejected: rejected,
		ChosenReward: new(1 + difference), RejectedReward: new(1.0)}
}

// Four pairs by hand. σ(ln 3) = 3/4, σ(ln 19) = 19/20.
//
//	difference   p      (1-p)²    confidence   right
//	 ln 3        .75    .0625     .75          1
//	-ln 3        .25    .5625     .75          0
//	 ln 19       .95    .0025     .95          1
//	 0           .5     .25       .5           ½
func TestCalibration(t *testing.T) {
	pairs := []*record.Record{rewarded("a", "x", "y", math.Log(3)), rewarded("a", "x", "y", -math.Log(3)), rewarded("b", "x", "y", math.Log(19)), rewarded("b", "x", "y", 0)}
	r, err := Evaluate(pairs, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	c := r.Calibration
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("Brier score", c.Brier.Mean, (.0625+.5625+.0025+.25)/4)
	near("Brier score of a", c.Brier.Categories[0].Mean, .3125)
	near("log loss", c.LogLoss.Mean, -(math.Log(.75)+math.Log(.25)+math.Log(.95)+math.Log(.5))/4)
	near("ECE", c.ECE, (2*.25+.05+0)/4)
	near("ECE of a", c.CategoryECE["a"], .25)
	near("ECE of b", c.CategoryECE["b"], .025)
	if len(c.Bins) != 3 || c.Bins[0].N != 1 || c.Bins[1].N != 2 || c.Bins[2].N != 1 {
		t.Fatalf("bins %+v", c.Bins)
	}
	near("accuracy of the middle bin", c.Bins[1].Accuracy, .5)
	near("confidence of the middle bin", c.Bins[1].Confidence, .75)
	if r.Length.Rewards != nil || r.Length.Difference != nil {
		t.Errorf("all responses are of one length, and it correlates: %+v", r.Length)
	}
}

func uniform(key uint64, i int) float64 {
	return float64(splitmix.Draw(key, uint64(i))>>11) / (1 << 53)
}

// A model whose probabilities are right is calibrated, one that is three times as sure is not.
func TestCalibrationOfDraws(t *testing.T) {
	const n = 20000
	var right, sure []*record.Record
	for i := range n {
		d := 6 * (uniform(1, i) - 0.5)
		if uniform(2, i) > sigmoid(d) {
			d = -d // the response with the lower reward is the preferred one
		}
		right, sure = append(right, rewarded("", "x", "y", d)), append(sure, rewarded("", "x", "y", 3*d))
	}
	bins, ece := reliability(right, .95)
	if ece > 0.02 { // the sum over ten bins of sd .5/√2000 is about .01
		t.Errorf("ECE %v of a calibrated model: %+v", ece, bins)
	}
	for _, b := range bins {
		if b.Confidence < b.Low || b.Confidence > b.High || b.Accuracy < b.Interval.Low || b.Accuracy > b.Interval.High {
			t.Errorf("bin %+v", b)
		}
	}
	if _, ece := reliability(sure, .95); ece < 0.1 {
		t.Errorf("ECE %v of a model that is too sure", ece)
	}
}

// Wilson's interval of 8 of 10 is that of R's prop.test(8, 10, correct = FALSE); one of 10 of 10 has a width: n/(n + z²).
func TestWilson(t *testing.T) {
	if w := wilson(.8, 10, .95); math.Abs(w.Low-.4902) > 5e-5 || math.Abs(w.High-.9433) > 5e-5 {
		t.Errorf("8 of 10: %+v", w)
	}
	if w := wilson(1, 10, .95); w.High != 1 || math.Abs(w.Low-.7225) > 5e-5 {
		t.Errorf("10 of 10: %+v", w)
	}
}

func TestLength(t *testing.T) {
	// Rewards are 1 + the length of chosen - 1 and 1: they rise with the length, in characters, not bytes.
	pairs := []*record.Record{rewarded("", "ä", "y", 0), rewarded("", "ää", "y", 1), rewarded("", "äää", "y", 2)}
	r, err := Evaluate(pairs, DefaultEvalOptions())
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Length; l.Responses != 6 || math.Abs(*l.Rewards-1) > 1e-12 || math.Abs(*l.Difference-1) > 1e-12 {
		t.Errorf("%d responses, correlations %v and %v", l.Responses, *l.Rewards, *l.Difference)
	}
}
