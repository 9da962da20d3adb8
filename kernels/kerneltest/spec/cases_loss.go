package spec

import (
	"fmt"
	"math"
	"slices"
)

func (l *list) loss() {
	for _, s := range [][4]int{{1, 1, 1, 1}, {1, 3, 2, 1}, {5, 17, 33, 2}, {3, 2, 129, 64}, {33, 31, 129, 16}, {129, 64, 257, 64}, {17, 33, 560, 17}, {3, 8, 2056, 2}, {0, 3, 5, 2}} {
		r, h, v, rows := s[0], s[1], s[2], s[3]
		name := fmt.Sprintf("R%d_H%d_V%d_rows%d", r, h, v, rows)
		critique := func(g *Gen, grad bool, scale float64) *CritiqueLoss[float64] {
			o := &CritiqueLoss[float64]{X: g.Normal(r*h, scale), Target: g.Ints(r, v), Weight: g.Normal(r, 1),
				LossScale: 0.25, GradScale: 3, LogitScale: 1, R: r, H: h, V: v, ScratchRows: rows}
			if grad {
				o.DX, o.DW = make([]float64, r*h), g.Normal(v*h, 1)
			}
			return o
		}
		l.add("critique_loss", name, func(g *Gen) Op { return critique(g, true, 1) })
		if v >= 560 {
			l.addSkewed("critique_loss", name, func(g *Gen) Op { return critique(g, true, 1) })
			l.race(4)
		}
		l.add("critique_loss", name+"_frozen", func(g *Gen) Op {
			o := critique(g, true, 1)
			o.DW = nil
			return o
		})
		l.add("critique_loss", name+"_no_gradient", func(g *Gen) Op { return critique(g, false, 1) })
		l.add("critique_loss", name+"_sharp", func(g *Gen) Op { return critique(g, true, 100) })
		l.add("critique_loss", name+"_scaled", func(g *Gen) Op {
			o := critique(g, true, 3)
			o.LogitScale = 0.2
			return o
		})
		l.add("critique_loss", name+"_capped", func(g *Gen) Op {
			o := critique(g, true, 1)
			o.LogitScale, o.LogitCap = 0.5, 5
			return o
		})
		l.add("critique_loss", name+"_capped_no_gradient", func(g *Gen) Op {
			o := critique(g, false, 10) // at the cap
			o.LogitScale, o.LogitCap = 1, 30
			return o
		})
		l.add("critique_loss", name+"_repeated_rows", func(g *Gen) Op {
			o := critique(g, true, 1)
			for i := h; i < len(o.X); i++ {
				o.X[i] = o.X[i%h]
			}
			return o
		})
		l.add("critique_loss", name+"_weight_0", func(g *Gen) Op {
			o := critique(g, true, 1)
			for i := range o.Weight {
				o.Weight[i] *= float64(i % 2)
			}
			return o
		})
		if r == 33 {
			l.race(16)
		}
	}
	for _, n := range []int{0, 1, 3, 17, 1000, 70001} {
		for _, s := range [][3]float64{{0.125, 0, 1}, {1, 30, 10}, {1, 30, 1e-3}, {0.5, 3, 1000}} {
			if n == 1000 || s[1] == 30 {
				l.add32("soft_cap", fmt.Sprintf("n%d_scale%g_cap%g_x%g", n, s[0], s[1], s[2]), func(g *Gen) Op {
					return &SoftCap[float64]{X: g.Normal(n, s[2]), Scale: s[0], Cap: s[1], N: n}
				})
			}
		}
	}
	l.skewed(1)
	l.race(3)
	for _, s := range [][3]int{{1, 1, 1}, {2, 3, 17}, {17, 33, 31}, {129, 129, 129}, {3, 200, 128}, {2, 3, 4104}, {0, 3, 17}} {
		n, rows, h := s[0], s[1], s[2]
		name := fmt.Sprintf("L%d_N%d_H%d", n, rows, h)
		head := func(g *Gen) Op { return &RewardHead[float64]{Row: g.Distinct(n, rows), L: n, N: rows, H: h} }
		l.add("reward_head", name, head)
		if h == 128 {
			l.addSkewed("reward_head", name, head)
			l.race(4)
		} else if h == 31 || h == 4104 {
			l.race(2)
		}
	}
}

func (l *list) reward() {
	sides := []struct {
		name   string
		leaves []int // per side
		h      int
	}{
		{"no_pairs", nil, 5},
		{"one_one", []int{1, 1}, 1},
		{"two_three", []int{2, 3}, 17},
		{"four_four_x3", []int{4, 4, 4, 4, 4, 4}, 16},
		{"empty_sides", []int{0, 2, 3, 0, 0, 0, 2, 1}, 33},
		{"only_empty", []int{0, 3}, 8},
		{"odd", []int{17, 31, 1, 33, 3, 1, 1, 1}, 129},
		{"many", many(129), 64},
		{"long_rows", []int{3, 2}, 2568},
	}
	for _, s := range sides {
		for pairing, name := range []string{"cross", "mean", "zip"} {
			base := func(g *Gen) *RewardLoss[float64] {
				o := &RewardLoss[float64]{Side: []int32{0}, P: len(s.leaves) / 2, S: len(s.leaves), H: s.h, Pairing: Pairing(pairing),
					Lambda: 0.3, LossScale: 0.5, GradScale: 2, W: g.Normal(s.h, 1/math.Sqrt(float64(s.h)))}
				for _, n := range s.leaves {
					o.L += n
					o.Side = append(o.Side, int32(o.L))
				}
				return o
			}
			l.add("reward_loss", s.name+"_"+name, func(g *Gen) Op { return base(g) })
			if s.h%8 == 0 {
				l.addSkewed("reward_loss", s.name+"_"+name, func(g *Gen) Op { return base(g) })
			}
			if s.h >= 16 {
				l.race(2)
			}
			l.add("reward_loss", s.name+"_"+name+"_margin_centre_critique", func(g *Gen) Op {
				o := base(g)
				o.Margin, o.Critique, o.Center = g.Normal(o.P, 1), g.Normal(1, 1), 0.01
				return o
			})
			l.add("reward_loss", s.name+"_"+name+"_weight_smooth_alone", func(g *Gen) Op {
				o := base(g)
				o.Margin, o.Weight, o.Smooth, o.Alone, o.Center = g.Normal(o.P, 1), g.Normal(o.P, 1), 0.2, true, 0.1
				for i, w := range o.Weight {
					o.Weight[i] = math.Abs(w)
				}
				return o
			})
			l.add("reward_loss", s.name+"_"+name+"_scores", func(g *Gen) Op {
				o := base(g)
				o.Target, o.Weight, o.Critique = g.Normal(o.S, 2), g.Normal(o.P, 1), g.Normal(1, 1)
				for i, w := range o.Weight {
					o.Weight[i] = math.Abs(w)
				}
				return o
			})
			l.add("reward_loss", s.name+"_"+name+"_ties", func(g *Gen) Op {
				o := base(g)
				o.Ties = true
				rows := small(g, 3*o.H) // rewards of three kinds, exact in every sum
				for range o.L {
					o.X = append(o.X, rows[g.IntN(3)*o.H:][:o.H]...)
				}
				o.W = small(g, o.H)
				return o
			})
			// rewards of ±1e4: log σ must not overflow, and is linear there
			l.add("reward_loss", s.name+"_"+name+"_far", func(g *Gen) Op {
				o := base(g)
				o.Ties = true
				o.X, o.W[0] = make([]float64, o.L*o.H), 100
				for i := range o.L {
					o.X[i*o.H] = 100 * float64(1-2*g.IntN(2))
				}
				return o
			})
		}
	}
	l.add("reward_loss", "leaves_beside_pairs", func(g *Gen) Op { // they have no gradient
		return &RewardLoss[float64]{Side: []int32{2, 3, 5}, Lambda: 0.5, LossScale: 1, GradScale: 1, L: 7, H: 24, P: 1, S: 2}
	})
	l.lists()
}

// lists are rewards of ranked responses.
func (l *list) lists() {
	for _, s := range []struct {
		name   string
		leaves [][]int // of each list, per side
		tied   int     // this many sides stand side by side
		h      int
	}{
		{"no_lists", nil, 1, 5},
		{"pair", [][]int{{1, 1}}, 1, 16},
		{"seven", [][]int{{1, 1, 1, 1, 1, 1, 1}}, 1, 24},
		{"critiques", [][]int{{2, 3, 1, 2}, {4, 4, 4}}, 1, 17},
		{"tied", [][]int{{1, 2, 1, 3, 1, 1}, {2, 2}, {3, 1, 2}}, 2, 33},
		{"gaps", [][]int{{0, 2, 0, 3}, {}, {0, 0}, {1, 0}, {2}, {1, 1, 0}}, 1, 9},
		{"long", [][]int{many(35), {1, 2}}, 3, 64},
		{"lists", slices.Repeat([][]int{{1, 1, 1, 1}, {2, 1, 2}}, 40), 1, 40},
	} {
		for _, pairing := range []Pairing{Mean, Zip} {
			name := s.name + map[Pairing]string{Mean: "_mean", Zip: "_zip"}[pairing]
			base := func(g *Gen) *RewardLoss[float64] {
				o := &RewardLoss[float64]{Side: []int32{0}, List: []int32{0}, Worse: []int32{}, P: len(s.leaves), H: s.h, Pairing: pairing,
					Lambda: 0.3, LossScale: 0.5, GradScale: 2, W: g.Normal(s.h, 1/math.Sqrt(float64(s.h)))}
				for _, sides := range s.leaves {
					first := o.S
					for k, n := range sides {
						o.L += n
						o.S++
						o.Side = append(o.Side, int32(o.L))
						o.Worse = append(o.Worse, int32(first+min(len(sides), k/s.tied*s.tied+s.tied)))
					}
					o.List = append(o.List, int32(o.S))
				}
				return o
			}
			l.add("reward_loss", name+"_listed", func(g *Gen) Op { return base(g) })
			if s.tied > 1 {
				l.race(2)
			}
			l.add("reward_loss", name+"_listed_weight_critique", func(g *Gen) Op {
				o := base(g)
				o.Weight, o.Critique = g.Normal(o.P, 1), g.Normal(1, 1)
				for i, w := range o.Weight {
					o.Weight[i] = math.Abs(w)
				}
				return o
			})
			// rewards of ±1e4: nothing may overflow
			l.add("reward_loss", name+"_listed_far", func(g *Gen) Op {
				o := base(g)
				o.Ties = true
				o.X, o.W[0] = make([]float64, o.L*o.H), 100
				for i := range o.L {
					o.X[i*o.H] = 100 * float64(1-2*g.IntN(2))
				}
				return o
			})
		}
	}
}

// small is n integers from -2 to 2.
func small(g *Gen, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(g.IntN(5) - 2)
	}
	return x
}

func many(pairs int) (leaves []int) {
	for i := range 2 * pairs {
		leaves = append(leaves, (i*7)%5)
	}
	return leaves
}

func (l *list) sample() {
	modes := []struct {
		name              string
		temperature, topP float64
		topK              int
	}{
		{"greedy", 0, 1, 0}, {"plain", 1, 1, 0}, {"cold", 0.1, 1, 0}, {"hot", 3, 1, 0}, {"top1", 1, 1, 1}, {"top5", 0.8, 1, 5},
		{"top_above_V", 1, 1, 5000}, {"nucleus", 1, 0.9, 0}, {"nucleus_tiny", 1, 1e-6, 0}, {"both", 0.7, 0.8, 20}, {"greedy_ignores_top", 0, 0.5, 3},
	}
	for _, m := range modes {
		for _, s := range [][2]int{{1, 1}, {3, 2}, {17, 33}, {5, 560}, {31, 129}, {2, 5003}, {1, 5008}, {0, 7}} {
			b, v := s[0], s[1]
			base := func(g *Gen) *Sample[float64] {
				o := &Sample[float64]{Key: make([]uint64, b), Step: g.Ints(b, 1000), Seed: g.Uint64(), B: b, V: v,
					Temperature: m.temperature, TopP: m.topP, TopK: m.topK}
				for i := range o.Key {
					o.Key[i] = g.Uint64()
				}
				o.Logits = g.Normal(b*v, 2)
				return o
			}
			name := fmt.Sprintf("%s_B%d_V%d", m.name, b, v)
			l.add32("sample", name, func(g *Gen) Op { return base(g) })
			if v == 33 || v == 5003 && m.topP < 1 {
				l.race(1)
			}
			l.add32("sample", name+"_ties", func(g *Gen) Op {
				o := base(g)
				for i := range o.Logits {
					o.Logits[i] = float64(g.IntN(3))
				}
				return o
			})
			l.add32("sample", name+"_far", func(g *Gen) Op {
				o := base(g)
				for i := range o.Logits {
					o.Logits[i] *= 1e4
				}
				return o
			})
			if v == 5008 {
				l.skewed(1)
			}
		}
	}
}

// logprobs are rows with no token, one, many and the same one twice.
func (l *list) logprobs() {
	for _, s := range [][2]int{{1, 1}, {3, 2}, {17, 33}, {5, 560}, {31, 129}, {2, 5003}, {3, 5008}, {0, 7}} {
		for _, scale := range []float64{2, 2e4} {
			b, v := s[0], s[1]
			l.add32("logprobs", fmt.Sprintf("B%d_V%d_scale%g", b, v, scale), func(g *Gen) Op {
				o := &LogProbs[float64]{Logits: g.Normal(b*v, scale), Ptr: []int32{0}, B: b, V: v}
				for i := range b {
					o.M += []int{1, 0, 11, 600}[i%4]
					o.Ptr = append(o.Ptr, int32(o.M))
				}
				o.ID = g.Ints(o.M, v)
				return o
			})
			if v == 33 {
				l.race(1)
			}
			if v == 5008 {
				l.skewed(1)
			}
		}
	}
}
