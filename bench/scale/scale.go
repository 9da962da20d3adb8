// Command scale predicts, on paper, what training on many GPUs would take: step time, model FLOPs utilisation (MFU) and memory a rank for
// three shapes, 1 to 1,024 H100 and each way to share the state. Nothing of it is measured on our kernels; what is assumed stands in
// [H100] and in the shapes, with where it is from. It is for choosing a setting, and for saying where data parallelism ends.
//
//	go run ./bench/scale
package main

import (
	"fmt"
	"io"
	"math"
	"os"
)

// Shape is a model and what its kernels make of one GPU.
type Shape struct {
	Name                string
	L, H, A, G, D, F, V float64 // layers, hidden size, heads, key heads, head size, feed-forward, vocabulary
	Tied                bool
	// Efficiency is the share of the peak that kernels of this size reach on one GPU: llm.q's on an H100 in bf16 (46.8 % for 0.5B, 60.3 % for
	// 7B), the nearest program to ours. For 70B that of 7B is taken.
	Efficiency float64
}

// Shapes are Qwen2.5-0.5B, Llama-3.1-8B and 70B.
func Shapes() []Shape {
	return []Shape{
		{"0.5B", 24, 896, 14, 2, 64, 4864, 151936, true, .468},
		{"8B", 32, 4096, 32, 8, 128, 14336, 128256, false, .603},
		{"70B", 80, 8192, 64, 8, 128, 28672, 128256, false, .603},
	}
}

// Machine is a cluster of nodes of GPUs.
type Machine struct {
	Peak, Memory         float64 // FLOP/s in bf16, bytes
	PerNode              int
	Link, Net            float64 // bytes/s of a GPU to others of its node, and of other nodes, one way, as collectives reach them
	LinkDelay, NetDelay  float64 // seconds for a message
	Reserve              float64 // bytes for the driver, cuBLAS and communication buffers
	OptimizerBytesPerSec float64 // of device memory, as a copy reaches it
}

// H100 is the SXM part with 8 in a node: 989 TFLOP/s, 80 GB, NVLink 4 with 450 GB/s a direction of which collectives reach about 80 %, one 400 Gb/s adapter a
// GPU of which they reach about 80 %.
var H100 = Machine{Peak: 989e12, Memory: 80e9, PerNode: 8, Link: 360e9, Net: 40e9, LinkDelay: 5e-6, NetDelay: 15e-6, Reserve: 3e9, OptimizerBytesPerSec: 2.6e12}

// Sharing is what is divided among the ranks.
type Sharing int

// The stages of ZeRO: nothing, the optimizer's state, gradients too, weights too.
const (
	Replicated Sharing = iota
	ZeRO1
	ZeRO2
	ZeRO3
)

func (s Sharing) String() string { return [...]string{"DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"}[s] }

// Params is the number of parameters, and of those that are multiplied with.
func (s Shape) Params() (all, multiplied float64) {
	layer := s.H*(s.A+2*s.G)*s.D + s.A*s.D*s.H + 3*s.H*s.F
	all, multiplied = s.L*(layer+2*s.H)+s.V*s.H+s.H, s.L*layer+s.V*s.H
	if !s.Tied {
		all += s.V * s.H
	}
	return all, multiplied
}

// FLOPs of a token forward and backward, the causal half of attention counted, in sequences of a length.
func (s Shape) FLOPs(length float64) float64 {
	_, n := s.Params()
	return 6*n + 6*s.L*s.A*s.D*length
}

// Bytes that all ranks together give to others in an update, for one rank: gradients in float32 by all-to-all, weights in bf16 by all-gather, once or with ZeRO-3
// twice; without sharing the summed gradients are gathered instead.
func (s Shape) Bytes(share Sharing, ranks int) float64 {
	n, _ := s.Params()
	others := float64(ranks-1) / float64(ranks)
	switch share {
	case Replicated:
		return others * n * (4 + 4)
	case ZeRO3:
		return others * n * (4 + 2 + 2)
	}
	return others * n * (4 + 2)
}

// Memory of a rank in bytes: bf16 weights, float32 gradients, masters and moments, and the activations of tokens in a micro-batch.
func (s Shape) Memory(share Sharing, ranks int, tokens float64, checkpointing bool) float64 {
	n, _ := s.Params()
	w := float64(ranks)
	weights, gradients, state := 2*n, 4*n, 12*n
	layer := n / s.L
	if share >= ZeRO1 {
		state /= w
	}
	if share >= ZeRO2 {
		gradients = gradients/w + 2*4*layer // and the buckets under way
	}
	if share >= ZeRO3 {
		weights = weights/w + 2*2*layer
	}
	kept := 2 * (2*s.H + (2*s.A+2*s.G)*s.D + 2*s.F) // x, x1, qkv, att, gate and up
	acts := s.L * kept
	if checkpointing {
		acts = 2*s.L*s.H + kept
	}
	return weights + gradients + state + tokens*(acts+4*s.H) + 1<<30 // a GiB of logits at a time
}

// Estimate is one line.
type Estimate struct {
	Step, Compute, Exposed float64 // seconds: of an update, of which computing, and waiting for others
	MFU                    float64
	Memory                 float64 // bytes
	Checkpointing          bool
	Fits                   bool
}

// Predict is an update of tokens a rank in micro-batches of at most micro tokens, sequences of a length.
func (m Machine) Predict(s Shape, share Sharing, ranks int, tokens, micro, length float64) (e Estimate) {
	micro = min(micro, tokens)
	e.Memory = s.Memory(share, ranks, micro, false) + m.Reserve
	if e.Memory > m.Memory {
		e.Checkpointing = true
		e.Memory = s.Memory(share, ranks, micro, true) + m.Reserve
	}
	e.Fits = e.Memory <= m.Memory
	flops := tokens * s.FLOPs(length)
	e.Compute = flops / (m.Peak * s.Efficiency)
	backward := e.Compute * 2 / 3
	if e.Checkpointing {
		e.Compute *= 4. / 3
	}
	n, _ := s.Params()
	owned := n
	if share >= ZeRO1 {
		owned /= float64(ranks)
	}
	update := owned * 30 / m.OptimizerBytesPerSec // gradient, master, moments and weight read or written
	sent := m.transfer(s.Bytes(share, ranks), s.L, ranks)
	hidden := backward * (1 - 1/s.L) // all but the first layer's gradients, which come last
	if share == ZeRO3 {
		hidden = e.Compute * (1 - 1/s.L)
		sent *= max(1, math.Ceil(tokens/micro)*2./3) // weights again for each micro-batch
	}
	e.Exposed = max(sent-hidden, sent/s.L)
	if ranks == 1 {
		e.Exposed = 0
	}
	e.Step = e.Compute + update + e.Exposed
	e.MFU = flops / (e.Step * m.Peak)
	return e
}

// transfer is how long a rank's bytes take: those for its own node over its links, the others over its adapter, at the same time; and the delay of a message to each
// other rank for each layer.
func (m Machine) transfer(bytes, layers float64, ranks int) float64 {
	if ranks == 1 {
		return 0
	}
	far := 0.
	if ranks > m.PerNode {
		far = float64(ranks-m.PerNode) / float64(ranks-1)
	}
	delay := m.LinkDelay * float64(min(ranks, m.PerNode)-1) / 4 // several are under way
	if far > 0 {
		delay += m.NetDelay * float64(ranks-m.PerNode) / 16
	}
	return max(bytes*(1-far)/m.Link, bytes*far/m.Net) + 2*layers*delay
}

const (
	tokensPerRank = 16384
	microBatch    = 8192
	sequence      = 2048 // mean length of a branch
)

func write(w io.Writer) {
	fmt.Fprintf(w, "| model | GPUs | sharing | memory, GB | step, s | waiting, %% | MFU, %% | tokens/s a GPU |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range Shapes() {
		for _, ranks := range []int{1, 8, 64, 256, 1024} {
			for share := Replicated; share <= ZeRO3; share++ {
				if ranks == 1 && share > Replicated {
					continue
				}
				e := H100.Predict(s, share, ranks, tokensPerRank, microBatch, sequence)
				if !e.Fits {
					fmt.Fprintf(w, "| %s | %d | %v | %.0f | does not fit | | | |\n", s.Name, ranks, share, e.Memory/1e9)
					continue
				}
				how := ""
				if e.Checkpointing {
					how = " ¹"
				}
				fmt.Fprintf(w, "| %s | %d | %v%s | %.0f | %.2f | %.0f | %.0f | %.0f |\n", s.Name, ranks, share, how, e.Memory/1e9, e.Step, 100*e.Exposed/e.Step, 100*e.MFU, tokensPerRank/e.Step)
			}
		}
	}
}

// A published figure beside the prediction for the same setting.
type published struct {
	who           string
	shape, ranks  int
	share         Sharing
	tokens        float64 // a rank and update
	length, found float64 // tokens/s a GPU
}

func publishedFigures() []published {
	return []published{
		{"llm.q, 0.5B, 1 H100, 1,024 tokens", 0, 1, Replicated, 65536, 1024, 149.5e3},
		{"llm.q, 0.5B, 8 H100", 0, 8, ZeRO1, 65536, 1024, 1.18e6 / 8},
		{"torchtitan, 8B, 8 H100 (500 W), 8,192 tokens", 1, 8, ZeRO3, 8192, 8192, 5762},
		{"the same, compiled", 1, 8, ZeRO3, 8192, 8192, 6667},
		{"Megatron-LM, 8B, 8 H100, fp8, 8,192 tokens", 1, 8, ZeRO2, 8192, 8192, 13812},
		{"torchtitan, 70B, 256 H100, fp8, 8,192 tokens", 2, 256, ZeRO3, 16384, 8192, 852},
	}
}

func writePublished(w io.Writer) {
	fmt.Fprintf(w, "| published | tokens/s a GPU | predicted | ratio |\n|---|---|---|---|\n")
	for _, p := range publishedFigures() {
		e := H100.Predict(Shapes()[p.shape], p.share, p.ranks, p.tokens, microBatch, p.length)
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.2f |\n", p.who, p.found, p.tokens/e.Step, p.tokens/e.Step/p.found)
	}
}

func main() {
	write(os.Stdout)
	fmt.Println()
	writePublished(os.Stdout)
}
