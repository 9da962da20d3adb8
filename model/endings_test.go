package model_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// verdicts are paths as numbers have them: 5, 51, 511 (which part where one ends), 6, 78 and 79; the lead-in is 20, 21, the end 2.
func verdicts() [][]int32 {
	return [][]int32{{20, 21, 5, 2}, {20, 21, 5, 1, 2}, {20, 21, 5, 1, 1, 2}, {20, 21, 6, 2}, {20, 21, 47, 8, 2}, {20, 21, 47, 9, 2}}
}

// lacking asks for a path behind samples whose first token is even, and behind empty ones.
func lacking() func(int, []int32, bool) bool {
	return func(_ int, ids []int32, _ bool) bool { return len(ids) == 0 || ids[0]%2 == 0 }
}

func withEndings(o model.GenOptions, all bool) model.GenOptions {
	o.Endings = &model.Endings{Paths: verdicts(), All: all, Lacks: lacking()}
	return o
}

// What is said of a sample with a path behind it is what one forward pass says of the same tokens: log-probabilities, rewards, and the
// chances of the paths. Seeing all chances changes no token.
func TestEndings(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		tol := map[kernels.DType]float64{kernels.F32: 1e-5, kernels.BF16: 0.05}[typ]
		m := newModel(t, tinyConfig(), model.Options{DType: typ, Head: true}, 0)
		for _, at := range []model.RewardAt{model.AtContent, model.AtEnd} {
			o := withEndings(sampling, true)
			o.Reward, o.MaxTokens = at, 6
			reqs := genRequests(devicetest.Fewer(8, 4))
			got := generate(t, m, reqs, o)
			logprob, reward, err := m.Evaluate(branches(reqs, got, at))
			if err != nil {
				t.Fatal(err)
			}
			var lp, wantLP, r []float32
			stopped, cut, k, empty := 0, 0, 0, 0
			taken := map[int]bool{}
			for i, samples := range got {
				for _, s := range samples {
					sum, own := 0.0, len(s.IDs)-s.Added
					for range s.IDs {
						sum += float64(logprob[k])
						k++
					}
					lp, wantLP, r = append(lp, float32(s.LogProb)), append(wantLP, float32(sum)), append(r, s.Reward)
					if lacks := o.Endings.Lacks(0, s.IDs[:own], s.Stopped); lacks != (s.Added > 0) {
						t.Fatalf("sample %v: %d tokens added", s.IDs, s.Added)
					}
					if s.Added == 0 {
						continue
					}
					if !slices.Equal(s.IDs[own:], verdicts()[s.Path]) || s.Stopped == (own == o.MaxTokens) && own != o.MaxTokens {
						t.Errorf("sample %v ends with %d tokens of path %d, stopped %v", s.IDs, s.Added, s.Path, s.Stopped)
					}
					if s.Stopped {
						stopped++
					} else {
						cut++
					}
					taken[s.Path] = true
					if own == 0 {
						empty++
					}
					want := pathChances(t, m, slices.Concat(reqs[i].Prefix, s.IDs[:own]), verdicts())
					near(t, "chances", f32s(s.Chances), f32s(want), tol)
					near(t, "chance", []float32{float32(s.Chance)}, []float32{float32(want[s.Path])}, tol)
				}
			}
			if stopped == 0 || cut == 0 || empty == 0 || len(taken) < 4 {
				t.Errorf("%d samples stopped, %d at once, %d were cut, paths %v: there should be all kinds", stopped, empty, cut, taken)
			}
			near(t, "log-probability", lp, wantLP, tol)
			near(t, "reward", r, reward, tol)
			o.Endings.All = false
			for i, samples := range generate(t, m, reqs, o) {
				for j, s := range samples {
					if !slices.Equal(s.IDs, got[i][j].IDs) || s.Chances != nil {
						t.Errorf("without all chances sample %d.%d is %v, want %v", i, j, s.IDs, got[i][j].IDs)
					}
				}
			}
		}
	}
}

func f32s(x []float64) (out []float32) {
	for _, v := range x {
		out = append(out, float32(v))
	}
	return out
}

// pathChances are the chances of paths behind given tokens, by the rule in so many words: what an end competes with is all that does not go on
// with another path.
func pathChances(t *testing.T, m *model.Model, prefix []int32, paths [][]int32) []float64 {
	t.Helper()
	var spread func(done []int32) map[int]float64
	spread = func(done []int32) map[int]float64 {
		p, end, rest, total := map[int32]float64{}, -1, 1.0, 0.0
		for i, path := range paths {
			if len(path) <= len(done) || !slices.Equal(path[:len(done)], done) {
				continue
			}
			if next := path[len(done)]; len(path) == len(done)+1 {
				end = i
			} else if _, seen := p[next]; !seen {
				p[next] = math.Exp(logProbOf(t, m, slices.Concat(prefix, done), next))
				rest, total = rest-p[next], total+p[next]
			}
		}
		out := map[int]float64{}
		if end >= 0 {
			out[end], total = rest, 1
		}
		for next, q := range p {
			for i, r := range spread(append(slices.Clone(done), next)) {
				out[i] = q / total * r
			}
		}
		if end >= 0 && len(p) == 0 {
			out[end] = 1
		}
		return out
	}
	all := make([]float64, len(paths))
	for i, p := range spread(nil) {
		all[i] = p
	}
	return all
}

// logProbOf is the log-probability of a token behind others.
func logProbOf(t *testing.T, m *model.Model, ids []int32, next int32) float64 {
	t.Helper()
	b := &model.Batch{}
	b.Open(ids)
	b.Close()
	b.Row, b.Target = []int32{int32(len(ids)) - 1}, []int32{next}
	lp, _, err := m.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	return float64(lp[0])
}

// Paths are drawn as often as their chances say; at temperature 0 it is the likeliest branch, and top_k 1 takes no other.
func TestEndingsAreDrawn(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	o := sampling
	o.Temperature, o.MaxTokens, o.Reward = 1, 1, model.NoReward
	o.Endings = &model.Endings{Paths: verdicts(), All: true, Lacks: func(int, []int32, bool) bool { return true }}
	n := devicetest.Fewer(3000, 600)
	got := generate(t, m, []model.GenRequest{{Prefix: []int32{9, 8, 30}, N: n, Key: 4}}, o)[0]
	var want [6]float64
	var seen [6]int
	for _, s := range got {
		seen[s.Path]++
		for i, p := range s.Chances {
			want[i] += p
		}
	}
	for i := range want {
		if sd := math.Sqrt(want[i] * (1 - want[i]/float64(n))); math.Abs(float64(seen[i])-want[i]) > 4*sd {
			t.Errorf("path %d is drawn %d times, its chances sum to %.1f (standard deviation %.1f)", i, seen[i], want[i], sd)
		}
	}
	o.Temperature = 0
	cold := generate(t, m, []model.GenRequest{{Prefix: []int32{9, 8, 30}, N: 1, Key: 4}}, o)[0][0]
	o.Temperature, o.TopK = 1, 1
	if first := generate(t, m, []model.GenRequest{{Prefix: []int32{9, 8, 30}, N: 5, Key: 4}}, o)[0]; !slices.Equal(first[3].IDs, cold.IDs) {
		t.Errorf("top_k 1 gives %v, temperature 0 %v", first[3].IDs, cold.IDs)
	}
}

// Paths that cannot be followed are refused, and so is a sequence for which there is no room.
func TestBadEndings(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	for want, paths := range map[string][][]int32{
		"want paths":                          {},
		"id 61, want 0..60":                   {{20, 61, 2}},
		"its last token, and no other":        {{20, 5}},
		"no other, must be":                   {{20, 2, 2}},
		"path 0 is too short":                 {{2}},
		"path 1 is too short, there twice":    {{20, 5, 2}, {20, 5, 2}},
		"begins with another token":           {{20, 5, 2}, {21, 5, 2}},
		"new ones are over max_position_embe": {append(slices.Repeat([]int32{20}, 300), 2)},
	} {
		o := sampling
		o.Endings = &model.Endings{Paths: paths, Lacks: lacking()}
		err := m.Generate(context.Background(), genRequests(1), o, func(int, []model.GenSample) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", paths, err, want)
		}
	}
}
