// Package engine is a model directory as the things the method asks for: a [critic.Generator] that writes critiques, a
// [critic.Rewarder] that reads rewards after them, and the [critic.Limits] of what it can read.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
)

// Options say how a model directory is opened.
type Options struct {
	modeldir.Given               // what is wanted instead of what the directory says
	DType          kernels.DType // F32 or BF16
	MaxSequences   int           // sequences decoded at once; 0: 256
	MaxTokens      int           // tokens of a packed forward pass when rewards are read; 0: 8192
	RequireReward  bool          // refuse a directory without a reward head

	Over *Engine // of an adapter: the engine of its base, which is open and whose weights it shares (model.Options.Over); nil: the base is read
	NF4  bool    // open a base in 4 bits, for adapters that were trained so; adapters say themselves
}

// Engine is an open model with what its directory says of it. The Renderer spells conversations; it implements [critic.Limits].
type Engine struct {
	*render.Renderer
	Model *model.Model
	Dir   *modeldir.Dir // nil for an engine that Wrap has made

	// Progress, if it is set, is called while the engine works: with the tokens it has read or written and the samples or rewards that it
	// has finished since the last call.
	Progress func(tokens, finished int)

	options Options
}

// Open loads a Hugging Face model directory with its tokenizer and chat template, and uses it as it was trained: Options.Given says
// what else is wanted.
func Open(dev *kernels.Device, dir string, o Options) (*Engine, error) {
	d, err := modeldir.Open(dir, o.Given)
	if err != nil {
		return nil, err
	}
	if d.Chat == nil {
		return nil, d.ChatErr
	}
	r, err := render.Of(d)
	if err != nil {
		return nil, err
	}
	mo := model.Options{DType: o.DType, Config: &d.Config, NF4: o.NF4 || d.Facts.Quantised == modeldir.NF4}
	if o.Over != nil {
		if err := sameBase(dir, o.Over); err != nil {
			return nil, err
		}
		mo.Over = o.Over.Model
	}
	m, err := model.Load(dev, dir, mo)
	if err != nil {
		return nil, err
	}
	if o.RequireReward && !m.HasHead() {
		m.Close()
		return nil, fmt.Errorf("engine: %s: the model has no reward head: train one with 'criticrm train', or give a …ForSequenceClassification model", dir)
	}
	e := Wrap(m, r, o)
	e.Dir = d
	return e, nil
}

// sameBase wants an adapter's base to be the directory of an open model.
func sameBase(dir string, base *Engine) error {
	of, err := modeldir.BaseOf(dir)
	if err != nil {
		return err
	}
	a, err := os.Stat(of)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	b, err := os.Stat(base.Dir.Path)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if of == dir || !os.SameFile(a, b) {
		return fmt.Errorf("engine: %s is no adapter of %s (its base is %s)", dir, base.Dir.Path, of)
	}
	return nil
}

// Wrap joins an open model to a renderer.
func Wrap(m *model.Model, r *render.Renderer, o Options) *Engine {
	if o.MaxSequences == 0 {
		o.MaxSequences = 256
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 8192
	}
	return &Engine{Model: m, Renderer: r, options: o}
}

// Close frees the model.
func (e *Engine) Close() { e.Model.Close() }

// Chunk is how many records with so many samples for each response are best worked on at once: as few as keep the device busy, since
// what a stop loses is at most one such chunk.
func (e *Engine) Chunk(samples int) int {
	seats := e.options.MaxSequences
	if e.Model.Dev.Name() == "cpu" {
		seats = min(seats, cpuSequences)
	}
	return max(1, seats/max(1, samples))
}

// cpuSequences decoded at once are nearly as fast a token as more of them, on a CPU.
const cpuSequences = 32

// Plain says that the model was trained to have its rewards read at the end of responses, without critiques.
func (e *Engine) Plain() bool { return e.Dir != nil && e.Dir.Facts.Method == modeldir.BT }

// Reading is how records are made to fit: as the directory says, or as was given.
func (e *Engine) Reading() critic.Reading {
	o := critic.Reading{Limits: e.Renderer}
	if e.Dir != nil {
		o.MaxLength, o.Overlong = e.Dir.MaxLength, e.Dir.Overlong
	}
	return o
}

// Label names the model and all that its texts and rewards depend on; see [modeldir.Dir.Label].
func (e *Engine) Label() (string, error) {
	label, err := e.Dir.Label()
	if e.options.DType == kernels.BF16 {
		label += "/bf16"
	}
	return label, err
}

// Generate samples critiques. It implements [critic.Generator].
func (e *Engine) Generate(ctx context.Context, reqs []critic.Request, s record.Sampling) ([][]critic.Sample, error) {
	ask, endings, err := e.endings(reqs)
	if err != nil {
		return nil, err
	}
	write := s.MaxTokens
	if endings != nil {
		for _, p := range endings.Paths {
			write = max(write, s.MaxTokens+len(p))
		}
	}
	in := make([]model.GenRequest, len(reqs))
	for i, r := range reqs {
		prefix, err := e.Encode(r.Messages, true)
		if err != nil {
			return nil, err
		}
		if limit := e.Model.Config.MaxPositionEmbeddings; limit > 0 && len(prefix)+write > limit {
			return nil, fmt.Errorf("engine: a prompt of %d tokens with %d to write is over the model's %d positions: lower --max_tokens, or drop or truncate long rows", len(prefix), write, limit)
		}
		in[i] = model.GenRequest{Prefix: prefix, N: r.N, Key: r.Key}
	}
	o := model.GenOptions{Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxTokens: s.MaxTokens, Seed: s.Seed,
		Stop: e.Ends, MaxSequences: e.options.MaxSequences, Endings: endings}
	if e.Progress != nil {
		var tokens, finished int
		o.Progress = func(t, f int) {
			e.Progress(t-tokens, f-finished)
			tokens, finished = t, f
		}
	}
	if s.Reward {
		if !e.Model.HasHead() {
			return nil, errors.New("engine: the model has no reward head to read")
		}
		o.Reward = e.At
	}
	out := make([][]critic.Sample, len(reqs))
	err = e.Model.Generate(ctx, in, o, func(i int, samples []model.GenSample) {
		for _, g := range samples {
			out[i] = append(out[i], e.sample(g, ask, s.Reward))
		}
	})
	return out, err
}

// endings is how samples go on that lack the score which the requests ask for, and how that is; nil if they ask for none.
func (e *Engine) endings(reqs []critic.Request) (*critic.Ask, *model.Endings, error) {
	if len(reqs) == 0 || reqs[0].Ask == nil {
		return nil, nil, nil
	}
	ask := reqs[0].Ask
	for _, r := range reqs {
		if r.Ask == nil || *r.Ask != *ask {
			return nil, nil, errors.New("engine: the requests of one call ask for scores in different ways")
		}
	}
	paths, err := e.Endings(ask)
	if err != nil {
		return nil, nil, err
	}
	lacks := func(_ int, ids []int32, stopped bool) bool { return ask.Lacks(e.Decode(ids), finish(stopped)) }
	return ask, &model.Endings{Paths: paths, All: ask.Expect, Lacks: lacks}, nil
}

// finish is the finish reason of a sample.
func finish(stopped bool) string {
	if stopped {
		return record.FinishStop
	}
	return record.FinishLength
}

func (e *Engine) sample(g model.GenSample, ask *critic.Ask, reward bool) critic.Sample {
	text := g.IDs
	if g.Stopped || g.Added > 0 {
		text = text[:len(text)-1]
	}
	s := critic.Sample{Text: e.Decode(text), Tokens: g.IDs, LogProb: g.LogProb, FinishReason: finish(g.Stopped)}
	if g.Added > 0 {
		s.Asked = &critic.Asked{Score: ask.Scale.Min + g.Path, Chance: g.Chance, Tokens: g.Added}
		if ask.Expect {
			mean := 0.0
			for i, p := range g.Chances {
				mean += p * float64(ask.Scale.Min+i)
			}
			mean = min(max(mean, float64(ask.Scale.Min)), float64(ask.Scale.Max)) // the chances sum to 1 but for rounding
			s.Asked.Mean = &mean
		}
	}
	if reward {
		r := g.Reward
		s.Reward = &r
	}
	return s
}

// Score scores records: by rewards after sampled critiques, by rewards at the end of the responses if plain is set, or, where the model
// has no reward head, by the critiques' own scores alone. It says which records the model has not read whole.
func (e *Engine) Score(ctx context.Context, records []*record.Record, o critic.ScoreOptions, plain bool) (read critic.ReadStats, err error) {
	if plain {
		stats, err := critic.ScorePlain(ctx, e, records, critic.PlainOptions{Chunk: o.Chunk, Model: o.Model, Reading: o.Reading})
		if err == nil {
			read = *stats
		}
		return read, err
	}
	sample := critic.Score
	if !e.Model.HasHead() {
		sample = critic.Generate
	}
	stats, err := sample(ctx, e, records, o)
	if err == nil {
		read = stats.ReadStats
	}
	return read, err
}

// Rewards reads the reward after each given critique of each request, or at the end of the response where there are none. It
// implements [critic.Rewarder].
func (e *Engine) Rewards(ctx context.Context, reqs []critic.RewardRequest) ([][]float32, error) {
	if !e.Model.HasHead() {
		return nil, errors.New("engine: the model has no reward head to read")
	}
	out := make([][]float32, len(reqs))
	var b model.Batch
	var owner []int
	flush := func() error {
		if len(b.Leaf) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, rewards, err := e.Model.Evaluate(&b)
		if e.Progress != nil {
			e.Progress(b.Len(), len(rewards))
		}
		for i, r := range rewards {
			out[owner[i]] = append(out[owner[i]], r)
		}
		b, owner = model.Batch{}, owner[:0]
		return err
	}
	for i, r := range reqs {
		if err := e.AppendRewards(&b, r); err != nil {
			return nil, err
		}
		for len(owner) < len(b.Leaf) {
			owner = append(owner, i)
		}
		if b.Len() >= e.options.MaxTokens {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return out, flush()
}
