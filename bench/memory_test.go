package bench

import (
	"context"
	"fmt"
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/trainer"
)

// BenchmarkMemory says what memory of a GPU training takes, in GiB: of the model with its gradients and moments, and of the work on a
// micro-batch. Nothing is computed, and no GPU is needed. Trees are P 512, R 256, C 128, K 4 (2048 tokens) and P 512, R 384, C 256, K 4 (3328).
//
//	go test ./bench -run '^$' -bench BenchmarkMemory -benchtime 1x -models Q05,Q15,L8
func BenchmarkMemory(b *testing.B) {
	for _, s := range sizes(b) {
		for _, c := range []struct{ trees, response, critique int }{{1, 256, 128}, {1, 384, 256}, {4, 256, 128}, {8, 256, 128}} {
			t := s
			t.prompt, t.response, t.critique = min(s.prompt, 512), min(s.response, c.response), min(s.critique, c.critique)
			for _, o := range []struct {
				name          string
				stochastic    bool
				checkpointing bool
			}{{"masters", false, false}, {"masters_checkpointing", false, true}, {"stochastic", true, false}, {"stochastic_checkpointing", true, true}} {
				tokens := c.trees * (t.prompt + 2*t.response + 2*t.k*t.critique)
				b.Run(fmt.Sprintf("%s/%d/%s", s.name, tokens, o.name), func(b *testing.B) {
					for range b.N {
						t.memory(b, c.trees, tokens, model.Options{DType: kernels.BF16, Train: true, Head: true, StochasticRounding: o.stochastic, GradientCheckpointing: o.checkpointing})
					}
				})
			}
		}
	}
}

func (s size) memory(b *testing.B, trees, tokens int, o model.Options) {
	d := cuda.Dry()
	defer d.Close()
	m, err := model.Blank(d, s.Config, o)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	before, _ := cuda.StatsOf(d)
	data := make(trainer.Slice, trees)
	for i := range data {
		data[i] = s.example(uint64(i))
	}
	c := trainer.Default()
	c.BF16, c.Stochastic, c.BatchSize, c.Accumulation, c.BatchTokens, c.MaxSteps, c.LoggingSteps = true, o.StochasticRounding, trees, 1, tokens, 2, 0
	if _, err := trainer.Train(context.Background(), m, data, c); err != nil {
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

// example is a pair of the size's lengths.
func (s size) example(seed uint64) trainer.Example {
	ids := randomIDs(s.prompt+2*s.response+2*s.k*s.critique, s.VocabSize-1, seed)
	take := func(n int) []int32 { x := ids[:n]; ids = ids[n:]; return x }
	e := trainer.Example{Prompt: take(s.prompt)}
	for _, side := range []*trainer.Side{&e.Chosen, &e.Rejected} {
		side.Response.IDs = take(s.response)
		for range s.k {
			side.Critiques = append(side.Critiques, trainer.Branch{IDs: take(s.critique), Read: s.critique - 1})
		}
	}
	return e
}
