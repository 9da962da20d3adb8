package trainer

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	for _, x := range []struct {
		n, batch, accum, maxSteps int
		epochs                    float64
		perEpoch, total           int
	}{
		{1200, 32, 1, 0, 3, 38, 114}, {100, 8, 12, 0, 1, 2, 2}, {100, 10, 1, 0, 0.25, 10, 3}, {100, 10, 1, 7, 3, 10, 7}, {5, 8, 2, 0, 4, 1, 4}, {30, 10, 1, 0, 0.1 * 3, 3, 1},
	} {
		c := Default()
		c.BatchSize, c.Accumulation, c.MaxSteps, c.Epochs = x.batch, x.accum, x.maxSteps, x.epochs
		if p := NewPlan(c, x.n); p.PerEpoch != x.perEpoch || p.Total != x.total {
			t.Errorf("%+v: got %+v", x, p)
		}
	}
}

func TestLearningRate(t *testing.T) {
	p := Plan{PerEpoch: 50, Total: 100}
	cos := func(x float64) float64 { return (1 + math.Cos(math.Pi*x)) / 2 }
	for _, x := range []struct {
		kind                 string
		warmup               int
		ratio, stable, floor float64
		at                   map[int]float64
	}{
		{"constant", 10, 0, 0, 0, map[int]float64{0: 1, 99: 1}},
		{"constant_with_warmup", 10, 0, 0, 0, map[int]float64{0: .1, 8: .9, 9: 1, 10: 1, 99: 1}},
		{"linear", 0, 0, 0, 0, map[int]float64{0: 1, 50: .5, 99: .01}},
		{"linear", 10, 0, 0, 0, map[int]float64{0: .1, 9: 1, 10: 1, 55: .5, 99: 1. / 90}},
		{"linear", 0, 0, .8, .02, map[int]float64{0: 1, 79: 1, 80: 1, 90: .51, 100: .02}},
		{"linear", 10, 0, 1, 0, map[int]float64{99: 1, 100: 0}},
		{"cosine", 0, .1, 0, .01, map[int]float64{0: .1, 9: 1, 55: .01 + .99*.5, 99: .01 + .99*cos(89./90)}},
	} {
		c := Default()
		c.Scheduler, c.WarmupSteps, c.WarmupRatio, c.StableFraction, c.MinLRRatio = x.kind, x.warmup, x.ratio, x.stable, x.floor
		for step, want := range x.at {
			if got := LRFactor(c, p, step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%+v: step %d: %v, want %v", x, step, got, want)
			}
		}
	}
}

// transformers' get_linear_schedule_with_warmup: update n of the warm-up has (n-1)/warm-up of the rate.
func TestWarmupFromZero(t *testing.T) {
	c, p := Default(), Plan{PerEpoch: 50, Total: 100}
	c.Scheduler, c.WarmupSteps, c.MinLRRatio, c.WarmupFromZero = "linear", 10, 0, true
	for step, want := range map[int]float64{0: 0, 1: .1, 9: .9, 10: 1, 55: .5, 99: 1. / 90} {
		if got := LRFactor(c, p, step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
}

func TestLambda(t *testing.T) {
	p := Plan{PerEpoch: 10, Total: 30}
	for _, x := range []struct {
		method, schedule string
		beta, hold, lm   float64
		p                Plan
		at               map[int]float64
	}{
		{Critic, "last-epoch", 1, 0, 0, p, map[int]float64{0: 1, 19: 1, 20: 1, 21: .9, 29: .1}},
		{Critic, "last-epoch", .5, 0, 0, p, map[int]float64{19: 1, 20: 1, 25: .75, 29: .55}},
		{Critic, "last-epoch", 1, 0, 0, Plan{PerEpoch: 10, Total: 10}, map[int]float64{0: 1, 5: .5}},
		{Critic, "last-epoch", 1, 0, 0, Plan{PerEpoch: 10, Total: 5}, map[int]float64{0: 1, 1: .8, 4: .2}},
		{Critic, "linear", 1, 1. / 3, 0, p, map[int]float64{0: 1, 10: 1, 15: .75, 29: .05}},
		{Critic, "linear", 1, 0, 0, p, map[int]float64{0: 1, 15: .5}},
		{Critic, "constant", 1, 0, 1, p, map[int]float64{0: .5, 29: .5}},
		{Cloud, "last-epoch", 1, 0, 1.25, p, map[int]float64{0: 1.25 / 2.25, 29: 1.25 / 2.25}},
		{BT, "last-epoch", 1, 0, 1, p, map[int]float64{0: 0, 29: 0}},
		{SFT, "last-epoch", 1, 0, 1, p, map[int]float64{0: 1, 29: 1}},
		{LM, "last-epoch", 1, 0, 1, p, map[int]float64{0: 1, 29: 1}},
	} {
		c := Default()
		c.Method, c.LambdaSchedule, c.LambdaBeta, c.LambdaHold, c.LMWeight = x.method, x.schedule, x.beta, x.hold, x.lm
		for step, want := range x.at {
			if got := Lambda(c, x.p, step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s %s: step %d: %v, want %v", x.method, x.schedule, step, got, want)
			}
		}
	}
}

// The known answers are those of Random123's kat_vectors for philox4x32, 10 rounds.
func TestPhilox(t *testing.T) {
	for _, x := range []struct {
		key           uint64
		counter, want [4]uint32
	}{
		{0, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, [4]uint32{math.MaxUint32, math.MaxUint32, math.MaxUint32, math.MaxUint32}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0a4093822, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(x.key, x.counter); got != x.want {
			t.Errorf("philox(%x, %x) = %x, want %x", x.key, x.counter, got, x.want)
		}
	}
}

func TestOrder(t *testing.T) {
	a, b, other := Order(7, 0, 100), Order(7, 1, 100), Order(8, 0, 100)
	if !slices.Equal(a, Order(7, 0, 100)) || slices.Equal(a, b) || slices.Equal(a, other) {
		t.Error("the order is not a function of seed and epoch")
	}
	slices.Sort(a)
	for i, x := range a {
		if i != x {
			t.Fatal("not a permutation")
		}
	}
	first := make([]int, 3) // each of three comes first about equally often
	for epoch := range 3000 {
		first[Order(1, epoch, 3)[0]]++
	}
	for i, n := range first {
		if n < 900 || n > 1100 { // 1000 ± 3.9 standard deviations
			t.Errorf("%d is first %d times of 3000", i, n)
		}
	}
}

// A run in which rewards never count, or have not moved, says so in its log and in its result.
func TestNoRewards(t *testing.T) {
	for _, x := range []struct {
		steps    int
		schedule string
		rate     float64
		warns    string
	}{
		{1, "last-epoch", 1e-3, "rewards are not trained: lambda is 1 in all updates (1, of 4 pairs each, 1 an epoch"}, {5, "last-epoch", 1e-3, "lambda is 1 in all updates (5,"},
		{5, "constant", 1e-9, "rewards have hardly been trained: the reward loss of the last updates is 0.693"}, {100, "constant", 1e-2, ""},
	} {
		c := testConfig("")
		c.MaxSteps, c.BatchSize, c.Accumulation, c.LambdaSchedule, c.LearningRate = x.steps, 4, 1, x.schedule, x.rate
		var log bytes.Buffer
		r, err := Train(context.Background(), tiny(t, c, 1), pairs(4), c, WithReport(Report{Log: &log}))
		if err != nil || !strings.Contains(r.NoRewards, x.warns) || x.warns == "" && r.NoRewards != "" || strings.Contains(log.String(), "warning: ") != (x.warns != "") {
			t.Errorf("%+v: %v %q %s", x, err, r.NoRewards, log.String())
		}
	}
}

// Without a number the batch is 96 pairs, or as many as leave 16 updates an epoch.
func TestAccumulation(t *testing.T) {
	c := Default()
	for n, want := range map[int]int{1: 8, 100: 8, 255: 8, 256: 16, 600: 32, 1536: 96, 1 << 20: 96} {
		if p := NewPlan(c, n); p.Batch != want {
			t.Errorf("%d pairs: a batch of %d, want %d", n, p.Batch, want)
		}
	}
	c.Accumulation = 3
	if p := NewPlan(c, 10); p.Batch != 24 {
		t.Error(p)
	}
}

// With last-epoch the rate decays before the last epoch, and anew in it; the head's rate is a multiple of it.
func TestLRPhases(t *testing.T) {
	c := Config{Method: Critic, Scheduler: "linear", LambdaSchedule: LastEpoch, WarmupSteps: 1, LambdaBeta: 1}
	p := Plan{Total: 40, PerEpoch: 30}
	for step, want := range map[int]float64{0: 1, 1: 1, 9: 1 - 8./9, 10: 1, 11: 1, 39: 1 - 28./29} {
		if got := LRFactor(c, p, step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	for _, change := range []func(*Config){func(c *Config) { c.LambdaSchedule = "linear" }, func(c *Config) { c.LambdaSchedule = "constant" }, func(c *Config) { c.Method = BT }} {
		d := c
		change(&d)
		if got := LRFactor(d, p, 10); math.Abs(got-(1-9./39)) > 1e-12 {
			t.Errorf("one decay: %v", got)
		}
	}
}

// A method without critiques trains rewards in every update; a warning said that it did in none.
func TestRewardUpdates(t *testing.T) {
	p := Plan{Examples: 40, Batch: 4, PerEpoch: 10, Total: 30}
	for method, want := range map[string]int{BT: 30, Cloud: 30, SFT: 0, Critic: 19} { // of the linear schedule's falling part the first has lambda 1
		c := Default()
		if c.Method = method; rewardUpdates(c, p) != want {
			t.Errorf("%s: %d, want %d", method, rewardUpdates(c, p), want)
		}
	}
}
