package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/stage"
)

func dryRun(t *testing.T, ctx context.Context, c Config, budget time.Duration) (*Estimate, string, error) {
	t.Helper()
	if err := c.Resolve(nil); err != nil {
		t.Fatal(err)
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	var log bytes.Buffer
	e, err := DryRun(ctx, dev, c, Options{Log: &log, Budget: budget})
	return e, log.String(), err
}

// A dry run writes nothing, and its tokens are about those that the run then takes.
func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir) // others have dry runs, too
	c := small(t, dir, "run")
	c.Baselines = "bt"
	e, log, err := dryRun(t, context.Background(), c, 20*time.Second)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if _, err := os.Stat(c.OutputDir); !errors.Is(err, os.ErrNotExist) {
		t.Error("output_dir was made")
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "criticrm-dry*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if e.Measured < time.Millisecond || e.Measured > time.Minute || e.TrainMemory < 1<<20 || e.HostHigh < 1<<20 || e.Parsed < 0.5 || e.Cut || e.Records != sampleRows {
		t.Errorf("%+v", e)
	}
	if text := e.String(); strings.Count(text, "\n") > 24 {
		t.Error(text)
	}
	must(t, c, Options{})
	if used := size(t, c.OutputDir); e.Disk < used || e.Disk > 50*used {
		t.Errorf("the run has written %d bytes, and %d at most were expected", used, e.Disk)
	}
	records, _, err := stage.ReadFile(filepath.Join(c.OutputDir, "round-1/1-critiques.jsonl"), readOptions)
	if err != nil {
		t.Fatal(err)
	}
	stats := critic.NewCritiqueStats(critic.DefaultScale())
	for _, r := range records {
		stats.Observe(r)
	}
	lines := map[string]EstimateLine{}
	for _, l := range e.Lines {
		if lines[l.Stage] = l; !(l.Seconds > 0 && l.Tokens > 0) {
			t.Errorf("%+v", l)
		}
	}
	trained := func(name string) float64 {
		b, err := os.ReadFile(filepath.Join(c.OutputDir, name, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		rows := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		var last struct {
			Tokens float64 `json:"num_tokens"`
		}
		if err := json.Unmarshal(rows[len(rows)-1], &last); err != nil {
			t.Fatal(err)
		}
		return last.Tokens
	}
	for name, took := range map[string]float64{"generate": float64(stats.Tokens), "train": trained("round-1/train"), "train bt": trained("bt/train")} {
		if told := lines[name].Tokens; told < 0.6*took || told > 1.6*took {
			t.Errorf("%s: %.0f tokens were told, it took %.0f", name, told, took)
		}
	}
	for _, name := range []string{"eval", "eval of the baselines", "refine"} {
		if lines[name].Stage == "" {
			t.Errorf("nothing is said of %s: %+v", name, e.Lines)
		}
	}
}

// A model that is too slow to end a critique within the time is measured by its tokens, and told as at most.
func TestDryRunCut(t *testing.T) {
	c := small(t, t.TempDir(), "run")
	e, log, err := dryRun(t, context.Background(), c, 10*time.Millisecond)
	if err != nil {
		t.Skipf("not even a token in that time: %v", err)
	}
	if e.Cut != strings.Contains(e.String(), "the tokens are the most there can be") || !e.Cut {
		t.Errorf("%s\n%s", e, log)
	}
	if want := float64(40 * 2 * 4 * 60); e.Lines[0].Tokens != want {
		t.Errorf("%v, want %v tokens", e.Lines[0], want)
	}
}

// A signal ends a dry run without an estimate.
func TestDryRunStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(300*time.Millisecond, cancel)
	if e, log, err := dryRun(t, ctx, small(t, t.TempDir(), "run"), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v\n%s", e, err, log)
	}
}

// size is what lies in a directory, in bytes.
func size(t *testing.T, dir string) (n uint64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			info, err = e.Info()
			n += uint64(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A disk that is full is an error before anything is written, one that will be full a warning.
func TestFits(t *testing.T) {
	for _, x := range []struct {
		free          uint64
		warning, want string
	}{{99 << 20, "", "take up to 100 MiB, and the disk of d has 99 MiB left"}, {100 << 20, "the run writes up to 300 MiB", ""}, {300 << 20, "", ""}} {
		warning, err := fits("d", x.free, 100<<20, 300<<20)
		if x.want != "" && (!errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), x.want)) || x.want == "" && err != nil ||
			!strings.Contains(warning, x.warning) || (warning == "") != (x.warning == "") {
			t.Errorf("%d: %q, %v", x.free, warning, err)
		}
	}
	c := small(t, t.TempDir(), "run")
	c.Train.MaxSteps, c.Train.SaveSteps = 1<<40, 1
	if _, log := must(t, c, Options{Stage: Check}); !strings.Contains(log, "warning: the run writes up to ") || !strings.Contains(log, "set train.save_total_limit") {
		t.Error(log)
	}
}

// A stage that there is none of is named before anything is measured; one that there is does not shorten the dry run, which says so.
func TestDryRunStages(t *testing.T) {
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	c := small(t, t.TempDir(), "run")
	if err := c.Resolve(nil); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		o    Options
		want string
	}{
		{Options{Stage: "foo"}, `stage: got "foo", want one of check`},
		{Options{Restart: "foo"}, `stage: got "foo", want one of check`},
		{Options{Stage: "bt"}, "stage bt: it is not among the baselines"},
		{Options{Restart: "round-2/train"}, "stage round-2/train: there are 1 rounds"},
		{Options{Stage: "train"}, ""},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // before the data is read
		var log bytes.Buffer
		x.o.Log = &log
		_, err := DryRun(ctx, dev, c, x.o)
		var input InputError
		switch said := strings.Contains(log.String(), "the dry run is of all stages"); {
		case x.want == "" && (!errors.Is(err, context.Canceled) || !said):
			t.Errorf("%+v: %v, %s", x.o, err, &log)
		case x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want) || !errors.As(err, &input) || said):
			t.Errorf("%+v: %v, want %s", x.o, err, x.want)
		}
	}
}
