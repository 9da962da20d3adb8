package trainer

import "math"

// Plan is the length of a run in updates.
type Plan struct {
	Examples int // usable examples of the data set
	Batch    int // examples of one update; the last one of an epoch may have fewer
	PerEpoch int // updates of an epoch
	Total    int // updates of the run
}

// NewPlan computes the length of a run over n examples: with a batch of per_device_train_batch_size × gradient_accumulation_steps (where those are
// 0, 12 or as many as leave 16 updates an epoch), ⌈n/batch⌉ updates an epoch, max_steps of them or
// ⌈num_train_epochs·PerEpoch⌉.
func NewPlan(c Config, n int) Plan {
	accumulation := c.Accumulation
	if accumulation == 0 {
		accumulation = min(12, max(1, n/(16*c.BatchSize)))
	}
	p := Plan{Examples: n, Batch: c.BatchSize * accumulation}
	p.PerEpoch = (n + p.Batch - 1) / p.Batch
	p.Total = c.MaxSteps
	if c.MaxSteps <= 0 {
		p.Total = int(math.Ceil(c.Epochs*float64(p.PerEpoch) - 1e-9))
	}
	return p
}

// LRFactor is the share of the peak learning rate at update step (from 0). Warm-up is linear, (step+1)/warmup, so that no
// update is wasted on a rate of zero, where warmup_from_zero does not ask for one; it then stays at 1 until stable_fraction of the run, and decays over the rest
// towards min_lr_ratio, which the step after the last one would have. With lambda_schedule: last-epoch it does all that twice, before the last
// epoch and in it: the reward head learns in the last epoch alone, and would find nothing left of the rate.
func LRFactor(c Config, p Plan, step int) float64 {
	total := p.Total
	if fall := c.lambdaFalls(p); c.LambdaSchedule == LastEpoch && fall > 0 && fall < p.Total {
		if total = fall; step >= fall {
			step, total = step-fall, p.Total-fall
		}
	}
	return lrFactor(c, total, step)
}

// lrFactor is the share at update step of so many.
func lrFactor(c Config, total, step int) float64 {
	if c.Scheduler == "constant" {
		return 1
	}
	warmup := c.WarmupSteps
	if warmup == 0 {
		warmup = int(math.Ceil(c.WarmupRatio * float64(total)))
	}
	if step < warmup {
		if c.WarmupFromZero {
			return float64(step) / float64(warmup)
		}
		return float64(step+1) / float64(warmup)
	}
	hold := max(warmup, int(math.Round(c.StableFraction*float64(total))))
	if c.Scheduler == "constant_with_warmup" || step < hold {
		return 1
	}
	t := 1.0
	if total > hold {
		t = min(1, float64(step-hold)/float64(total-hold))
	}
	fall := t
	if c.Scheduler == "cosine" {
		fall = (1 - math.Cos(math.Pi*t)) / 2
	}
	return 1 - (1-c.MinLRRatio)*fall
}

// lambdaFalls is the update from which on lambda falls; behind the last one where it never does.
func (c *Config) lambdaFalls(p Plan) int {
	switch {
	case c.Method != Critic || c.LambdaSchedule == "constant":
		return p.Total
	case c.LambdaSchedule == "linear":
		return int(math.Round(c.LambdaHold * float64(p.Total)))
	}
	return max(p.Total-p.PerEpoch, 0)
}

// Lambda is the weight of the critique loss at update step (from 0); the reward loss has 1-Lambda.
//
//	last-epoch: 1 until the last epoch of T updates, then 1 - beta·t/T, t = 0 … T-1
//	linear:     1 for lambda_hold of the run, then 1 - beta·t/T over the T updates that are left
//	constant:   w/(1+w), w = lm_weight, which is reward + w·critique up to a factor
func Lambda(c Config, p Plan, step int) float64 {
	constant := c.LMWeight / (1 + c.LMWeight)
	switch {
	case c.Method == BT:
		return 0
	case c.Method == SFT || c.Method == LM:
		return 1
	case c.Method == Cloud || c.LambdaSchedule == "constant":
		return constant
	}
	start := c.lambdaFalls(p)
	if step < start {
		return 1
	}
	return 1 - c.LambdaBeta*min(1, float64(step-start)/float64(max(p.Total-start, 1)))
}

// rewardUpdates is how many updates train rewards.
func rewardUpdates(c Config, p Plan) (n int) {
	for step := range p.Total {
		if Lambda(c, p, step) < 1 {
			n++
		}
	}
	return n
}

// untrained is a reward loss at which a run has learned next to nothing: that of equal rewards is ln 2 = 0.693.
const untrained = 0.65

// tail is the last few of a row of losses.
type tail struct {
	last [8]float64
	n    int
}

func (t *tail) add(loss float64) {
	if !math.IsNaN(loss) {
		t.last[t.n%len(t.last)] = loss
		t.n++
	}
}

// mean is NaN of nothing.
func (t *tail) mean() float64 { return mean64(t.last[:min(t.n, len(t.last))]) }

func mean64(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
