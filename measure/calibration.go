package measure

// Whether rewards mean what they say, and how much of them is length.

import (
	"math"
	"unicode/utf8"

	"criticrm/record"

	"gonum.org/v1/gonum/stat"
)

// calibrationBins divide the model's confidence, from one half (it cannot tell) to one.
const calibrationBins = 10

// Calibration compares what a reward model believes with what is so. The probability that it gives to chosen is p = σ(reward of chosen -
// reward of rejected); its confidence, in the response that it prefers, is the larger one of p and 1 - p.
type Calibration struct {
	Brier   Estimate         `json:"brier"`    // mean of (1 - p)²: 0.25 for a model that cannot tell, 0 for a perfect one
	LogLoss Estimate         `json:"log_loss"` // mean of -ln p: 0.693 for a model that cannot tell
	ECE     float64          `json:"ece"`      // expected calibration error: mean over pairs of |confidence - accuracy| of their bins
	Bins    []CalibrationBin `json:"bins"`     // those with pairs, by confidence

	CategoryECE map[string]float64 `json:"category_ece"` // by the categories of Brier and LogLoss
}

// CalibrationBin is the pairs with a confidence of Low to High.
type CalibrationBin struct {
	Low        float64  `json:"low"`
	High       float64  `json:"high"`
	N          int      `json:"n"`
	Confidence float64  `json:"confidence"` // mean
	Accuracy   float64  `json:"accuracy"`   // share in which the preferred response is chosen, ties one half
	Interval   Interval `json:"interval"`   // Wilson's, of the accuracy
}

// Length tells how much rewards follow the length of responses, in characters. A correlation is nil where one of the two is constant.
type Length struct {
	Responses  int      `json:"responses"`
	Rewards    *float64 `json:"rewards,omitempty"`    // Pearson's correlation of reward and length, over responses
	Difference *float64 `json:"difference,omitempty"` // … of the difference in reward and that in length, over pairs
}

// calibrate measures pairs that have rewards.
func calibrate(pairs []*record.Record, boot *Bootstrap) *Calibration {
	c := &Calibration{CategoryECE: map[string]float64{}}
	brier, loss := make([]float64, len(pairs)), make([]float64, len(pairs))
	byCategory := map[string][]*record.Record{}
	for i, r := range pairs {
		d := *r.ChosenReward - *r.RejectedReward
		p := sigmoid(d)
		brier[i], loss[i] = (1-p)*(1-p), max(-d, 0)+math.Log1p(math.Exp(-math.Abs(d)))
		byCategory[r.Group()] = append(byCategory[r.Group()], r)
	}
	c.Brier, c.LogLoss = boot.Mean(brier), boot.Mean(loss)
	c.Bins, c.ECE = reliability(pairs, boot.level)
	for name, list := range byCategory {
		_, c.CategoryECE[name] = reliability(list, boot.level)
	}
	return c
}

// reliability sorts pairs into bins of confidence.
func reliability(pairs []*record.Record, level float64) (bins []CalibrationBin, ece float64) {
	var all [calibrationBins]CalibrationBin
	for _, r := range pairs {
		d := *r.ChosenReward - *r.RejectedReward
		confidence, right := sigmoid(math.Abs(d)), 0.5
		if d > 0 {
			right = 1
		} else if d < 0 {
			right = 0
		}
		b := &all[min(int((confidence-0.5)*2*calibrationBins), calibrationBins-1)]
		b.N++
		b.Confidence += confidence
		b.Accuracy += right
	}
	for i, b := range all {
		if b.N == 0 {
			continue
		}
		b.Low, b.High = 0.5+float64(i)/(2*calibrationBins), 0.5+float64(i+1)/(2*calibrationBins)
		b.Confidence /= float64(b.N)
		b.Accuracy /= float64(b.N)
		b.Interval = wilson(b.Accuracy, b.N, level)
		ece += math.Abs(b.Confidence-b.Accuracy) * float64(b.N) / float64(len(pairs))
		bins = append(bins, b)
	}
	return bins, ece
}

// wilson is Wilson's interval of a share among n: unlike a bootstrap's it has a width where all of few are right.
func wilson(share float64, n int, level float64) Interval {
	z := math.Sqrt2 * math.Erfinv(level)
	w := z * z / float64(n)
	middle := (share + w/2) / (1 + w)
	half := z / (1 + w) * math.Sqrt(share*(1-share)/float64(n)+w/(4*float64(n)))
	return Interval{Low: max(middle-half, 0), High: min(middle+half, 1)}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// lengths correlates pairs' rewards with the lengths of their responses.
func lengths(pairs []*record.Record) *Length {
	var reward, length, rewardDiff, lengthDiff []float64
	for _, r := range pairs {
		c, j := float64(utf8.RuneCountInString(r.Chosen)), float64(utf8.RuneCountInString(r.Rejected))
		reward, length = append(reward, *r.ChosenReward, *r.RejectedReward), append(length, c, j)
		rewardDiff, lengthDiff = append(rewardDiff, *r.ChosenReward-*r.RejectedReward), append(lengthDiff, c-j)
	}
	return &Length{Responses: len(reward), Rewards: correlation(reward, length), Difference: correlation(rewardDiff, lengthDiff)}
}

func correlation(x, y []float64) *float64 {
	c := stat.Correlation(x, y, nil)
	if math.IsNaN(c) {
		return nil
	}
	return &c
}
