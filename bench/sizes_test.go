package bench

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels/kerneltest/spec"
	"criticrm/model"
	"criticrm/model/modeltest"
	"criticrm/trainer"
)

var (
	modelNames = flag.String("models", "", "models of BenchmarkLarge and BenchmarkStep, separated by commas: tiny, Q05, Q15, L8")
	stepLoRA   = flag.Int("lora", 0, "rank of an adapter on all projections that BenchmarkStep trains in place of the parameters; 0: none")
	stepOptim  = flag.String("optim", trainer.AdamW, "optimizer of BenchmarkStep: adamw or adamw_8bit")
	recompute  = flag.Bool("recompute", false, "gradient checkpointing in BenchmarkStep")
	stepLayers = flag.Int("layers", 0, "layers of BenchmarkStep's model, 0 for all of them")
)

// size is a model of random weights without biases, and its batches. Package spec has the list.
type size struct {
	model.Config
	spec.Size
}

// sizes are those that -models names; without it the benchmark is skipped.
func sizes(b *testing.B) (list []size) {
	if *modelNames == "" {
		b.Skip("name models: -models tiny,Q05,Q15,L8")
	}
	if *stepOptim != trainer.AdamW && *stepOptim != trainer.AdamW8bit {
		b.Fatalf("-optim: want %s or %s, not %q", trainer.AdamW, trainer.AdamW8bit, *stepOptim)
	}
	for name := range strings.SplitSeq(*modelNames, ",") {
		i := slices.IndexFunc(spec.Sizes, func(s spec.Size) bool { return s.Name == name })
		if i < 0 {
			b.Fatalf("-models: there is no %q", name)
		}
		s := size{Size: spec.Sizes[i]}
		s.Config = model.Config{NumHiddenLayers: s.Size.Layers, HiddenSize: s.Hidden, NumAttentionHeads: s.A, NumKeyValueHeads: s.G, HeadDim: s.D, IntermediateSize: s.F,
			VocabSize: s.Vocab, TieWordEmbeddings: s.Tied, MaxPositionEmbeddings: 1 << 17}
		list = append(list, s)
	}
	return list
}

// trees are a batch of trees of a prompt, two responses and K critiques on each.
func (s size) trees(pairs int) *model.Batch {
	length := s.Prompt + 2*s.Response + 2*s.K*s.Critique
	var ids []int32
	for p := range pairs {
		ids = append(ids, randomIDs(length, s.VocabSize, uint64(p))...)
	}
	return modeltest.Trees(pairs, s.Prompt, s.Response, s.Critique, s.K, func(at, n int) []int32 { return ids[at : at+n] })
}
