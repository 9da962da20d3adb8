package critic

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

	"criticrm/record"
	"criticrm/record/recordtest"
	"criticrm/stage"
)

func generateOptions() GenerateOptions {
	o := DefaultGenerateOptions()
	o.Critiques, o.Chunk = 3, 4
	return o
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runGenerate runs the stage; after ≥ 0 stops it in the call of the Generator with that number: by cancelling the
// context before the answer (odd numbers) or by a failure (even ones).
func runGenerate(t *testing.T, in, out string, o GenerateOptions, after int) (*stage.Result, *CritiqueStats, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calls := 0
	g := generatorFunc(func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		calls++
		if calls == after+1 {
			if after%2 == 0 {
				return nil, errScripted
			}
			cancel()
		}
		return randomGenerator()(ctx, reqs, s)
	})
	s, stats, err := GenerateStage(in, out, g, o)
	if err != nil {
		t.Fatal(err)
	}
	var seen []int
	s.Progress = func(p stage.Progress) { seen = append(seen, p.Done) }
	res, err := s.Run(ctx)
	if err == nil && seen[len(seen)-1] != res.Records {
		t.Errorf("progress %v", seen)
	}
	return res, stats, err
}

// TestResume interrupts the stage in every chunk and wants the bytes and the statistics of an uninterrupted run.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	in, whole := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "whole.jsonl")
	os.WriteFile(in, []byte(recordtest.Lines(18)), 0o644)
	o := generateOptions()
	res, wantStats, err := runGenerate(t, in, whole, o, -1)
	if err != nil || res.Records != 18 || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	want := read(t, whole)
	rows := []int{0, 1, 5, 9, 11, 15} // behind each chunk: one record to look at, then at most 4, with a break behind the 11 that the guard decides on
	for stop := range len(rows) {
		out := filepath.Join(dir, fmt.Sprintf("out%d.jsonl", stop))
		_, _, err := runGenerate(t, in, out, o, stop)
		if stop%2 == 1 && !errors.Is(err, context.Canceled) || stop%2 == 0 && !errors.Is(err, errScripted) {
			t.Fatalf("stop %d: %v", stop, err)
		}
		if got := read(t, out); !bytes.HasPrefix(want, got) || bytes.Count(got, []byte("\n")) != rows[stop] {
			t.Fatalf("stop %d left %d rows", stop, bytes.Count(got, []byte("\n")))
		}
		if ok, err := stage.IsComplete(out); ok || err != nil {
			t.Errorf("stop %d: the sidecar says complete: %v %v", stop, ok, err)
		}
		res, stats, err := runGenerate(t, in, out, o, -1)
		if err != nil || res.Resumed != rows[stop] {
			t.Fatalf("stop %d: %+v %v", stop, res, err)
		}
		if !bytes.Equal(read(t, out), want) {
			t.Errorf("stop %d: other bytes than without the interruption", stop)
		}
		if stats.String() != wantStats.String() {
			t.Errorf("stop %d: %s, want %s", stop, stats, wantStats)
		}
		if ok, err := stage.IsComplete(out); !ok || err != nil {
			t.Errorf("stop %d: not complete: %v", stop, err)
		}
	}
	// Interrupted in every chunk of one and the same run.
	out := filepath.Join(dir, "often.jsonl")
	for range len(rows) - 1 {
		runGenerate(t, in, out, o, 1)
	}
	if _, _, err := runGenerate(t, in, out, o, -1); err != nil || !bytes.Equal(read(t, out), want) {
		t.Errorf("after many interruptions: %v", err)
	}
	// A finished stage does nothing more and keeps its numbers.
	res, stats, err := runGenerate(t, in, out, o, 0)
	if err != nil || res.Resumed != 18 || stats.Records != 18 {
		t.Errorf("finished: %+v %v", res, err)
	}
}

// TestTornTail cuts or spoils what was not acknowledged: at every byte of the last chunk, the sidecar lagging.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	os.WriteFile(in, []byte(recordtest.Lines(6)), 0o644)
	o := generateOptions()
	runGenerate(t, in, out, o, 1) // 1 row acknowledged
	ack, side := read(t, out), read(t, stage.SidecarPath(out))
	if _, _, err := runGenerate(t, in, out, o, -1); err != nil {
		t.Fatal(err)
	}
	want := read(t, out)
	tails := [][]byte{make([]byte, 4096), []byte("\n\n"), []byte(`{"id":"r9"}` + "\n"), want[:len(ack)]}
	for n := 0; n <= len(want)-len(ack); n += 1 + n/16 {
		tails = append(tails, want[len(ack):len(ack)+n])
	}
	for i, tail := range tails {
		os.WriteFile(out, slices.Concat(ack, tail), 0o644)
		os.WriteFile(stage.SidecarPath(out), side, 0o644)
		if _, _, err := runGenerate(t, in, out, o, -1); err != nil {
			t.Fatalf("tail %d: %v", i, err)
		}
		if !bytes.Equal(read(t, out), want) {
			t.Fatalf("tail %d of %d bytes: other bytes than without the crash", i, len(tail))
		}
	}
}

func TestStageRefuses(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	reset := func(t *testing.T) {
		os.WriteFile(in, []byte(recordtest.Lines(10)), 0o644)
		os.Remove(out)
		os.Remove(stage.SidecarPath(out))
		runGenerate(t, in, out, generateOptions(), 1)
	}
	change := func(path string, f func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) { os.WriteFile(path, f(read(t, path)), 0o644) }
	}
	for _, c := range []struct {
		name  string
		setup func(*testing.T)
		mod   func(*GenerateOptions)
		want  string
	}{
		{"temperature", nil, func(o *GenerateOptions) { o.Sampling.Temperature = 0.5 }, "options.sampling.temperature was 0.7, now 0.5"},
		{"seed beyond float64", nil, func(o *GenerateOptions) { o.Sampling.Seed = 1<<63 + 1 }, "options.sampling.seed was 0, now 9223372036854775809"},
		{"critiques", nil, func(o *GenerateOptions) { o.Critiques = 5 }, "options.critiques was 3, now 5"},
		{"model", nil, func(o *GenerateOptions) { o.Model = "other" }, `options.model was "", now "other"`},
		{"prompts", nil, func(o *GenerateOptions) {
			p := *DefaultPrompts()
			p.Critique, _ = ParseTemplate("x", "[user]\n{prompt}{response}", nil, []string{"prompt", "response"})
			o.Prompts = &p
		}, "prompts was"},
		{"69 input", change(in, func(b []byte) []byte { return bytes.Replace(b, []byte("It is 9."), []byte("It is 8."), 1) }), nil, "the input changed (sha256"},
		{"output edited", change(out, func(b []byte) []byte { b[3] ^= 1; return b }), nil, "was changed since it was written"},
		{"output cut", change(out, func(b []byte) []byte { return b[:len(b)-1] }), nil, "is damaged"},
		{"sidecar gone", func(*testing.T) { os.Remove(stage.SidecarPath(out)) }, nil, "exists and has no out.jsonl.stage.json beside it"},
		{"sidecar with something behind it", change(stage.SidecarPath(out), func(b []byte) []byte { return append(slices.Clone(b), "{}"...) }), nil, "is not a stage's state"},
		{"sidecar torn", change(stage.SidecarPath(out), func(b []byte) []byte { return b[:len(b)/2] }), nil, "is not a stage's state"},
		{"other stage", change(stage.SidecarPath(out), func(b []byte) []byte { return bytes.Replace(b, []byte(`"generate"`), []byte(`"score"`), 1) }), nil, `it was written by stage "score"`},
		{"newer format", change(stage.SidecarPath(out), func(b []byte) []byte { return bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2`), 1) }), nil, "its format is 2, this program knows 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reset(t)
			if c.setup != nil {
				c.setup(t)
			}
			before := read(t, out)
			o := generateOptions()
			if c.mod != nil {
				c.mod(&o)
			}
			_, _, err := runGenerate(t, in, out, o, -1)
			recordtest.WantError(t, err, c.want)
			if !bytes.Equal(read(t, out), before) {
				t.Error("a refused run changed the output")
			}
			s, _, err := GenerateStage(in, out, randomGenerator(), o)
			if err != nil {
				t.Fatal(err)
			}
			s.Restart = true
			if res, err := s.Run(context.Background()); err != nil || res.Resumed != 0 || res.Records != 10 {
				t.Errorf("restart: %+v %v", res, err)
			}
		})
	}
}

func TestStageInput(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	os.WriteFile(in, []byte(recordtest.Lines(10)+`{"prompt":"p"}`+"\n"), 0o644)
	_, _, err := runGenerate(t, in, out, generateOptions(), -1)
	recordtest.WantError(t, err, `in.jsonl:11: key "chosen" is missing`)
	if _, err := os.Stat(out); err == nil {
		t.Error("bad input is found only after the work began")
	}
	_, _, err = runGenerate(t, in, in, generateOptions(), -1)
	recordtest.WantError(t, err, "is what is read")
	_, _, err = runGenerate(t, in, out+".zst", generateOptions(), -1)
	recordtest.WantError(t, err, "write .jsonl and compress it later")
	// The input of a stage must be complete.
	os.WriteFile(in, []byte(recordtest.Lines(10)), 0o644)
	runGenerate(t, in, out, generateOptions(), 1)
	s, _, _ := FilterStage(out, filepath.Join(dir, "f.jsonl"), DefaultFilterOptions())
	_, err = s.Run(context.Background())
	recordtest.WantError(t, err, "is not complete: finish the stage that writes it first")
	// The input must not change while the stage runs.
	os.Remove(stage.SidecarPath(out))
	os.Remove(out)
	big := strings.ReplaceAll(recordtest.Lines(40), "What is", strings.Repeat("x", 1<<16)) // more than any buffer holds
	os.WriteFile(in, []byte(big), 0o644)
	g := generatorFunc(func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		os.WriteFile(in, []byte(strings.Replace(big, "It is 39.", "It is 93.", 1)), 0o644)
		return randomGenerator()(ctx, reqs, s)
	})
	s, _, _ = GenerateStage(in, out, g, generateOptions())
	_, err = s.Run(context.Background())
	recordtest.WantError(t, err, "changed while it was read")
	if ok, _ := stage.IsComplete(out); ok {
		t.Error("the output counts as complete")
	}
}

func TestStageLock(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	os.WriteFile(in, []byte(recordtest.Lines(3)), 0o644)
	g := generatorFunc(func(ctx context.Context, reqs []Request, s record.Sampling) ([][]Sample, error) {
		_, _, err := runGenerate(t, in, out, generateOptions(), -1)
		recordtest.WantError(t, err, "out.jsonl is in use by another run")
		if strings.Contains(err.Error(), "unavailable") {
			t.Error(err) // what the system says of a lock tells nothing
		}
		return randomGenerator()(ctx, reqs, s)
	})
	s, _, _ := GenerateStage(in, out, g, generateOptions())
	if _, err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestPipeline runs all stages from file to file, each interrupted once, and compares with the pure functions.
func TestPipeline(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name+".jsonl") }
	os.WriteFile(path("in"), []byte(recordtest.Lines(30)), 0o644)
	g := randomGenerator()
	ctx := context.Background()

	gen := generateOptions()
	fil := FilterOptions{Rule: FilterMeanEach, MinSurvivors: 0.1}
	ref := DefaultRefineOptions()
	ref.TopK, ref.Chunk, ref.MinSurvivors = 2, 4, 0.05
	sco := DefaultScoreOptions()
	sco.Critiques, sco.Chunk = 2, 4
	run := func(s *stage.Stage, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		work, calls := s.Work, 0
		s.Work = func(ctx context.Context, r []*record.Record) error {
			if calls++; calls == 2 || s.Chunk > 30 && calls == 1 {
				return errScripted
			}
			return work(ctx, r)
		}
		if _, err := s.Run(ctx); !errors.Is(err, errScripted) {
			t.Fatalf("%s: %v", s.Name, err)
		}
	}
	for range 2 { // the second time goes on after the failure
		s, _, err := GenerateStage(path("in"), path("generated"), g, gen)
		if err == nil {
			if _, statErr := os.Stat(path("generated")); statErr != nil {
				run(s, err)
				continue
			}
			if _, err := s.Run(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	step := func(make func() (*stage.Stage, error)) {
		t.Helper()
		run(make())
		s, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	step(func() (*stage.Stage, error) {
		s, _, err := FilterStage(path("generated"), path("filtered"), fil)
		return s, err
	})
	step(func() (*stage.Stage, error) {
		s, _, err := RefineStage(path("filtered"), path("refined"), g, ref)
		return s, err
	})
	step(func() (*stage.Stage, error) {
		s, _, err := ScoreStage(path("in"), path("scored"), g, sco)
		return s, err
	})

	records, err := record.ReadFile(path("in"), record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(ctx, g, records, gen); err != nil {
		t.Fatal(err)
	}
	if _, err := Filter(records, fil); err != nil {
		t.Fatal(err)
	}
	if _, err := Refine(ctx, g, records, ref); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	record.WriteRecords(&b, records)
	if !bytes.Equal(b.Bytes(), read(t, path("refined"))) {
		t.Error("the files differ from the pure functions")
	}
	scored, err := record.ReadFile(path("scored"), record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range scored {
		if r.ChosenReward == nil || r.RejectedReward == nil {
			t.Errorf("%s has no rewards", r.ID)
		}
	}
	if raw, ok := scored[7].Extra("source"); !ok || string(raw) != `{"row":7}` {
		t.Errorf("unknown field: %s", raw)
	}
}

// TestFilterStageGuard: too few survivors fail the stage with the output not complete, again and again.
func TestFilterStageGuard(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	var b strings.Builder
	record.WriteRecords(&b, []*record.Record{recordtest.Pair("a", recordtest.Scores(1), recordtest.Scores(2)), recordtest.Pair("b", recordtest.Scores(1), recordtest.Scores(2))})
	os.WriteFile(in, []byte(b.String()), 0o644)
	for range 2 {
		s, stats, err := FilterStage(in, out, DefaultFilterOptions())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Run(context.Background())
		recordtest.WantError(t, err, "only 0 of 2 records survive")
		if ok, _ := stage.IsComplete(out); ok || stats.Records != 2 {
			t.Errorf("complete %v, %+v", ok, stats)
		}
	}
}
