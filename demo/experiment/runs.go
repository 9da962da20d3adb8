package experiment

// Runs of the demo's recipe, and what is read from their files.

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/engine"
	"criticrm/measure"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/stage"
	"criticrm/trainer"
)

//go:embed recipe.yaml
var recipe []byte

// plan is a run of the recipe at the runner's seed: what it changes, and where it stops.
type plan struct {
	dir    string
	from   string                 // directory of another run, from whose critiques this one goes on; "": it begins
	pairs  int                    // of the seed's, to train on
	eval   string                 // file to measure on; "": the held-out pairs
	stage  string                 // the last stage; "": all
	change func(*pipeline.Config) // may be nil
	log    io.Writer              // nil: a line when it is done is enough
}

// config is the recipe of a run, as `criticrm run` would read it. The seed changes the training pairs, the sampling and the order of
// training; the base model and the held-out pairs stay.
func (r *runner) config(p plan) (c pipeline.Config, err error) {
	c = pipeline.Default()
	set, err := c.Load(filepath.Join(r.Dir, recipeFile))
	if err != nil {
		return c, err
	}
	c.Dir, c.Prompts, c.OutputDir, c.EvalFile = r.base, r.prompts, p.dir, r.held
	if p.eval != "" {
		c.EvalFile = p.eval
	}
	if c.TrainFile, err = r.pairsFile(p.pairs); err != nil {
		return c, err
	}
	c.Seed, c.Generate.Seed, c.Refine.Seed, c.Eval.Seed = r.seed, r.seed*1000+1, r.seed*1000+7, r.seed*1000+900
	for _, key := range []string{"generate.seed", "refine.seed", "eval.seed"} {
		set[key] = 0
	}
	if p.pairs < r.Pairs/4 {
		c.Refine.TopK = 4
	}
	c.Train.Epochs *= moreEpochs(p.pairs)
	c.BT.Epochs *= moreEpochs(p.pairs)
	if r.Full {
		c.Eval.Samples = 16
	}
	if p.change != nil {
		p.change(&c)
	}
	return c, c.Resolve(set)
}

// moreEpochs is how much more often a small set is seen, though not as often as it is smaller.
func moreEpochs(pairs int) float64 {
	const enough = 600 // the recipe is for this many pairs
	if scale := enough / float64(pairs); scale > 2 {
		return min(scale, 3)
	}
	return 1
}

// run makes a run, or goes on with one.
func (r *runner) run(ctx context.Context, p plan) error {
	c, err := r.config(p)
	if err != nil {
		return err
	}
	o := pipeline.Options{Stage: p.stage, Log: p.log}
	if p.from != "" {
		o.Restart = "filter"
	}
	_, err = pipeline.Run(ctx, r.dev, c, o)
	if err != nil {
		return err
	}
	return r.clock(p.dir)
}

// clock adds the seconds of a run's stages to the results'. Those that an earlier part of the run made are counted already.
func (r *runner) clock(dir string) error {
	stages, err := pipeline.Finished(dir)
	if err != nil {
		return err
	}
	for _, s := range stages[min(len(stages), r.clocked[dir]):] {
		name, ok := map[string]string{"generate": "generate", "filter": "filter and refine", "refine": "filter and refine", "train": "train Critic-RM",
			"eval": "evaluate Critic-RM", "base": "judge", "bt": "scalar RM", "cloud": "CLoud-style"}[s.Name[strings.LastIndex(s.Name, "/")+1:]]
		if ok {
			r.spent(name, s.Seconds)
		}
	}
	r.clocked[dir] = len(stages)
	return nil
}

// measured is a scored file.
type measured struct {
	records []*record.Record
	report  *measure.Report
}

// read measures a scored file again.
func read(path string) (*measured, error) {
	rs, _, err := stage.ReadFile(path, record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return nil, err
	}
	return measureRecords(rs)
}

func measureRecords(rs []*record.Record) (*measured, error) {
	o := measure.DefaultEvalOptions()
	o.Draws = 1 // intervals are made over the seeds
	report, err := measure.Evaluate(rs, o)
	return &measured{rs, report}, err
}

// reward is the correctness of each pair when the rewards of m critiques are averaged: the mean over disjoint groups of m.
func (d *measured) reward(m int) []float64 { return d.correct(fmt.Sprintf("reward m=%d", m)) }

// judge is the same for the mean of the scores that the critiques themselves give.
func (d *measured) judge(n int) []float64 { return d.correct(fmt.Sprintf("judge N=%d", n)) }

func (d *measured) correct(name string) []float64 {
	m, ok := d.report.Method(name)
	if !ok {
		panic("experiment: " + name + " was not measured")
	}
	return m.Correct
}

// scalar trains a Bradley–Terry model alone on the first n pairs and gives the correctness of each pair of a file. change may be nil.
func (r *runner) scalar(ctx context.Context, n int, held string, change func(*trainer.Config)) ([]float64, error) {
	dir, err := os.MkdirTemp(r.Dir, tempDirs)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	defer os.RemoveAll(dir)
	all, err := r.config(plan{dir: dir, pairs: n})
	if err != nil {
		return nil, err
	}
	c := all.BT
	c.TrainFile, c.OutputDir = all.TrainFile, dir
	if change != nil {
		change(&c)
	}
	res, err := trainer.Run(ctx, r.dev, c, trainer.Report{})
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(r.dev, res.ModelDir, engine.Options{RequireReward: true})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	rs, _, err := stage.ReadFile(held, record.ReadOptions{})
	if err != nil {
		return nil, err
	}
	if _, err := critic.ScorePlain(ctx, e, rs, critic.PlainOptions{Chunk: 512, Reading: e.Reading()}); err != nil {
		return nil, err
	}
	d, err := measureRecords(rs)
	if err != nil {
		return nil, err
	}
	return d.correct("reward"), nil
}

// pairsFile is the file of the seed's first n training pairs.
func (r *runner) pairsFile(n int) (string, error) {
	return r.write(fmt.Sprintf("pairs-%d-%d", r.seed, n), demo.Pairs(10000+r.seed, n, demo.Train))
}

// write leaves pairs as a file among the data.
func (r *runner) write(name string, pairs []demo.Pair) (string, error) {
	path := filepath.Join(r.Dir, dataDir, name+".jsonl")
	var b strings.Builder
	if err := record.WriteRecords(&b, demo.Records(pairs)); err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	if err := checkpoint.WriteFileAtomic(path, []byte(b.String())); err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	return path, nil
}

// steps are the updates of a training, as its metrics have them.
func steps(dir string) (list []Step, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var s Step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return nil, fmt.Errorf("experiment: %s: %w", dir, err)
		}
		if s.Step > 0 {
			list = append(list, s)
		}
	}
	return list, nil
}

// quality measures critiques against the truth: how many have a score, and how many of those take the right side.
func (d *measured) quality(name string) QualityRow {
	q := QualityRow{Model: name}
	n, parsed, right := 0., 0., 0.
	kind, kindRight := map[string]float64{}, map[string]float64{}
	for _, r := range d.records {
		for _, side := range r.Sides() {
			for _, c := range *r.SideCritiques(side) {
				n++
				if c.Score == nil {
					continue
				}
				parsed++
				kind[r.Subset]++
				if (*c.Score > critic.DefaultScale().Middle()) == (side == record.Chosen) {
					right++
					kindRight[r.Subset]++
				}
			}
		}
	}
	q.Parsed, q.Verdict = 100*parsed/n, 100*right/parsed
	q.Count, q.Track = 100*kindRight["count"]/kind["count"], 100*kindRight["track"]/kind["track"]
	return q
}
