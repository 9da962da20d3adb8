package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
	"criticrm/model"
)

// The shape of the demo's model: 0.55 million parameters in the blocks.
func demoConfig() model.Config {
	return model.Config{VocabSize: 560, HiddenSize: 128, IntermediateSize: 320, NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		MaxPositionEmbeddings: 512, TieWordEmbeddings: true}
}

func newModel(b *testing.B, o model.Options) *model.Model {
	d, err := kernels.OpenCPU(0)
	if err != nil {
		b.Fatal(err)
	}
	m, err := model.New(d, demoConfig(), o, 7)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close(); d.Close() })
	return m
}

func randomIDs(n, vocab int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 9))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocab))
	}
	return ids
}

// demoBatch has trees of 100 tokens: a prompt of 28, two responses of 12, on each two critiques of 12; 4000 tokens.
func demoBatch() *model.Batch {
	return size{Config: demoConfig(), Size: spec.Size{Prompt: 28, Response: 12, Critique: 12, K: 2}}.trees(40)
}

func BenchmarkTrainStep(b *testing.B) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		b.Run(typ.String(), func(b *testing.B) {
			m, batch := newModel(b, model.Options{DType: typ, Train: true, Head: true}), demoBatch()
			o := model.LossOptions{Lambda: 0.5, TokenScale: 1 / float32(len(batch.Row)), PairScale: 1 / float32(len(batch.SidePtr)/2)}
			b.ReportAllocs()
			for b.Loop() {
				m.ZeroGrad()
				if _, err := m.TrainStep(batch, o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*batch.Len())/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func BenchmarkEvaluate(b *testing.B) {
	m, batch := newModel(b, model.Options{Head: true}), demoBatch()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Evaluate(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch.Len())/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkGenerate decodes 512 sequences at once: pairs of responses to a prompt, 8 critiques of 32 tokens each.
func BenchmarkGenerate(b *testing.B) {
	m := newModel(b, model.Options{Head: true})
	var reqs []model.GenRequest
	for p := range uint64(64) {
		prompt := randomIDs(28, 560, p)
		for r := range uint64(2) {
			reqs = append(reqs, model.GenRequest{Prefix: slices.Concat(prompt, randomIDs(12, 560, 1000*r+p)), N: 8, Key: 2*p + r})
		}
	}
	o := model.GenOptions{Temperature: 1, MaxTokens: 32, MaxSequences: 512, Reward: model.AtEnd}
	tokens := 0
	b.ReportAllocs()
	for b.Loop() {
		tokens = 0
		err := m.Generate(context.Background(), reqs, o, func(_ int, samples []model.GenSample) {
			for _, s := range samples {
				tokens += len(s.IDs)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*tokens)/b.Elapsed().Seconds(), "tokens/s")
}
