package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/record"
	"criticrm/serve"
)

// Live lets requests join the running batch of an engine, and leave it, at any token. It implements [serve.Backend].
//
// Samples depend on what is asked, on the seed and on the key, and are those of [Engine.Generate]; on the CPU, and on a device that is fixed, neither their
// bits nor those of rewards depend on what else runs.
type Live struct {
	e       *Engine
	ask     *critic.Ask
	endings *model.Endings
	keep    int
	turn    sync.Locker // held while the device is used

	mu     sync.Mutex
	wake   chan struct{} // has room for one
	work   []*writing    // that came since the last step
	leave  []*writing    // whose caller has gone
	read   []*reading    // texts whose rewards are wanted
	load   serve.Load
	texts  int // tokens of texts that were read for their rewards
	closed bool
	ended  chan struct{}
}

// LiveOptions are the settings of a Live.
type LiveOptions struct {
	Ask        *critic.Ask // how samples that end without a score may go on; requests may ask for this alone. nil: they may not
	KeepTokens int         // of prompts that stay in the cache for requests that begin alike; 0: none
	Turn       sync.Locker // shared by all that use one device, step by step; nil: nobody else does
}

// writing is a call of Generate.
type writing struct {
	serve.Work
	d    *model.Decoding
	out  []critic.Sample
	err  error
	done chan struct{}
}

// reading is a call of Rewards.
type reading struct {
	ctx     context.Context
	texts   [][]int32
	rewards []float32
	left    []int // texts that have none yet
	err     error
	done    chan struct{}
}

// NewLive starts an engine, which nothing else may use until Close.
func NewLive(e *Engine, o LiveOptions) (*Live, error) {
	l := &Live{e: e, ask: o.Ask, keep: o.KeepTokens, turn: o.Turn, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if l.turn == nil {
		l.turn = new(sync.Mutex)
	}
	if o.Ask != nil {
		paths, err := e.Endings(o.Ask)
		if err != nil {
			return nil, err
		}
		l.endings = &model.Endings{Paths: paths, All: o.Ask.Expect}
	}
	var d *model.Decoder
	if e.Model.HasLM() { // else it reads rewards alone
		l.turn.Lock()
		var err error
		d, err = l.decoder()
		l.turn.Unlock()
		if err != nil {
			return nil, err
		}
	}
	go l.run(d)
	return l, nil
}

func (l *Live) decoder() (*model.Decoder, error) {
	o := model.GenOptions{Stop: l.e.Ends, Endings: l.endings, MaxSequences: l.e.options.MaxSequences, KeepTokens: l.keep}
	if l.e.Model.HasHead() {
		o.Reward = l.e.At
	}
	return l.e.Model.NewDecoder(o)
}

// errClosed is what calls get of a Live that is closed.
var errClosed = errors.New("engine: the model is closed")

// Close ends the work; calls that are under way fail. The engine stays open.
func (l *Live) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.call()
	<-l.ended
}

func (l *Live) call() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Load implements [serve.Backend].
func (l *Live) Load() serve.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := l.load
	load.ReadTokens += l.texts
	for _, w := range l.work {
		load.Waiting += w.N
	}
	for _, r := range l.read {
		load.Waiting += len(r.left)
	}
	return load
}

// Generate implements [serve.Backend].
func (l *Live) Generate(ctx context.Context, w serve.Work) ([]critic.Sample, error) {
	if w.Ask != nil && (l.ask == nil || *w.Ask != *l.ask) {
		return nil, errors.New("engine: a score is asked for in another way than the model was opened with")
	}
	if w.Sampling.Reward && !l.e.Model.HasHead() {
		return nil, errors.New("engine: the model has no reward head to read")
	}
	c := &writing{Work: w, done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed
	}
	l.work = append(l.work, c)
	l.mu.Unlock()
	l.call()
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.leave = append(l.leave, c)
	l.mu.Unlock()
	l.call()
	<-c.done // no Token is called behind this
	return nil, ctx.Err()
}

// Rewards implements [serve.Backend].
func (l *Live) Rewards(ctx context.Context, texts [][]int32) ([]float32, error) {
	if !l.e.Model.HasHead() {
		return nil, errors.New("engine: the model has no reward head to read")
	}
	for i, ids := range texts {
		if limit := l.e.Model.MaxPositionEmbeddings; len(ids) == 0 || limit > 0 && len(ids) > limit {
			return nil, fmt.Errorf("engine: text %d has %d tokens, want 1 to %d", i, len(ids), limit)
		}
		for k, id := range ids {
			if id < 0 || int(id) >= l.e.Model.VocabSize {
				return nil, fmt.Errorf("engine: text %d: token %d: id %d, want 0 to %d", i, k, id, l.e.Model.VocabSize-1)
			}
		}
	}
	r := &reading{ctx: ctx, texts: texts, rewards: make([]float32, len(texts)), done: make(chan struct{})}
	for i := range texts {
		r.left = append(r.left, i)
	}
	if len(texts) == 0 {
		return r.rewards, nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed
	}
	l.read = append(l.read, r)
	l.mu.Unlock()
	l.call()
	select {
	case <-r.done:
		return r.rewards, r.err
	case <-ctx.Done(): // run sees it, too
		return nil, ctx.Err()
	}
}

// run is the one goroutine that uses the model.
func (l *Live) run(d *model.Decoder) {
	defer close(l.ended)
	var active []*writing // that the decoder has
	for {
		l.mu.Lock()
		work, leave := l.work, l.leave
		l.work, l.leave = nil, nil
		closed, texts := l.closed, len(l.read) > 0
		l.mu.Unlock()
		if closed {
			l.fail(errClosed, append(active, work...))
			return
		}
		l.turn.Lock()
		err := serve.Safely(func() error {
			for len(work) > 0 {
				w := work[0]
				active, work = append(active, w), work[1:]
				if err := l.add(d, w); err != nil {
					active = active[:len(active)-1]
					w.err = err
					close(w.done)
				}
			}
			for _, w := range leave {
				if i := slices.Index(active, w); i >= 0 {
					d.Cancel(w.d)
					active = slices.Delete(active, i, i+1)
					close(w.done)
				}
			}
			if texts {
				if err := l.evaluate(); err != nil {
					return err
				}
			}
			if d == nil || d.Idle() {
				return nil
			}
			return d.Step()
		})
		if err != nil { // nobody knows what the device holds: all fail, and the next ones begin anew
			l.fail(fmt.Errorf("engine: %w", err), append(active, work...))
			active = nil
			var lost kernels.Lost
			if d != nil && !errors.As(err, &lost) {
				d, err = l.decoder()
			}
			l.turn.Unlock()
			if err != nil {
				l.end(err)
				return
			}
			continue
		}
		l.turn.Unlock()
		active = slices.DeleteFunc(active, func(w *writing) bool {
			if w.out == nil {
				return false
			}
			close(w.done)
			return true
		})
		l.mu.Lock()
		if d != nil {
			s := d.Stats()
			l.load = serve.Load{Running: s.Running, Waiting: s.Waiting, CachedTokens: s.Cached, ReusedTokens: s.Reused, ReadTokens: s.Read, WrittenTokens: s.Written}
		}
		idle := len(l.work)+len(l.leave)+len(l.read) == 0 && !l.closed && (d == nil || d.Idle())
		l.mu.Unlock()
		if idle {
			<-l.wake
		}
	}
}

// end answers whatever comes with the error that has ended the work, until Close.
func (l *Live) end(err error) {
	for {
		l.mu.Lock()
		work, closed := l.work, l.closed
		l.work, l.leave = nil, nil
		l.mu.Unlock()
		l.fail(err, work)
		if closed {
			return
		}
		<-l.wake
	}
}

// fail ends calls with an error: those of writers, and all that read.
func (l *Live) fail(err error, work []*writing) {
	l.mu.Lock()
	read := l.read
	l.read = nil
	l.mu.Unlock()
	for _, w := range work {
		w.out, w.err = nil, err
		close(w.done)
	}
	for _, r := range read {
		r.err = err
		close(r.done)
	}
}

// add gives a request to the decoder.
func (l *Live) add(d *model.Decoder, w *writing) (err error) {
	if d == nil {
		return fmt.Errorf("engine: a sequence classifier: %w", serve.ErrNoText)
	}
	s := w.Sampling
	r := model.GenRequest{Prefix: w.Prompt, N: w.N, Key: w.Key}
	var lacks func([]int32, bool) bool
	if w.Ask != nil {
		lacks = func(ids []int32, stopped bool) bool { return w.Ask.Lacks(l.e.Decode(ids), finish(stopped)) }
	}
	var token func(int, int32)
	if w.Token != nil {
		one := make([]int32, 1)
		token = func(i int, id int32) {
			one[0] = id
			w.Token(i, one)
		}
	}
	w.d, err = d.Add(r, model.GenOptions{Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxTokens: cmp.Or(s.MaxTokens, record.DefaultSampling().MaxTokens), Seed: s.Seed}, lacks, token,
		func(samples []model.GenSample) {
			w.out = make([]critic.Sample, len(samples))
			for i, g := range samples {
				w.out[i] = l.e.sample(g, w.Ask, s.Reward)
			}
		})
	return err
}

// evaluate reads rewards of waiting texts, as many as fit one forward pass. What texts have in common at their start is computed once.
func (l *Live) evaluate() error {
	type text struct {
		of *reading
		i  int
	}
	var take []text
	var ids [][]int32
	tokens := 0
	l.mu.Lock()
	l.read = slices.DeleteFunc(l.read, func(r *reading) bool { return r.ctx.Err() != nil }) // whose caller has gone
	for _, r := range l.read {
		for len(r.left) > 0 && (len(take) == 0 || tokens+len(r.texts[r.left[0]]) <= l.e.options.MaxTokens) {
			i := r.left[0]
			r.left = r.left[1:]
			take, ids = append(take, text{r, i}), append(ids, r.texts[i])
			tokens += len(r.texts[i])
		}
	}
	l.mu.Unlock()
	if len(take) == 0 {
		return nil
	}
	b, place := forestOf(ids)
	_, rewards, err := l.e.Model.Evaluate(b)
	if err != nil {
		return err
	}
	for k, t := range take {
		t.of.rewards[t.i] = rewards[place[k]]
	}
	l.mu.Lock()
	l.texts += b.Len()
	l.read = slices.DeleteFunc(l.read, func(r *reading) bool {
		if len(r.left) > 0 {
			return false
		}
		close(r.done)
		return true
	})
	l.mu.Unlock()
	return nil
}

// forestOf packs texts as branches of trees, with a leaf at the end of each; place says which leaf is whose.
func forestOf(texts [][]int32) (b *model.Batch, place []int) {
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return slices.Compare(texts[i], texts[j]) })
	b, place = &model.Batch{}, make([]int, len(texts))
	var plant func(list []int, depth int, at int32)
	plant = func(list []int, depth int, at int32) { // of texts that agree before depth
		for len(list) > 0 {
			first := texts[list[0]]
			if len(first) == depth {
				place[list[0]] = len(b.Leaf)
				b.Leaf = append(b.Leaf, at)
				list = list[1:]
				continue
			}
			n, agree := 1, len(first)
			for n < len(list) && texts[list[n]][depth] == first[depth] {
				agree = min(agree, depth+model.CommonPrefix(first[depth:], texts[list[n]][depth:]))
				n++
			}
			b.Open(first[depth:agree])
			plant(list[:n], agree, int32(b.Len()-1))
			b.Close()
			list = list[n:]
		}
	}
	plant(order, 0, -1)
	return b, place
}
