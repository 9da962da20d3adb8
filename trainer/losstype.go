package trainer

// What rewards learn: pairs, or scores.

import "fmt"

// Kinds of reward loss.
const (
	BradleyTerry = "bradley_terry" // -log σ of the difference of a pair's rewards
	Regression   = "regression"    // squared error of each response's reward against its score
)

// regression says whether rewards are held against scores.
func (c Config) regression() bool { return c.rewards() && c.LossType == Regression }

// checkLossType refuses what only pairs can have beside another loss, and what the loss has no use for.
func (c Config) checkLossType() error {
	if c.LossType == BradleyTerry {
		return nil
	}
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"use_margin", c.UseMargin}, {"scale_by_margin", c.ScaleByMargin}, {"label_smoothing", c.LabelSmoothing != 0}, {"center_rewards_coefficient", c.CenterCoefficient != 0},
	} {
		if f.given {
			return fmt.Errorf("trainer: config: %s: is of pairs' loss, and loss_type is %s: leave it out, or set loss_type %s", f.name, c.LossType, BradleyTerry)
		}
	}
	return nil
}

// compared makes figures of comparisons, which were divided by pairs, means over those that were compared; NaN if none was.
func compared(figures []*float64, pairs, compared int) {
	for _, x := range figures {
		switch {
		case compared == 0:
			*x = nan()
		case compared != pairs:
			*x *= float64(pairs) / float64(compared)
		}
	}
}
