package bench

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"criticrm/model"
	"criticrm/trainer"
)

var (
	modelNames = flag.String("models", "", "models of BenchmarkLarge and BenchmarkStep, separated by commas: tiny, Q05, Q15, L8")
	stepOptim  = flag.String("optim", trainer.AdamW, "optimizer of BenchmarkStep: adamw or adamw_8bit")
	recompute  = flag.Bool("recompute", false, "gradient checkpointing in BenchmarkStep")
	stepLayers = flag.Int("layers", 0, "layers of BenchmarkStep's model, 0 for all of them")
)

// The layers' shapes of Qwen2.5-0.5B and 1.5B and of Llama-3.1-8B, and one that any machine runs. Weights are random, biases are left out.
var models = map[string]model.Config{
	"tiny": {NumHiddenLayers: 2, HiddenSize: 128, NumAttentionHeads: 2, NumKeyValueHeads: 1, IntermediateSize: 256, VocabSize: 512, TieWordEmbeddings: true},
	"Q05":  {NumHiddenLayers: 24, HiddenSize: 896, NumAttentionHeads: 14, NumKeyValueHeads: 2, IntermediateSize: 4864, VocabSize: 151936, TieWordEmbeddings: true},
	"Q15":  {NumHiddenLayers: 28, HiddenSize: 1536, NumAttentionHeads: 12, NumKeyValueHeads: 2, IntermediateSize: 8960, VocabSize: 151936, TieWordEmbeddings: true},
	"L8":   {NumHiddenLayers: 32, HiddenSize: 4096, NumAttentionHeads: 32, NumKeyValueHeads: 8, IntermediateSize: 14336, VocabSize: 128256},
}

// size is a model and the lengths of its batches.
type size struct {
	model.Config
	name                               string
	pairs                              int // of trees
	prompt, response, critique, k      int
	documents, document                int // causal documents
	long, longest                      int // long causal documents
	lossRows, sequences, prefix, depth int // of the critique loss; of decoding: its shared prefix and own tokens
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
		c, ok := models[name]
		if !ok {
			b.Fatalf("-models: there is no %q", name)
		}
		c.HeadDim, c.MaxPositionEmbeddings = c.HiddenSize/c.NumAttentionHeads, 1<<17
		s := size{Config: c, name: name, pairs: 5, prompt: 512, response: 384, critique: 256, k: 4, documents: 8, document: 2048, long: 2, longest: 8192,
			lossRows: 4096, sequences: 260, prefix: 896, depth: 128}
		if name == "tiny" {
			s.pairs, s.prompt, s.response, s.critique, s.documents, s.document, s.long, s.longest = 1, 24, 16, 8, 2, 64, 1, 128
			s.lossRows, s.sequences, s.prefix, s.depth = 32, 20, 16, 8
		}
		list = append(list, s)
	}
	return list
}

// tree16 are five trees of a prompt, two responses and K critiques on each: 16 640 tokens; var16 and cau16 are as many tokens in short
// and long documents.
func (s size) tree16() *model.Batch { return s.trees(s.pairs) }
func (s size) var16() *model.Batch  { return s.sequencesOf(s.documents, s.document) }
func (s size) cau16() *model.Batch  { return s.sequencesOf(s.long, s.longest) }

func (s size) trees(pairs int) *model.Batch {
	b := &model.Batch{SidePtr: []int32{0}}
	for p := range pairs {
		length := s.prompt + 2*s.response + 2*s.k*s.critique
		ids := randomIDs(length, s.VocabSize, uint64(p))
		take := func(n int) []int32 { x := ids[:n]; ids = ids[n:]; return x }
		b.Open(take(s.prompt))
		for range 2 {
			b.Open(take(s.response))
			last := int32(b.Len() - 1)
			for range s.k {
				c := take(s.critique)
				row := last
				b.Open(c)
				for i, id := range c {
					b.Row, b.Target, b.Weight = append(b.Row, row), append(b.Target, id), append(b.Weight, 1)
					row = int32(b.Len() - len(c) + i)
				}
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
				b.Close()
			}
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
			b.Close()
		}
		b.Close()
	}
	return b
}

func (s size) sequencesOf(n, length int) *model.Batch {
	b := new(model.Batch)
	for i := range n {
		b.Open(randomIDs(length, s.VocabSize, uint64(i)))
		b.Close()
	}
	return b
}

// visible is the number of pairs of a query and a key that it sees.
func visible(end []int32) (n float64) {
	for k, e := range end {
		n += float64(int(e) - k)
	}
	return n
}

func (s size) label(batch string) string { return fmt.Sprintf("%s_%s", s.name, batch) }
