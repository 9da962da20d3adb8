package critic_test

import (
	"context"
	"fmt"
	"strings"

	"criticrm/critic"
	"criticrm/measure"
	"criticrm/record"
)

// toyCritic stands for a language model: it praises answers that hold the word "four".
type toyCritic struct{}

func (toyCritic) Generate(_ context.Context, reqs []critic.Request, s record.Sampling) ([][]critic.Sample, error) {
	out := make([][]critic.Sample, len(reqs))
	for i, q := range reqs {
		answer := q.Messages[1].Content
		for j := range q.N {
			score, reward := 2+j, float32(-1)
			if strings.Contains(answer, "four") {
				score, reward = 8+j, 1
			}
			sample := critic.Sample{Text: fmt.Sprintf("I checked the sum.\nScore: %d", score), FinishReason: record.FinishStop}
			if s.Reward {
				sample.Reward = &reward
			}
			out[i] = append(out[i], sample)
		}
	}
	return out, nil
}

// Example runs the method on one pair: critiques, filter, refinement, and later rewards and their accuracy.
func Example() {
	rec, err := record.ParseRecord([]byte(`{"id":"sum","prompt":"What is two and two?","chosen":"It is four.","rejected":"It is five."}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	records, ctx := []*record.Record{rec}, context.Background()

	o := critic.DefaultGenerateOptions()
	o.Critiques = 2
	made, err := critic.Generate(ctx, toyCritic{}, records, o)
	fmt.Println(made, err)

	kept, err := critic.Filter(records, critic.DefaultFilterOptions())
	fmt.Println(kept, err)

	r := critic.DefaultRefineOptions()
	r.Mode, r.TopK = critic.RefineMargin, 1
	kept, err = critic.Refine(ctx, nil, records, r)
	fmt.Println(kept, err)
	fmt.Printf("train on %q\n", rec.Kept(record.Chosen)[0].Text)

	if _, err = critic.Score(ctx, toyCritic{}, records, o); err != nil {
		fmt.Println(err)
		return
	}
	report, err := measure.Evaluate(records, measure.DefaultEvalOptions())
	m, _ := report.Method("reward")
	fmt.Println("accuracy", m.Mean, err)
	// Output:
	// 1 records, 4 critiques: 4 parsed (mean score 5.50), 0 not parsed, 0 cut by the token limit <nil>
	// 1 of 1 records kept, 4 of 4 critiques kept <nil>
	// 1 of 1 records kept, 2 of 4 critiques kept; critiques dropped: 2 × not among the best <nil>
	// train on "I checked the sum.\nScore: 9"
	// accuracy 1 <nil>
}
