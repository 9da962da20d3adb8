package engine

import (
	"context"
	"errors"
	"sync"

	"criticrm/critic"
	"criticrm/model"

	"criticrm/serve"
)

// Queue answers the requests of a server one after another. It implements [serve.Backend].
type Queue struct {
	e    *Engine
	turn chan struct{} // has room for one

	mu   sync.Mutex
	load serve.Load
}

// NewQueue makes the queue of an engine, which nothing else may use meanwhile.
func NewQueue(e *Engine) *Queue { return &Queue{e: e, turn: make(chan struct{}, 1)} }

// take waits for the turn of n samples.
func (q *Queue) take(ctx context.Context, n int) (give func(), err error) {
	q.count(func(l *serve.Load) { l.Waiting += n })
	defer q.count(func(l *serve.Load) { l.Waiting -= n })
	select {
	case q.turn <- struct{}{}:
		q.count(func(l *serve.Load) { l.Running += n })
		return func() { q.count(func(l *serve.Load) { l.Running -= n }); <-q.turn }, ctx.Err()
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

func (q *Queue) count(f func(l *serve.Load)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(&q.load)
}

// Load implements [serve.Backend].
func (q *Queue) Load() serve.Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.load
}

// Generate implements [serve.Backend]. Tokens are told of when all samples are there.
func (q *Queue) Generate(ctx context.Context, w serve.Work) ([]critic.Sample, error) {
	give, err := q.take(ctx, w.N)
	defer give()
	if err != nil {
		return nil, err
	}
	e := q.e
	ask, endings, err := e.endings([]critic.Request{{Ask: w.Ask}})
	if err != nil {
		return nil, err
	}
	s := w.Sampling
	o := model.GenOptions{Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxTokens: s.MaxTokens, Seed: s.Seed, Stop: e.Ends, MaxSequences: e.options.MaxSequences, Endings: endings}
	if s.Reward {
		o.Reward = e.At
	}
	var out []critic.Sample
	err = e.Model.Generate(ctx, []model.GenRequest{{Prefix: w.Prompt, N: w.N, Key: w.Key}}, o, func(_ int, samples []model.GenSample) {
		for i, g := range samples {
			out = append(out, e.sample(g, ask, s.Reward))
			q.count(func(l *serve.Load) { l.WrittenTokens += len(g.IDs) })
			if w.Token != nil {
				w.Token(i, g.IDs)
			}
		}
	})
	q.count(func(l *serve.Load) { l.ReadTokens += len(w.Prompt) })
	return out, err
}

// Rewards implements [serve.Backend].
func (q *Queue) Rewards(ctx context.Context, texts [][]int32) ([]float32, error) {
	give, err := q.take(ctx, len(texts))
	defer give()
	if err != nil {
		return nil, err
	}
	if !q.e.Model.HasHead() {
		return nil, errors.New("engine: the model has no reward head to read")
	}
	var out []float32
	var b model.Batch
	for i, ids := range texts {
		b.Open(ids)
		b.Leaf = append(b.Leaf, int32(b.Len()-1))
		b.Close()
		q.count(func(l *serve.Load) { l.ReadTokens += len(ids) })
		if b.Len() < q.e.options.MaxTokens && i < len(texts)-1 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, rewards, err := q.e.Model.Evaluate(&b)
		if err != nil {
			return nil, err
		}
		out, b = append(out, rewards...), model.Batch{}
	}
	return out, nil
}
