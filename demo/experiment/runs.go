package demo

import (
	"context"
	"fmt"
	"slices"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/measure"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/trainer"
)

// session is the experiment at one seed: the seed changes the training pairs, the sampling and the order of training, the base
// model and the evaluation pairs stay.
type session struct {
	dev     *kernels.Device
	dir     string // of the base model
	base    *engine.Engine
	prompts *critic.Prompts
	seed    uint64
	eval    []Pair
}

// sampling is the demo's: plain sampling, since systematic faults show best where nothing is cut away.
func (s *session) sampling(purpose uint64) record.Sampling {
	return record.Sampling{Temperature: 1, TopP: 1, MaxTokens: 60, Seed: s.seed*1000 + purpose}
}

// records turns pairs into records of the method.
func records(pairs []Pair) []*record.Record {
	out := make([]*record.Record, len(pairs))
	for i, p := range pairs {
		out[i] = &record.Record{ID: p.ID, Prompt: record.Prompt{Text: p.Question.Prompt}, Chosen: p.Chosen.Text, Rejected: p.Rejected.Text,
			Category: p.Question.Kind.Category(), Subset: string(p.Question.Kind)}
	}
	return out
}

// clone copies records with their critiques, so that one set of samples serves several variants.
func clone(rs []*record.Record) []*record.Record {
	out := make([]*record.Record, len(rs))
	for i, r := range rs {
		c := *r
		c.ChosenCritiques, c.RejectedCritiques = slices.Clone(r.ChosenCritiques), slices.Clone(r.RejectedCritiques)
		out[i] = &c
	}
	return out
}

// generateOptions ask for n critiques of every reply. The purpose keeps the random numbers of different samplings apart.
func (s *session) generateOptions(n int, purpose uint64) critic.GenerateOptions {
	o := critic.DefaultGenerateOptions()
	o.Critiques, o.Sampling, o.Prompts, o.Chunk, o.Model = n, s.sampling(purpose), s.prompts, 512, "demo"
	return o
}

// refine selects the critiques to train on: filter none, since margin and random take consistent pairs only; the label filters
// there, pair of critiques by pair of critiques.
func (s *session) refine(ctx context.Context, rs []*record.Record, mode string, k int) (*critic.DropStats, error) {
	rule := critic.FilterNone
	if mode == critic.RefineRank || mode == critic.RefineSummarize {
		rule = critic.FilterMeanEach
	}
	if _, err := critic.Filter(rs, critic.FilterOptions{Rule: rule}); err != nil {
		return nil, err
	}
	o := critic.DefaultRefineOptions()
	o.Mode, o.TopK, o.SummaryOf, o.Sampling, o.Prompts, o.MinSurvivors, o.Chunk = mode, k, 3, s.sampling(7), s.prompts, 0, 512
	return critic.Refine(ctx, s.base, rs, o)
}

// recipe is the training recipe of a method; pairs is how many preference pairs there are. The scalar model's learning rate and epochs,
// and where a reward is read, are the best of the sweeps on the validation split that --full shows; the rest was not tuned.
func (s *session) recipe(method string, pairs int) trainer.Config {
	c := trainer.Default()
	c.Method, c.HeadPosition, c.Pairing = method, "end", "zip"
	c.BatchSize, c.Accumulation = 16, 1
	c.LearningRate, c.Scheduler, c.MinLRRatio, c.WarmupRatio = 1e-3, "linear", .02, .1
	c.Beta1, c.Beta2, c.WeightDecay = .9, .98, .01
	c.LambdaSchedule, c.LambdaHold, c.LambdaBeta, c.LMWeight = "linear", 1./3, 1, 1
	c.Epochs, c.Seed, c.LoggingSteps = 3, s.seed, 0
	if method == trainer.BT {
		c.BatchSize, c.LearningRate, c.Epochs = 32, 3e-4, 20
	}
	if scale := fewPairs / float64(pairs); scale > 2 { // a small set is seen more often, though not as often as it is smaller
		c.Epochs *= min(scale, 3)
	}
	return c
}

// train trains a copy of the base model and gives it with its steps. With an output_dir in the recipe the run is kept there, with the
// model as a directory that the other commands take.
func (s *session) train(ctx context.Context, rs []*record.Record, c trainer.Config) (*engine.Engine, []Step, error) {
	m, err := model.Load(s.dev, s.dir, model.Options{DType: kernels.F32, Train: true, Head: true})
	if err != nil {
		return nil, nil, err
	}
	r := *s.base.Renderer
	if r.At, err = model.ParseRewardAt(c.HeadPosition); err != nil {
		m.Close()
		return nil, nil, err
	}
	e := engine.Wrap(m, &r, engine.Options{MaxSequences: maxSequences})
	data, err := rendered(&r, rs, c)
	if err != nil {
		e.Close()
		return nil, nil, err
	}
	var steps []Step
	report := trainer.Report{OnStep: func(t trainer.Metrics) {
		steps = append(steps, Step{t.Step, t.CritiqueLoss, t.RewardLoss, t.Lambda, t.Accuracy})
	}}
	facts := s.base.Dir.Use(c.Method != trainer.BT)
	facts.HeadPosition, facts.EndOfTurn = c.HeadPosition, r.End
	files := trainer.WithFiles(func(dir string) error { return modeldir.Copy(s.dir, dir, "") })
	if _, err := trainer.Train(ctx, m, data, c, trainer.WithReport(report), trainer.WithFacts(facts), files); err != nil {
		e.Close()
		return nil, nil, err
	}
	return e, steps, nil
}

// rendered are the examples of the records that are not dropped.
func rendered(r *render.Renderer, rs []*record.Record, c trainer.Config) (trainer.Slice, error) {
	var out trainer.Slice
	for _, rec := range rs {
		if rec.Dropped != "" {
			continue
		}
		e, o, err := r.Pair(rec, c.Render(baseContext))
		if err != nil {
			return nil, err
		}
		if o.Dropped == "" {
			out = append(out, e)
		}
	}
	return out, nil
}

// measured is what a model makes of the evaluation pairs.
type measured struct {
	records []*record.Record
	report  *measure.Report
}

// measure samples n critiques of every evaluation reply, reads rewards after them if the model has a head, and counts correct pairs
// for the numbers of critiques in ms.
func (s *session) measure(ctx context.Context, e *engine.Engine, n int, rewards bool, ms ...int) (*measured, error) {
	rs := records(s.eval)
	o := s.generateOptions(n, 900)
	var err error
	if rewards {
		_, err = critic.Score(ctx, e, rs, o)
	} else {
		_, err = critic.Generate(ctx, e, rs, o)
	}
	if err != nil {
		return nil, err
	}
	eval := measure.DefaultEvalOptions()
	eval.Samples = ms
	report, err := measure.Evaluate(rs, eval)
	return &measured{rs, report}, err
}

// reward is the correctness of each pair when the rewards of m critiques are averaged: the mean over disjoint groups of m.
func (d *measured) reward(m int) []float64 { return d.correct(fmt.Sprintf("reward m=%d", m)) }

// judge is the same for the mean of the scores that the critiques themselves give.
func (d *measured) judge(n int) []float64 { return d.correct(fmt.Sprintf("judge N=%d", n)) }

func (d *measured) correct(name string) []float64 {
	m, ok := d.report.Method(name)
	if !ok {
		panic("demo: " + name + " was not measured")
	}
	return m.Correct
}

// scalar is the correctness of each pair under a Bradley–Terry model without critiques.
func (s *session) scalar(ctx context.Context, e *engine.Engine, pairs []Pair) ([]float64, error) {
	rs := records(pairs)
	if _, err := critic.ScorePlain(ctx, e, rs, critic.PlainOptions{Chunk: 512}); err != nil {
		return nil, err
	}
	report, err := measure.Evaluate(rs, measure.DefaultEvalOptions())
	if err != nil {
		return nil, err
	}
	return (&measured{rs, report}).correct("reward"), nil
}

// quality measures critiques against the truth: how many have a score, and how many of those take the right side.
func (d *measured) quality(name string) QualityRow {
	q := QualityRow{Model: name}
	n, parsed, right := 0., 0., 0.
	kind, kindRight := map[string]float64{}, map[string]float64{}
	for _, r := range d.records {
		for _, side := range []record.Side{record.Chosen, record.Rejected} {
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

const (
	maxSequences = 512
	fewPairs     = 600 // the recipes are for this many pairs
)
