package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/demo"
	"criticrm/device/devicetest"
	"criticrm/engine"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/report/reporttest"
	"criticrm/trainer"
)

// fewPairs is an experiment on few pairs.
func fewPairs(dir string, threads int, log io.Writer) Options {
	return Options{Dir: dir, Seeds: []uint64{0}, Tasks: []string{"misread"}, Pairs: 60, Held: 80, Valid: 40, Threads: threads, Version: "test", Log: log}
}

// stopped is ended in the middle and begun again: what was done then is not done twice.
func stopped(t *testing.T, threads int) *Results {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	log, dir := &watched{at: published, seen: stop}, t.TempDir()
	if _, err := Run(ctx, devicetest.CPU(t, threads), fewPairs(dir, threads, log)); !errors.Is(err, trainer.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		t.Fatalf("%v\n%s", err, &log.Buffer)
	}
	log.Reset()
	r, err := Run(t.Context(), devicetest.CPU(t, threads), fewPairs(dir, threads, log))
	if err != nil || strings.Contains(log.String(), cloud+" …") || !strings.Contains(log.String(), published+" …") {
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
		e, err := engine.Open(devicetest.CPU(t, 2), dir, engine.Options{Given: g, MaxSequences: 512})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		rs := (&task{Task: demo.Tasks()[0]}).split(demo.Evaluation, 80)
		o := critic.DefaultScoreOptions()
		o.Critiques, o.Sampling.Temperature, o.Sampling.TopP, o.Sampling.MaxTokens, o.Sampling.Seed, o.Chunk = 8, 1, 1, 0, 900, 512
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
		return percent(d.correct(readReward, 8))
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

// recounts wants that the Python script makes the tables again, and that it sees a figure that is wrong.
func recounts(t *testing.T, dir string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	count := func() (string, error) {
		b, err := exec.CommandContext(t.Context(), python, filepath.Join(dir, recountFile)).CombinedOutput()
		return string(b), err
	}
	if out, err := count(); err != nil || !strings.Contains(out, ours) {
		t.Errorf("%v\n%s", err, out)
	}
	path := filepath.Join(dir, resultsFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"accuracy": `, `"value": `, `"temperature": `, `"low": `, `"difference": {\s*"value": `} {
		other := regexp.MustCompile(`(`+field+`)-?[0-9.]+`).ReplaceAll(b, []byte(`${1}33`))
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := count(); err == nil || !strings.Contains(out, "33 in results.json") {
			t.Errorf("another %s is not seen: %v\n%s", field, err, out)
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// madeAgain wants the same tables from a run that is there, and files of critiques that are gone. A run that has measured nothing has none.
func madeAgain(t *testing.T, dir string) {
	path := filepath.Join(dir, resultsFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{reportFile, critiquesDir} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Again(dir); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the tables are others: %v", err)
	}
	for _, back := range []string{reportFile, critiquesDir + "/misread-0-critic-rm-margin-ours.jsonl"} {
		if _, err := os.Stat(filepath.Join(dir, back)); err != nil {
			t.Error(err)
		}
	}
	other := t.TempDir()
	if _, err := Again(other); err == nil || !strings.Contains(err.Error(), "no demo has measured a model there") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(other, resultsFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Again(other); err == nil || !strings.Contains(err.Error(), "what the models wrote is gone") {
		t.Error(err)
	}
	if after, err := os.ReadFile(filepath.Join(other, resultsFile)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("tables without their pairs are lost: %v", err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	r, err := Run(t.Context(), devicetest.CPU(t, 2), fewPairs(dir, 2, nil))
	if err != nil {
		t.Fatal(err)
	}
	value := func(method string, want func(*Row) bool) float64 {
		for _, row := range r.Tasks[0].Rows {
			if row.Method == method && want(row) {
				return row.Overall.Value
			}
		}
		t.Fatalf("the table lacks a row of %q", method)
		return 0
	}
	chosen := func(row *Row) bool { return row.At == atChosen }
	mine, scalar, judge := value(ours, (*Row).Headline), value(scalarRM, chosen), value(llmJudge, chosen)
	if mine < scalar+10 || mine < judge+5 {
		t.Errorf("Critic-RM %.1f, scalar RM %.1f, judge %.1f: the method does not win", mine, scalar, judge)
	}
	html, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte(`<figure class="plot">`)); n != 4*len(r.Tasks) {
		t.Errorf("the report has %d plots, want 4 a task", n)
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
	if err := json.Unmarshal(b, &back); err != nil || !back.Complete || len(back.Tasks[0].Rows) != len(r.Tasks[0].Rows) || back.Seconds[ours] <= 0 {
		t.Errorf("results.json: %v, complete %v, %d rows, want %d; seconds %v", err, back.Complete, len(back.Tasks[0].Rows), len(r.Tasks[0].Rows), back.Seconds)
	}
	t.Run("recount", func(t *testing.T) { recounts(t, dir) })
	t.Run("again", func(t *testing.T) { madeAgain(t, dir) })

	knowsItself(t, filepath.Join(dir, runDir, "round-1", "train", "model"), value(ours, func(row *Row) bool {
		return row.Reading == readReward && row.Temperature() == "1" && row.M() == "8"
	}))

	var log bytes.Buffer
	if _, err := Run(t.Context(), devicetest.CPU(t, 2), fewPairs(dir, 2, &log)); err != nil || !strings.Contains(log.String(), "measured already") || strings.Contains(log.String(), "…") {
		t.Errorf("the same once more: %v\n%s", err, &log)
	}

	for i, row := range stopped(t, 1).Tasks[0].Rows {
		if want := r.Tasks[0].Rows[i]; row.Overall != want.Overall {
			t.Errorf("%s: %v with two threads, %v with one and an interruption", row.Name(), want.Overall, row.Overall)
		}
	}
}

func TestPartsAreKnown(t *testing.T) {
	_, err := Run(t.Context(), devicetest.CPU(t, 1), Options{Dir: t.TempDir(), Seeds: []uint64{0}, Parts: []string{"control"}})
	if err == nil || !strings.Contains(err.Error(), `no part "control": want main, controls, tuned, ablations`) {
		t.Error(err)
	}
	r := &runner{Options: Options{Full: true, Parts: []string{"ablations"}}}
	if err := r.what(); err != nil || len(r.parts) != 2 || r.parts[0].name != mainPart || r.parts[1].name != "ablations" {
		t.Errorf("%v, %d parts", err, len(r.parts))
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
	_, err := Run(t.Context(), devicetest.CPU(t, 1), Options{Dir: dir, Seeds: []uint64{0}})
	if err == nil || !strings.Contains(err.Error(), "no demo made it") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != "mine" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
}
