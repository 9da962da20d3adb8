package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"criticrm/kernels"
	"criticrm/model"
)

// Several processes train together ("data parallel"): every rank has the whole model, packs the whole batch of an update, computes the
// gradients of its own micro-batches, and adds up those of all. The update itself, from equal gradients, is each rank's own. So every decision of
// a run (a step without an update, the end, an evaluation) is made from figures that are equal at all ranks, or are made so in settle.

// first says whether this process writes and reports: it is alone, or rank 0.
func (r *run) first() bool { return r.group.Rank() == 0 }

// work is the context of what a rank may leave unfinished when it is asked to stop: nothing, where others would wait for it.
func (r *run) work(ctx context.Context) context.Context {
	if r.group.Size() > 1 {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// stopping says whether the run ends behind its last step.
func (r *run) stopping(ctx context.Context) bool {
	if r.group.Size() > 1 {
		return r.agreed
	}
	return ctx.Err() != nil
}

// meet makes sure that all ranks have the same data, and gives them the state of rank 0: where the run stands, weights, masters and moments, whether
// they are fresh or of a checkpoint.
func (r *run) meet() error {
	g := r.group
	if err := r.c.checkRanks(g.Size()); err != nil || g.Size() == 1 {
		return err
	}
	if err := g.Agree("the training data's sha256", fmt.Sprintf("%s, %d examples", r.hash, r.data.Len())); err != nil {
		return err
	}
	if err := g.Agree("the sha256 of the weights that are not trained", r.st.Frozen); err != nil {
		return err
	}
	if err := g.Agree("the sum of the first weights", r.m.Fingerprint()); err != nil {
		return err
	}
	var all struct {
		State state
		Saved int
		From  string
	}
	all.State, all.Saved, all.From = r.st, r.saved, r.result.Checkpoint
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if b, err = g.Tell("the run's state", b); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if r.st, r.saved = all.State, all.Saved; r.saved >= 0 && !r.first() { // rank 0 has done so, and says what cannot be
		r.m.Dev.UseAlgorithms(r.st.Products)
	}
	if r.m.Divided() > 0 {
		return r.meetDivided(all.From)
	}
	for _, p := range r.m.Spans() {
		if stays(p) {
			continue
		}
		state := []kernels.Tensor{p.W, p.Master}
		if r.saved >= 0 { // fresh moments are zeros everywhere
			state = append(state, p.M, p.V, p.Scale)
		}
		for _, t := range state {
			if t.IsNil() {
				continue
			}
			if err := g.Broadcast("the state of "+p.Name, t.View(t.Len()), 0); err != nil {
				return err
			}
		}
	}
	return r.m.Dev.Sync()
}

// share makes a step's figures those of all ranks, added in their order, and hears whether one of them was asked to stop. What is computed
// from equal numbers must be equal: ranks that have come apart are an error.
func (r *run) share(m *Metrics, bad int, was *pending) error {
	if g := r.group; g.Size() > 1 {
		stop, written := 0.0, 0.0
		if was.stop {
			stop = 1
		}
		if r.writing.ended() {
			written = 1
		}
		all, err := g.Share(fmt.Sprintf("the figures of step %d", m.Step), []float64{stop, m.GradNorm, float64(bad), m.Loss, m.CritiqueLoss, m.RewardLoss, m.Accuracy, m.Margin, float64(m.Ties),
			float64(m.Rewards.N), float64(m.Rewards.Min), float64(m.Rewards.Max), m.Rewards.Sum, m.Rewards.Squares, written})
		if err != nil {
			return err
		}
		for rank, x := range all {
			if math.Float64bits(x[1]) != math.Float64bits(all[0][1]) || x[2] != all[0][2] {
				return g.Fail(fmt.Errorf("trainer: step %d: the ranks have come apart: the norm of the summed gradients is %v at rank 0 and %v at rank %d", m.Step, all[0][1], x[1], rank))
			}
		}
		m.Loss, m.CritiqueLoss, m.RewardLoss, m.Accuracy, m.Margin, m.Ties = 0, 0, 0, 0, 0, 0
		m.Rewards = model.Rewards{}
		r.allWritten = true
		for _, x := range all {
			r.allWritten = r.allWritten && x[14] == 1
			r.agreed = r.agreed || x[0] == 1
			m.Loss, m.CritiqueLoss, m.RewardLoss = m.Loss+x[3], m.CritiqueLoss+x[4], m.RewardLoss+x[5]
			m.Accuracy, m.Margin, m.Ties = m.Accuracy+x[6], m.Margin+x[7], m.Ties+int(x[8])
			m.Rewards.Join(model.Rewards{N: int(x[9]), Min: float32(x[10]), Max: float32(x[11]), Sum: x[12], Squares: x[13]})
		}
	}
	if was.weight == 0 {
		m.CritiqueLoss = nan()
	}
	if was.pairs[0] == 0 {
		m.RewardLoss = nan()
	}
	compared([]*float64{&m.Accuracy, &m.Margin}, was.pairs[0], was.pairs[1])
	return nil
}

// tellOthers ends the group with an error of this rank, unless they stop together.
func (r *run) tellOthers(err error) error {
	if err == nil || r.group.Size() == 1 || errors.Is(err, ErrInterrupted) {
		return err
	}
	return r.group.Fail(err)
}
