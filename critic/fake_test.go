package critic

import (
	"context"
	"errors"
	"fmt"

	"criticrm/record"
	"criticrm/splitmix"
)

// generatorFunc is a scripted Generator.
type generatorFunc func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error)

func (f generatorFunc) Generate(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
	return f(ctx, reqs, s)
}

// randomGenerator writes critiques that are a pure function of (seed, key, sample), as the contract wants. Some
// have no score and some are cut.
func randomGenerator() generatorFunc {
	return func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		out := make([][]Sample, len(reqs))
		for i, q := range reqs {
			for j := range q.N {
				x := splitmix.Draw(q.Key^splitmix.Mix(s.Seed+1), uint64(j))
				score := 1 + splitmix.Below(x, 10)
				sample := Sample{Text: fmt.Sprintf("Looks fine, %x.\nScore: %d", x&0xFFFF, score), FinishReason: record.FinishStop,
					Tokens: []int32{int32(x & 0x7FFF), int32(score), 4}, LogProb: -float64(x>>40) / (1 << 22)}
				switch splitmix.Below(splitmix.Mix(x), 10) {
				case 0:
					sample.Text = "No verdict."
				case 1:
					sample.Text, sample.FinishReason = sample.Text[:len(sample.Text)-3], record.FinishLength
				}
				if s.Reward {
					v := float32(score) + float32(splitmix.Below(splitmix.Mix(x+1), 100))/64
					sample.Reward = &v
				}
				out[i] = append(out[i], sample)
			}
		}
		return out, ctx.Err()
	}
}

var errScripted = errors.New("scripted failure")
