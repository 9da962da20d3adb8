//go:build !cuda || emu

package model_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// mixture is requests of many lengths whose prefixes part at many places: of no company but the same start, of equal ones, of one that
// is the start of the next.
func mixture(r *rand.Rand, n int) (reqs []model.GenRequest) {
	stem := randomIDs(300, 61, r.Uint64())
	for i := range n {
		prefix := slices.Concat(stem[:r.IntN(3)*r.IntN(100)], randomIDs(1+r.IntN(90), 61, r.Uint64()))
		for range 1 + r.IntN(3) {
			prefix = slices.Concat(prefix, randomIDs(r.IntN(40), 61, r.Uint64()))
			reqs = append(reqs, model.GenRequest{Prefix: prefix, N: 1 + r.IntN(4), Key: uint64(1000*i) + uint64(len(reqs))})
		}
	}
	return reqs
}

// The bits of tokens, log-probabilities and rewards are those of a request alone: with any company, in any order, however many run at
// once and on any number of threads, in f32 and bf16. On a GPU it holds of a device that is fixed. The same holds for rewards and
// log-probabilities of given text.
func TestResultsDoNotDependOnCompany(t *testing.T) {
	c := tinyConfig()
	c.MaxPositionEmbeddings = 1024
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		if typ == kernels.BF16 {
			c.HeadDim = 64 // which GPUs have on tensor cores
		}
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 9))
			m := newModel(t, c, model.Options{DType: typ, Head: true}, 1+int(seed%3))
			m.Dev.Fix(true)
			several, tokens, trials := 12, 40, 3
			if m.Dev.Name() != "cpu" { // the software GPU is slow
				if want := map[kernels.DType]uint64{kernels.F32: 0, kernels.BF16: 3}[typ]; seed != want {
					continue
				}
				several, tokens, trials = 3, 6, 2
			}
			reqs, o := mixture(r, several), sampling
			o.MaxTokens, o.Temperature = tokens, 1
			if seed%2 == 1 { // half of the samples go on along a path
				o = withEndings(o, seed == 3)
			}
			alone := make([][]model.GenSample, len(reqs))
			for i := range reqs {
				alone[i] = generate(t, m, reqs[i:i+1], o)[0]
			}
			logprob, reward := given(t, m, reqs, alone)
			for trial := range trials {
				what := fmt.Sprintf("%v, seed %d, trial %d", typ, seed, trial)
				order := r.Perm(len(reqs))
				mixed, aloneMixed := make([]model.GenRequest, len(reqs)), make([][]model.GenSample, len(reqs))
				for to, from := range order {
					mixed[to], aloneMixed[to] = reqs[from], alone[from]
				}
				o.MaxSequences = []int{0, 7, 3}[trial]
				lp, rw := given(t, m, mixed, aloneMixed)
				for to, samples := range generate(t, m, mixed, o) {
					from := order[to]
					for k, s := range samples {
						w := alone[from][k]
						if !slices.Equal(s.IDs, w.IDs) || s.LogProb != w.LogProb || s.Reward != w.Reward || s.Chance != w.Chance || !slices.Equal(s.Chances, w.Chances) {
							t.Errorf("%s: request %d (prefix of %d), sample %d: %v, log-probability %v, reward %v; alone %v, %v, %v", what, from, len(mixed[to].Prefix),
								k, s.IDs, s.LogProb, s.Reward, w.IDs, w.LogProb, w.Reward)
						}
					}
					if !slices.Equal(lp[to], logprob[from]) || !slices.Equal(rw[to], reward[from]) {
						t.Errorf("%s: request %d: log-probabilities or rewards of given text are others in other company", what, from)
					}
				}
			}
		}
	}
}

// given are the log-probabilities and rewards of each request's samples as given text, all in one forest: the samples are leaves below
// their prefix.
func given(t *testing.T, m *model.Model, reqs []model.GenRequest, samples [][]model.GenSample) (logprob, reward [][]float32) {
	t.Helper()
	b := &model.Batch{}
	for i, r := range reqs {
		b.Open(r.Prefix)
		last := int32(b.Len()) - 1
		for _, s := range samples[i] {
			first := int32(b.Len())
			b.Open(s.IDs)
			b.Close()
			for k, id := range s.IDs {
				row := first + int32(k) - 1
				if k == 0 {
					row = last
				}
				b.Row, b.Target = append(b.Row, row), append(b.Target, id)
			}
			b.Leaf = append(b.Leaf, int32(b.Len())-1)
		}
		b.Close()
	}
	lp, rw, err := m.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range samples {
		n := 0
		for _, s := range list {
			n += len(s.IDs)
		}
		logprob, lp = append(logprob, lp[:n]), lp[n:]
		reward, rw = append(reward, rw[:len(list)]), rw[len(list):]
	}
	return logprob, reward
}
