package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/record"
	"criticrm/serve"
)

func live(t testing.TB, e *Engine, o LiveOptions) *Live {
	t.Helper()
	l, err := NewLive(e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// asked is a request of either kind.
type asked struct {
	work  serve.Work
	texts [][]int32
}

// requests are of all kinds: prompts that begin alike and others, samples of several temperatures, rewards of texts.
func requests(n int, seed uint64, ask *critic.Ask) (list []asked) {
	r := rand.New(rand.NewPCG(seed, 1))
	ids := func(n int) (x []int32) {
		for range n {
			x = append(x, 5+int32(r.IntN(250)))
		}
		return x
	}
	stems := [][]int32{ids(30), ids(20), nil}
	for i := range n {
		if r.IntN(4) == 0 {
			a := asked{}
			stem := slices.Concat(stems[r.IntN(3)], ids(1+r.IntN(9)))
			for range 1 + r.IntN(4) {
				a.texts = append(a.texts, slices.Concat(stem, ids(r.IntN(20))))
			}
			list = append(list, a)
			continue
		}
		w := serve.Work{Prompt: slices.Concat(stems[r.IntN(3)], ids(1+r.IntN(9))), N: 1 + r.IntN(3), Key: uint64(i),
			Sampling: record.Sampling{Temperature: []float32{0, 0.7, 1}[r.IntN(3)], TopP: []float32{1, 0.9}[r.IntN(2)], MaxTokens: 1 + r.IntN(24), Seed: r.Uint64N(3), Reward: r.IntN(2) == 0}}
		if r.IntN(3) == 0 {
			w.Ask = ask
		}
		list = append(list, asked{work: w})
	}
	return list
}

// answer is what came of a request.
type answer struct {
	samples []critic.Sample
	rewards []float32
}

func (a answer) same(b answer) bool {
	return slices.Equal(a.rewards, b.rewards) && slices.EqualFunc(a.samples, b.samples, func(x, y critic.Sample) bool {
		return slices.Equal(x.Tokens, y.Tokens) && x.Text == y.Text && x.LogProb == y.LogProb && x.FinishReason == y.FinishReason && (x.Reward == nil) == (y.Reward == nil) &&
			(x.Reward == nil || *x.Reward == *y.Reward) && (x.Asked == nil) == (y.Asked == nil) && (x.Asked == nil || x.Asked.Score == y.Asked.Score)
	})
}

func (l *Live) answer(ctx context.Context, a asked) (out answer, err error) {
	if a.texts != nil {
		out.rewards, err = l.Rewards(ctx, a.texts)
		return out, err
	}
	var mu sync.Mutex
	told := make([][]int32, a.work.N)
	w := a.work
	w.Token = func(i int, ids []int32) {
		mu.Lock()
		told[i] = append(told[i], ids...)
		mu.Unlock()
	}
	out.samples, err = l.Generate(ctx, w)
	mu.Lock()
	defer mu.Unlock()
	for i, s := range out.samples {
		if !slices.Equal(told[i], s.Tokens) {
			return out, errors.New("the tokens that were told of are not those of the sample")
		}
	}
	return out, err
}

// Two thousand requests in random mixtures, of which some callers go away, have the answers that each has alone: to the bit, on a fixed device, in f32
// and in bf16.
func TestLiveAnswersDoNotDependOnCompany(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		t.Run(fmt.Sprint(typ), func(t *testing.T) { answersInCompany(t, typ) })
	}
}

func answersInCompany(t *testing.T, typ kernels.DType) {
	e := open(t, tinyDir(t, true), Options{MaxSequences: 12, DType: typ})
	o := critic.DefaultGenerateOptions()
	o.AskScore = critic.AskSample
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	e.Model.Dev.Fix(true) // which the CPU is
	l := live(t, e, LiveOptions{Ask: o.Asks(), KeepTokens: 60})
	n := 2000
	onCPU := e.Model.Dev.Name() == "cpu"
	if testing.Short() || !onCPU {
		n = 100
	}
	list := requests(n, 1, o.Asks())
	alone := make([]answer, n)
	for i, a := range list {
		var err error
		if alone[i], err = l.answer(t.Context(), a); err != nil {
			t.Fatalf("request %d alone: %v", i, err)
		}
	}
	before := runtime.NumGoroutine()
	var wrong, gone atomic.Int32
	var group sync.WaitGroup
	next := make(chan int)
	for range 40 {
		group.Go(func() {
			for i := range next {
				ctx, cancel := context.WithCancel(t.Context())
				if i%20 == 3 { // a client that goes away, sooner or later
					time.AfterFunc(time.Duration(i%7)*time.Millisecond, cancel)
				}
				got, err := l.answer(ctx, list[i])
				cancel()
				switch {
				case errors.Is(err, context.Canceled) && i%20 == 3:
					gone.Add(1)
				case err != nil:
					t.Errorf("request %d: %v", i, err)
				case !got.same(alone[i]):
					if wrong.Add(1) < 5 {
						t.Errorf("request %d: %+v in company, %+v alone", i, got, alone[i])
					}
				}
			}
		})
	}
	for _, i := range rand.New(rand.NewPCG(2, 2)).Perm(n) {
		next <- i
	}
	close(next)
	group.Wait()
	for range 100 { // what was cancelled leaves with the next step
		if load := l.Load(); load.Running+load.Waiting == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if load := l.Load(); load.Running+load.Waiting > 0 || load.ReusedTokens == 0 || load.CachedTokens > 60 || load.WrittenTokens == 0 {
		t.Errorf("at the end %+v", load)
	}
	if gone.Load() == 0 {
		t.Error("no caller went away")
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// A request has the samples that the same row has in a file, whatever its seed.
func TestLiveDrawsWhatGenerateDraws(t *testing.T) {
	e := open(t, tinyDir(t, true), Options{MaxSequences: 12})
	var want [][]critic.Sample
	var reqs []critic.Request
	for i, m := range conversations(4) {
		reqs = append(reqs, critic.Request{Messages: m, N: 3, Key: uint64(100 + i)})
	}
	s := record.Sampling{Temperature: 1, TopP: 0.9, MaxTokens: 12, Reward: true}
	for i := range reqs {
		s.Seed = uint64(i % 2)
		got, err := e.Generate(t.Context(), reqs[i:i+1], s)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, got[0])
	}
	l := live(t, e, LiveOptions{})
	var group sync.WaitGroup
	for i, r := range reqs {
		group.Go(func() {
			s := s
			s.Seed = uint64(i % 2)
			ids, err := e.Encode(r.Messages, true)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := l.Generate(t.Context(), serve.Work{Prompt: ids, N: r.N, Key: r.Key, Sampling: s})
			for k := range got {
				onCPU := e.Model.Dev.Name() == "cpu" // elsewhere the last bits may differ
				if !slices.Equal(got[k].Tokens, want[i][k].Tokens) || onCPU && *got[k].Reward != *want[i][k].Reward {
					t.Errorf("request %d, sample %d: %+v, from Generate %+v", i, k, got[k], want[i][k])
				}
			}
			if err != nil || len(got) != r.N {
				t.Errorf("request %d: %d samples, error %v", i, len(got), err)
			}
		})
	}
	group.Wait()
}

// What cannot be done is said to its caller, and to nobody else.
func TestLiveRefuses(t *testing.T) {
	e := open(t, tinyDir(t, false), Options{})
	l, err := NewLive(e, LiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for what, w := range map[string]serve.Work{
		"no prompt":   {N: 1, Sampling: record.Sampling{MaxTokens: 1}},
		"too long":    {N: 1, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 1 << 20}},
		"a reward":    {N: 1, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 1, Reward: true}},
		"a score":     {N: 1, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 1}, Ask: &critic.Ask{}},
		"another id":  {N: 1, Prompt: []int32{1 << 20}, Sampling: record.Sampling{MaxTokens: 1}},
		"temperature": {N: 1, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 1, Temperature: -1}},
	} {
		if _, err := l.Generate(ctx, w); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := l.Rewards(ctx, [][]int32{{1}}); err == nil {
		t.Error("rewards without a head: no error")
	}
	if _, err := l.Generate(ctx, serve.Work{N: 1, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 3, TopP: 1}}); err != nil {
		t.Error(err)
	}
	wait := make(chan error)
	for range 3 {
		go func() {
			_, err := l.Generate(ctx, serve.Work{N: 100, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 100, TopP: 1, Temperature: 1}})
			wait <- err
		}()
	}
	l.Close()
	for range 3 {
		if err := <-wait; err != nil && !errors.Is(err, errClosed) {
			t.Error(err)
		}
	}
	if _, err := l.Generate(ctx, serve.Work{N: 1, Prompt: []int32{1}}); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What panics fails all that is under way, with the stack, and what comes then has the answers that it has alone.
func TestLivePanics(t *testing.T) {
	l := live(t, open(t, tinyDir(t, true), Options{}), LiveOptions{})
	ctx := t.Context()
	w := serve.Work{N: 3, Prompt: []int32{7, 8, 9}, Sampling: record.Sampling{MaxTokens: 12, TopP: 1, Temperature: 1, Reward: true}}
	texts := [][]int32{{5, 6}, {5, 6, 7}}
	before := make([]answer, 2)
	ask := func(list []answer) {
		t.Helper()
		for i, a := range []asked{{work: w}, {texts: texts}} {
			var err error
			if list[i], err = l.answer(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(before)
	beside := make(chan error)
	for range 3 {
		go func() {
			_, err := l.Generate(ctx, serve.Work{N: 64, Prompt: []int32{1}, Sampling: record.Sampling{MaxTokens: 100, TopP: 1, Temperature: 1}})
			beside <- err
		}()
	}
	bad := w
	bad.Token = func(int, []int32) { panic("a planted one") }
	if _, err := l.Generate(ctx, bad); err == nil || !strings.Contains(err.Error(), "panic: a planted one") || !strings.Contains(err.Error(), "live_test.go") {
		t.Errorf("got %v", err)
	}
	for range 3 {
		if err := <-beside; err != nil && !strings.Contains(err.Error(), "a planted one") {
			t.Error(err)
		}
	}
	after := make([]answer, 2)
	ask(after)
	if !after[0].same(before[0]) || !after[1].same(before[1]) {
		t.Error("answers are others behind a panic")
	}
}

// A model without words says so in the server's word for it.
func TestLiveWithoutWords(t *testing.T) {
	if err := new(Live).add(nil, &writing{}); !errors.Is(err, serve.ErrNoText) {
		t.Error(err)
	}
}

// Texts that begin alike are branches of one tree; every leaf is its text's.
func TestForestOf(t *testing.T) {
	texts := [][]int32{{1, 2, 3}, {1, 2}, {4}, {1, 2, 3}, {1, 5}, {1, 2, 3, 4}}
	b, place := forestOf(texts)
	if b.Len() != 2+1+1+1+1 {
		t.Errorf("%d tokens: %v", b.Len(), b.IDs)
	}
	for i, want := range texts {
		at := b.Leaf[place[i]]
		var got []int32
		for n := range int32(b.Len()) {
			if n <= at && b.End[n] > at {
				got = append(got, b.IDs[n])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("text %d: leaf of %v, want %v", i, got, want)
		}
	}
}
