package trainer

// Steps whose gradient norm is far above those before it ("spikes") change nothing, with skip_grad_norm_zscore.
//
// A step's figures are read one step late, so the host cannot decide about a step by its own norm without waiting for it. What it can tell in time is the
// limit, which depends on the steps before: it goes along with the update, and the device, which has the norm, compares the two (kernels.AdamW.SkipNorm). The host
// makes the same comparison of the same two float32 when it reads the norm.

import (
	"fmt"
	"math"
)

// checkSpikes refuses a window of which nothing can be told.
func (c Config) checkSpikes() error {
	if c.SkipZScore > 0 && c.SkipWindow < 2 {
		return fmt.Errorf("trainer: config: skip_window: got %d, want 2 or more with skip_grad_norm_zscore", c.SkipWindow)
	}
	return nil
}

// normLimit is the gradient norm over which the next step changes nothing: z standard deviations above the mean of the last ones; 0: there is none, while not half of
// the window is full.
func (r *run) normLimit() float32 {
	last := r.st.Norms
	if r.c.SkipZScore == 0 || len(last) < max(2, r.c.SkipWindow/2) {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, x := range last {
		mean += x / float64(len(last))
	}
	for _, x := range last {
		squares += (x - mean) * (x - mean)
	}
	return float32(mean + r.c.SkipZScore*math.Sqrt(squares/float64(len(last)-1)))
}

// over says whether a norm is over a limit that the device had.
func over(norm float64, limit float32) bool { return limit > 0 && norm > float64(limit) }

// took counts a step by what became of it, and says whether its gradient was finite.
func (r *run) took(m *Metrics, bad int, limit float32) (finiteStep bool) {
	m.NormLimit = float64(limit)
	m.Skipped = true
	switch {
	case !finite(m.GradNorm, bad):
		r.st.Skipped++
		r.st.SkipRow++
		r.console.say("step %d: no update: the gradient has %d elements that are not finite", m.Step, bad)
		return false
	case over(m.GradNorm, limit):
		r.st.Skipped++
		r.st.Spikes++
		r.console.say("step %d: no update: the gradient norm %.4g is over %.4g, which is %g standard deviations above the mean of the last %d (skip_grad_norm_zscore)",
			m.Step, m.GradNorm, limit, r.c.SkipZScore, len(r.st.Norms))
	default:
		m.Skipped = false
		r.st.Updates++
	}
	r.st.SkipRow = 0
	r.remember(m.GradNorm, limit)
	return true
}

// spikeCounts is how many times its limit a spike counts among the last norms, at most: a single one, however large, does not hide the next for long, and norms that stay
// higher raise the limit until it is over them. With 1 the limit could come to rest below them.
const spikeCounts = 2

// remember takes a norm among the last ones.
func (r *run) remember(norm float64, limit float32) {
	if r.c.SkipZScore == 0 {
		return
	}
	if over(norm, limit) {
		norm = min(norm, spikeCounts*float64(limit))
	}
	r.st.Norms = append(r.st.Norms, norm)
	r.st.Norms = r.st.Norms[max(0, len(r.st.Norms)-r.c.SkipWindow):]
}

// saySpikes warns of a run that is too short for any limit.
func (r *run) saySpikes() {
	if from := max(2, r.c.SkipWindow/2); r.c.SkipZScore > 0 && r.plan.Total <= from {
		r.console.say("warning: skip_grad_norm_zscore: the run has %d updates, and spikes are told from update %d on: lower skip_window", r.plan.Total, from+1)
	}
}
