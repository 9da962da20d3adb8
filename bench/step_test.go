package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"criticrm/cuda"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
	"criticrm/model"
	"criticrm/trainer"
)

// peakTFLOPs is an H100 SXM's rate for dense bfloat16 products, as its data sheet says: what MFU is a share of.
const peakTFLOPs = 989

// BenchmarkStep measures Critic-RM optimizer steps on random weights, on the device of the build: stage a batch of trees, forward,
// joint loss, backward, norm of the gradient, AdamW. As in training, nobody waits for a step's losses before the next one runs.
//
//	go test ./bench -run '^$' -bench '^BenchmarkStep$' -benchtime 20x -models Q05
//	go test ./bench -run '^$' -bench '^BenchmarkStep$' -benchtime 20x -models L8 -layers 14
//	go test ./bench -run '^$' -bench '^BenchmarkStep$' -benchtime 20x -models L8 -optim adamw_8bit -recompute
//	go test ./bench -run '^$' -bench '^BenchmarkStep$' -benchtime 20x -models L8 -lora 16 -recompute
//
// The median step counts. Models take five pairs in a step; those with a hidden size over 2048 take one, and no float32 masters.
func BenchmarkStep(b *testing.B) {
	for _, s := range sizes(b) {
		name := s.Name
		if *stepLayers > 0 {
			s.NumHiddenLayers = *stepLayers
			name = fmt.Sprintf("%s_%dlayers", s.Name, s.NumHiddenLayers)
		}
		b.Run(name, func(b *testing.B) { s.benchStep(b) })
	}
}

func (s size) benchStep(b *testing.B) {
	d := devicetest.Open(b, 0)
	large := s.HiddenSize > 2048
	m, err := model.New(d, s.Config, model.Options{DType: kernels.BF16, Train: true, Head: true, StochasticRounding: large && *stepLoRA == 0,
		Moments8Bit: *stepOptim == trainer.AdamW8bit, GradientCheckpointing: *recompute, LoRA: adapter()}, 7)
	if err != nil {
		b.Skip(err) // out of memory
	}
	defer m.Close()
	pairs := s.Pairs
	if large {
		pairs = 1
	}
	batch := s.trees(pairs)
	o := model.LossOptions{Lambda: 0.5, TokenScale: 1 / float32(len(batch.Row)), PairScale: 1 / float32(pairs)}
	count := uint32(0)
	step := func() func() model.Losses {
		m.ZeroGrad()
		count++
		losses, err := m.TrainStepLater(batch, o)
		if err != nil {
			b.Fatal(err)
		}
		norm := m.GradNorm()
		for _, p := range m.Spans() {
			if p.G.IsNil() {
				continue
			}
			u := kernels.AdamW{W: p.W, Master: p.Master, M: p.M, V: p.V, G: p.G, Norm: norm, LR: 1e-6, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1,
				Bias1: 0.1, Bias2: 0.05, MaxNorm: 1, Step: count, First: p.First}
			if p.Scale.IsNil() {
				d.AdamW(u)
			} else {
				d.AdamW8bit(u, p.Scale)
			}
		}
		return losses
	}
	for range 2 {
		step()()
	}
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
	var times []float64
	start, last := time.Now(), step()
	for b.Loop() {
		next := step()
		if l := last(); math.IsNaN(float64(l.Joint)) {
			b.Fatal("the loss is not a number")
		}
		times, last = append(times, time.Since(start).Seconds()), next
		start = time.Now()
	}
	last()
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(times)
	seconds := times[len(times)/2]
	b.ReportMetric(seconds*1e9, "ns/op")
	b.ReportMetric(float64(pairs)/seconds, "pairs/s")
	b.ReportMetric(float64(batch.Len())/seconds, "tokens/s")
	if use, ok := cuda.StatsOf(d); ok {
		b.ReportMetric(float64(use.HighReserved)/(1<<30), "GiB")
	}
	b.ReportMetric(100*s.flops(batch)/seconds/1e12/peakTFLOPs, "%MFU")
}

// adapter is what -lora asks for.
func adapter() *model.LoRA {
	if *stepLoRA == 0 {
		return nil
	}
	return &model.LoRA{Rank: *stepLoRA, Alpha: 32, Targets: model.AllLinear, Seed: 1}
}

// flops of a step, forward once and backward twice: the layers' products and visible scores on all tokens, the head on the critiques.
func (s size) flops(b *model.Batch) float64 {
	h, d, a, g := float64(s.HiddenSize), float64(s.HeadDim), float64(s.NumAttentionHeads), float64(s.NumKeyValueHeads)
	weights := h*(a+2*g)*d + a*d*h + 3*h*float64(s.IntermediateSize)
	forward := float64(s.NumHiddenLayers)*(2*weights*float64(b.Len())+4*kerneltest.Visible(b.End, b.Pos, 0)*a*d) + 2*h*float64(s.VocabSize)*float64(len(b.Row))
	return 3 * forward
}
