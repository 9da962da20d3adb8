package spec

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/gguf"
)

// Size is a model and its batches, as far as kernels see them.
type Size struct {
	Name                                 string
	Layers, Hidden, A, G, D, F, Vocab    int
	Tied                                 bool // the LM head is the embedding
	Trees                                string
	Pairs, Prompt, Response, Critique, K int // of a batch of trees, which Trees is the name of
	Documents, Document                  int // of VAR16: causal documents
	Long, Longest                        int // of CAU16: long ones
	LossRows, ScratchRows                int // of the critique loss
	Sequences, Share, Prefix, Depth      int // decoded at a time; how many share a prefix; tokens of their own
	Parameters                           int // of an optimizer's call
}

// The demo's model, and one with a hidden size of 1024: what a CPU trains.
var cpuSizes = []Size{
	{Name: "demo", Hidden: 128, A: 4, G: 2, D: 32, F: 320, Vocab: 560, Trees: "TREE8", Pairs: 8, Prompt: 128, Response: 64, Critique: 32, K: 4,
		LossRows: 2048, ScratchRows: 64, Sequences: 64, Share: 8, Prefix: 256, Depth: 64, Parameters: 2 * 320 * 128},
	{Name: "large", Hidden: 1024, A: 16, G: 4, D: 64, F: 2816, Vocab: 32000, Trees: "TREE4", Pairs: 4, Prompt: 128, Response: 64, Critique: 32, K: 4,
		LossRows: 512, ScratchRows: 64, Sequences: 32, Share: 8, Prefix: 256, Depth: 64, Parameters: 2 * 2816 * 1024},
}

// Sizes are the shapes of Qwen2.5-0.5B and 1.5B and of Llama-3.1-8B, and one that any machine runs. TREE16 are five trees of a prompt, two
// responses and K critiques on each: 16 640 tokens. VAR16 and CAU16 are as many tokens in short and long documents.
var Sizes = []Size{
	sized(Size{Name: "tiny", Layers: 2, Hidden: 128, A: 2, G: 1, F: 256, Vocab: 512, Tied: true}),
	sized(Size{Name: "Q05", Layers: 24, Hidden: 896, A: 14, G: 2, F: 4864, Vocab: 151936, Tied: true}),
	sized(Size{Name: "Q15", Layers: 28, Hidden: 1536, A: 12, G: 2, F: 8960, Vocab: 151936, Tied: true}),
	sized(Size{Name: "L8", Layers: 32, Hidden: 4096, A: 32, G: 8, F: 14336, Vocab: 128256}),
}

func sized(s Size) Size {
	s.D, s.Trees, s.K, s.Share = s.Hidden/s.A, "TREE16", 4, 10
	if s.Name == "tiny" {
		s.Pairs, s.Prompt, s.Response, s.Critique, s.Documents, s.Document, s.Long, s.Longest = 1, 24, 16, 8, 2, 64, 1, 128
		s.LossRows, s.Sequences, s.Prefix, s.Depth, s.Parameters = 32, 20, 16, 8, 1<<10
	} else {
		s.Pairs, s.Prompt, s.Response, s.Critique, s.Documents, s.Document, s.Long, s.Longest = 5, 512, 384, 256, 8, 2048, 2, 8192
		s.LossRows, s.Sequences, s.Prefix, s.Depth, s.Parameters = 4096, 260, 896, 128, 1<<27
	}
	s.ScratchRows = min(s.LossRows, (1<<28)/s.Vocab) // a gigabyte of logits
	return s
}

// Benchmarks is the list of cases for measurements on a CPU, in both types: each op at the shapes of two models, and attention at the
// lengths that other libraries are measured at.
func Benchmarks() []Case {
	var l list
	for _, s := range cpuSizes {
		for _, c := range append(s.Work(), s.once()...) {
			as, what, ok := strings.Cut(c.Name, "/")
			if !ok {
				what = s.Name
			}
			l = append(l, Case{Op: c.Op, Name: as + "/f32/" + what, make: c.make})
			if c.BF16 {
				l = append(l, Case{Op: c.Op, Name: as + "/bf16/" + what, BF16: true, make: c.make})
			}
		}
	}
	for _, s := range []int{1024, 2048} {
		for _, d := range []int{64, 80, 96, 128, 256} {
			if s > 1024 && d != 64 && d != 128 {
				continue // how a size compares with others, it shows at 1024
			}
			l.attend(forest{fmt.Sprintf("causal_S%d", s), func(*Gen) *Forest { return sequences(s) }, true}, 8, 2, d, 1)
		}
	}
	// what a window saves
	long := forest{"causal_S8192", func(*Gen) *Forest { return sequences(8192) }, true}
	for _, window := range []int{0, 512} {
		l.attendBy(long, scoring{window: window}, 4, 1, 64, 1)
	}
	l.attendBy(forest{"causal_S2048", func(*Gen) *Forest { return sequences(2048) }, true}, scoring{top: 50}, 8, 2, 64, 1)
	// prompt 512, response 384, critiques 256, K = 4: the tree of the design's example
	l.attend(forest{"pair_tree", func(*Gen) *Forest { return pairs(512, 384, 256, 4, 1) }, true}, 16, 4, 64, 1)
	return l
}

// Ceilings are what is measured once, whatever the models: a large product, and the optimizer.
func (s Size) Ceilings() []Case {
	m := 8192
	if s.Name == "tiny" {
		m = 64
	}
	return append([]Case{product("8192", m, m, m)}, s.once()...)
}

// once are the ops that come once in a step, on many parameters.
func (s Size) once() []Case {
	n := s.Parameters
	squares := func(g *Gen) []float64 {
		x := g.Normal(n, 1)
		for i := range x {
			x[i] *= x[i]
		}
		return x
	}
	return []Case{
		{Op: "grad_norm", Name: "grad_norm", make: func(g *Gen) Op { return &GradNorm[float64]{N: n} }},
		{Op: "adamw", Name: "adamw", BF16: true, make: func(g *Gen) Op {
			o := &AdamW[float64]{LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Bias1: 0.1, Bias2: 0.05, N: n, Norm: []float64{1, 0}, V: squares(g)}
			if g.BF16 {
				o.Master = g.Normal(n, 1)
			}
			return o
		}},
		{Op: "adamw_8bit", Name: "adamw_8bit", BF16: true, make: func(g *Gen) Op {
			o := &AdamW8bit[float64]{LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Bias1: 0.1, Bias2: 0.05, N: n, Norm: []float64{1, 0}, ByChance: g.BF16}
			o.M, o.V, o.Scale, o.Blocks = codes(g, n)
			return o
		}},
	}
}

// Work is each op on a batch of the model, named op/model_what, as results and peers are. BF16 says that the op has that type.
func (s Size) Work() (list []Case) {
	h, tree := s.Hidden, s.forest()
	n, rows := len(tree.End()), s.Pairs*2*s.K*s.Critique
	add := func(op, what string, make func(g *Gen) Op) {
		list = append(list, Case{Op: op, Name: op + "/" + s.Name + what, BF16: true, make: make})
	}
	row := func(op string, make func(g *Gen) Op) { add(op, "_"+s.Trees, make) }
	row("embed", func(g *Gen) Op { return &Embed[float64]{ID: g.Ints(n, s.Vocab), N: n, H: h, V: s.Vocab} })
	row("embed_backward", func(g *Gen) Op { return embedBackward(g.Ints(n, s.Vocab), h, s.Vocab) })
	row("gather", func(g *Gen) Op { return &Gather[float64]{Row: g.Ints(rows, n), R: rows, N: n, H: h} })
	row("gather_backward", func(g *Gen) Op {
		ptr, src := Group(g.Ints(rows, n), n)
		return &GatherBackward[float64]{Ptr: ptr, Src: src, R: rows, N: n, H: h}
	})
	row("rmsnorm", func(g *Gen) Op {
		return &RMSNorm[float64]{Res: g.Normal(n*h, 1), Sum: g.Room(n * h), Eps: 1e-5, N: n, H: h}
	})
	row("rmsnorm_backward", func(g *Gen) Op { return &RMSNormBackward[float64]{N: n, H: h} })
	c := (s.A + 2*s.G) * s.D // of qkv; each head of queries is normalised
	row("slice_norm", func(g *Gen) Op {
		return &SliceNorm[float64]{X: g.Room(n * s.A * s.D), RStd: g.Room(n * s.A), Eps: 1e-6, N: n, C: c, Groups: s.A, Width: s.D}
	})
	row("slice_norm_backward", func(g *Gen) Op {
		return &SliceNormBackward[float64]{N: n, C: c, Groups: s.A, Width: s.D}
	})
	rope := func(g *Gen) *RoPE[float64] {
		longest := s.Prompt + s.Response + s.Critique
		return &RoPE[float64]{Table: RoPETable(longest, s.D, 1e4), Pos: g.Ints(n, longest), N: n, A: s.A, G: s.G, D: s.D, R: s.D, T: longest}
	}
	row("rope", func(g *Gen) Op { return rope(g) })
	row("rope_backward", func(g *Gen) Op { return (*RoPEBackward[float64])(rope(g)) })
	row("add_bias", func(g *Gen) Op { return &AddBias[float64]{N: n, O: c} })
	row("add_bias_backward", func(g *Gen) Op { return &AddBiasBackward[float64]{N: n, O: c} })
	row("swiglu", func(g *Gen) Op { return &SwiGLU[float64]{N: n, F: s.F} })
	row("swiglu_backward", func(g *Gen) Op { return &SwiGLUBackward[float64]{N: n, F: s.F} })
	row("geglu", func(g *Gen) Op { return &GeGLU[float64]{N: n, F: s.F} })
	row("geglu_backward", func(g *Gen) Op { return &GeGLUBackward[float64]{N: n, F: s.F} })
	row("scale", func(g *Gen) Op { return &Scale[float64]{S: 1, N: n * h} })
	row("kv_store", func(g *Gen) Op { return &KVStore[float64]{Slot: g.Distinct(n, n), N: n, A: s.A, G: s.G, D: s.D, S: n} })
	row("kv_load", func(g *Gen) Op {
		return &KVLoad[float64]{Slot: g.Distinct(n, n), Row: g.Distinct(n, n), M: n, N: n, A: s.A, G: s.G, D: s.D, S: n}
	})
	for _, m := range []struct {
		name string
		o, i int
	}{{"qkv", (s.A + 2*s.G) * s.D, h}, {"out", h, s.A * s.D}, {"gate_up", 2 * s.F, h}, {"down", h, s.F}} {
		o, i := m.o, m.i
		list = append(list, product(s.Name+"_"+m.name, n, o, i))
		add("matmul_dx", "_"+m.name, func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: o, I: i} })
		add("matmul_dw", "_"+m.name, func(g *Gen) Op { return &MatmulDW[float64]{N: n, O: o, I: i} })
		if m.name == "gate_up" || m.name == "down" {
			add("matmul_nf4", "_"+m.name, func(g *Gen) Op {
				w := &MatmulNF4[float64]{N: n, C: o, O: o, B: i / 64, BF16: g.BF16}
				w.Code, w.Absmax, w.Scale, w.Map, w.Offset = nf4(g, o, i/64)
				w.S = len(w.Scale)
				return w
			})
			add("matmul_blocks", "_"+m.name, func(g *Gen) Op { // the type of most weights in llama.cpp's Q4_0 files, whose rows may have any whole number of 32
				w := &MatmulBlocks[float64]{N: n, C: o, O: o, I: i, R: i / 32 * 18, Type: gguf.Q4_0, BF16: g.BF16}
				w.Code = blocks(g, 0, o*i/32)
				return w
			})
		}
		add("lora", "_"+m.name, func(g *Gen) Op { return &LoRA[float64]{N: n, C: o, P: 16, O: o, R: 16} })
		add("lora_backward", "_"+m.name, func(g *Gen) Op { return &LoRABackward[float64]{N: n, C: o, P: 16, O: o, R: 16} })
	}
	list = append(list, product(s.Name+"_decode", s.Sequences, 2*s.F, h))
	for _, f := range s.batches() {
		_, forward, backward := attention(f, s.A, s.G, s.D, 1)
		add("attention", "_"+f.name, forward)
		add("attention_backward", "_"+f.name, backward)
	}
	return append(list, s.heads()...)
}

func product(name string, n, o, i int) Case {
	return Case{Op: "matmul", Name: "matmul/" + name, BF16: true, make: func(g *Gen) Op { return &Matmul[float64]{N: n, O: o, I: i} }}
}

func (s Size) forest() *Forest { return pairs(s.Prompt, s.Response, s.Critique, s.K, s.Pairs) }

// batches are what attention works on.
func (s Size) batches() []forest {
	list := []forest{{s.Trees, func(*Gen) *Forest { return s.forest() }, true}}
	for _, d := range []struct {
		name          string
		count, length int
	}{{"VAR16", s.Documents, s.Document}, {"CAU16", s.Long, s.Longest}} {
		if d.count > 0 {
			list = append(list, forest{d.name, func(*Gen) *Forest { return sequences(slices.Repeat([]int{d.length}, d.count)...) }, true})
		}
	}
	return list
}

// heads are the losses with their gradients, and decoding.
func (s Size) heads() (list []Case) {
	h, leaves := s.Hidden, s.Pairs*2*s.K
	add := func(op, as, what string, bf16 bool, make func(g *Gen) Op) {
		list = append(list, Case{Op: op, Name: as + "/" + s.Name + what, BF16: bf16, make: make})
	}
	critique := func(g *Gen) *CritiqueLoss[float64] {
		return &CritiqueLoss[float64]{Target: g.Ints(s.LossRows, s.Vocab), LossScale: 1, GradScale: 1, LogitScale: 1, R: s.LossRows, H: h, V: s.Vocab, ScratchRows: s.ScratchRows}
	}
	add("critique_loss", "critique_loss", "", true, func(g *Gen) Op {
		o := critique(g)
		o.DX, o.DW = g.Room(s.LossRows*h), g.Normal(s.Vocab*h, 1)
		return o
	})
	add("critique_loss", "critique_loss", "_capped", true, func(g *Gen) Op {
		o := critique(g)
		o.DX, o.DW, o.LogitCap = g.Room(s.LossRows*h), g.Normal(s.Vocab*h, 1), 30
		return o
	})
	add("soft_cap", "soft_cap", "", false, func(g *Gen) Op { return &SoftCap[float64]{Scale: 1, Cap: 30, N: s.Sequences * s.Vocab} })
	add("critique_loss", "critique_loss", "_no_gradient", true, func(g *Gen) Op { return critique(g) })
	add("reward_head", "reward_head", "", true, func(g *Gen) Op {
		n := len(s.forest().End())
		return &RewardHead[float64]{Row: g.Distinct(leaves, n), L: leaves, N: n, H: h}
	})
	add("reward_loss", "reward_loss", "", true, func(g *Gen) Op {
		o := &RewardLoss[float64]{P: s.Pairs, S: 2 * s.Pairs, L: leaves, H: h, Lambda: 0.5, LossScale: 1, GradScale: 1, W: g.Normal(h, 0.1)}
		for i := range 2*s.Pairs + 1 {
			o.Side = append(o.Side, int32(s.K*i))
		}
		return o
	})
	add("attention_decode", "attention_decode", "", true, func(g *Gen) Op {
		shared, own := make([][]int, s.Sequences/s.Share), make([][]int, s.Sequences/s.Share)
		for i := range shared {
			shared[i], own[i] = []int{s.Prefix}, slices.Repeat([]int{s.Depth}, s.Share)
		}
		return Decode(g, shared, own, scoring{}, s.A, s.G, s.D)
	})
	for _, p := range []float64{1, 0.95} {
		as := "sample"
		if p < 1 {
			as = "sample_top_p"
		}
		add("sample", as, "", false, func(g *Gen) Op {
			o := &Sample[float64]{Key: make([]uint64, s.Sequences), Step: g.Ints(s.Sequences, 1000), Logits: g.Normal(s.Sequences*s.Vocab, 3), B: s.Sequences, V: s.Vocab,
				Temperature: 0.7, TopP: p}
			for i := range o.Key {
				o.Key[i] = uint64(i)
			}
			return o
		})
	}
	add("logprobs", "logprobs", "", false, func(g *Gen) Op { // of one token of every sequence, as while they are decoded
		return &LogProbs[float64]{Logits: g.Normal(s.Sequences*s.Vocab, 3), Ptr: rising(s.Sequences + 1), ID: g.Ints(s.Sequences, s.Vocab), B: s.Sequences, V: s.Vocab, M: s.Sequences}
	})
	return list
}

// rising are the numbers from 0 to n-1.
func rising(n int) (list []int32) {
	for i := range n {
		list = append(list, int32(i))
	}
	return list
}
