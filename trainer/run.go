// Package trainer trains reward models that write critiques: examples from records, packed batches, schedules, the update, the
// loop, and resume that is exact to the bit.
//
// [Run] does everything from files, as a [Config] says: it reads records, renders them with the model's chat template, trains, and
// leaves a Hugging Face directory. [Train] is the same loop on a model and a [Dataset] in memory.
//
// The batch of an update is per_device_train_batch_size × gradient_accumulation_steps pairs. Each pair is one tree of tokens,
//
//	[prompt][response+][critique+ 1]…[critique+ K][response-][critique- 1]…[critique- K]
//
// whose shared parts are computed once; the trees are packed into micro-batches of max_tokens_per_batch tokens, without
// padding. Losses are sums over all micro-batches, divided once by the batch's critique tokens and pairs, so that the size
// of a micro-batch changes rounding and nothing else.
//
// All randomness is a function of (seed, purpose, epoch, index). A checkpoint holds weights, masters, moments and the position
// in the data; a run that is stopped and resumed gives the bytes of one that was not.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"criticrm/collective"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
)

// Run trains from files on a device: it loads the model, its tokenizer and chat template, renders the records of train_file and
// eval_file, trains, and writes output_dir. All input is read and checked before the first step. The recipe's device and threads are
// for whoever opens the device.
// With WithGroup several processes train together; other options are Run's own.
func Run(ctx context.Context, dev *kernels.Device, c Config, r Report, more ...Option) (Result, error) {
	if err := errors.Join(c.Validate(), c.validateFiles()); err != nil {
		return Result{}, err
	}
	var o options
	for _, add := range more {
		add(&o)
	}
	if o.group.Rank() > 0 {
		r = Report{} // rank 0 speaks for all
	}
	in, err := openInput(ctx, &c, r)
	if err != nil {
		return Result{}, o.group.Fail(err)
	}
	defer in.close()
	m, err := in.load(dev, c, o.group)
	if err != nil {
		return Result{}, o.group.Fail(err)
	}
	defer m.Close()
	if o.group.Rank() == 0 {
		if err := in.setAside(c.OutputDir); err != nil {
			return Result{}, o.group.Fail(err)
		}
	}
	for _, note := range m.Slow() {
		r.say("%s", note)
	}
	plan := NewPlan(c, in.train.Len())
	r.say("%s: %d parameters, %s on %v, %d examples, %d updates of %d, %d an epoch", c.Method, m.Size(), m.DType(), dev, plan.Examples, plan.Total, plan.Batch, plan.PerEpoch)
	r.say("%s", settingsLine(c, plan))
	opts := append(in.options(c), withBase(c.Model), WithGroup(o.group), WithReport(r), WithFiles(func(dir string, step int) error {
		return errors.Join(modeldir.Copy(c.Model, dir, c.ChatTemplate), in.card(c, dir, step))
	}))
	result, err := Train(ctx, m, in.train, c, opts...)
	if err == nil && result.MicroBatches > 0 { // else the run was finished before
		r.say("%d updates, %d tokens in %.1f s; micro-batches %.0f %% full; without shared prefixes it would be %.2f times the tokens; model in %s",
			result.Steps, result.Tokens, result.Seconds, 100*result.Efficiency, result.Sharing, result.ModelDir)
	}
	return result, err
}

// settingsLine says the settings whose defaults are other than people who come from other trainers expect.
func settingsLine(c Config, p Plan) string {
	warmup := c.WarmupSteps
	if warmup == 0 {
		warmup = int(math.Ceil(c.WarmupRatio * float64(p.Total)))
	}
	line := fmt.Sprintf("learning rate %g for all parameters, %s", c.LearningRate, c.Scheduler)
	if c.Scheduler != "constant" {
		line += fmt.Sprintf(", %d updates of warm-up", warmup)
	}
	if c.Scheduler == "linear" || c.Scheduler == "cosine" {
		line += fmt.Sprintf(", ends at %g of it", c.MinLRRatio)
	}
	line += fmt.Sprintf("; a batch is %d × %d; clipping at %g, weight decay %g", c.BatchSize, p.Batch/c.BatchSize, c.MaxGradNorm, c.WeightDecay)
	if c.rewards() {
		line += "; a new reward head begins at zero"
	}
	return line
}

// DryRun goes through the first epoch of a run, or all of it if it is shorter, on a device that computes nothing and takes note of the
// memory (cuda.Dry). It reads and checks the records as Run does, but no weights, and writes nothing; output_dir may be empty. ready is
// called when the model has its memory and before the first step.
// With ranks above 1 it is one of so many processes, which go through the epoch together; it works alone on all of their batches, so what is measured is memory.
func DryRun(ctx context.Context, dev *kernels.Device, c Config, ranks int, r Report, ready func()) (Result, error) {
	if err := errors.Join(c.Validate(), c.checkEvalFile()); err != nil {
		return Result{}, err
	}
	in, err := openInput(ctx, &c, r)
	if err != nil {
		return Result{}, err
	}
	defer in.close()
	opt := c.optionsFor(in.dir.Config)
	opt.Sharding = model.Sharding{Stage: c.ZeroStage, Ranks: ranks}
	m, err := model.Blank(dev, in.dir.Config, opt)
	if err != nil {
		return Result{}, err
	}
	defer m.Close()
	ready()
	plan := NewPlan(c, in.train.Len())
	space := SpaceOf(m, c, plan)
	c.MaxSteps, c.EvalSteps, c.LoggingSteps = min(plan.Total, plan.PerEpoch), 0, 0
	c = c.unwritten()
	res, err := Train(ctx, m, in.train, c, in.options(c)...)
	res.Space = space
	return res, err
}

// Try trains as Run does, on the real device and with the real weights, but writes nothing: it is for measuring. What it reports on its way
// may end it by ending ctx.
func Try(ctx context.Context, dev *kernels.Device, c Config, r Report) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	in, err := openInput(ctx, &c, Report{})
	if err != nil {
		return Result{}, err
	}
	defer in.close()
	m, err := in.load(dev, c, nil)
	if err != nil {
		return Result{}, err
	}
	defer m.Close()
	c = c.unwritten()
	return Train(ctx, m, in.train, c, append(in.options(c), WithReport(r))...)
}

// unwritten is the recipe without what reads or writes checkpoints.
func (c Config) unwritten() Config {
	c.OutputDir, c.Resume, c.SaveStrategy, c.LoadBest, c.Patience, c.Average = "", "", "", false, 0, 0
	return c
}

// input is what a run reads, but for the weights.
type input struct {
	dir    *modeldir.Dir
	render *render.Renderer
	train  *Records
	held   []heldOut // Records, too
}

// load reads the weights, with the configuration that was read and checked with the rest of the directory.
func (in input) load(dev *kernels.Device, c Config, g *collective.Group) (*model.Model, error) {
	o := c.optionsFor(in.dir.Config)
	o.Sharding = model.Sharding{Stage: c.ZeroStage, Ranks: g.Size(), Group: g}
	o.Config = &in.dir.Config
	return model.Load(dev, c.Model, o)
}

// close gives back what the records take of the disk.
func (in input) close() {
	in.train.Close() // files without a name: nothing is lost with an error
	for _, h := range in.held {
		h.records().Close()
	}
}

// setAside lists the bad rows in the run's directory.
func (in input) setAside(dir string) error {
	for _, h := range append(in.held, heldOut{"train", in.train}) {
		name, d := h.use(), h.records()
		if len(d.Bad) == 0 {
			continue
		}
		err := os.MkdirAll(dir, 0o777)
		if err == nil {
			err = stage.SetAside(record.BadPath(filepath.Join(dir, name)), d.Bad)
		}
		if err != nil {
			return fmt.Errorf("trainer: %w", err)
		}
	}
	return nil
}

func (in input) options(c Config) (o []Option) {
	for _, h := range in.held {
		o = append(o, WithNamedEval(h.name, h.data))
	}
	return append(o, WithFacts(in.facts(c)))
}

// facts are what the model's directory says that it was trained with.
func (in input) facts(c Config) modeldir.Facts {
	facts := in.dir.Use(c.critiques() && in.train.critiques)
	facts.EndOfTurn, facts.MaxTokens, facts.AskScore = in.render.End, in.train.maxTokens, in.train.ask
	facts.Data = append(facts.Data, in.train.facts("train"))
	for _, h := range in.held {
		facts.Data = append(facts.Data, h.records().facts("eval"))
	}
	return facts
}

// records are the data set of a run from files.
func (h heldOut) records() *Records { return h.data.(*Records) }

// openInput reads and checks what a run reads. What the recipe leaves to the model's directory is filled in.
func openInput(ctx context.Context, c *Config, r Report) (in input, err error) {
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	files, err := c.EvalFiles()
	if err != nil {
		return in, err
	}
	if in.dir, err = modeldir.Open(c.Model, c.given()); err != nil {
		return in, err
	}
	if in.dir.Chat == nil && c.Method != LM { // documents may do without a template
		return in, in.dir.ChatErr
	}
	for _, note := range slices.Concat(in.dir.Notes, c.Unread()) {
		r.say("%s", note)
	}
	c.HeadPosition, c.TemplateDate, c.MaxLength = in.dir.HeadPosition, in.dir.TemplateDate, in.dir.MaxLength
	c.ScoreMin, c.ScoreMax = in.dir.Scale.Min, in.dir.Scale.Max
	if in.render, err = render.Of(in.dir); err != nil {
		return in, err
	}
	longest := limitOf(in.dir.Config.MaxPositionEmbeddings, *c)
	if in.train, err = LoadRecords(ctx, c.TrainFile, in.render, *c, longest, r); err != nil {
		return in, err
	}
	r.say("train: %v", in.train)
	if c.EvalStrategy == EvalNever {
		return in, nil
	}
	for _, f := range files {
		d, err := loadHeldOut(ctx, f.Path, in.render, *c, longest, r)
		if err != nil {
			return in, err
		}
		h := heldOut{f.Name, d}
		in.held = append(in.held, h)
		r.say("%s: %v", h.use(), d)
		if err := sayOverlap(in.train, h, r); err != nil {
			return in, err
		}
	}
	return in, nil
}

// sayOverlap warns of held-out examples that are trained on.
func sayOverlap(train *Records, h heldOut, r Report) error {
	same, swapped, err := overlap(train, h.records())
	if err != nil {
		return err
	}
	of := fmt.Sprintf("of %d evaluation examples", h.data.Len())
	if h.name != "" {
		of += " (" + h.name + ")"
	}
	if same > 0 {
		r.say("warning: %d %s are also trained on", same, of)
	}
	if swapped > 0 {
		r.say("warning: %d %s are trained on with chosen and rejected swapped: the labels of one of the files are wrong there", swapped, of)
	}
	return nil
}
