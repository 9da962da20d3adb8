package spec

import "fmt"

// Streams of a hundred thousand tokens, more than a grid may be wide in its second dimension. Most have rows of two numbers, in one type.
func (l *list) longStreams() {
	from := len(*l)
	const n = 100003
	l.add32("embed", "N100003_H2", func(g *Gen) Op { return &Embed[float64]{ID: g.Ints(n, 5), N: n, H: 2, V: 5} })
	l.add32("embed_backward", "N100003_H2", func(g *Gen) Op { return embedBackward(g.Ints(n, 5), 2, 5) })
	l.add32("gather", "R100003_H2", func(g *Gen) Op { return &Gather[float64]{Row: g.Ints(n, 7), R: n, N: 7, H: 2} })
	l.add32("gather_backward", "N100003_H2", func(g *Gen) Op {
		ptr, src := Group(g.Ints(20000, n), n)
		return &GatherBackward[float64]{Ptr: ptr, Src: src, R: len(src), N: n, H: 2}
	})
	const fewer = 1<<16 + 3 // where the software GPU has a sum over a warp for each row
	l.add32("rmsnorm", "N65539_H2", func(g *Gen) Op { return &RMSNorm[float64]{Eps: 1, N: fewer, H: 2} })
	l.add32("rmsnorm_backward", "N65539_H2", func(g *Gen) Op { return &RMSNormBackward[float64]{N: fewer, H: 2} })
	l.add32("slice_norm", "N65539_D1", func(g *Gen) Op {
		return &SliceNorm[float64]{X: make([]float64, fewer), RStd: make([]float64, fewer), Eps: 1, N: fewer, C: 3, Groups: 1, Width: 1, Offset: 1}
	})
	l.add32("slice_norm_backward", "N65539_D1", func(g *Gen) Op {
		return &SliceNormBackward[float64]{N: fewer, C: 3, Groups: 1, Width: 1, Offset: 1}
	})
	rope := func(r *Gen) *RoPE[float64] {
		return &RoPE[float64]{Table: RoPETable(50, 2, 1e4), Pos: r.Ints(n, 50), N: n, A: 1, G: 1, D: 2, R: 2, T: 50}
	}
	l.add32("rope", "N100003_D2", func(r *Gen) Op { return rope(r) })
	l.add32("rope_backward", "N100003_D2", func(r *Gen) Op { return (*RoPEBackward[float64])(rope(r)) })
	l.add32("add_bias", "N100003_O2", func(g *Gen) Op { return &AddBias[float64]{N: n, O: 2} })
	l.add32("add_bias_backward", "N100003_O2", func(g *Gen) Op { return &AddBiasBackward[float64]{N: n, O: 2} })
	l.add32("swiglu", "N100003_F2", func(g *Gen) Op { return &SwiGLU[float64]{N: n, F: 2} })
	l.add32("swiglu_backward", "N100003_F2", func(g *Gen) Op { return &SwiGLUBackward[float64]{N: n, F: 2} })
	l.add32("geglu", "N100003_F2", func(g *Gen) Op { return &GeGLU[float64]{N: n, F: 2} })
	l.add32("geglu_backward", "N100003_F2", func(g *Gen) Op { return &GeGLUBackward[float64]{N: n, F: 2} })
	l.add32("kv_store", "N100003_D2", func(g *Gen) Op {
		return &KVStore[float64]{Slot: g.Distinct(n, n), N: n, A: 1, G: 1, D: 2, S: n}
	})
	l.add32("kv_load", "N100003_D2", func(g *Gen) Op {
		return &KVLoad[float64]{Slot: g.Distinct(n, n), Row: g.Distinct(n, n), M: n, N: n, A: 1, G: 1, D: 2, S: n}
	})
	l.add32("matmul", "N100003_O2_I3", func(g *Gen) Op { return &Matmul[float64]{N: n, O: 2, I: 3} })
	l.add32("matmul_dx", "N100003_O2_I3", func(g *Gen) Op { return &MatmulDX[float64]{N: n, O: 2, I: 3} })
	l.add32("matmul_dw", "N100003_O2_I3", func(g *Gen) Op { return &MatmulDW[float64]{N: n, O: 2, I: 3} })
	l.add32("critique_loss", "R65539_H2_V3", func(g *Gen) Op {
		return &CritiqueLoss[float64]{DX: make([]float64, 2*fewer), DW: g.Normal(6, 1), Target: g.Ints(fewer, 3), LossScale: 1, GradScale: 2, LogitScale: 1, R: fewer, H: 2, V: 3,
			ScratchRows: 40000}
	})
	l.add32("reward_head", "L9_N100003_H2", func(g *Gen) Op { return &RewardHead[float64]{Row: g.Distinct(9, n), L: 9, N: n, H: 2} })
	l.add16("attention_decode", "context100003_A2_G1_D64", func(g *Gen) Op {
		return Decode(g, [][]int{{99_000, 1003}}, [][]int{{0, 1, 70_000}}, scoring{}, 2, 1, 64)
	})
	l.longAttention()
	for i := from; i < len(*l); i++ {
		(*l)[i].Long = true
	}
}

// longAttention has short documents, and a tree and a sequence of many tiles far from the start.
func (l *list) longAttention() {
	for _, d := range []int{16, 64} {
		name, forward, backward := attention(forest{"stream100003", func(g *Gen) *Forest {
			f := new(Forest)
			short := func(n int) {
				for len(f.node) < n {
					f.Leaf(1 + g.IntN(min(12, n-len(f.node))))
				}
			}
			short(60_000)
			f.PairTree(150, 90, 40, 3)
			short(99_000)
			f.Leaf(400)
			short(100_003)
			return f
		}, true}, 1, 1, d, 1)
		if d == 16 {
			l.add32("attention", name, forward)
			l.add32("attention_backward", name, backward)
		} else {
			l.add16("attention", name, forward)
			l.add16("attention_backward", name, backward)
		}
	}
}

// tensorCores are cases of the head sizes that have kernels of their own: tiles of 64 keys and of 128 queries in two halves.
func (l *list) tensorCores() {
	heads := [][3]int{{2, 1, 64}, {1, 1, 80}, {2, 1, 96}, {1, 1, 128}, {1, 1, 256}}
	for _, s := range heads {
		for _, n := range []int{63, 64, 65, 127, 128, 191, 193} {
			l.attend(forest{fmt.Sprintf("causal%d", n), func(*Gen) *Forest { return sequences(n) }, true}, s[0], s[1], s[2], 1)
			if n == 193 {
				l.raceCores(4)
			}
		}
		b := 8192 / min(s[2], 128)
		l.attend(forest{fmt.Sprintf("nodes_about_%d", b), func(*Gen) *Forest { return pairs(b, b-1, 2, 2, 1) }, true}, s[0], s[1], s[2], 1)
		// the later children skip tiles of their siblings, and halves of tiles of queries skip others than the whole
		gaps := forest{"gaps", func(*Gen) *Forest {
			f := new(Forest)
			f.Open(70)
			for _, n := range []int{130, 64, 1, 100} {
				f.Leaf(n)
			}
			f.Close()
			f.Leaf(3)
			return f
		}, true}
		l.attend(gaps, s[0], s[1], s[2], 1)
		l.race(1)
		l.attend(forest{"ones200", func(*Gen) *Forest {
			f := new(Forest)
			for range 200 {
				f.Leaf(1)
			}
			return f
		}, true}, s[0], s[1], s[2], 1)
		// scores that grow past those of the tiles before, by little and by much
		for _, scale := range []float64{2, 3, 12} {
			l.attend(forest{fmt.Sprintf("causal200_scale%g", scale), func(*Gen) *Forest { return sequences(200) }, true}, s[0], s[1], s[2], scale)
		}
	}
	// heads per key head of published models
	l.attend(forest{"packed_30_40", func(*Gen) *Forest { return sequences(30, 40) }, true}, 14, 2, 64, 1)
	l.attend(forest{"packed_9_12", func(*Gen) *Forest { return sequences(9, 12) }, true}, 32, 8, 128, 1)
	l.attend(forest{"pair_20_15_10_k2", func(*Gen) *Forest { return pairs(20, 15, 10, 2, 1) }, true}, 2, 1, 256, 1)
	l.attend(forest{"causal33", func(*Gen) *Forest { return sequences(33) }, true}, 1, 1, 10, 1)
	name, forward, backward := attention(forest{"packed_70_30", func(*Gen) *Forest { return sequences(70, 30) }, true}, 2, 1, 64, 1)
	l.addSkewed("attention", name, forward)
	l.addSkewed("attention_backward", name, backward)
	l.race(4)
}

// vocabularies are those of published models, and odd ones.
func (l *list) vocabularies() {
	for _, v := range []int{128_256, 151_937} {
		for _, m := range []struct {
			name              string
			temperature, topP float64
			topK              int
		}{{"greedy", 0, 1, 0}, {"plain", 1, 1, 0}, {"top5", 0.8, 1, 5}, {"nucleus", 0.7, 0.95, 0}} {
			l.add32("sample", fmt.Sprintf("%s_B2_V%d", m.name, v), func(g *Gen) Op {
				return &Sample[float64]{Logits: g.Normal(2*v, 3), Key: []uint64{g.Uint64(), g.Uint64()}, Step: g.Ints(2, 1000), Seed: g.Uint64(), B: 2, V: v,
					Temperature: m.temperature, TopP: m.topP, TopK: m.topK}
			})
		}
		l.add("critique_loss", fmt.Sprintf("R3_H4_V%d_rows2", v), func(g *Gen) Op {
			return &CritiqueLoss[float64]{DX: make([]float64, 12), DW: g.Normal(4*v, 1), Target: []int32{int32(v - 1), 0, int32(v / 2)}, LossScale: 0.5, GradScale: 3, LogitScale: 1,
				R: 3, H: 4, V: v, ScratchRows: 2}
		})
	}
}
