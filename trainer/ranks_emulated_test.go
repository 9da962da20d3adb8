//go:build cuda && emu

package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"criticrm/collective"
	"criticrm/device/devicetest"
	"criticrm/model"
)

// asGPURank names the output_dir of a run that the processes of TestGPURanks make, each with a software GPU of its own and NCCL's stand-in between
// them; asGPURankStop is after which step they are asked to stop, asGPURankStage what they divide among them.
const asGPURank, asGPURankStop, asGPURankStage = "CRITICRM_TEST_RANKED_RUN", "CRITICRM_TEST_RANKED_STOP", "CRITICRM_TEST_RANKED_STAGE"

func rankedConfig(dir string) Config {
	c := testConfig(dir)
	c.BatchSize, c.Accumulation, c.MaxSteps, c.LearningRate = 4, 1, 6, 1e-2
	return c
}

// TestRankOfGPUs is one of these processes. Alone it does nothing.
func TestRankOfGPUs(t *testing.T) {
	dir := os.Getenv(asGPURank)
	if dir == "" {
		t.Skip("for TestGPURanks only")
	}
	w, err := collective.Surroundings(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	c := rankedConfig(dir)
	c.Resume = "auto"
	if stage := os.Getenv(asGPURankStage); stage != "" {
		if c.ZeroStage, err = strconv.Atoi(stage); err != nil {
			t.Fatal(err)
		}
	}
	dev := devicetest.Open(t, 1)
	limits := collective.Limits{Meet: time.Minute, Silence: time.Minute, Call: time.Minute}
	g, err := collective.Open(dev, w, map[string]string{"seed": fmt.Sprint(c.Seed)}, limits)
	if err != nil {
		t.Fatal(err)
	}
	ctx, report := context.Background(), WithReport(Report{})
	if stop := os.Getenv(asGPURankStop); stop != "" && w.Rank == 0 {
		var n int
		if _, err := fmt.Sscan(stop, &n); err != nil {
			t.Fatal(err)
		}
		ctx, report = stopAfter(n)
	}
	m := sharedHeadModel(t, dev, c, model.Sharding{Stage: c.ZeroStage, Ranks: g.Size(), Group: g})
	if _, err := Train(ctx, m, pairs(27), c, report, WithGroup(g)); err != nil && !errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if g.Size() > 1 && g.Sent() == 0 {
		t.Error("nothing was sent")
	}
}

// TestGPURanks: two GPUs that train together have their bits again in a run that was stopped in the middle, and the losses of one
// GPU alone, up to rounding.
func TestGPURanks(t *testing.T) {
	dir := t.TempDir()
	train := func(name string, n int, stop, stage string) string {
		t.Helper()
		t.Setenv(asGPURankStage, stage)
		out := filepath.Join(dir, name)
		t.Setenv(asGPURank, out)
		t.Setenv(asGPURankStop, stop)
		var said strings.Builder
		if err := collective.LaunchLocal(t.Context(), n, os.Args[0], []string{"-test.run", "^TestRankOfGPUs$"}, &said, &said); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, said.String())
		}
		return out
	}
	alone := train("alone", 1, "", "")
	two := train("two", 2, "", "")
	train("stopped", 2, "3", "")
	sameOutcome(t, two, train("stopped", 2, "", ""))
	divided := train("divided", 2, "", "3")
	a, b, c := losses(t, alone), losses(t, two), losses(t, divided)
	if len(a) != 6 || len(b) != 6 || len(c) != 6 {
		t.Fatalf("%d, %d and %d losses", len(a), len(b), len(c))
	}
	for i := range a {
		if math.Abs(a[i]-b[i]) > 1e-4*math.Abs(a[i]) || math.Abs(a[i]-c[i]) > 1e-4*math.Abs(a[i]) {
			t.Errorf("step %d: loss %v of one, %v of two, %v of two with zero_stage 3", i+1, a[i], b[i], c[i])
		}
	}
}

// losses are those of all steps of a run.
func losses(t *testing.T, dir string) (list []float64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var x struct{ Loss *float64 }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		if x.Loss != nil {
			list = append(list, *x.Loss)
		}
	}
	return list
}
