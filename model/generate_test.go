package model_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// genRequests are prefixes with all kinds of sharing: none, a common start, one a prefix of the next, equal ones.
func genRequests(n int) []model.GenRequest {
	var reqs []model.GenRequest
	for p := range uint64(3) {
		prompt := randomIDs(9+int(p), 61, 100+p)
		for r := range uint64(2) {
			reqs = append(reqs, model.GenRequest{Prefix: slices.Concat(prompt, randomIDs(6, 61, 10*p+r)), N: n, Key: 1000*p + r})
		}
		reqs = append(reqs, model.GenRequest{Prefix: prompt, N: n, Key: 77 + p}, model.GenRequest{Prefix: prompt, N: 1, Key: 55 + p})
	}
	return append(reqs, model.GenRequest{Prefix: []int32{4}, N: n, Key: 5})
}

var sampling = model.GenOptions{Temperature: 0.9, MaxTokens: 12, Seed: 3, Stop: []int32{2, 7, 11}, Reward: model.AtEnd}

// branches puts samples behind their prefixes as trees: rows predict the sampled tokens, leaves lie where the reward is read.
func branches(reqs []model.GenRequest, got [][]model.GenSample, at model.RewardAt) *model.Batch {
	b := &model.Batch{}
	for i, r := range reqs {
		for _, s := range got[i] {
			first := int32(b.Len() + len(r.Prefix))
			b.Open(r.Prefix)
			b.Open(s.IDs)
			b.Close()
			b.Close()
			for k, id := range s.IDs {
				b.Row, b.Target = append(b.Row, first+int32(k)-1), append(b.Target, id)
			}
			b.Leaf = append(b.Leaf, first+int32(at.Index(s.IDs, sampling.Stop)))
		}
	}
	return b
}

// Log-probabilities and rewards that are read while sampling are those of the same tokens in one forward pass.
func TestSampledValues(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		tol := map[kernels.DType]float64{kernels.F32: 1e-5, kernels.BF16: 0.05}[typ]
		m := newModel(t, tinyConfig(), model.Options{DType: typ, Head: true}, 0)
		for _, at := range []model.RewardAt{model.AtContent, model.AtEnd} {
			o := sampling
			o.Reward = at
			reqs := genRequests(5)
			got := generate(t, m, reqs, o)
			logprob, reward, err := m.Evaluate(branches(reqs, got, at))
			if err != nil {
				t.Fatal(err)
			}
			var lp, wantLP, r []float32
			stopped, cut, k := 0, 0, 0
			for _, samples := range got {
				for _, s := range samples {
					sum := 0.0
					for range s.IDs {
						sum += float64(logprob[k])
						k++
					}
					lp, wantLP, r = append(lp, float32(s.LogProb)), append(wantLP, float32(sum)), append(r, s.Reward)
					if s.Stopped {
						stopped++
					} else {
						cut++
					}
					if s.Stopped != slices.Contains(o.Stop, s.IDs[len(s.IDs)-1]) || !s.Stopped && len(s.IDs) != o.MaxTokens {
						t.Errorf("sample %v: stopped %v", s.IDs, s.Stopped)
					}
				}
			}
			if stopped == 0 || cut == 0 {
				t.Errorf("%d samples stopped, %d were cut: both should occur", stopped, cut)
			}
			near(t, "log-probability", lp, wantLP, tol)
			near(t, "reward", r, reward, tol)
		}
	}
}

// A request's tokens do not depend on how many run at once, on its neighbours, on the rewards, or on the number of threads.
func TestSamplesDependOnKeyOnly(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	reqs := genRequests(devicetest.Fewer(5, 3))
	want := generate(t, m, reqs, sampling)
	same := func(what string, got []model.GenSample, want []model.GenSample) {
		t.Helper()
		for i := range want {
			if !slices.Equal(got[i].IDs, want[i].IDs) {
				t.Errorf("%s: sample %d is %v, want %v", what, i, got[i].IDs, want[i].IDs)
			}
		}
	}
	for _, n := range []int{1, 3, 7, 1000} {
		o := sampling
		o.MaxSequences = n
		for i, s := range generate(t, m, reqs, o) {
			same("other MaxSequences", s, want[i])
		}
	}
	backwards := slices.Clone(reqs)
	slices.Reverse(backwards)
	for i, s := range generate(t, m, backwards, sampling) {
		same("other order", s, want[len(want)-1-i])
	}
	o := sampling
	o.Reward = model.NoReward
	for i := range reqs {
		same("alone", generate(t, m, reqs[i:i+1], o)[0], want[i])
	}
	one := newModel(t, tinyConfig(), model.Options{Head: true}, 1)
	for i, s := range generate(t, one, reqs, sampling) {
		same("one thread", s, want[i])
		for k := range s {
			if s[k].Reward != want[i][k].Reward || s[k].LogProb != want[i][k].LogProb {
				t.Errorf("request %d, sample %d: reward or log-probability differs with one thread", i, k)
			}
		}
	}
	fewer := slices.Clone(reqs[:1])
	fewer[0].N = 2
	same("fewer samples", want[0][:2], generate(t, m, fewer, sampling)[0])
	if slices.Equal(want[0][0].IDs, want[0][1].IDs) && slices.Equal(want[0][1].IDs, want[0][2].IDs) {
		t.Errorf("samples of one request are all %v", want[0][0].IDs)
	}
}

func TestGreedyIsArgmax(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	reqs := genRequests(1)
	for i, s := range generate(t, m, reqs, model.GenOptions{MaxTokens: 10}) {
		var f model.Forest
		f.Open(slices.Concat(reqs[i].Prefix, s[0].IDs))
		f.Close()
		_, logits, err := m.Logits(&f)
		if err != nil {
			t.Fatal(err)
		}
		for k, id := range s[0].IDs {
			row := logits[(len(reqs[i].Prefix)+k-1)*m.VocabSize:][:m.VocabSize]
			if best := slices.Index(row, slices.Max(row)); int32(best) != id {
				t.Errorf("request %d, token %d: %d, the largest logit is %d", i, k, id, best)
			}
		}
	}
}

// The cache grows while sequences run, and what they have in it stays; freed slots are used again.
func TestCacheGrows(t *testing.T) {
	o := sampling
	o.MaxSequences, o.Reward, o.Stop = 6, model.NoReward, []int32{2, 3, 5, 7, 11, 13, 17}
	var reqs []model.GenRequest
	for i, n := range []int{1, 2, 3, 2, 60, 1, 4, 120, 3, 90, 200, 2, 150} {
		reqs = append(reqs, model.GenRequest{Prefix: randomIDs(n, 61, uint64(i)), N: 1 + i%3, Key: uint64(i)})
	}
	got := generate(t, newModel(t, tinyConfig(), model.Options{}, 0), reqs, o)
	roomy := newModel(t, tinyConfig(), model.Options{}, 0)
	generate(t, roomy, []model.GenRequest{{Prefix: randomIDs(2, 61, 99), N: 200}}, model.GenOptions{MaxTokens: 2})
	room := model.CacheSlots(roomy)
	for i := range reqs {
		want := generate(t, roomy, reqs[i:i+1], o)[0]
		for k := range want {
			if !slices.Equal(got[i][k].IDs, want[k].IDs) {
				t.Errorf("request %d, sample %d: %v, want %v", i, k, got[i][k].IDs, want[k].IDs)
			}
		}
	}
	if n := model.CacheSlots(roomy); n != room {
		t.Errorf("the cache that had room has grown from %d slots to %d", room, n)
	}
}

// Sequences move to longer runs of the cache while they grow, with what they wrote, and in company of others that end.
func TestSequencesOutgrowTheirRoom(t *testing.T) {
	c := tinyConfig()
	c.MaxPositionEmbeddings = 512
	m := newModel(t, c, model.Options{Head: true}, 0)
	o := sampling
	o.MaxTokens, o.Stop, o.MaxSequences = devicetest.Fewer(300, 2*model.FirstRoom+12), []int32{2}, 6
	reqs := genRequests(4)
	got := generate(t, m, reqs, o)
	logprob, reward, err := m.Evaluate(branches(reqs, got, o.Reward))
	if err != nil {
		t.Fatal(err)
	}
	long, k, n := 0, 0, 0
	for i, samples := range got {
		for j, s := range samples {
			sum := 0.0
			for range s.IDs {
				sum += float64(logprob[k])
				k++
			}
			if math.Abs(sum-s.LogProb) > 1e-5*math.Abs(sum) || math.Abs(float64(reward[n]-s.Reward)) > 1e-5 {
				t.Errorf("request %d, sample %d of %d tokens: log-probability %v, reward %v; in one pass %v, %v", i, j, len(s.IDs), s.LogProb, s.Reward, sum, reward[n])
			}
			n++
			if len(s.IDs) > 2*model.FirstRoom {
				long++
			}
		}
	}
	if long < 3 {
		t.Errorf("%d sequences moved twice: too few for this test", long)
	}
}

// The cache has the size of what is written, not of what might be.
func TestCacheIsAsLargeAsNeeded(t *testing.T) {
	c := tinyConfig()
	c.MaxPositionEmbeddings = 1 << 16
	m := newModel(t, c, model.Options{}, 0)
	o := sampling
	o.MaxTokens, o.Reward, o.Stop = 1<<16-64, model.NoReward, nil
	for id := int32(0); id < 61; id += 2 { // a sample has few tokens
		o.Stop = append(o.Stop, id)
	}
	generate(t, m, genRequests(5), o)
	if n, want := model.CacheSlots(m), 40*model.FirstRoom; n > want {
		t.Errorf("%d slots for samples of few tokens, want at most %d", n, want)
	}
}

func TestGenerateCancel(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	o := sampling
	o.Reward, o.MaxSequences = model.NoReward, 2
	err := m.Generate(ctx, genRequests(4), o, func(int, []model.GenSample) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls == 0 || calls > 2 {
		t.Errorf("error %v after %d requests, want context.Canceled after the first", err, calls)
	}
	generate(t, m, genRequests(2), model.GenOptions{MaxTokens: 3}) // and the model still works
}

func TestRewardAtIndex(t *testing.T) {
	for _, x := range []struct {
		ids  []int32
		at   model.RewardAt
		want int
	}{
		{[]int32{5, 6, 4}, model.AtEnd, 2}, {[]int32{5, 6, 4}, model.AtContent, 1}, {[]int32{5, 6, 9}, model.AtContent, 1}, {[]int32{4, 6}, model.AtContent, 1},
		{[]int32{5, 6}, model.AtEnd, 1}, {[]int32{4}, model.AtContent, -1}, {[]int32{4}, model.AtEnd, 0}, {nil, model.AtContent, -1},
	} {
		if got := x.at.Index(x.ids, []int32{4, 9}); got != x.want {
			t.Errorf("%d in %v: %d, want %d", x.at, x.ids, got, x.want)
		}
	}
}

func TestGenerateErrors(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	for want, spoil := range map[string]func(*model.GenRequest, *model.GenOptions){
		"the prefix is empty":     func(r *model.GenRequest, o *model.GenOptions) { r.Prefix = nil },
		"-1 samples":              func(r *model.GenRequest, o *model.GenOptions) { r.N = -1 },
		"id 61":                   func(r *model.GenRequest, o *model.GenOptions) { r.Prefix = []int32{61} },
		"max_position_embeddings": func(r *model.GenRequest, o *model.GenOptions) { r.Prefix = randomIDs(250, 61, 1) },
		"temperature":             func(r *model.GenRequest, o *model.GenOptions) { o.Temperature = -1 },
		"top_p":                   func(r *model.GenRequest, o *model.GenOptions) { o.TopP = 1.5 },
		"top_k":                   func(r *model.GenRequest, o *model.GenOptions) { o.TopK = -1 },
		"max tokens 0":            func(r *model.GenRequest, o *model.GenOptions) { o.MaxTokens = 0 },
		"stop token -4":           func(r *model.GenRequest, o *model.GenOptions) { o.Stop = []int32{-4} },
		"the model has no reward": func(r *model.GenRequest, o *model.GenOptions) { o.Reward = model.AtEnd },
		"max sequences -1":        func(r *model.GenRequest, o *model.GenOptions) { o.MaxSequences = -1 },
	} {
		r, o := model.GenRequest{Prefix: []int32{1}, N: 1}, model.GenOptions{MaxTokens: 10}
		spoil(&r, &o)
		err := m.Generate(context.Background(), []model.GenRequest{r}, o, func(int, []model.GenSample) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

// More slots than int32 has numbers for are refused by name; the numbers went round.
func TestGenerateRefusesTooManySlots(t *testing.T) {
	c := tinyConfig()
	c.MaxPositionEmbeddings = 1 << 13
	m := newModel(t, c, model.Options{}, 0)
	err := m.Generate(context.Background(), []model.GenRequest{{Prefix: []int32{1}, N: 1 << 19}, {Prefix: []int32{2}, N: 1 << 19}},
		model.GenOptions{MaxTokens: 1<<13 - 1, MaxSequences: 1 << 20}, func(int, []model.GenSample) {})
	if err == nil || !strings.Contains(err.Error(), "1048576 sequences of up to 8192 tokens at once: want at most") {
		t.Errorf("%v", err)
	}
}
