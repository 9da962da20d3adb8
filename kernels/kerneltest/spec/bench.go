package spec

import "fmt"

// Size is a model and its batch, as far as kernels see them.
type Size struct {
	Name                         string
	Hidden, A, G, D, F, Vocab, N int
	Critique                     int // tokens whose logits are needed
	Sequences                    int // decoded at a time
}

// Benchmarks is the list of cases for measurements: each op at the shapes of the demo's model and of one with a hidden size
// of 1024, and attention and the critique loss at the lengths that other libraries are measured at.
func Benchmarks() []Case {
	var l list
	l.bench(Size{"demo", 128, 4, 2, 32, 320, 560, 4096, 2048, 64})
	l.bench(Size{"large", 1024, 16, 4, 64, 2816, 32000, 2048, 512, 32})
	for _, s := range []int{1024, 2048} {
		for _, d := range []int{64, 128} {
			l.attend(forest{fmt.Sprintf("causal_S%d", s), func(*Gen) *Forest { return sequences(s) }, true}, 8, 2, d, 1)
		}
	}
	// prompt 512, response 384, critiques 256, K = 4: the tree of the design's example
	l.attend(forest{"pair_tree", func(*Gen) *Forest { return pairs(512, 384, 256, 4, 1) }, true}, 16, 4, 64, 1)
	return l
}

func (l *list) bench(s Size) {
	n, h := s.N, s.Hidden
	name := func(format string, a ...any) string { return s.Name + "_" + fmt.Sprintf(format, a...) }
	l.add("embed", name("N%d_H%d", n, h), func(g *Gen) Op {
		return &Embed[float64]{ID: g.Ints(n, s.Vocab), N: n, H: h, V: s.Vocab}
	})
	l.add("embed_backward", name("N%d_H%d", n, h), func(g *Gen) Op {
		row, ptr, src := GroupUsed(g.Ints(n, s.Vocab), s.Vocab)
		return &EmbedBackward[float64]{Row: row, Ptr: ptr, Src: src, N: n, H: h, V: s.Vocab, U: len(row)}
	})
	l.add("gather", name("R%d_H%d", s.Critique, h), func(g *Gen) Op {
		return &Gather[float64]{Row: g.Ints(s.Critique, n), R: s.Critique, N: n, H: h}
	})
	l.add("gather_backward", name("R%d_H%d", s.Critique, h), func(g *Gen) Op {
		ptr, src := Group(g.Ints(s.Critique, n), n)
		return &GatherBackward[float64]{Ptr: ptr, Src: src, R: s.Critique, N: n, H: h}
	})
	l.add("rmsnorm", name("N%d_H%d", n, h), func(g *Gen) Op {
		return &RMSNorm[float64]{Res: g.Normal(n*h, 1), Sum: make([]float64, n*h), Eps: 1e-5, N: n, H: h}
	})
	l.add("rmsnorm_backward", name("N%d_H%d", n, h), func(g *Gen) Op { return &RMSNormBackward[float64]{N: n, H: h} })
	rope := func(r *Gen) *RoPE[float64] {
		return &RoPE[float64]{Table: RoPETable(n, s.D, 1e4), Pos: r.Ints(n, n), N: n, A: s.A, G: s.G, D: s.D, T: n}
	}
	l.add("rope", name("N%d_A%d_G%d_D%d", n, s.A, s.G, s.D), func(r *Gen) Op { return rope(r) })
	l.add("rope_backward", name("N%d_A%d_G%d_D%d", n, s.A, s.G, s.D), func(r *Gen) Op { return (*RoPEBackward[float64])(rope(r)) })
	for _, m := range [][2]int{{(s.A + 2*s.G) * s.D, h}, {2 * s.F, h}, {h, s.F}} {
		o, i := m[0], m[1]
		l.add("matmul", name("N%d_O%d_I%d", n, o, i), func(g *Gen) Op { return &Matmul[float64]{N: n, O: o, I: i} })
		l.add("matmul_dx", name("N%d_O%d_I%d", n, o, i), func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: o, I: i} })
		l.add("matmul_dw", name("N%d_O%d_I%d", n, o, i), func(g *Gen) Op { return &MatmulDW[float64]{N: n, O: o, I: i} })
	}
	l.add("matmul", name("decode_N%d_O%d_I%d", s.Sequences, 2*s.F, h), func(g *Gen) Op {
		return &Matmul[float64]{N: s.Sequences, O: 2 * s.F, I: h}
	})
	l.add("swiglu", name("N%d_F%d", n, s.F), func(g *Gen) Op { return &SwiGLU[float64]{N: n, F: s.F} })
	l.add("swiglu_backward", name("N%d_F%d", n, s.F), func(g *Gen) Op { return &SwiGLUBackward[float64]{N: n, F: s.F} })
	l.attend(forest{name("N%d_of_512", n), func(*Gen) *Forest {
		f := new(Forest)
		for range n / 512 {
			f.PairTree(128, 64, 32, 4)
		}
		return f
	}, true}, s.A, s.G, s.D, 1)
	l.add("kv_store", name("N%d", n), func(g *Gen) Op {
		return &KVStore[float64]{Slot: g.Distinct(n, n), N: n, A: s.A, G: s.G, D: s.D, S: n}
	})
	l.add("attention_decode", name("B%d_shared256_own64", s.Sequences), func(g *Gen) Op {
		shared, own := make([][]int, s.Sequences/8), make([][]int, s.Sequences/8)
		for i := range shared {
			shared[i], own[i] = []int{256}, []int{64, 64, 64, 64, 64, 64, 64, 64}
		}
		return Decode(g, shared, own, s.A, s.G, s.D)
	})
	l.benchLoss(s, name)
}

func (l *list) benchLoss(s Size, name func(string, ...any) string) {
	h := s.Hidden
	critique := func(g *Gen) *CritiqueLoss[float64] {
		return &CritiqueLoss[float64]{X: g.Normal(s.Critique*h, 1), Target: g.Ints(s.Critique, s.Vocab), LossScale: 1, GradScale: 1,
			R: s.Critique, H: h, V: s.Vocab, ScratchRows: 64}
	}
	l.add("critique_loss", name("R%d_H%d_V%d", s.Critique, h, s.Vocab), func(g *Gen) Op {
		o := critique(g)
		o.DX, o.DW = make([]float64, s.Critique*h), make([]float64, s.Vocab*h)
		return o
	})
	l.add("critique_loss", name("no_gradient_R%d_H%d_V%d", s.Critique, h, s.Vocab), func(g *Gen) Op { return critique(g) })
	l.add("reward_head", name("L64_N%d_H%d", s.N, h), func(g *Gen) Op {
		return &RewardHead[float64]{Row: g.Distinct(64, s.N), L: 64, N: s.N, H: h}
	})
	l.add("reward_loss", name("P8_K4_H%d", h), func(g *Gen) Op {
		o := &RewardLoss[float64]{P: 8, L: 64, H: h, Lambda: 0.5, LossScale: 1, GradScale: 1}
		for i := range 17 {
			o.Side = append(o.Side, int32(4*i))
		}
		return o
	})
	n := 2 * s.F * h
	l.add32("grad_norm", name("n%d", n), func(g *Gen) Op { return &GradNorm[float64]{N: n} })
	l.add("adamw", name("n%d", n), func(g *Gen) Op {
		o := &AdamW[float64]{LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Bias1: 0.1, Bias2: 0.05, N: n, Norm: []float64{1, 0},
			W: g.Normal(n, 1), V: g.Constant(n, 1)}
		o.Master = master(g, false, o.W)
		return o
	})
	l.add("adamw_8bit", name("n%d", n), func(g *Gen) Op {
		o := &AdamW8bit[float64]{LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Bias1: 0.1, Bias2: 0.05, N: n, Norm: []float64{1, 0}, W: g.Normal(n, 1), ByChance: g.BF16}
		o.M, o.V, o.Scale, o.Blocks = codes(g, n)
		return o
	})
	l.add32("sample", name("B%d_V%d", s.Sequences, s.Vocab), func(g *Gen) Op {
		return &Sample[float64]{Key: make([]uint64, s.Sequences), Step: g.Ints(s.Sequences, 1000), B: s.Sequences, V: s.Vocab, Temperature: 0.7, TopP: 0.95}
	})
}
