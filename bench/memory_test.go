package bench

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/render"
	"criticrm/trainer"
)

// BenchmarkMemory says what memory of a GPU is taken, in GiB: by the model, in training with its gradients and moments, and by the work:
// training on micro-batches of trees of P 512, R 256, C 128, K 4 (2048 tokens) or P 512, R 384, C 256, K 4 (3328), rewards of 8192
// tokens at once, and 256 sequences of 512 tokens in groups of 8 on prompts and responses of 768. Nothing is computed, and no GPU is needed.
//
//	go test ./bench -run '^$' -bench BenchmarkMemory -benchtime 1x -models Q05,Q15,L8
func BenchmarkMemory(b *testing.B) {
	for _, s := range sizes(b) {
		for _, c := range []struct{ trees, response, critique int }{{1, 256, 128}, {1, 384, 256}, {4, 256, 128}, {8, 256, 128}} {
			t := s
			t.Prompt, t.Response, t.Critique = min(s.Prompt, 512), min(s.Response, c.response), min(s.Critique, c.critique)
			for _, o := range []struct {
				name          string
				stochastic    bool
				checkpointing bool
				moments8      bool
			}{{"masters", false, false, false}, {"masters_checkpointing", false, true, false}, {"stochastic", true, false, false}, {"stochastic_checkpointing", true, true, false},
				{"stochastic_8bit", true, false, true}, {"stochastic_8bit_checkpointing", true, true, true}} {
				tokens := c.trees * (t.Prompt + 2*t.Response + 2*t.K*t.Critique)
				b.Run(fmt.Sprintf("%s/%d/%s", s.Name, tokens, o.name), func(b *testing.B) {
					for range b.N {
						t.memory(b, c.trees, tokens, model.Options{DType: kernels.BF16, Train: true, Head: true, StochasticRounding: o.stochastic,
							GradientCheckpointing: o.checkpointing, Moments8Bit: o.moments8})
					}
				})
			}
		}
		s.Prompt, s.Response, s.Critique = min(s.Prompt, 512), min(s.Response, 256), min(s.Critique, 128)
		b.Run(s.Name+"/score", func(b *testing.B) {
			s.memoryOf(b, func(m *model.Model) error {
				_, _, err := m.Evaluate(s.rewarded())
				return err
			})
		})
		b.Run(s.Name+"/generate", func(b *testing.B) { s.memoryOf(b, func(m *model.Model) error { return s.sample(m, 256, 512) }) })
	}
}

func (s size) memory(b *testing.B, trees, tokens int, o model.Options) {
	data := make(trainer.Slice, trees)
	for i := range data {
		data[i] = s.example(uint64(i))
	}
	c := trainer.Default()
	c.BF16, c.Stochastic, c.BatchSize, c.Accumulation, c.BatchTokens, c.MaxSteps, c.LoggingSteps = true, o.StochasticRounding, trees, 1, tokens, 2, 0
	if o.Moments8Bit {
		c.Optim = trainer.AdamW8bit
	}
	s.use(b, o, func(m *model.Model) error {
		_, err := trainer.Train(context.Background(), m, data, c)
		return err
	})
}

func (s size) memoryOf(b *testing.B, work func(*model.Model) error) {
	for range b.N {
		s.use(b, model.Options{DType: kernels.BF16, Head: true}, work)
	}
}

// use reports the memory of a model at work.
func (s size) use(b *testing.B, o model.Options, work func(*model.Model) error) {
	d := cuda.Dry()
	defer d.Close()
	m, err := model.Blank(d, s.Config, o)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	before, _ := cuda.StatsOf(d)
	if err := work(m); err != nil {
		b.Fatal(err)
	}
	all, _ := cuda.StatsOf(d)
	gib := func(n int) float64 { return float64(n) / (1 << 30) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(gib(before.Reserved), "model")
	b.ReportMetric(gib(all.HighReserved-before.Reserved), "work")
	b.ReportMetric(gib(all.HighReserved), "GiB")
	b.ReportMetric(gib(all.HighReserved-all.HighAllocated), "unused")
}

// rewarded are four trees whose rewards are read.
func (s size) rewarded() *model.Batch {
	b := s.trees(4)
	b.Row, b.Target, b.Weight = nil, nil, nil
	return b
}

// sample draws tokens for sequences, eight of which share a prompt and a response, and two such groups the prompt.
func (s size) sample(m *model.Model, sequences, tokens int) error {
	var reqs []model.GenRequest
	for i := range uint64(sequences / 8) {
		reqs = append(reqs, model.GenRequest{Prefix: slices.Concat(randomIDs(s.Prompt, s.VocabSize, i/2), randomIDs(s.Response, s.VocabSize, 1000+i)), N: 8, Key: i})
	}
	o := model.GenOptions{Temperature: 1, MaxTokens: tokens, MaxSequences: sequences, Reward: model.AtContent}
	return m.Generate(context.Background(), reqs, o, func(int, []model.GenSample) {})
}

// example is a pair of the size's lengths.
func (s size) example(seed uint64) render.Example {
	ids := randomIDs(s.Prompt+2*s.Response+2*s.K*s.Critique, s.VocabSize-1, seed)
	take := func(n int) []int32 { x := ids[:n]; ids = ids[n:]; return x }
	e := render.Example{Prompt: take(s.Prompt)}
	for _, side := range []*render.Reply{&e.Chosen, &e.Rejected} {
		side.Response.IDs = take(s.Response)
		for range s.K {
			side.Critiques = append(side.Critiques, render.Branch{IDs: take(s.Critique), Read: s.Critique - 1})
		}
	}
	return e
}
