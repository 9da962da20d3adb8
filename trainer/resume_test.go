package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/model"
)

func TestResumeIsExact(t *testing.T) {
	data, held := pairs(27), pairs(33)[27:]
	for _, kind := range []string{"f32", "bf16", "bf16 stochastic", "f32 adamw_8bit", "bf16 stochastic adamw_8bit"} {
		t.Run(kind, func(t *testing.T) {
			straight := testConfig(filepath.Join(t.TempDir(), "straight"))
			straight.BF16, straight.Stochastic, straight.EvalSteps = strings.Contains(kind, "bf16"), strings.Contains(kind, "stochastic"), 5
			if strings.Contains(kind, AdamW8bit) {
				straight.Optim = AdamW8bit
			}
			if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight, WithEval(held)); err != nil {
				t.Fatal(err)
			}
			broken := straight
			broken.OutputDir = filepath.Join(filepath.Dir(straight.OutputDir), "broken")
			broken.SaveSteps, broken.LoggingSteps = 4, 3
			for _, stop := range []int{10, 13, 19, 0} { // the last one runs to the end
				ctx, at := stopAfter(stop)
				r, err := Train(ctx, tiny(t, broken, 2), data, broken, WithEval(held), at)
				if stop == 0 && err != nil || stop != 0 && (!errors.Is(err, ErrInterrupted) || r.Steps != stop) {
					t.Fatalf("stop at %d: step %d, %v", stop, r.Steps, err)
				}
				broken.Resume = "latest"
			}
			sameOutcome(t, straight.OutputDir, broken.OutputDir)
			b, _ := os.ReadFile(filepath.Join(broken.OutputDir, "metrics.jsonl"))
			if n := bytes.Count(b, []byte("\n")); n != 20+4 {
				t.Errorf("%d lines of metrics, want 20 steps and 4 evaluations", n)
			}
		})
	}
}

// A run that stops after every single step and goes on is the run that does not stop.
func TestResumeAtEveryStep(t *testing.T) {
	data := pairs(27)
	straight := testConfig(filepath.Join(t.TempDir(), "straight"))
	if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight); err != nil {
		t.Fatal(err)
	}
	broken := straight
	broken.OutputDir, broken.SaveTotalLimit = filepath.Join(filepath.Dir(straight.OutputDir), "broken"), 2
	for stop := 1; stop <= 20; stop++ {
		ctx, at := stopAfter(stop)
		r, err := Train(ctx, tiny(t, broken, 1), data, broken, at)
		if r.Steps != stop || stop < 20 && !errors.Is(err, ErrInterrupted) || stop == 20 && err != nil {
			t.Fatalf("stop at %d: step %d, %v", stop, r.Steps, err)
		}
		broken.Resume = "latest"
	}
	sameOutcome(t, straight.OutputDir, broken.OutputDir)
}

// A killed process leaves metrics behind its last checkpoint, and perhaps half a line.
func TestResumeCutsMetrics(t *testing.T) {
	data := pairs(27)
	a := testConfig(filepath.Join(t.TempDir(), "a"))
	if _, err := Train(context.Background(), tiny(t, a, 1), data, a); err != nil {
		t.Fatal(err)
	}
	b := a
	b.OutputDir, b.Resume = filepath.Join(filepath.Dir(a.OutputDir), "b"), "auto"
	ctx, at := stopAfter(7)
	if _, err := Train(ctx, tiny(t, b, 1), data, b, at); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	path := filepath.Join(b.OutputDir, "metrics.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"step": 8, "loss": 1}`+"\n"+`{"step": 9, "lo`)
	f.Close()
	if _, err := Train(context.Background(), tiny(t, b, 1), data, b); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, a.OutputDir, b.OutputDir)

	// A finished run has nothing left to do and stays as it is.
	before, _ := outcome(t, b.OutputDir)
	r, err := Train(context.Background(), tiny(t, b, 1), data, b)
	if after, _ := outcome(t, b.OutputDir); err != nil || r.Steps != 20 || after != before {
		t.Errorf("a finished run again: step %d, %v", r.Steps, err)
	}
}

// hashed is a data set that can tell whether it changed.
type hashed struct {
	Slice
	hash string
}

func (c hashed) Hash() (string, error) { return c.hash, nil }

func TestResumeRefusesChanges(t *testing.T) {
	data := pairs(27)
	c := testConfig(t.TempDir())
	ctx, at := stopAfter(5)
	if _, err := Train(ctx, tiny(t, c, 1), hashed{data, "aaaa"}, c, at); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if _, err := Train(context.Background(), tiny(t, c, 1), hashed{data, "aaaa"}, c); err == nil || !strings.Contains(err.Error(), "has a checkpoint of step 5: set resume to latest") {
		t.Errorf("a new run over an old one: %v", err)
	}
	c.Resume = "latest"
	bf16 := c
	bf16.BF16 = true
	for _, x := range []struct {
		change func(c *Config, d *hashed, m **model.Model)
		want   string
	}{
		{func(c *Config, d *hashed, m **model.Model) { c.LearningRate, c.BatchSize = 1e-3, 4 },
			"per_device_train_batch_size was 2, now 4; learning_rate was 0.003, now 0.001"},
		{func(c *Config, d *hashed, m **model.Model) { d.hash = "bbbb" }, "the training data changed since the run began (sha256 aaaa → bbbb)"},
		{func(c *Config, d *hashed, m **model.Model) { d.Slice = d.Slice[:26] }, "had 27 examples, now 26"},
		{func(c *Config, d *hashed, m **model.Model) { *c, *m = bf16, tiny(t, bf16, 1) }, "bf16 was false, now true"},
		{func(c *Config, d *hashed, m **model.Model) {
			c.Optim = AdamW8bit
			*m = tiny(t, *c, 1)
		}, "cannot resume: optim was adamw, now adamw_8bit (use the old values, or start a new run)"},
		{func(c *Config, d *hashed, m **model.Model) {
			sft := *c
			sft.Method = SFT
			*m = tiny(t, sft, 1) // a model without a head
		}, "the model has none"},
		{func(c *Config, d *hashed, m **model.Model) { c.Resume = filepath.Join(c.OutputDir, "nowhere") }, "nowhere"},
	} {
		changed, d, m := c, hashed{data, "aaaa"}, tiny(t, c, 1)
		x.change(&changed, &d, &m)
		if _, err := Train(context.Background(), m, d, changed); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
	// Free fields may change.
	c.Threads, c.LoggingSteps, c.SaveSteps, c.SaveTotalLimit = 2, 1, 3, 2
	c.Device, c.BatchTokens = "cpu", 40
	var log strings.Builder
	if r, err := Train(context.Background(), tiny(t, c, 1), hashed{data, "aaaa"}, c, WithReport(Report{Log: &log})); err != nil || r.Steps != 20 {
		t.Errorf("resume with other log settings: step %d, %v", r.Steps, err)
	}
	if list, err := checkpoint.List(filepath.Join(c.OutputDir, "checkpoints")); err != nil || len(list) != 2 {
		t.Errorf("%d checkpoints with save_total_limit 2, %v", len(list), err)
	}
	if want := "max_tokens_per_batch was 60, now 40: rounding differs"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, log.String())
	}
	now, was := state{Device: "cpu"}, state{Device: "cuda:0 (X)"}
	if got := was.roundsOtherwise(now); !slices.Equal(got, []string{"the device was cuda:0 (X), now cpu"}) {
		t.Errorf("another device: %q", got)
	}
}

// A checkpoint of a program that had not yet a field goes on as the field's default says.
func TestResumeWithNewField(t *testing.T) {
	c := testConfig("")
	st := state{Version: stateVersion, Examples: 27, Recipe: recipeText(c)}
	delete(st.Recipe, "stochastic_rounding")
	if err := st.continues(c, NewPlan(c, 27), "", ""); err != nil {
		t.Error(err)
	}
	c.Stochastic = true
	if err := st.continues(c, NewPlan(c, 27), "", ""); err == nil || !strings.Contains(err.Error(), "stochastic_rounding was false, now true") {
		t.Errorf("got %v", err)
	}
}

// A checkpoint of a program that called a field otherwise goes on.
func TestResumeWithRenamedField(t *testing.T) {
	c := testConfig("")
	c.ScoreMin = 1
	st := state{Version: stateVersion, Examples: 27, Recipe: recipeText(c)}
	delete(st.Recipe, "scale_min")
	st.Recipe["score_min"] = "1"
	if err := st.continues(c, NewPlan(c, 27), "", ""); err != nil {
		t.Error(err)
	}
	st.Recipe["score_min"] = "2"
	if err := st.continues(c, NewPlan(c, 27), "", ""); err == nil || !strings.Contains(err.Error(), "scale_min was 2, now 1") {
		t.Error(err)
	}
}

// A run does not go back to an older checkpoint, or begin anew, over a damaged one without being told to.
func TestDamagedCheckpointStopsTheRun(t *testing.T) {
	c := testConfig(t.TempDir())
	c.MaxSteps, c.SaveSteps = 4, 2
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c); err != nil {
		t.Fatal(err)
	}
	newest, _, err := checkpoint.Latest(filepath.Join(c.OutputDir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(newest, "more"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, resume := range []string{"", "auto", "latest"} {
		c.Resume = resume
		_, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c)
		if err == nil || !strings.Contains(err.Error(), "more: file is not in the manifest") || !strings.Contains(err.Error(), "the newest good one is of step 2") {
			t.Errorf("resume %q: %v", resume, err)
		}
		if after, _ := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl")); !bytes.Equal(before, after) {
			t.Errorf("resume %q has cut the metrics", resume)
		}
	}
	var log bytes.Buffer
	c.Resume = "latest-valid"
	r, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, WithReport(Report{Log: &log}))
	if err != nil || r.Steps != 4 || !strings.Contains(log.String(), "passed over: ") || !strings.Contains(log.String(), "resumed at step 2 of 4") {
		t.Errorf("%+v, %v\n%s", r, err, log.String())
	}
}

// endsAfter is a context that has ended once it was asked so often: between micro-batches too, where OnStep cannot stop a run.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A run that is stopped between the micro-batches of an update stands after the update before, and goes on to the same bits.
func TestResumeInsideUpdate(t *testing.T) {
	data := pairs(27)
	straight := testConfig(filepath.Join(t.TempDir(), "straight"))
	if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight); err != nil {
		t.Fatal(err)
	}
	stops := 0
	broken := straight
	broken.OutputDir = filepath.Join(filepath.Dir(straight.OutputDir), "broken")
	for asks := 1; ; asks += 1 + stops%3 { // each place in the loop comes
		_, err := Train(&endsAfter{context.Background(), asks}, tiny(t, broken, 1), data, broken)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		broken.Resume, stops = "latest", stops+1
	}
	if stops < 5 {
		t.Errorf("%d stops", stops)
	}
	sameOutcome(t, straight.OutputDir, broken.OutputDir)
}
