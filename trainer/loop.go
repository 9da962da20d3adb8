package trainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"criticrm/checkpoint"
	"criticrm/collective"
	"criticrm/internal/trace"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
)

// ErrInterrupted says that a run stopped because its context ended, after a checkpoint if it has an output_dir. It can be
// resumed.
var ErrInterrupted = errors.New("trainer: interrupted")

// maxSkips is how many steps in a row may have a gradient that is not finite before a run stops.
const maxSkips = 10

// maxSaveErrors is how many checkpoints in a row may fail before a run stops.
const maxSaveErrors = 3

// Result is what a run came to.
type Result struct {
	Steps    int            // updates of the whole run, with those before a resume
	Skipped  int            // of them without an update, because a gradient was not finite or a spike
	Spikes   int            // of these, spikes (skip_grad_norm_zscore)
	Last     Metrics        // of the last update that this process made
	Best     *modeldir.Best // whose model is the final one, with load_best_model_at_end; nil: that of the last update
	Evals    []Evaluation   // the last ones, of each held-out data set
	Averaged []int          // the updates whose mean the final model is, with average_checkpoints
	Dropped  int            // examples that were not used, each time they came up
	Tokens   int64          // through the model, in the whole run
	// NoRewards says why no update trained the reward head of a method that has one; "" where one did.
	NoRewards string
	Seconds   float64 // of this process

	SaveSeconds float64 // of them, those in which training waited for checkpoints

	// Packing, of this process: MicroBatches held PackedTokens of MicroBatches·max_tokens_per_batch that would have fitted
	// (Efficiency; 0 without a limit), and would have been Sharing times as many
	// if every branch were a sequence of its own.
	MicroBatches int
	PackedTokens int64
	Efficiency   float64
	Sharing      float64

	Space      Space  // what a run would write, as DryRun has found
	Checkpoint string // the last checkpoint; "" if none
	ModelDir   string // the final model; "" without output_dir
}

type options struct {
	group  *collective.Group
	held   []heldOut
	report Report
	last   func(dir string, step int) error
	facts  modeldir.Facts
	base   string // directory of the model
}

// Option is an option of Train.
type Option func(*options)

// WithGroup trains with other processes, each of which calls Train with the same arguments but for its device: they share the work of every update,
// and all hold the same weights behind it. Rank 0 alone writes, and reports. A batch is what it is without them.
func WithGroup(g *collective.Group) Option { return func(o *options) { o.group = g } }

// WithReport says where progress goes.
func WithReport(r Report) Option { return func(o *options) { o.report = r } }

// WithFiles adds files to the final model's directory before the run is called done; step is the update whose model it is.
func WithFiles(f func(dir string, step int) error) Option { return func(o *options) { o.last = f } }

// WithFacts says what the examples were made with, for critic_rm.json of the final model: modeldir.Dir.Use gives it. Method, head position
// and, from files, the data are added.
func WithFacts(f modeldir.Facts) Option { return func(o *options) { o.facts = f } }

// run is a training run.
type run struct {
	options
	background
	pages    pages
	m        *model.Model
	data     Dataset
	c        Config
	plan     Plan
	hash     string
	st       state
	opt      *optimizer
	log      *metricsLog
	console  *console
	order    []int // of epoch orderOf
	orderOf  int
	result   Result
	store    *checkpoint.Store // nil without output_dir; holds the lock that keeps a second trainer out
	saved    int               // step of the last checkpoint, -1 for none
	saveErrs int
	changes  []string // since the checkpoint, that change rounding
	sums     treeSums
	tail     tail     // reward losses
	agreed   bool     // some rank was asked to stop, and all know it
	pending  *pending // the last step, until its figures are read
}

// pending is a step that the device works on: the host reads a step's figures when it has queued the next one's work.
type pending struct {
	m      Metrics
	tokens int
	pairs  [2]int // that are learned from, and that are compared
	weight float64
	start  time.Time
	losses []func() model.Losses // of the micro-batches
	norm   func() (float64, int) // nil: there was nothing to learn from
	limit  float32               // of the norm, over which there was no update; 0: none
	stop   bool                  // this rank was asked to stop
}

// Train trains the model in place on a data set. The model needs gradients (model.Options.Train), the type that the recipe
// says, and a reward head for the methods that train one. With output_dir the run leaves recipe.yaml, metrics.jsonl,
// checkpoints and the final model there, and can be resumed bit for bit; without it nothing is written. The same recipe,
// data and first model give the same bits on any number of threads.
//
// When ctx ends, the run stops after its last whole step, a checkpoint is written, and the error is ErrInterrupted.
func Train(ctx context.Context, m *model.Model, data Dataset, c Config, opts ...Option) (Result, error) {
	r := &run{m: m, data: data, c: c, orderOf: -1, saved: -1}
	for _, o := range opts {
		o(&r.options)
	}
	if !r.first() {
		r.report = Report{OnStep: r.report.OnStep}
	}
	if m.Dev.Name() == "cuda" { // the driver keeps its context by thread
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	start := time.Now()
	err := r.tellOthers(r.train(ctx))
	r.result.Seconds = time.Since(start).Seconds()
	r.finishResult()
	return r.result, err
}

func (r *run) train(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.setUp(); err != nil {
		return err
	}
	if err := r.meet(); err != nil {
		return err
	}
	for {
		if r.st.EvalDue || r.saveDue() || r.st.Step == r.plan.Total || r.stopping(ctx) {
			if err := r.settle(time.Time{}); err != nil {
				return err
			}
		}
		due := r.st.EvalDue
		if err := r.evaluate(r.work(ctx)); err != nil && r.work(ctx).Err() == nil {
			return err
		}
		r.page(due && !r.st.EvalDue)
		if err := r.saveMaybe(); err != nil {
			return err
		}
		if (r.st.Step == r.plan.Total || r.stopsEarly()) && !r.st.EvalDue {
			return r.finish(ctx)
		}
		if r.stopping(ctx) {
			if err := r.settle(time.Time{}); err != nil { // it may have been asked since
				return err
			}
			return r.interrupt(ctx)
		}
		if err := r.step(ctx); err != nil {
			return r.rescue(err)
		}
	}
}

// rescue saves a run whose next step had no memory, where it stands: gradients alone change nothing.
func (r *run) rescue(err error) error {
	var full kernels.OutOfMemory
	if r.store == nil || r.group.Size() > 1 || !errors.As(err, &full) { // the others wait for this rank's part of the step
		return err
	}
	if e := errors.Join(r.settle(time.Time{}), r.save()); e != nil {
		return errors.Join(err, e)
	}
	return fmt.Errorf("%w; saved as %s, go on with resume: latest", err, r.result.Checkpoint)
}

// close gives back what setUp took, as far as it came.
func (r *run) close() error {
	errs := []error{r.abandon()}
	r.lastPage()
	r.copy.giveBack()
	if r.console != nil {
		r.console.close()
	}
	if r.log != nil {
		errs = append(errs, r.log.close())
	}
	r.sums.close(r.m.Dev)
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}

// setUp checks everything that can be checked before the first step, and puts the run at its first step, or at the
// checkpoint's.
func (r *run) setUp() error {
	c := r.c
	if err := c.Validate(); err != nil {
		return err
	}
	if r.data.Len() == 0 {
		return fmt.Errorf("trainer: there are no examples to train on")
	}
	if c.rewards() && !r.m.HasHead() {
		return fmt.Errorf("trainer: method %s trains a reward head and the model has none", c.Method)
	}
	if c.Method != BT && !r.m.HasLM() {
		return fmt.Errorf("trainer: method %s trains a language-model head and the model has none", c.Method)
	}
	if err := errors.Join(r.checkParams(), r.checkHeld()); err != nil {
		return err
	}
	if _, err := r.saveType(); err != nil && c.OutputDir != "" {
		return err
	}
	if err := r.checkDivided(); err != nil {
		return err
	}
	if h, ok := r.data.(Hasher); ok {
		sum, err := h.Hash()
		if err != nil {
			return err
		}
		r.hash = sum
	}
	frozen, err := "", error(nil)
	if c.OutputDir != "" || r.group.Size() > 1 { // else nobody asks
		if frozen, err = frozenHash(r.m); err != nil {
			return err
		}
	}
	r.plan = NewPlan(c, r.data.Len())
	r.st = state{Version: stateVersion, Examples: r.data.Len(), DataHash: r.hash, Frozen: frozen, Recipe: recipeText(c), Device: r.m.Dev.String()}
	if c.OutputDir != "" && r.first() {
		if err := r.openOutput(); err != nil {
			return err
		}
	}
	r.opt = &optimizer{m: r.m, c: &r.c}
	if r.st.Step == 0 { // also over a resume, which cuts the lines of step 0
		r.st.EvalDue = c.EvalOnStart && r.measures()
	}
	if r.saved < 0 { // the model may come from an earlier run, whose moments are not ours
		r.opt.clear()
	}
	r.console = newConsole(r.report, c, r.plan, r.st.Step)
	r.saySpikes()
	if err := errors.Join(r.startBest(), r.startAverage()); err != nil {
		return err
	}
	if p := r.plan; c.rewards() && p.Total > 0 && Lambda(c, p, p.Total-1) == 1 {
		r.result.NoRewards = fmt.Sprintf("rewards are not trained: lambda is 1 in all updates (%d, of %d pairs each, %d an epoch; lambda_schedule %s): make the batch smaller, "+
			"per_device_train_batch_size × gradient_accumulation_steps, or train for more epochs or with lambda_schedule constant", p.Total, p.Batch, p.PerEpoch, c.LambdaSchedule)
		r.console.say("warning: %s", r.result.NoRewards)
	}
	if r.saved >= 0 {
		r.console.say("resumed at step %d of %d", r.st.Step, r.plan.Total)
		for _, c := range r.changes {
			r.console.say("%s: rounding differs from that of a run without the change", c)
		}
	}
	return nil
}

// checkpointsDir is the directory of the checkpoints in output_dir.
const checkpointsDir = "checkpoints"

func (r *run) checkpoints() string { return filepath.Join(r.c.OutputDir, checkpointsDir) }

// foreignDir refuses an output_dir in which something else lives, which a training would overwrite in part.
func foreignDir(dir string) error {
	for _, x := range []struct{ file, what string }{
		{"state.json", "a run of 'criticrm run'"}, {"config.json", "a model"}, {"adapter_config.json", "an adapter"}, {".git", "a git repository"}, {"results.json", "results of other commands"},
	} {
		if _, err := os.Lstat(filepath.Join(dir, x.file)); err == nil {
			return fmt.Errorf("trainer: output_dir: %s holds %s (%s): choose another directory", dir, x.what, x.file)
		}
	}
	return nil
}

// openOutput makes the run's directory, or resumes what is there.
func (r *run) openOutput() error {
	dir := r.c.OutputDir
	if err := foreignDir(dir); err != nil {
		return err
	}
	if err := r.room(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.checkpoints(), 0o755); err != nil {
		return fmt.Errorf("trainer: output_dir: %w", err)
	}
	store, err := openStore(r.checkpoints())
	if err != nil {
		return fmt.Errorf("trainer: output_dir: %w", err)
	}
	r.store = store
	from, err := r.startFrom()
	if err != nil {
		return err
	}
	if from != "" {
		if err := r.resume(from); err != nil {
			return err
		}
	}
	text, err := r.c.Recipe()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, "recipe.yaml"), text); err != nil {
		return fmt.Errorf("trainer: output_dir: %w", err)
	}
	if r.log, err = openMetrics(filepath.Join(dir, "metrics.jsonl"), r.st.Step); err != nil {
		return err
	}
	if err := r.openReports(); err != nil || r.st.Step > 0 {
		return err
	}
	return r.log.data(r.data, r.held, r.plan)
}

// startFrom is the checkpoint that the recipe asks to go on from, "" for a new run.
func (r *run) startFrom() (string, error) {
	switch r.c.Resume {
	case "", "auto", "latest", "latest-valid", "true":
	default:
		return r.c.Resume, nil
	}
	newest, step, err := checkpoint.Latest(r.checkpoints())
	if r.c.Resume == "latest-valid" {
		var skipped []error
		newest, step, skipped, err = checkpoint.LatestValid(r.checkpoints())
		for _, e := range skipped {
			r.report.say("passed over: %v", e)
		}
	}
	switch {
	case errors.Is(err, checkpoint.ErrDamaged):
		return "", fmt.Errorf("trainer: resume: %w; restore it, go back with resume: latest-valid, or take another output_dir", err)
	case errors.Is(err, checkpoint.ErrNone) && (r.c.Resume == "" || r.c.Resume == "auto"):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("trainer: resume: %s: %w", r.checkpoints(), err)
	case r.c.Resume == "":
		return "", fmt.Errorf("trainer: output_dir %s has a checkpoint of step %d: set resume to latest to go on, or take another directory", r.c.OutputDir, step)
	}
	return newest, nil
}

func (r *run) resume(path string) error {
	st, err := r.restore(path)
	if err != nil {
		return err
	}
	r.changes = st.roundsOtherwise(r.st)
	if refused := r.m.Dev.UseAlgorithms(st.Products); refused != "" {
		r.changes = append(r.changes, refused)
	}
	st.Recipe, st.Device = r.st.Recipe, r.st.Device
	r.st, r.saved, r.result.Checkpoint = st, st.Step, path
	return nil
}

// indices are the examples of the next update.
func (r *run) indices() []int {
	epoch, k := r.st.Step/r.plan.PerEpoch, r.st.Step%r.plan.PerEpoch
	if r.orderOf != epoch {
		r.order, r.orderOf = r.c.order(epoch, r.plan.Examples), epoch
	}
	return r.order[k*r.plan.Batch : min((k+1)*r.plan.Batch, r.plan.Examples)]
}

// limit is the longest sequence the run allows.
func limit(m *model.Model, c Config) int { return limitOf(m.MaxPositionEmbeddings, c) }

func limitOf(context int, c Config) int {
	if c.MaxLength > 0 && c.MaxLength < context {
		return c.MaxLength
	}
	return context
}

// step queues one update: gradients of all micro-batches, then the optimizer. Between the two it reads the figures of the step
// before, which the device has finished by then or soon will, so that the device never waits for the host.
func (r *run) step(ctx context.Context) error {
	now := &pending{start: time.Now()}
	defer trace.BeginNumbered(trace.Host, "update", r.st.Step+1).End()
	index := r.indices()
	packing := trace.Begin(trace.Host, "packing")
	p, err := packShare(r.data, index, &r.c, limit(r.m, r.c), r.m.VocabSize, r.group, r.m)
	if err != nil {
		return err
	}
	packing.EndWith(trace.Number{Name: "tokens", N: int64(p.Tokens)})
	lambda, factor := Lambda(r.c, r.plan, r.st.Step), LRFactor(r.c, r.plan, r.st.Step)
	if err := r.gradients(ctx, p, p.lossOptions(&r.c, lambda), now); err != nil {
		return err
	}
	now.stop = ctx.Err() != nil
	if err := r.settle(now.start); err != nil || r.stopping(ctx) {
		return err // gradients alone, or a part of them, change nothing: the run stands after the step before
	}
	if p.Examples > 0 {
		if err := r.sum(); err != nil {
			return err
		}
		r.mayChange()
		optimizer := trace.Begin(trace.Compute, "optimizer")
		r.opt.skip = r.normLimit()
		now.limit, now.norm = r.opt.skip, r.opt.step(factor, r.st.Updates+1)
		optimizer.End()
		r.m.Updated()
	}
	r.count(p, len(index))
	now.m = Metrics{Step: r.st.Step, NumTokens: r.st.Tokens, Epoch: float64(r.st.Step) / float64(r.plan.PerEpoch), Lambda: lambda, LearningRate: r.c.LearningRate * factor}
	now.tokens, now.pairs, now.weight = p.Tokens, [2]int{p.Pairs, p.Compared}, p.Weight
	r.pending = now
	return nil
}

// settle reads the figures of the pending step, whose time ends at end (zero: when they are read), and writes its line of metrics.
func (r *run) settle(end time.Time) error {
	was := r.pending
	if was == nil {
		return nil
	}
	r.pending = nil
	m := was.m
	defer trace.BeginNumbered(trace.Host, "figures of update", m.Step).End()
	was.sumLosses(&m)
	var bad int
	if was.norm != nil {
		m.GradNorm, bad = was.norm()
	}
	if err := r.share(&m, bad, was); err != nil {
		return err
	}
	finiteStep := was.norm == nil || r.took(&m, bad, was.limit)
	if err := r.m.Dev.Fault(); err != nil {
		return fmt.Errorf("trainer: step %d: %w; the newest checkpoint is %s", m.Step, err, r.newest())
	}
	if end.IsZero() {
		end = time.Now()
	}
	if m.Lambda < 1 {
		r.tail.add(m.RewardLoss)
	}
	m.TokensPerSecond = float64(was.tokens) / max(end.Sub(was.start).Seconds(), 1e-9)
	r.result.Last = m
	r.console.step(m)
	if err := r.log.write(m.pairs()); err != nil {
		return err
	}
	if !finiteStep && r.st.SkipRow >= maxSkips {
		return fmt.Errorf("trainer: stopped at step %d: the gradients of %d steps in a row were not finite; the newest checkpoint is %s", m.Step, r.st.SkipRow, r.newest())
	}
	return nil
}

// sumLosses adds up the losses of the micro-batches.
func (w *pending) sumLosses(m *Metrics) {
	for _, read := range w.losses {
		l := read()
		m.Loss += float64(l.Joint)
		m.CritiqueLoss += float64(l.Critique)
		m.RewardLoss += float64(l.Reward)
		m.Accuracy += float64(l.Accuracy)
		m.Margin += float64(l.Margin)
		m.Ties += int(l.Ties)
		m.Rewards.Join(l.Rewards)
	}
}

// count moves the run's position past an update.
func (r *run) count(p *Packed, examples int) {
	r.st.Step++
	r.st.EvalDue = r.evalNow()
	r.st.Consumed += int64(examples)
	r.st.Tokens += int64(p.Tokens)
	r.st.Dropped += p.Dropped
	r.result.MicroBatches += p.All
	r.result.PackedTokens += int64(p.Tokens)
	r.result.Sharing += float64(p.Flat) // divided at the end
}

// finish writes the last checkpoint and the final model, and proves that the model can be read back.
func (r *run) finish(ctx context.Context) error {
	if r.c.OutputDir == "" || !r.writes() {
		return nil
	}
	err := r.save()
	if err == nil {
		err = errors.Join(r.takeBest(), r.takeAverage(ctx))
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(r.c.OutputDir, "model")
	defer trace.Begin(trace.Host, "final model").End()
	if err := r.m.Alone(func() error { return r.publishModel(dir) }); err != nil {
		return err
	}
	r.result.ModelDir = dir
	return nil
}

func (r *run) finishResult() {
	if loss := r.tail.mean(); r.result.NoRewards == "" && r.c.rewards() && r.c.LossType == BradleyTerry && r.result.Last.Step == r.plan.Total && loss >= untrained {
		r.result.NoRewards = fmt.Sprintf("rewards have hardly been trained: the reward loss of the last updates is %.3f, and that of equal rewards is 0.693: more updates "+
			"(there were %d, and lambda was below 1 in %d), a higher learning rate (it was %g; of the head alone: head_lr_ratio), or another lambda_schedule (constant gives the reward loss weight from the beginning)",
			loss, r.plan.Total, rewardUpdates(r.c, r.plan), r.c.LearningRate)
		r.console.say("warning: %s", r.result.NoRewards)
	}
	res := &r.result
	res.Steps, res.Skipped, res.Spikes, res.Tokens, res.Dropped = r.st.Step, r.st.Skipped, r.st.Spikes, r.st.Tokens, r.st.Dropped
	if res.PackedTokens > 0 {
		res.Sharing /= float64(res.PackedTokens)
		if r.c.BatchTokens > 0 {
			res.Efficiency = float64(res.PackedTokens) / (float64(res.MicroBatches) * float64(r.c.BatchTokens))
		}
	}
}
