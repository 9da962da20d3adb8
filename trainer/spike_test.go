package trainer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func spikeConfig(dir string) Config {
	c := testConfig(dir)
	c.Method, c.SkipZScore, c.SkipWindow, c.DataOrder = BT, 20, 8, "sequential"
	c.UseMargin, c.CenterCoefficient, c.LearningRate = false, 0, 1e-4
	return c
}

// The limit is that of the formula, over the last norms alone.
func TestNormLimit(t *testing.T) {
	r := &run{c: Config{SkipZScore: 2, SkipWindow: 4}, console: &console{}}
	if r.remember(1, 0); r.normLimit() != 0 {
		t.Errorf("a limit of one norm: %v", r.normLimit())
	}
	r.remember(2, 0)
	if got, want := r.normLimit(), float32(1.5+2*math.Sqrt(0.5)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	for _, x := range []float64{2.5, 3, 100} { // the last one is over the limit that it had
		limit := r.normLimit()
		if over(x, limit) != (x == 100) {
			t.Errorf("%v against %v", x, limit)
		}
		r.remember(x, limit)
	}
	if n := r.st.Norms; len(n) != 4 || n[0] != 2 || n[2] != 3 || n[3] != 2*float64(float32(2.125+2*math.Sqrt((1.125*1.125+2*0.125*0.125+0.375*0.375+0.875*0.875-0.125*0.125)/3))) {
		t.Errorf("%v", n)
	}
	if over(math.Inf(1), 0) || over(2, 2) || !over(2.5, 2) {
		t.Error("over is wrong")
	}
}

// Norms that stay higher are followed, with any settings; a single spike, however large, hides no other for longer than the window.
func TestNormLimitFollows(t *testing.T) {
	for _, c := range []Config{{SkipZScore: 0.5, SkipWindow: 8}, {SkipZScore: 6, SkipWindow: 128}, {SkipZScore: 0.01, SkipWindow: 2}} {
		r := &run{c: c, console: &console{}}
		at := func(i int) float64 { return 1 + 0.1*math.Sin(float64(i)) }
		for i := range 2 * c.SkipWindow {
			r.remember(at(i), r.normLimit())
		}
		taken := -1
		for i := 0; i < 20*c.SkipWindow && taken < 0; i++ {
			limit := r.normLimit()
			if !over(100*at(i), limit) {
				taken = i
			}
			r.remember(100*at(i), limit)
		}
		if taken < 0 || c.SkipZScore == 6 && taken > 20 {
			t.Errorf("%+v: norms of 100 are taken from the %d-th on", c.SkipZScore, taken)
		}
	}
	r := &run{c: Config{SkipZScore: 6, SkipWindow: 32}, console: &console{}}
	for i := range 96 {
		norm := 1 + 0.1*math.Sin(float64(i))
		if i == 40 {
			norm = 1e30
		}
		if limit := r.normLimit(); i > 75 && (limit > 3 || limit < 1) {
			t.Errorf("update %d: a limit of %v", i, limit)
		}
		r.remember(norm, r.normLimit())
	}
}

// A spike changes nothing but the count, and the figures say so; interruptions change nothing.
func TestSpikesAreSkipped(t *testing.T) {
	data := pairs(80) // 20 updates
	c := spikeConfig(filepath.Join(t.TempDir(), "straight"))
	c.ScaleByMargin = true
	for i := range data {
		data[i].Margin = 1
	}
	plan := NewPlan(c, len(data))
	spiked := slices.Clone(data)
	for _, i := range c.order(0, plan.Examples)[9*plan.Batch : 10*plan.Batch] { // update 10: its loss is far larger
		spiked[i].Margin = 1000
	}
	var log bytes.Buffer
	m := tiny(t, c, 1)
	r, err := Train(context.Background(), m, spiked, c, WithReport(Report{Log: &log}))
	if err != nil || r.Spikes != 1 || r.Skipped != 1 || !strings.Contains(log.String(), "step 10: no update: the gradient norm ") {
		t.Fatalf("%d spikes, %d skipped, %v\n%s", r.Spikes, r.Skipped, err, &log)
	}
	b, err := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl"))
	if err != nil || bytes.Count(b, []byte(`"skipped": true`)) != 1 || bytes.Count(b, []byte(`"grad_norm_limit": `)) != 16 {
		t.Errorf("%s, %v", b, err)
	}
	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	for _, stop := range []int{3, 9, 10, 11, 0} {
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, tiny(t, broken, 1), spiked, broken, at); stop != 0 && !errors.Is(err, ErrInterrupted) || stop == 0 && err != nil {
			t.Fatal(err)
		}
		broken.Resume = "latest"
	}
	sameOutcome(t, c.OutputDir, broken.OutputDir)

	// Without the option the spike is taken, and the model is another one.
	was := weights(m)
	c.OutputDir, c.SkipZScore = "", 0
	m = tiny(t, c, 1)
	if r, err = Train(context.Background(), m, spiked, c); err != nil || r.Skipped != 0 || slices.Equal(weights(m), was) {
		t.Errorf("%d skipped, %v", r.Skipped, err)
	}
}

// What is too short for the option is told, and a window of one norm is refused.
func TestSpikeSettings(t *testing.T) {
	c := spikeConfig("")
	c.SkipWindow, c.MaxSteps = 128, 20
	var log bytes.Buffer
	if r, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithReport(Report{Log: &log})); err != nil || r.Skipped != 0 || !strings.Contains(log.String(), "the run has 20 updates, and spikes are told from update 65 on: lower skip_window") {
		t.Errorf("%v\n%s", err, &log)
	}
	c.SkipWindow = 1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "skip_window: got 1, want 2 or more with skip_grad_norm_zscore") {
		t.Errorf("%v", err)
	}
}
