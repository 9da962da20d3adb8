package quality

// The best of n responses to one prompt.

import (
	"cmp"
	"math"
	"slices"
)

// Best is how often the response is right that a method picks among n of a prompt.
type Best struct {
	Method   string `json:"method"`
	N        int    `json:"n"`
	Prompts  int    `json:"prompts"`
	Accuracy Figure `json:"accuracy"`
}

// Methods of best-of-n beside the reward and the score.
const (
	PickReward = "reward"
	PickScore  = "mean score"
	PickAny    = "any of n is right"
	PickRandom = "one at random"
)

// bestOf measures prompts with several distinct responses. The expectation over all sets of n responses is exact: with L responses below a
// value and g at it, the highest of n is among the g with probability [C(L+g, n) − C(L, n)] / C(N, n), and is any of them alike.
func (s *sample) bestOf(r *Report) {
	byPrompt, order := map[string][]int{}, []string{}
	for i, it := range s.items {
		list := byPrompt[it.Prompt]
		if slices.ContainsFunc(list, func(j int) bool { return s.items[j].Response == it.Response }) {
			continue // the same response in another pair
		}
		if list == nil {
			order = append(order, it.Prompt)
		}
		byPrompt[it.Prompt] = append(list, i)
	}
	most := r.BestOf
	if most == 0 {
		most = math.MaxInt
		for _, list := range byPrompt {
			if len(list) > 1 {
				most = min(most, len(list))
			}
		}
	}
	var used [][]int
	for _, p := range order {
		if len(byPrompt[p]) >= most && most > 1 {
			used = append(used, byPrompt[p])
		}
	}
	if len(used) == 0 {
		if r.BestOf > 0 {
			r.Notes = append(r.Notes, "no prompt has as many responses as --best_of asks for: best-of-n is not measured")
		}
		return
	}
	for _, pick := range []struct {
		name string
		has  bool
		of   func(*Item) float64
	}{
		{PickReward, s.items[0].Reward != nil, func(it *Item) float64 { return *it.Reward }},
		{PickScore, r.Critiques > 0, meanScore},
		{PickAny, true, func(it *Item) float64 {
			if it.Right {
				return 1
			}
			return 0
		}},
		{PickRandom, true, func(*Item) float64 { return 0 }},
	} {
		if !pick.has {
			continue
		}
		for _, n := range powers(most) {
			if pick.name == PickRandom && n > 1 {
				break // the same for every n
			}
			x := make([]float64, len(used))
			for k, list := range used {
				x[k] = s.picked(list, n, pick.of)
			}
			all := s.statistics(1, func(part int, drawn, out []float64) {
				sum, w := 0.0, 0.0
				for k, list := range used {
					if d := drawn[list[0]]; d > 0 && s.in(list[0], part) {
						sum, w = sum+d*x[k], w+d
					}
				}
				out[0] = ratio(sum, w)
			})
			r.BestOfN = append(r.BestOfN, Best{Method: pick.name, N: n, Prompts: len(used), Accuracy: all[0][0]})
		}
	}
}

// meanScore is the mean of the critiques' scores; without any a response is picked last.
func meanScore(it *Item) float64 {
	sum, n := 0.0, 0.0
	for _, c := range it.Critiques {
		if c.Score != nil {
			sum += *c.Score
			n++
		}
	}
	if n == 0 {
		return math.Inf(-1)
	}
	return sum / n
}

// picked is the chance that the highest of n responses, drawn among those of a prompt, is right.
func (s *sample) picked(list []int, n int, value func(*Item) float64) float64 {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(value(s.items[a]), value(s.items[b])) })
	sum := 0.0
	for i := 0; i < len(list); {
		j, right := i, 0.0
		for ; j < len(list) && value(s.items[list[j]]) == value(s.items[list[i]]); j++ {
			if s.items[list[j]].Right {
				right++
			}
		}
		sum += (subsets(j, n, len(list)) - subsets(i, n, len(list))) * right / float64(j-i)
		i = j
	}
	return sum
}

// subsets is C(k, n) / C(of, n).
func subsets(k, n, of int) float64 {
	p := 1.0
	for i := range n {
		if k-i <= 0 {
			return 0
		}
		p *= float64(k-i) / float64(of-i)
	}
	return p
}
