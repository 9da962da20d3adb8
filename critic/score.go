package critic

// Score: r(x, y) = (1/m) Σ r(x, [y, zᵢ]) over m sampled critiques zᵢ, with the critiques.

import (
	"context"
	"errors"
	"fmt"
	"math"

	"criticrm/record"
	"criticrm/tokenizer"
)

// RewardRequest asks for rewards of given text: one after each critique, or, without critiques, one at the end of
// the response. Critiques are token ids as sampled, because text may not come back to the same ids.
type RewardRequest struct {
	Messages  []tokenizer.Message
	Critiques [][]int32
}

// Rewarder reads rewards without writing text. It gives len(reqs) lists: one reward per critique, or one.
type Rewarder interface {
	Rewards(ctx context.Context, reqs []RewardRequest) ([][]float32, error)
}

// ScoreOptions are the settings of Score; Critiques is m.
type ScoreOptions = GenerateOptions

// DefaultScoreOptions is one critique per response, and no guard: a reward is read behind critiques without a score too.
func DefaultScoreOptions() ScoreOptions {
	o := DefaultGenerateOptions()
	o.Critiques, o.MinParsed = 1, 0
	return o
}

// Score samples o.Critiques critiques per response with their rewards and sets the mean rewards. The samples are
// fresh: their keys differ from those of Generate, so a model is never scored on critiques that it was trained on.
func Score(ctx context.Context, g Generator, records []*record.Record, o ScoreOptions) (*CritiqueStats, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	stats, guard := NewCritiqueStats(o.Scale), newGuard(&o)
	err := inChunks(ctx, records, o.Chunk, func(chunk []*record.Record) error {
		if err := scoreChunk(ctx, g, chunk, &o); err != nil {
			return err
		}
		for _, r := range chunk {
			stats.Observe(r)
			if err := guard.observe(r); err != nil {
				return err
			}
		}
		return nil
	})
	return stats, err
}

func scoreChunk(ctx context.Context, g Generator, records []*record.Record, o *ScoreOptions) error {
	with := *o
	with.Sampling.Reward = true
	return with.work(records, with.question(), false, func(records []*record.Record) error {
		if err := with.sample(ctx, g, records, "score"); err != nil {
			return err
		}
		for _, r := range records {
			if r.Dropped == DropOverlong { // the generator says so
				continue
			}
			for _, side := range r.Sides() {
				mean := MeanReward(*r.SideCritiques(side))
				*r.SideReward(side) = &mean
			}
		}
		return nil
	})
}

// MeanReward is the mean over the critiques that have a reward, in float64; NaN without any.
func MeanReward(list []record.Critique) float64 {
	sum, n := 0.0, 0
	for i := range list {
		if list[i].Reward != nil {
			sum += float64(*list[i].Reward)
			n++
		}
	}
	return sum / float64(n)
}

// PlainOptions are the settings of ScorePlain.
type PlainOptions struct {
	Chunk   int    `json:"-"`     // records per call of the Rewarder
	Model   string `json:"model"` // name or hash of the model
	Reading `json:"-"`
}

// Check says what ScorePlain would refuse a record for; see record.ReadOptions.
func (o *PlainOptions) Check() func(*record.Record) error {
	return o.check(plainQuestion(), true)
}

// plainQuestion is read up to the end of the response.
func plainQuestion() Question { return Question{Messages: (*record.Record).Messages} }

// ScorePlain sets rewards that are read at the end of the responses, without critiques: the scalar reward model.
// The model reads the texts as the record's PlainCut says, which o.Limits sets.
func ScorePlain(ctx context.Context, rw Rewarder, records []*record.Record, o PlainOptions) (*ReadStats, error) {
	stats := &ReadStats{}
	if err := errors.Join(validChunk(&o.Chunk), o.validate()); err != nil {
		return nil, err
	}
	return stats, inChunks(ctx, records, o.Chunk, func(part []*record.Record) error {
		if err := scorePlainChunk(ctx, rw, part, &o); err != nil {
			return err
		}
		for _, r := range part {
			stats.observe(r, r.PlainCut)
		}
		return nil
	})
}

func scorePlainChunk(ctx context.Context, rw Rewarder, records []*record.Record, o *PlainOptions) error {
	q := plainQuestion()
	return o.work(records, q, true, func(records []*record.Record) error {
		var reqs []RewardRequest
		for _, r := range records {
			short := r.Shortened(r.PlainCut)
			for _, side := range r.Sides() {
				reqs = append(reqs, RewardRequest{Messages: q.Messages(short, side)})
			}
		}
		out, err := callRewarder(ctx, rw, reqs)
		if err != nil {
			return fmt.Errorf("critic: score from record %.40q: %w", records[0].ID, err)
		}
		i := 0
		for _, r := range records {
			for _, side := range r.Sides() {
				v := float64(out[i][0])
				*r.SideReward(side) = &v
				i++
			}
		}
		return nil
	})
}

// callRewarder calls rw and refuses answers that break its contract.
func callRewarder(ctx context.Context, rw Rewarder, reqs []RewardRequest) ([][]float32, error) {
	out, err := rw.Rewards(ctx, reqs)
	if err != nil {
		return nil, err
	}
	if len(out) != len(reqs) {
		return nil, fmt.Errorf("rewarder gave %d answers for %d requests", len(out), len(reqs))
	}
	for i, list := range out {
		if want := max(1, len(reqs[i].Critiques)); len(list) != want {
			return nil, fmt.Errorf("rewarder gave %d rewards, want %d", len(list), want)
		}
		for _, v := range list {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("rewarder gave the reward %v", v)
			}
		}
	}
	return out, nil
}
