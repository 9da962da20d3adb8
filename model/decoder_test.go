//go:build !cuda

package model_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// Requests that join and leave a running batch at any step, each drawn in its own way, some of them cancelled, have the samples that Generate
// gives each of them alone: on the CPU to the bit, whatever is known of their prefixes.
func TestDecoderResultsDoNotDependOnCompany(t *testing.T) {
	c := tinyConfig()
	c.MaxPositionEmbeddings = 1024
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 5))
			m := newModel(t, c, model.Options{DType: typ, Head: true}, 1+int(seed%2))
			o := sampling
			o.MaxSequences, o.KeepTokens = 9, []int{0, 200, 100000}[seed]
			if seed == 1 {
				o = withEndings(o, true)
			}
			reqs := mixture(r, 14)
			own := make([]model.GenOptions, len(reqs))
			want := make([][]model.GenSample, len(reqs))
			for i := range reqs {
				own[i] = o
				own[i].MaxTokens = 1 + r.IntN(30)
				own[i].Seed += uint64(i % 3)
				if r.IntN(2) == 0 {
					own[i].Temperature, own[i].TopK = []float32{0, 0.5, 2}[r.IntN(3)], r.IntN(2)*5
				}
				if seed == 1 && i%2 == 0 {
					own[i].Endings = nil
				}
				want[i] = generate(t, m, reqs[i:i+1], own[i])[0]
			}
			d, err := m.NewDecoder(o)
			if err != nil {
				t.Fatal(err)
			}
			got := make([][]model.GenSample, len(reqs))
			tokens := make([]map[int][]int32, len(reqs))
			running := map[int]*model.Decoding{}
			cancelled := map[int]bool{}
			next, finished := 0, 0
			for next < len(reqs) || !d.Idle() {
				for next < len(reqs) && r.IntN(3) == 0 {
					i := next
					next++
					tokens[i] = map[int][]int32{}
					var lacks func([]int32, bool) bool
					if e := own[i].Endings; e != nil {
						lacks = func(ids []int32, stopped bool) bool { return e.Lacks(0, ids, stopped) }
					}
					q, err := d.Add(reqs[i], own[i], lacks, func(k int, id int32) { tokens[i][k] = append(tokens[i][k], id) }, func(s []model.GenSample) {
						got[i] = s
						finished++
						delete(running, i)
					})
					if err != nil {
						t.Fatal(err)
					}
					running[i] = q
				}
				if r.IntN(12) == 0 {
					for i, q := range running {
						d.Cancel(q)
						d.Cancel(q)
						cancelled[i] = true
						delete(running, i)
						break
					}
				}
				if err := d.Step(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range reqs {
				if cancelled[i] {
					if got[i] != nil {
						t.Errorf("request %d was cancelled and is done", i)
					}
					continue
				}
				for k, w := range want[i] {
					s := got[i][k]
					if !slices.Equal(s.IDs, w.IDs) || s.LogProb != w.LogProb || s.Reward != w.Reward || s.Chance != w.Chance || !slices.Equal(tokens[i][k], w.IDs) {
						t.Errorf("%v, seed %d, request %d, sample %d: %v, log-probability %v, reward %v, tokens %v; alone %v, %v, %v", typ, seed, i, k, s.IDs, s.LogProb, s.Reward, tokens[i][k], w.IDs, w.LogProb, w.Reward)
					}
				}
			}
			if finished+len(cancelled) != len(reqs) || len(cancelled) == 0 {
				t.Errorf("%d requests are done and %d cancelled, of %d", finished, len(cancelled), len(reqs))
			}
			s := d.Stats()
			if s.Running+s.Waiting != 0 || s.Written == 0 || s.Reused == 0 || s.Cached > o.KeepTokens || o.KeepTokens > 1000 && s.Cached == 0 {
				t.Errorf("at the end %+v", s)
			}
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	d, err := m.NewDecoder(model.GenOptions{MaxSequences: 2})
	if err != nil {
		t.Fatal(err)
	}
	done := func([]model.GenSample) { t.Error("done") }
	for what, err := range map[string]error{
		"no prefix":   add(d, model.GenRequest{N: 1}, model.GenOptions{MaxTokens: 1}, done),
		"no tokens":   add(d, model.GenRequest{N: 1, Prefix: []int32{1}}, model.GenOptions{}, done),
		"a wrong id":  add(d, model.GenRequest{N: 1, Prefix: []int32{1 << 20}}, model.GenOptions{MaxTokens: 1}, done),
		"too long":    add(d, model.GenRequest{N: 1, Prefix: []int32{1}}, model.GenOptions{MaxTokens: 1 << 20}, done),
		"temperature": add(d, model.GenRequest{N: 1, Prefix: []int32{1}}, model.GenOptions{MaxTokens: 1, Temperature: -1}, done),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := m.NewDecoder(model.GenOptions{Reward: model.AtEnd}); err == nil {
		t.Error("rewards without a head: no error")
	}
	if !d.Idle() {
		t.Error("what was refused is in the queue")
	}
}

func add(d *model.Decoder, r model.GenRequest, o model.GenOptions, done func([]model.GenSample)) error {
	_, err := d.Add(r, o, nil, nil, done)
	return err
}
