package experiment

// A cell: one task at one seed, and the training of its models.

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/engine"
	"criticrm/internal/settings"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/stage"
	"criticrm/trainer"
)

//go:embed recipe.yaml
var recipe []byte

// cellsDir holds the runs of the cells but the first, while these are worked on.
const cellsDir = ".cells"

// cell is one task at one seed.
type cell struct {
	*runner
	task  *task
	seed  uint64
	first bool // of the run: its directory stays
	base  string
	sum   string // of the base's weights

	Pairs, Held, Valid int // of the task
}

// dir is the run of the cell's main model; its critiques are those of the other models, too.
func (c *cell) dir() string {
	if c.first {
		return c.in(runDir)
	}
	return c.in(fmt.Sprintf("%s/%s-%d", cellsDir, c.task.Name, c.seed))
}

// clear removes what is not needed when a cell is measured.
func (c *cell) clear() error {
	if c.first {
		return nil
	}
	return os.RemoveAll(c.dir())
}

// part is a part of a cell: variants, and whether settings are looked for.
type part struct {
	name     string
	variants []*variant
	tune     bool
}

// mainPart is the part of every demo, which the others are compared with.
const mainPart = "main"

// parts are what there is to do in a cell, in this order.
func parts() []part {
	return []part{{mainPart, mainVariants(), false}, {"controls", controls(), false}, {"tuned", tunedVariants(), true}, {"ablations", ablations(), false}}
}

// PartNames are the names for Options.Parts.
func PartNames() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// run trains and measures variants that are not measured yet.
func (c *cell) run(ctx context.Context, p part) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	for _, v := range p.variants {
		if err := c.one(ctx, v, p.tune); err != nil {
			return fmt.Errorf("%s, seed %d, %s: %w", c.task.Name, c.seed, v.name, err)
		}
	}
	return nil
}

// one makes a model and measures it, unless that was done with the same settings. Settings that were looked for once are used from then on.
func (c *cell) one(ctx context.Context, v *variant, tune bool) error {
	var tuning func(*pipeline.Config)
	if v.tuned && (tune || c.tuned(v)) {
		var err error
		if tuning, err = c.tune(ctx, v); err != nil {
			return err
		}
	}
	p, err := c.plan(v, tuning)
	if err != nil {
		return err
	}
	c.done++
	if e := c.finished[p.key]; e != nil && e.Settings == p.settings {
		return nil
	}
	c.printf("%s · seed %d · %s …", c.task.Name, c.seed, v.label())
	start := time.Now()
	model, done, err := c.train(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	trained := time.Since(start)
	e, err := c.measure(ctx, p, model)
	if err != nil {
		return err
	}
	e.Train, e.Seconds = trained.Seconds(), time.Since(start).Seconds()
	if e.RewardLoss, err = lastLoss(filepath.Join(filepath.Dir(model), "metrics.jsonl")); err != nil {
		return err
	}
	c.finished[p.key] = e
	c.made++
	c.printf("%s · seed %d · %s: %s (%.0f s; %d of %d models, %.0f s in all)", c.task.Name, c.seed, v.label(), e, e.Seconds,
		c.done, c.models, time.Since(c.began).Seconds())
	return c.writeFinished()
}

// open finds the base model, makes it if the seed has one of its own, and writes the cell's pairs.
func (c *cell) open(ctx context.Context) (err error) {
	if c.base != "" {
		return nil
	}
	if c.base, err = c.makeBase(ctx); err != nil {
		return err
	}
	if c.sum, err = safefile.SHA256(filepath.Join(c.base, "model.safetensors")); err != nil {
		return err
	}
	for split, n := range map[demo.Split]int{demo.Validation: c.Valid, demo.Evaluation: c.Held} {
		if _, err := c.write(filepath.Base(c.splitFile(split)), c.task.split(split, n)); err != nil {
			return err
		}
	}
	if list := c.candidates(); list != nil {
		_, err = c.write(c.task.Name+"-candidates.jsonl", list)
	}
	return err
}

// candidates are several replies to each of the first evaluation questions, to pick the best of; nil where the task has none.
func (c *cell) candidates() []*record.Record {
	const questions, replies, right = 200, 6, .3
	if c.Text != nil {
		return nil
	}
	return demo.Candidates(evalSeed, c.task.Pairs(evalSeed, min(c.Held, questions), demo.Evaluation), replies, right)
}

// splitFile is the file of a task's validation or evaluation pairs, the same for all seeds.
func (c *cell) splitFile(split demo.Split) string {
	name := map[demo.Split]string{demo.Validation: "validation", demo.Evaluation: "evaluation"}[split]
	return c.in(fmt.Sprintf("%s/%s-%s.jsonl", dataDir, c.task.Name, name))
}

// write leaves records as a file among the data.
func (c *cell) write(name string, rs []*record.Record) (string, error) {
	path := c.in(dataDir + "/" + name)
	var b strings.Builder
	if err := record.WriteRecords(&b, rs); err != nil {
		return "", err
	}
	return path, checkpoint.WriteFileAtomic(path, []byte(b.String()))
}

// plan is a variant with its settings.
type plan struct {
	*variant
	pipeline.Config
	key      string // in finished.json
	settings string // a hash of all that its figures depend on
	pairs    int
	critic   string // rewrite: name of the variant that writes the critiques
}

// plan resolves the recipe of a variant, as `criticrm run` would read it. The seed changes base, pairs, sampling and the order of training;
// the validation and evaluation pairs stay.
func (c *cell) plan(v *variant, tuning func(*pipeline.Config)) (*plan, error) {
	p := &plan{variant: v, Config: pipeline.Default(), pairs: v.pairsOf(c.Pairs), key: c.key(v)}
	set, err := p.Load(c.in(recipeFile))
	if err != nil {
		return nil, err
	}
	p.Dir, p.Prompts, p.OutputDir, p.EvalFile = c.base, c.prompts, c.dir(), c.splitFile(demo.Evaluation)
	p.TrainFile = c.in(fmt.Sprintf("%s/%s-%d.jsonl", dataDir, c.task.Name, c.seed))
	p.Config.Seed, p.Generate.Seed, p.Refine.Seed, p.Eval.Seed = c.seed, c.seed*1000+1, c.seed*1000+7, c.seed*1000+900
	for _, key := range []string{"generate.seed", "refine.seed", "eval.seed"} {
		set[key] = 0
	}
	if c.task.MaxTokens > 0 {
		p.Generate.MaxTokens = c.task.MaxTokens
	}
	scale := 1.
	if c.Text == nil {
		scale = moreEpochs(max(p.pairs, 1))
	}
	p.Train.Epochs, p.BT.Epochs, p.Cloud.Epochs = scale*p.Train.Epochs, scale*p.BT.Epochs, scale*p.Cloud.Epochs
	var sized func(*pipeline.Config)
	if c.Text != nil {
		sized = c.Text.size.change
	}
	for _, change := range []func(*pipeline.Config){sized, tuning, v.change} {
		if change != nil {
			change(&p.Config)
		}
	}
	if v.rewrite != nil {
		p.critic = v.rewrite(&p.Config)
	}
	if err := p.Resolve(set); err != nil {
		return nil, err
	}
	p.settings = hashOf(given(&p.Config), p.Filter, p.Refine.Mode, p.Refine.TopK, p.Refine.MetaSamples, scheduleOf(&p.Train), p.critic, v.flipped, v.method,
		p.pairs, c.sum, v.samples, v.curve, c.Held, c.Valid)
	if c.Text != nil {
		p.settings = hashOf(p.settings, c.temperatures, c.averaged, c.recipe)
	}
	return p, nil
}

// scheduleOf is how critiques and rewards are weighed and compared, as far as it is read. last-epoch had one decay of the learning rate in
// earlier programs.
func scheduleOf(t *trainer.Config) string {
	text := ""
	for _, f := range schedule() {
		if t.Reads(f.Name) {
			text += f.Name + "=" + f.Text(t) + " "
		}
	}
	if t.LambdaSchedule == trainer.LastEpoch {
		text += "two decays"
	}
	return text
}

// schedule are the settings that scheduleOf reads.
func schedule() []settings.Field {
	return slices.DeleteFunc(trainer.Fields(), func(f settings.Field) bool {
		return !strings.HasPrefix(f.Name, "lambda_") && f.Name != "lm_weight" && f.Name != "pairing"
	})
}

// key is a variant's in finished.json.
func (c *cell) key(v *variant) string {
	return fmt.Sprintf("%s/seed-%d/%s", c.task.Name, c.seed, v.slug())
}

// given are the settings of a recipe that are not as by default, but for the names of files: a later program with more settings goes on
// with what an earlier one has begun.
func given(c *pipeline.Config) (list []string) {
	def := pipeline.Default()
	usual := def.Sections()
	for i, s := range c.Sections() {
		others := usual[i].Fields()
		for k, f := range s.Fields() {
			switch f.Name {
			case "model", "prompts", "train_file", "eval_file", "output_dir":
				continue
			}
			if s.Name == "train" && slices.ContainsFunc(schedule(), func(x settings.Field) bool { return x.Name == f.Name }) {
				continue // see scheduleOf
			}
			if f.Default != others[k].Default { // each is the value in the struct that it was made of
				list = append(list, s.Key(f.Name)+"="+f.Default)
			}
		}
	}
	return list
}

// hashOf names values of plain data.
func hashOf(x ...any) string {
	b, err := json.Marshal(x)
	if err != nil {
		panic("experiment: settings: " + err.Error())
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))[:16]
}

// moreEpochs is how much more often a small set is seen, though not as often as it is smaller.
func moreEpochs(pairs int) float64 {
	const enough = 600 // the recipe is for this many pairs
	if scale := enough / float64(pairs); scale > 2 {
		return min(scale, 3)
	}
	return 1
}

// train makes the model of a plan. done is to be called when it was measured.
func (c *cell) train(ctx context.Context, p *plan) (model string, done func(), err error) {
	stay := func() {}
	if p.method == judge {
		return c.base, stay, nil
	}
	if p.name == ours {
		return filepath.Join(c.dir(), "round-1", "train", "model"), stay, c.pipeline(ctx, p, "train")
	}
	dir, err := os.MkdirTemp(c.Dir, tempDirs)
	if err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	t, err := c.trainConfig(ctx, p, dir)
	if err == nil {
		t.OutputDir, t.Resume = filepath.Join(dir, "train"), ""
		var res trainer.Result
		if res, err = trainer.Run(ctx, c.dev, *t, trainer.Report{}); err == nil {
			return res.ModelDir, done, nil
		}
	}
	done()
	return "", nil, err
}

// pipeline makes the main run up to a stage of its round, or goes on with it.
func (c *cell) pipeline(ctx context.Context, p *plan, upTo string) error {
	if err := c.pairsFile(p.TrainFile, p.pairs); err != nil {
		return err
	}
	_, err := pipeline.Run(ctx, c.dev, p.Config, pipeline.Options{Stage: upTo})
	return err
}

// pairsFile writes the seed's first n training pairs.
func (c *cell) pairsFile(path string, n int) error {
	_, err := c.write(filepath.Base(path), c.task.train(c.seed, n))
	return err
}

// trainConfig writes what a variant is trained on to a directory, and says how it is trained.
func (c *cell) trainConfig(ctx context.Context, p *plan, dir string) (*trainer.Config, error) {
	t := &p.Train
	var rs []*record.Record
	var err error
	switch p.trains() {
	case trainer.BT:
		t, rs = &p.BT, c.task.train(c.seed, p.pairs)
	case trainer.Cloud:
		t = &p.Cloud
		rs, err = c.critiques(ctx, p)
	default:
		t.Method = p.trains()
		if rs, err = c.critiques(ctx, p); err == nil {
			err = c.refine(ctx, p, rs)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.method == trainer.BT {
		turnRound(rs, p.flipped)
	}
	t.TrainFile = filepath.Join(dir, "train.jsonl")
	var b strings.Builder
	if err := record.WriteRecords(&b, rs); err != nil {
		return nil, err
	}
	return t, os.WriteFile(t.TrainFile, []byte(b.String()), 0o644)
}

// critiques are the records of the plan's pairs with critiques, those of the main run unless the plan has its own.
func (c *cell) critiques(ctx context.Context, p *plan) ([]*record.Record, error) {
	if p.rewrite != nil {
		return c.rewritten(ctx, p)
	}
	main, err := c.plan(&variant{name: ours}, nil)
	if err != nil {
		return nil, err
	}
	if err := c.pipeline(ctx, main, "generate"); err != nil {
		return nil, err
	}
	rs, _, err := stage.ReadFile(filepath.Join(c.dir(), "round-1", "1-critiques.jsonl"), record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return nil, err
	}
	rs = rs[:p.pairs]
	turnRound(rs, p.flipped)
	return rs, nil
}

// rewritten lets the base, or the model of another variant, write critiques of the plan's pairs.
func (c *cell) rewritten(ctx context.Context, p *plan) ([]*record.Record, error) {
	model := c.base
	if p.critic != "" {
		writer, err := c.plan(named(p.critic), nil)
		if err != nil {
			return nil, err
		}
		var done func()
		if model, done, err = c.train(ctx, writer); err != nil {
			return nil, err
		}
		defer done()
	}
	e, err := c.engine(model, false)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	rs, o := c.task.train(c.seed, p.pairs), p.Generate.Options()
	if err := pipeline.Local(e).Ask(&o); err != nil {
		return nil, err
	}
	_, err = critic.Generate(ctx, e, rs, o)
	return rs, err
}

// engine opens a model; the base behind the demo's prompts.
func (c *cell) engine(model string, reward bool) (*engine.Engine, error) {
	o := engine.Options{MaxSequences: c.sequences, RequireReward: reward}
	if model == c.base {
		o.Given.Prompts = c.prompts
	}
	return engine.Open(c.dev, model, o)
}

// refine filters and refines critiques.
func (c *cell) refine(ctx context.Context, p *plan, rs []*record.Record) error {
	if _, err := critic.Filter(rs, p.Filter.Options()); err != nil {
		return err
	}
	o := p.Refine.Options()
	var g critic.Generator
	if o.NeedsGenerator() {
		e, err := c.engine(c.base, false)
		if err != nil {
			return err
		}
		defer e.Close()
		if err := p.Refine.Ask(pipeline.Local(e), &o); err != nil {
			return err
		}
		g = e
	}
	if _, err := critic.Refine(ctx, g, rs, o); err != nil {
		return err
	}
	if p.refined != nil {
		p.refined(rs)
	}
	return nil
}

// lastLoss is the mean reward loss of a training's last tenth; nil where no rewards are trained, or nothing is.
func lastLoss(metrics string) (*float64, error) {
	list, err := steps(metrics)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	last := list[len(list)-max(1, len(list)/10):]
	sum := 0.
	for _, s := range last {
		sum += s.Reward / float64(len(last))
	}
	if sum == 0 {
		return nil, nil
	}
	return &sum, nil
}

// steps are the updates of a training, as its metrics have them; none where there was no training.
func steps(metrics string) (list []Step, err error) {
	b, err := os.ReadFile(metrics)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		var s Step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return nil, fmt.Errorf("%s: %w", metrics, err)
		}
		if s.Step > 0 {
			list = append(list, s)
		}
	}
	return slices.Clip(list), nil
}

// label is the name with the group that tells it from others.
func (v *variant) label() string {
	if v.group == "" {
		return v.name
	}
	return v.group + ": " + v.name
}
