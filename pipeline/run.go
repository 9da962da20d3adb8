// Package pipeline is the whole method over files: check, generate, filter, refine, train and evaluate, beside its baselines, in one
// directory that says what it holds.
//
//	recipe.yaml   the resolved recipe           state.json    finished stages, their settings and what they left
//	data.json     facts of the two files        results.json  every method measured, and their differences
//	held/         rows of train.eval_file, facts of them in held.json
//	round-1/      1-critiques.jsonl, 2-filtered.jsonl, 3-refined.jsonl, follow/, train/ (metrics.jsonl, checkpoints/, model/), eval.jsonl, eval.json
//	base/         the base model as judge       bt/, cloud/   the baselines: train/, eval.jsonl, eval.json
//	model         the model directory of the best round
//
// [Run] goes on where an earlier one was stopped, at any moment, and ends with the same bytes. It is made of the steps that the single
// commands run, and of the tables of settings ([Generate], [Filter], [Refine], [Eval], and the trainer's) that their flags come from.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/engine"
	"criticrm/internal/progress"
	"criticrm/kernels"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/trainer"
)

// Options of a Run beside its Config.
type Options struct {
	Stage   string        // stop behind this stage; "": go to the end
	Restart string        // forget this stage and what was made of it; "check": everything
	Log     io.Writer     // progress and what people should know
	Team    *Team         // processes that share rows; nil: this one alone
	Budget  time.Duration // how long a dry run measures each part; 0: 15 seconds

	Page func(dir string, running bool) error // of each training, as trainer.Report has it
}

// InputError is a fault of what a run was given: nothing was made of it yet.
type InputError struct{ error }

func (e InputError) Unwrap() error { return e.error }

// run is a Run at work.
type run struct {
	Config
	Options
	dev      *kernels.Device
	dir      string
	state    *state
	label    string        // of the base model
	base     *modeldir.Dir // but for its weights
	sums     [2]string     // sha256 of train_file and eval_file
	followed []followed    // what trainings are measured on; none: nothing is
	meter    *progress.Meter
	engine   *engine.Engine // the last one that was opened
	opened   string         // its directory
	noted    []string       // what was said of models
	doing    string         // the stage at work
	duty     *stage.Duty    // of a helper; nil: this is none
}

func newRun(dev *kernels.Device, c Config, o Options) *run {
	if o.Log == nil {
		o.Log = io.Discard
	}
	return &run{Config: c, Options: o, dev: dev, dir: c.OutputDir, meter: progress.New(o.Log)}
}

// errStage ends a run that was to go no further.
var errStage = errors.New("the stage that was asked for is done")

// Run makes what is not done yet of a run. The Config must be resolved. Results are nil where the run was to stop before them.
func Run(ctx context.Context, dev *kernels.Device, c Config, o Options) (*Results, error) {
	r := newRun(dev, c, o)
	release, err := r.open()
	if err != nil {
		return nil, InputError{err}
	}
	defer func() { _ = release() }() // the process gives it back at the latest
	defer r.closeEngine()
	defer r.meter.Close()
	best, why, err := r.stages(ctx)
	if errors.Is(err, errStage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.results(best, why)
}

// open takes the directory and settles what is done in it, before anything is made.
func (r *run) open() (release func() error, err error) {
	if err := r.stageNames(); err != nil {
		return nil, err
	}
	for name, path := range map[string]string{"model": r.Dir, "train": r.TrainFile, "eval": r.EvalFile, "output_dir": r.OutputDir} {
		if path == "" {
			return nil, fmt.Errorf("--%s is missing", name)
		}
	}
	for _, in := range []string{r.TrainFile, r.EvalFile} {
		if err := r.apart(in); err != nil {
			return nil, err
		}
	}
	if err := r.openInputs(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return nil, err
	}
	if _, err := readState(r.dir); err != nil { // before a lock is put into somebody's directory
		return nil, err
	}
	if release, err = stage.Lock(filepath.Join(r.dir, lockFile)); err != nil {
		return nil, err
	}
	if err := r.takeStock(); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// apart refuses an input that what the run writes would join. A dry run writes nothing.
func (r *run) apart(in string) error {
	if r.dir == "" {
		return nil
	}
	return record.Apart(in, filepath.Join(r.OutputDir, "generate.jsonl")) // for all that a run writes
}

// stageNames checks the stages that the options name, and gives them their full names.
func (r *run) stageNames() (err error) {
	for _, name := range []*string{&r.Stage, &r.Restart} {
		if *name == "" {
			continue
		}
		if *name, err = stageName(*name); err != nil {
			return err
		}
		switch k, what := split(*name); {
		case (what == BT || what == Cloud) && !r.wants(what) && name == &r.Stage:
			return fmt.Errorf("stage %s: it is not among the baselines", what)
		case what == held && !r.fromFiles() && name == &r.Stage, what == follow && !r.follows(k) && name == &r.Stage:
			return fmt.Errorf("stage %s: no training reads what it makes: give train.eval_file, or for the validation split train.eval_strategy", what)
		case k > r.Rounds, what == validate && r.Rounds == 1:
			return fmt.Errorf("stage %s: there are %d rounds", *name, r.Rounds)
		}
	}
	return nil
}

// takeStock finds out what is done, forgets what is to be made again, and stores the recipe.
func (r *run) takeStock() (err error) {
	if r.state, err = readState(r.dir); err != nil {
		return err
	}
	if err := r.unchanged(); err != nil {
		return err
	}
	if r.Restart != "" {
		if err := r.state.forget(r.dir, r.Restart); err != nil {
			return err
		}
	}
	recipe, err := r.Recipe()
	if err == nil {
		err = writeJSON(r.path(StateFile), r.state)
	}
	if err == nil {
		err = checkpoint.WriteFileAtomic(r.path(RecipeFile), recipe)
	}
	return err
}

// openInputs names what the run is made of.
func (r *run) openInputs() (err error) {
	if r.base, err = modeldir.Open(r.Dir, r.given()); err != nil {
		return err
	}
	if r.base.Chat == nil {
		return r.base.ChatErr
	}
	if r.label, err = r.base.Label(); err != nil {
		return err
	}
	for i, path := range []string{r.TrainFile, r.EvalFile} {
		if r.sums[i], _, err = record.Sum(path); err != nil {
			return err
		}
	}
	return r.openFollowed()
}

// given is what the recipe wants of the base model's directory; the stages have limits of their own.
func (r *run) given() modeldir.Given { return r.Given(0, "") }

// settings are what the result of a stage depends on, beside the stages that it needs.
func (r *run) settings(name string) any {
	switch _, what := split(name); what {
	case Check:
		s := map[string]any{"model": r.label, "prompts": r.base.Prompts.Hash(), "scale": r.base.Scale, "train": r.sums[0], "eval": r.sums[1]}
		for name, v := range values(r.Top, nil) {
			s[name] = v
		}
		if r.ValidShare > 0 {
			s["seed"] = r.Seed
		}
		return s
	case held:
		return r.givenSums()
	case generate, follow:
		return values(r.Generate, nil)
	case filter:
		return values(r.Filter, nil)
	case refine:
		return values(r.Refine, nil)
	case train:
		return r.trained(&r.Train)
	case BT:
		return map[string]any{"train": r.trained(&r.BT), "eval": values(r.Eval, nil)}
	case Cloud:
		return map[string]any{"train": r.trained(&r.Cloud), "eval": values(r.Eval, nil)}
	}
	return values(r.Eval, nil) // eval, validate and base
}

// unchanged refuses to go on with other settings than those of the stages that are done, or with outputs that were changed. What is to be
// made again does not count.
func (r *run) unchanged() error {
	for _, d := range r.state.Stages {
		if r.Restart != "" && dependsOn(d.Name, r.Restart) {
			continue
		}
		what, err := d.changed(r.settings(d.Name))
		if err != nil {
			return err
		}
		if what != "" {
			return fmt.Errorf("%s: stage %s is done and %s: use the old value, another output_dir, or --restart=%s to make it and what follows from it again", r.dir, d.Name, what, d.Name)
		}
		if err := d.verify(r.dir); err != nil {
			return err
		}
	}
	return nil
}

// stages goes through all of them. It says which round is best and why there are no more.
func (r *run) stages(ctx context.Context) (best int, why string, err error) {
	err = r.do(ctx, Check, r.check)
	if err == nil && r.fromFiles() {
		err = r.do(ctx, held, r.hold)
	}
	if err == nil && len(r.followed) > 0 {
		err = r.chosenBy()
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errStage) {
			err = InputError{err}
		}
		return 0, "", err
	}
	var scores []float64
	best, why = 1, "one round was asked for"
	for k := 1; k <= r.Rounds; k++ {
		if err := r.round(ctx, k); err != nil {
			return 0, "", err
		}
		if r.Rounds == 1 {
			break
		}
		score, err := r.validAccuracy(k)
		if err != nil {
			return 0, "", err
		}
		scores = append(scores, score)
		why = fmt.Sprintf("%d rounds were asked for", r.Rounds)
		if k > 1 && score <= scores[best-1] {
			why = fmt.Sprintf("round %d gains nothing on the validation split: %.1f after %.1f", k, 100*score, 100*scores[best-1])
			break
		}
		best = k
	}
	for _, b := range append([]string{base}, r.baselines()...) {
		work := map[string]func(context.Context) (string, error){base: r.judge, BT: r.scalar, Cloud: r.cloud}[b]
		if err := r.do(ctx, b, work); err != nil {
			return 0, "", err
		}
	}
	return best, why, nil
}

// round makes one round: critiques by the critic (the base model, then the model of the round before), and a model trained on them.
func (r *run) round(ctx context.Context, k int) error {
	for _, s := range []struct {
		what string
		work func(context.Context, int) (string, error)
	}{{generate, r.generate}, {filter, r.filter}, {refine, r.refine}, {follow, r.follow}, {train, r.train}, {eval, r.eval}, {validate, r.validate}} {
		if s.what == validate && r.Rounds == 1 || s.what == follow && !r.follows(k) {
			continue
		}
		err := r.do(ctx, round(k, s.what), func(ctx context.Context) (string, error) { return s.work(ctx, k) })
		if err != nil {
			return err
		}
	}
	return nil
}

// do makes a stage unless it is done, and takes note of what it left.
func (r *run) do(ctx context.Context, name string, work func(context.Context) (says string, err error)) error {
	if r.state.find(name) == nil {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: stopped before it, run the same command again to go on: %w", name, err)
		}
		if err := os.MkdirAll(filepath.Dir(r.path(r.left(name)[0])), 0o777); err != nil {
			return err
		}
		r.say("== %s", name)
		r.doing = name
		start := time.Now()
		says, err := work(ctx)
		r.meter.Close()
		r.state.Spent += time.Since(start).Seconds()
		if err != nil {
			return errors.Join(r.hint(name, err), writeJSON(r.path(StateFile), r.state))
		}
		if err := r.finished(name, says, time.Since(start)); err != nil {
			return err
		}
		r.say("%s: %s (%s)", name, says, progress.Round(time.Since(start)))
	}
	if r.Stage == name {
		return errStage
	}
	return nil
}

func (r *run) finished(name, says string, took time.Duration) error {
	b, err := json.Marshal(r.settings(name))
	if err != nil {
		return err
	}
	d := &done{Name: name, Settings: b, Outputs: map[string]string{}, Seconds: took.Seconds(), Says: says}
	for _, o := range r.left(name) {
		sum, err := hashFile(r.path(o))
		if errors.Is(err, os.ErrNotExist) && name == Check {
			continue // there is no split
		}
		if err != nil {
			return err
		}
		d.Outputs[filepath.ToSlash(o)] = sum
	}
	r.state.Stages = append(r.state.Stages, d)
	return writeJSON(r.path(StateFile), r.state)
}

// hint says how a stage goes on that has stopped with other settings than it began with.
func (r *run) hint(name string, err error) error {
	if errors.Is(err, critic.ErrUnparsed) {
		return fmt.Errorf("%s: %w (with other settings: --restart=%s)", name, err, name)
	}
	if errors.Is(err, trainer.ErrInterrupted) {
		return fmt.Errorf("%s: %w, or here: run the same command again", name, err)
	}
	if err == context.Canceled { // of whoever has nothing to add
		return fmt.Errorf("%s: stopped, run the same command again to go on: %w", name, err)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if slices.ContainsFunc(outputs(name), func(o string) bool { _, e := os.Stat(r.path(o)); return e == nil }) {
		return fmt.Errorf("%s: %w (the same command goes on; --restart=%s begins the stage again)", name, err, name)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (r *run) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

func (r *run) in(k int, name string) string { return r.path(round(k, name)) }

func (r *run) say(format string, a ...any) { fmt.Fprintf(r.Log, format+"\n", a...) }

// engineOf opens a model, or gives the one that is open. A model of this run is used as it was trained.
func (r *run) engineOf(dir string, reward bool) (*engine.Engine, error) {
	if r.engine != nil && r.opened == dir {
		return r.engine, nil
	}
	r.closeEngine()
	given := modeldir.Given{Override: r.Override}
	if dir == r.Dir {
		given = r.given()
	}
	o := r.EngineOptions(given)
	o.RequireReward = reward
	e, err := engine.Open(r.asked(), dir, o)
	if err != nil {
		return nil, err
	}
	for _, note := range append(e.Dir.Notes, e.Model.Slow()...) {
		if !slices.Contains(r.noted, note) {
			r.say("%s", note)
			r.noted = append(r.noted, note)
		}
	}
	e.Progress = r.meter.Wrote
	r.engine, r.opened = e, dir
	return e, nil
}

// closeEngine gives back the memory of the last model.
func (r *run) closeEngine() {
	if r.engine != nil {
		r.engine.Close()
		r.engine, r.opened = nil, ""
	}
}
