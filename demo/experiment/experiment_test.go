package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"criticrm/critic"
	"criticrm/demo"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/report/reporttest"
	"criticrm/trainer"
)

func openCPU(t *testing.T, threads int) *kernels.Device {
	t.Helper()
	d, err := kernels.OpenCPU(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// small runs the experiment on few pairs.
func small(t *testing.T, threads int) (*Results, string) {
	t.Helper()
	o := Options{Dir: t.TempDir(), Seeds: []uint64{3}, Pairs: 60, Held: 80, Threads: threads, Version: "test"}
	r, err := Run(t.Context(), openCPU(t, threads), o)
	if err != nil {
		t.Fatal(err)
	}
	return r, o.Dir
}

// stopped does the same, but is ended in the middle and begun again: what was done then is not done twice.
func stopped(t *testing.T, threads int) *Results {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	log := &watched{at: "== bt", seen: stop}
	o := Options{Dir: t.TempDir(), Seeds: []uint64{3}, Pairs: 60, Held: 80, Threads: threads, Version: "test", Log: log}
	if _, err := Run(ctx, openCPU(t, threads), o); !errors.Is(err, trainer.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		t.Fatalf("%v\n%s", err, &log.Buffer)
	}
	log.Reset()
	r, err := Run(t.Context(), openCPU(t, threads), o)
	if err != nil || strings.Contains(log.String(), "== round-1/train") || !strings.Contains(log.String(), "== cloud") {
		t.Fatalf("%v\n%s", err, &log.Buffer)
	}
	return r
}

// watched is a log that calls a function where it reads something.
type watched struct {
	bytes.Buffer
	at   string
	seen func()
}

func (w *watched) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.at) {
		w.seen()
	}
	return w.Buffer.Write(b)
}

// knowsItself wants the accuracy of the table from the model's directory alone. Behind other prompts the same model is far from it:
// before models knew theirs, that was what one got who forgot a flag.
func knowsItself(t *testing.T, dir string, want float64) {
	t.Helper()
	accuracy := func(g modeldir.Given) float64 {
		e, err := engine.Open(openCPU(t, 2), dir, engine.Options{Given: g, MaxSequences: 512})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		rs := demo.Records(demo.Pairs(evalSeed, 80, demo.Evaluation))
		o := critic.DefaultScoreOptions()
		o.Critiques, o.Sampling.Temperature, o.Sampling.TopP, o.Sampling.MaxTokens, o.Sampling.Seed, o.Chunk = 8, 1, 1, 0, 3900, 512
		if err := pipeline.Local(e).Ask(&o); err != nil {
			t.Fatal(err)
		}
		if _, err := critic.Score(t.Context(), e, rs, o); err != nil {
			t.Fatal(err)
		}
		d, err := measureRecords(rs)
		if err != nil {
			t.Fatal(err)
		}
		return 100 * stat.Mean(d.reward(8), nil)
	}
	if got := accuracy(modeldir.Given{}); math.Abs(got-want) > 1e-9 {
		t.Errorf("the trained model's own directory gives %.1f, the demo %.1f", got, want)
	}
	builtIn := t.TempDir()
	for name, text := range critic.DefaultPrompts().Texts() {
		if err := os.WriteFile(filepath.Join(builtIn, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := accuracy(modeldir.Given{Prompts: builtIn, Override: true}); got > want-15 {
		t.Errorf("behind other prompts the model has %.1f, behind its own %.1f: this test shows nothing", got, want)
	}
}

func TestRun(t *testing.T) {
	r, dir := small(t, 2)
	value := func(method string, m, pairs int) float64 {
		for _, row := range r.Rows {
			if row.Method == method && row.M == m && row.Pairs == pairs {
				return row.Overall.Value
			}
		}
		t.Fatalf("the table has no row %q m=%d", method, m)
		return 0
	}
	ours, scalar, judge := value("Critic-RM", 8, 60), value("scalar RM", 0, 60), value("LLM judge (base)", judged, 0)
	if ours < scalar+10 || ours < judge+5 {
		t.Errorf("Critic-RM %.1f, scalar RM %.1f, judge %.1f: the method does not win", ours, scalar, judge)
	}
	html, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte(`<figure class="plot">`)); n != 4 {
		t.Errorf("the report has %d plots, want 4", n)
	}
	t.Run("layout", func(t *testing.T) { reporttest.Layout(t, html) })
	if m := regexp.MustCompile(`(?:src|href)="[^"]*"`).Find(html); m != nil {
		t.Errorf("the report needs %s", m)
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Results
	if err := json.Unmarshal(b, &back); err != nil || len(back.Rows) != len(r.Rows) || back.Seconds["generate"] <= 0 {
		t.Errorf("results.json: %v, %d rows, want %d; seconds %v", err, len(back.Rows), len(r.Rows), back.Seconds)
	}

	knowsItself(t, filepath.Join(dir, runDir, "model"), ours)

	for i, row := range stopped(t, 1).Rows {
		if row.Overall != r.Rows[i].Overall {
			t.Errorf("%s: %v with two threads, %v with one and an interruption", row.Name(), r.Rows[i].Overall, row.Overall)
		}
	}
}

// A run in the directory that no demo made is not touched.
func TestRunKeepsOthersFiles(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, runDir, "model.safetensors")
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), openCPU(t, 1), Options{Dir: dir, Seeds: []uint64{0}})
	if err == nil || !strings.Contains(err.Error(), "no demo made it") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != "mine" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}
