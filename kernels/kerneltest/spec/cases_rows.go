package spec

import "fmt"

// The largest shapes have rows of more numbers than a block of threads holds.

func (l *list) rows() {
	for _, s := range [][3]int{{1, 1, 1}, {2, 3, 5}, {17, 31, 3}, {129, 33, 17}, {33, 64, 560}, {5, 896, 7}, {40, 4096, 3}, {0, 17, 3}} {
		n, h, v := s[0], s[1], s[2]
		name := fmt.Sprintf("N%d_H%d_V%d", n, h, v)
		embed := func(g *Gen) Op { return &Embed[float64]{ID: g.Ints(n, v), N: n, H: h, V: v} }
		l.add("embed", name, embed)
		back := func(g *Gen) Op { return embedBackward(g.Ints(n, v), h, v) }
		l.add("embed_backward", name, back)
		if h == 64 {
			l.addSkewed("embed", name, embed)
			l.addSkewed("embed_backward", name, back)
			l.race(8)
		} else if h == 33 || h == 896 {
			l.race(4)
		}
	}
	l.add("embed_backward", "one_id_N700", func(g *Gen) Op { return embedBackward(make([]int32, 700), 24, 2) })
	l.add("embed_backward", "one_frequent_id_N700", func(g *Gen) Op {
		id := g.Ints(700, 90)
		for i := range id {
			id[i] *= int32(g.IntN(2))
		}
		return embedBackward(id, 8, 90)
	})
	l.race(2)
	// R is below, equal to and above N: rows repeat, as the last token of a response does for each of its critiques
	for _, s := range [][3]int{{1, 1, 1}, {3, 2, 2}, {17, 5, 31}, {5, 129, 33}, {129, 33, 17}, {17, 9, 64}, {40, 20, 896}, {3, 5, 4096}, {0, 3, 17}} {
		r, n, h := s[0], s[1], s[2]
		name := fmt.Sprintf("R%d_N%d_H%d", r, n, h)
		gather := func(g *Gen) Op { return &Gather[float64]{Row: g.Ints(r, n), R: r, N: n, H: h} }
		l.add("gather", name, gather)
		back := func(g *Gen) Op {
			ptr, src := Group(g.Ints(r, n), n)
			return &GatherBackward[float64]{Ptr: ptr, Src: src, R: r, N: n, H: h}
		}
		l.add("gather_backward", name, back)
		if h == 64 {
			l.addSkewed("gather", name, gather)
			l.addSkewed("gather_backward", name, back)
			l.race(8)
		} else if h == 33 || h == 896 {
			l.race(4)
		}
	}
}

func embedBackward(id []int32, h, v int) Op {
	row, ptr, src := GroupUsed(id, v)
	return &EmbedBackward[float64]{Row: row, Ptr: ptr, Src: src, N: len(id), H: h, V: v, U: len(row)}
}

func (l *list) norms() {
	for _, s := range [][2]int{{1, 1}, {2, 3}, {3, 17}, {5, 31}, {17, 33}, {31, 129}, {129, 64}, {3, 1024}, {3, 896}, {40, 1032}, {2, 2048}, {2, 4096},
		{3, 8192}, {9, 16384}, {2, 16392}, {0, 16}} {
		n, h := s[0], s[1]
		for _, scale := range []float64{1, 1e-4, 300} {
			if scale != 1 && h != 33 {
				continue
			}
			name := fmt.Sprintf("N%d_H%d_x%g", n, h, scale)
			norm := func(g *Gen, res bool) *RMSNorm[float64] {
				o := &RMSNorm[float64]{X: g.Normal(n*h, scale), W: g.Normal(h, 1), Eps: 1e-5, Shift: [...]float64{0, 1, -0.5}[h%3], N: n, H: h}
				if res {
					o.Res, o.Sum = g.Normal(n*h, scale), make([]float64, n*h)
				}
				return o
			}
			plain, residual := func(g *Gen) Op { return norm(g, false) }, func(g *Gen) Op { return norm(g, true) }
			back := func(g *Gen) Op {
				f := norm(g, false)
				RoundTo(f.X, g.BF16)
				f.Out, f.RStd = make([]float64, n*h), make([]float64, n)
				f.Run()
				return &RMSNormBackward[float64]{X: f.X, W: f.W, RStd: f.RStd, Shift: f.Shift, N: n, H: h}
			}
			l.add("rmsnorm", name, plain)
			l.add("rmsnorm", name+"_residual", residual)
			l.add("rmsnorm_backward", name, back)
			if h == 64 {
				l.addSkewed("rmsnorm", name, plain)
				l.addSkewed("rmsnorm", name+"_residual", residual)
				l.addSkewed("rmsnorm_backward", name, back)
				l.race(12)
			} else if h == 129 || h == 1032 || h == 2048 {
				l.race(6)
			} else if h == 16392 {
				l.race(1)
			}
		}
	}
	l.add("rmsnorm", "zero_row", func(g *Gen) Op {
		return &RMSNorm[float64]{X: g.Constant(2*17, 0), Eps: 1e-6, N: 2, H: 17}
	})
}

// Rows, heads of queries and of keys, their size; queries are normalised, then keys, and one part of all queries.
func (l *list) sliceNorms() {
	for _, s := range [][4]int{{1, 1, 1, 1}, {3, 2, 1, 3}, {17, 3, 1, 17}, {9, 6, 2, 31}, {33, 4, 2, 64}, {5, 8, 2, 80}, {19, 3, 3, 96}, {129, 2, 1, 128}, {7, 4, 1, 256},
		{3, 20, 1, 129}, {2, 10, 2, 1032}, {3, 2, 1, 16392}, {0, 2, 1, 8}} {
		n, a, g, d := s[0], s[1], s[2], s[3]
		c := (a + 2*g) * d
		for _, part := range []struct {
			name                  string
			groups, width, offset int
		}{{"queries", a, d, 0}, {"keys", g, d, a * d}, {"all", 1, a * d, 0}} {
			name := fmt.Sprintf("N%d_A%d_G%d_D%d_%s", n, a, g, d, part.name)
			norm := func(r *Gen, keep bool) *SliceNorm[float64] {
				o := &SliceNorm[float64]{Y: r.Normal(n*c, 2), W: r.Normal(part.width, 1), Eps: 1e-6, Shift: [...]float64{0, 1, -0.5}[d%3],
					N: n, C: c, Groups: part.groups, Width: part.width, Offset: part.offset}
				if keep {
					o.X, o.RStd = make([]float64, n*part.groups*part.width), make([]float64, n*part.groups)
				}
				return o
			}
			forward := func(r *Gen) Op { return norm(r, true) }
			back := func(r *Gen) Op {
				f := norm(r, true)
				RoundTo(f.Y, r.BF16)
				f.Run()
				return &SliceNormBackward[float64]{X: f.X, W: f.W, RStd: f.RStd, Shift: f.Shift, N: n, C: c, Groups: f.Groups, Width: f.Width, Offset: f.Offset}
			}
			l.add("slice_norm", name, forward)
			l.add("slice_norm", name+"_not_kept", func(r *Gen) Op { return norm(r, false) })
			l.add("slice_norm_backward", name, back)
			if d == 64 {
				l.addSkewed("slice_norm", name, forward)
				l.addSkewed("slice_norm_backward", name, back)
				l.race(10)
			} else if d == 31 || d == 80 || d == 1032 && part.groups > 1 {
				l.race(6)
			}
		}
	}
	l.add("slice_norm", "N5_W64_odd_row", func(g *Gen) Op {
		return &SliceNorm[float64]{Eps: 1e-6, N: 5, C: 3*64 + 1, Groups: 2, Width: 64, Offset: 64}
	})
	l.add("slice_norm_backward", "N5_W64_odd_row", func(g *Gen) Op {
		return &SliceNormBackward[float64]{N: 5, C: 3*64 + 1, Groups: 2, Width: 64, Offset: 64}
	})
}

func (l *list) turns() {
	for _, s := range [][5]int{{1, 1, 1, 2, 2}, {2, 2, 1, 4, 4}, {3, 3, 1, 6, 6}, {17, 4, 2, 16, 16}, {33, 6, 3, 34, 34}, {129, 4, 4, 64, 64}, {2, 2, 2, 128, 128},
		{2, 32, 8, 128, 128}, {3, 5, 1, 256, 256}, {1, 12, 4, 1024, 1024}, {1, 2, 1, 4096, 4096}, {0, 2, 1, 8, 8},
		{3, 2, 1, 8, 6}, {5, 3, 1, 6, 2}, {9, 4, 2, 128, 96}, {7, 3, 3, 84, 32}} { // a part of the channels
		n, a, g, d, turned := s[0], s[1], s[2], s[3], s[4]
		name := fmt.Sprintf("N%d_A%d_G%d_D%d", n, a, g, d)
		if turned < d {
			name += fmt.Sprintf("_R%d", turned)
		}
		t := min(200, 40000/d)
		rope := func(r *Gen) *RoPE[float64] {
			return &RoPE[float64]{Table: RoPETable(t, turned, 1e4), Pos: r.Ints(n, t), N: n, A: a, G: g, D: d, R: turned, T: t}
		}
		forward, back := func(r *Gen) Op { return rope(r) }, func(r *Gen) Op { return (*RoPEBackward[float64])(rope(r)) }
		l.add("rope", name, forward)
		l.add("rope_backward", name, back)
		if d == 16 {
			l.addSkewed("rope", name, forward)
			l.addSkewed("rope_backward", name, back)
			l.race(8)
		} else if d == 34 || d == 64 || a == 32 || turned == 96 {
			l.race(4)
		}
	}
}

func (l *list) biases() {
	for _, s := range [][2]int{{1, 1}, {2, 3}, {3, 17}, {17, 31}, {33, 129}, {301, 64}, {129, 528}, {5, 2056}, {1100, 8}, {0, 17}, {3, 0}} {
		n, o := s[0], s[1]
		name := fmt.Sprintf("N%d_O%d", n, o)
		forward := func(g *Gen) Op { return &AddBias[float64]{N: n, O: o} }
		back := func(g *Gen) Op { return &AddBiasBackward[float64]{N: n, O: o} }
		l.add("add_bias", name, forward)
		l.add("add_bias_backward", name, back)
		if o == 64 {
			l.addSkewed("add_bias", name, forward)
			l.addSkewed("add_bias_backward", name, back)
			l.race(8)
		} else if o == 129 || o == 528 {
			l.race(4)
		}
	}
}

func (l *list) scales() {
	for _, n := range []int{0, 1, 3, 17, 1000, 70001} {
		for _, s := range []float64{0.5, -3.7, 48.1} {
			if s == 0.5 || n == 1000 {
				l.add("scale", fmt.Sprintf("n%d_by%g", n, s), func(g *Gen) Op { return &Scale[float64]{S: s, N: n} })
			}
		}
	}
	l.skewed(2)
	l.race(4)
}

func (l *list) gates() {
	for _, s := range [][2]int{{1, 1}, {2, 3}, {3, 17}, {17, 31}, {33, 129}, {129, 32}, {3, 4864}, {1, 14336}, {0, 17}} {
		n, f := s[0], s[1]
		for _, scale := range []float64{1, 100} { // at 100 the sigmoid is 0 or 1 and exp overflows float32
			if scale != 1 && n*f > 10000 {
				continue
			}
			name := fmt.Sprintf("N%d_F%d_x%g", n, f, scale)
			forward := func(g *Gen) *SwiGLU[float64] { return &SwiGLU[float64]{GU: g.Normal(2*n*f, scale), N: n, F: f} }
			back := func(g *Gen) *SwiGLUBackward[float64] {
				return &SwiGLUBackward[float64]{GU: g.Normal(2*n*f, scale), N: n, F: f}
			}
			for _, c := range []struct {
				op   string
				make func(g *Gen) Op
			}{
				{"swiglu", func(g *Gen) Op { return forward(g) }}, {"swiglu_backward", func(g *Gen) Op { return back(g) }},
				{"geglu", func(g *Gen) Op { return (*GeGLU[float64])(forward(g)) }}, {"geglu_backward", func(g *Gen) Op { return (*GeGLUBackward[float64])(back(g)) }},
			} {
				l.add(c.op, name, c.make)
				if f == 32 {
					l.addSkewed(c.op, name, c.make)
					l.race(4)
				} else if f == 129 || f == 4864 {
					l.race(2)
				}
			}
		}
	}
}
