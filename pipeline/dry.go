package pipeline

// The dry run: what a run would take, from a sample of the work on the model and the device themselves.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/cuda"
	"criticrm/engine"
	"criticrm/internal/progress"
	"criticrm/kernels"
	"criticrm/record"
	"criticrm/trainer"
)

const (
	sampleRows = 24               // the most rows of the sample
	budget     = 15 * time.Second // of each part of a dry run, unless Options.Budget says how long
)

// DryRun measures a sample of a run: it checks the data, lets the model write critiques, filters, refines and trains, each for some seconds,
// and writes nothing but temporary files. The Config must be resolved.
func DryRun(ctx context.Context, dev *kernels.Device, c Config, o Options) (*Estimate, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Budget == 0 {
		o.Budget = budget
	}
	if c.Generate.Elsewhere() || c.Refine.Elsewhere() {
		return nil, InputError{fmt.Errorf("a dry run measures the model on this device, and engine %s writes elsewhere: leave it out for an estimate of the rest", OpenAIEngine)}
	}
	r := &run{Config: c, Options: o, dev: dev, meter: progress.New(o.Log)}
	if err := r.stageNames(); err != nil {
		return nil, InputError{err}
	}
	if err := r.openInputs(); err != nil {
		return nil, InputError{err}
	}
	defer r.closeEngine()
	if r.Stage != "" || r.Restart != "" {
		r.say("the dry run is of all stages, whatever is done already and whichever were named")
	}
	var rows []*record.Record
	facts, err := r.look(ctx, func(rec *record.Record) { rows = append(rows, rec) })
	if err != nil {
		return nil, InputError{err}
	}
	trained, held := &facts.Train, &facts.Eval
	e := &Estimate{Device: dev.String()}
	d := &dry{run: r, Estimate: e, train: float64(trained.Rows) * (1 - r.ValidShare), valid: float64(trained.Rows) * r.ValidShare, held: float64(held.Rows)}
	if d.followed, err = r.followedRows(ctx, d.valid); err != nil {
		return nil, InputError{err}
	}
	for _, f := range []func(context.Context) error{
		func(ctx context.Context) error { return d.write(ctx, sampleOf(rows)) },
		d.filterAndRefine,
		d.learn,
	} {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	if _, e.Disk, err = r.space(d.train, d.valid, d.held, d.followed); err != nil {
		return nil, err
	}
	if s, ok := cuda.StatsOf(dev); ok {
		e.DeviceHigh = s.HighReserved
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		e.HostHigh = u.Maxrss << 10
	}
	return e, nil
}

// sampleOf takes rows from everywhere in a file.
func sampleOf(rows []*record.Record) (sample []*record.Record) {
	n := min(sampleRows, len(rows))
	for i := range n {
		sample = append(sample, rows[i*len(rows)/n])
	}
	return sample
}

// dry is a DryRun at work.
type dry struct {
	*run
	*Estimate
	train, valid, held float64 // rows
	followed           float64 // that trainings are measured on
	sample             []*record.Record
	critique           float64 // tokens of one
	speed              float64 // tokens a second when critiques are written
}

// line adds a stage, or the time of several of one name.
func (d *dry) line(stage string, tokens, seconds float64) {
	d.Lines = append(d.Lines, EstimateLine{stage, tokens, seconds})
}

// clocked counts what an engine writes while f works, for as long as the budget.
func (d *dry) clocked(ctx context.Context, e *engine.Engine, f func(context.Context) error) (tokens, samples int, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.Budget)
	defer cancel()
	defer func() { e.Progress = d.meter.Wrote }()
	e.Progress = func(t, n int) { tokens, samples = tokens+t, samples+n }
	start := time.Now()
	err = f(ctx)
	took = time.Since(start)
	d.Measured += took
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return tokens, samples, took, err
}

// write lets the model write critiques for as many rows of the sample as there is time for.
func (d *dry) write(ctx context.Context, rows []*record.Record) error {
	d.say("measuring how fast critiques are written, for at most %v …", d.Budget)
	e, err := d.engineOf(d.Dir, false)
	if err != nil {
		return err
	}
	o := d.Generate.Options()
	if err := Local(e).Ask(&o); err != nil {
		return err
	}
	o.Warn, o.MinParsed = func(line string) { d.say("%s", line) }, 0
	stats := critic.NewCritiqueStats(o.Scale)
	tokens, _, took, err := d.clocked(ctx, e, func(ctx context.Context) error {
		for done := 0; done < len(rows); {
			part := rows[done:min(done+o.Chunk, len(rows))]
			if _, err := critic.Generate(ctx, e, part, o); err != nil {
				return err
			}
			for _, r := range part {
				stats.Observe(r)
			}
			done += len(part)
			d.sample = rows[:done]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if tokens == 0 {
		return fmt.Errorf("the device has not written a token in %v: nothing can be measured", d.Budget)
	}
	d.Records, d.speed = len(d.sample), float64(tokens)/took.Seconds()
	d.critique = float64(o.Sampling.MaxTokens)
	if d.Cut = stats.Critiques == 0; !d.Cut {
		d.critique = float64(stats.Tokens) / float64(stats.Critiques)
		d.Parsed = float64(stats.Parsed) / float64(stats.Critiques)
	} else if err := d.standIns(e, rows); err != nil {
		return err
	}
	critiques := func(rows float64, of int) (float64, float64) {
		t := rows * 2 * float64(of) * d.critique
		return t, t / d.speed
	}
	rounds := float64(d.Rounds)
	t, s := critiques(d.train, d.Generate.Critiques)
	d.line("generate", rounds*t, rounds*s)
	if d.followed > 0 {
		t, s = critiques(d.followRounds()*d.followed, d.Generate.Critiques)
		d.line("follow", t, s)
	}
	t, s = critiques(d.held+d.valid, d.Eval.Samples)
	d.line("eval", rounds*t, rounds*s)
	models := 1.0 // the judge
	if d.wants(Cloud) {
		models++
	}
	t, s = critiques(d.held, d.Eval.Samples)
	d.line("eval of the baselines", models*t, models*s)
	return nil
}

// standIns gives rows critiques of the right length where the model is too slow to have written any: what they say does not change how
// long training takes.
func (d *dry) standIns(e *engine.Engine, rows []*record.Record) error {
	d.sample = rows[:min(4, len(rows))]
	for _, r := range d.sample {
		r.Dropped = ""
		for _, side := range r.Sides() {
			ids, err := e.Encode(e.Prompts.Ask(r, side, e.Scale), false)
			if err != nil {
				return err
			}
			for len(ids) < int(d.critique) {
				ids = append(ids, ids...)
			}
			score := float64(e.Scale.Max)
			if side == record.Rejected {
				score = float64(e.Scale.Min)
			}
			*r.SideCritiques(side) = slices.Repeat([]record.Critique{{Text: "Score", Tokens: ids[:int(d.critique)], Score: &score, FinishReason: record.FinishLength}}, d.Generate.Critiques)
		}
	}
	return nil
}

// filterAndRefine does both on the sample. Where the filter would keep nothing, all is kept: the time is asked for.
func (d *dry) filterAndRefine(ctx context.Context) error {
	o := d.Filter.Options()
	o.MinSurvivors = 0
	stats, err := critic.Filter(d.sample, o)
	if err != nil {
		return err
	}
	if d.Kept = float64(stats.Kept) / float64(max(1, stats.Records)); stats.Kept == 0 {
		if _, err := critic.Filter(d.sample, critic.FilterOptions{Rule: critic.FilterNone}); err != nil {
			return err
		}
	}
	ro := d.Refine.Options()
	ro.MinSurvivors = 0
	if !ro.NeedsGenerator() {
		_, err := critic.Refine(ctx, nil, d.sample, ro)
		return err
	}
	d.say("measuring refine, for at most %v …", d.Budget)
	e, err := d.engineOf(d.Dir, false)
	if err != nil {
		return err
	}
	if err := d.Refine.Ask(Local(e), &ro); err != nil {
		return err
	}
	questions := 0
	for _, r := range d.sample {
		for _, side := range r.Sides() {
			questions += len(r.Kept(side)) * ro.MetaSamples
		}
	}
	if ro.Mode == critic.RefineSummarize {
		questions = 2 * len(d.sample)
	}
	work := make([]*record.Record, len(d.sample))
	for i, r := range d.sample {
		c := *r
		c.ChosenCritiques, c.RejectedCritiques = slices.Clone(r.ChosenCritiques), slices.Clone(r.RejectedCritiques)
		work[i] = &c
	}
	done := false
	tokens, finished, took, err := d.clocked(ctx, e, func(ctx context.Context) error {
		_, err := critic.Refine(ctx, e, work, ro)
		done = err == nil
		return err
	})
	if err != nil {
		return err
	}
	answer := float64(ro.Sampling.MaxTokens)
	if done && finished > 0 {
		answer = float64(tokens) / float64(finished)
	}
	if done {
		d.sample = work
	}
	t := answer * float64(questions) / float64(len(d.sample)) * d.train * float64(d.Rounds)
	d.line("refine", t, t/max(float64(tokens)/took.Seconds(), 1e-9))
	return nil
}

// learn trains on the sample, over and over, for as long as the budget, and asks the trainer for the memory.
func (d *dry) learn(ctx context.Context) error {
	d.closeEngine()
	dir, err := os.MkdirTemp("", "criticrm-dry")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rounds := float64(d.Rounds)
	for _, x := range []struct {
		name  string
		c     trainer.Config
		rows  float64
		wants bool
	}{{"train", d.Train, d.train * max(d.Kept, 1/max(d.train, 1)) * rounds, true}, {"train bt", d.BT, d.train, d.wants(BT)}, {"train cloud", d.Cloud, d.train, d.wants(Cloud)}} {
		if !x.wants {
			continue
		}
		d.say("measuring %s, for at most %v …", x.name, d.Budget)
		c := x.c
		c.EvalFile = "" // measuring is counted below
		c.TrainFile = filepath.Join(dir, "sample.jsonl")
		plan := trainer.NewPlan(c, max(1, int(math.Round(x.rows))))
		c.Accumulation = plan.Batch / c.BatchSize
		if err := d.fill(c.TrainFile, plan.Batch); err != nil {
			return err
		}
		pair, speed, err := d.try(ctx, c)
		if err != nil {
			return err
		}
		pairs := float64(plan.Total) * float64(min(plan.Batch, plan.Examples))
		measured := 0.0
		if d.measures(&x.c) { // forward alone, a third of the work
			measured = d.followed * float64(c.Evaluations(plan)) / 3
		}
		d.line(x.name, pairs*pair, (pairs+measured)*pair/speed)
		if x.name == "train" {
			dev := cuda.Dry()
			if c.NeedsEval() != "" {
				c.EvalFile = c.TrainFile
			}
			_, err := trainer.DryRun(ctx, dev, c, 1, trainer.Report{}, func() {})
			if s, ok := cuda.StatsOf(dev); ok {
				d.TrainMemory = s.HighReserved
			}
			dev.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fill writes the sample as often as it takes for n pairs to train on.
func (d *dry) fill(path string, n int) error {
	var live []*record.Record
	for _, r := range d.sample {
		if r.Dropped == "" {
			live = append(live, r)
		}
	}
	if len(live) == 0 {
		return errors.New("nothing of the sample is left to train on")
	}
	var b bytes.Buffer
	for i := range max(n, len(live)) {
		r := *live[i%len(live)]
		r.ID = fmt.Sprintf("sample-%d", i)
		if err := record.WriteRecords(&b, []*record.Record{&r}); err != nil {
			return err
		}
	}
	return checkpoint.WriteFileAtomic(path, b.Bytes())
}

// try trains for as long as the budget, an update at least. An update is one micro-batch there, so that a slow device has a few. It gives
// the tokens of a pair and how many are trained on a second.
func (d *dry) try(parent context.Context, c trainer.Config) (pair, speed float64, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	if c.BatchTokens > 0 {
		c.Accumulation, c.BatchSize = 1, min(c.BatchSize*c.Accumulation, max(1, c.BatchTokens/d.pairTokens()))
	}
	c.MaxSteps, c.LoggingSteps, c.SaveSteps = 1<<30, 0, 0
	start := time.Now()
	var at []time.Time
	var seen []int64
	res, err := trainer.Try(ctx, d.dev, c, trainer.Report{OnStep: func(m trainer.Metrics) {
		at, seen = append(at, time.Now()), append(seen, m.NumTokens)
		if time.Since(start) > d.Budget || len(at) >= 200 {
			cancel()
		}
	}})
	if parent.Err() != nil || !errors.Is(err, trainer.ErrInterrupted) || len(at) == 0 {
		return 0, 0, errors.Join(err, parent.Err())
	}
	d.Measured += time.Since(start)
	last := len(at) - 1
	pair = float64(res.Tokens) / (float64(res.Steps) * float64(c.BatchSize*c.Accumulation))
	if last == 0 {
		return pair, float64(seen[0]) / at[0].Sub(start).Seconds(), nil
	}
	return pair, float64(seen[last]-seen[0]) / at[last].Sub(at[0]).Seconds(), nil // the first one warms up
}

// pairTokens is about how many tokens a pair has, with its critiques.
func (d *dry) pairTokens() int {
	n, critiques := 0, 0
	for _, r := range d.sample {
		for _, side := range r.Sides() {
			n += (len(r.Prompt.String()) + len(r.Text(side))) / 4
			critiques += len(r.Kept(side))
		}
	}
	return max(1, (n+int(float64(critiques)*d.critique))/max(1, len(d.sample)))
}
