package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/strictjson"
)

// Engine asks servers for texts. It implements [critic.Generator].
type Engine struct {
	// Progress, if it is set, is called after each answer, from one goroutine at a time: with the tokens and samples that it has.
	Progress func(tokens, samples int)

	o       Options
	key     string
	client  *http.Client
	servers []*server

	mu    sync.Mutex
	stats Stats
}

// Stats count what was asked and what came of it.
type Stats struct {
	Requests   int           `json:"requests"`    // tries of all
	Retries    int           `json:"retries"`     // of those, repeated ones
	Samples    int           `json:"samples"`     // that came back
	Empty      int           `json:"empty"`       // of those, without text
	Prompt     int64         `json:"prompt"`      // tokens read, as the servers say
	Completion int64         `json:"completion"`  // tokens written, as the servers say
	Uncounted  int           `json:"uncounted"`   // answers that do not say tokens
	Unspelled  int           `json:"unspelled"`   // samples whose token ids were wanted and are not known
	Elapsed    time.Duration `json:"nanoseconds"` // in which something was under way
}

// String is one line for people.
func (s Stats) String() string {
	text := fmt.Sprintf("%d requests", s.Requests)
	if s.Retries > 0 {
		text += fmt.Sprintf(" (%d of them retries)", s.Retries)
	}
	text += fmt.Sprintf(", %d samples, %d prompt tokens, %d completion tokens", s.Samples, s.Prompt, s.Completion)
	if s.Completion > 0 && s.Elapsed > 0 {
		text += fmt.Sprintf(", %.0f tokens/s", float64(s.Completion)/s.Elapsed.Seconds())
	}
	for _, x := range []struct {
		n    int
		what string
	}{{s.Uncounted, "answers without a count of tokens"}, {s.Empty, "empty samples"}, {s.Unspelled, "samples without token ids that the model's directory confirms"}} {
		if x.n > 0 {
			text += fmt.Sprintf("; %d %s", x.n, x.what)
		}
	}
	return text
}

// Open checks the settings and finds out which model the servers have, if it is not given.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	e := &Engine{o: o}
	var err error
	if e.key, err = o.key(); err != nil {
		return nil, err
	}
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.MaxIdleConns = o.Concurrent, 0
		t.MaxResponseHeaderBytes = 1 << 20
		o.Transport = t
	}
	e.client = &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, text := range o.BaseURLs {
		u, err := baseURL(text)
		if err != nil {
			return nil, fmt.Errorf("remote: base URL: %w", err)
		}
		e.servers = append(e.servers, newServer(u, e.o.Concurrent))
		if e.key != "" && o.Warn != nil && strings.HasPrefix(u, "http://") && !local(u) {
			o.Warn("warning: the key goes unencrypted to " + u)
		}
	}
	if e.o.Model == "" {
		if e.o.Model, err = e.find(ctx); err != nil {
			e.Close()
			return nil, fmt.Errorf("remote: %w", err)
		}
	}
	return e, nil
}

// local says whether a URL is of this machine.
func local(u string) bool {
	_, host, _ := strings.Cut(u, "://")
	return strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "[::1]")
}

// Close gives back the connections.
func (e *Engine) Close() { e.client.CloseIdleConnections() }

// Model is the name of the model on the servers.
func (e *Engine) Model() string { return e.o.Model }

// Stats are the counts until now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Chunk is how many records with so many samples for each of two responses keep the servers busy.
func (e *Engine) Chunk(samples int) int {
	requests := 2 * ((max(1, samples) + e.o.PerRequest - 1) / e.o.PerRequest)
	return max(1, (4*e.o.Concurrent*len(e.servers)+requests-1)/requests)
}

// find asks all servers which model they have: one, and the same.
func (e *Engine) find(ctx context.Context) (name string, err error) {
	for _, s := range e.servers {
		var b []byte
		for tries := 0; ; tries++ {
			if b, err = e.call(ctx, http.MethodGet, s.url+"/models", nil); err == nil {
				break
			}
			var f *failure
			if !errors.As(err, &f) || f.verdict != again && f.verdict != busy || tries >= min(e.o.Retries, 2) {
				return "", err
			}
			wait(ctx, max(f.wait, e.o.pause(tries)), nil)
		}
		var list struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		if strictjson.Read(b, (*strictjson.Reader).Skip) != nil || json.Unmarshal(b, &list) != nil || len(list.Data) == 0 {
			return "", fmt.Errorf("%s/models: it names no model: say which with engine_model", s.url)
		}
		var names []string
		for _, m := range list.Data {
			names = append(names, clip(m.ID))
		}
		switch {
		case len(names) > 1:
			return "", fmt.Errorf("%s has several models: say which with engine_model: %s", s.url, clip(strings.Join(names, ", ")))
		case name != "" && names[0] != name:
			return "", fmt.Errorf("%s has the model %s, %s has %s: give servers of one model", e.servers[0].url, name, s.url, names[0])
		}
		name = list.Data[0].ID
	}
	return name, nil
}

// can refuses what no server does.
func (e *Engine) can(reqs []critic.Request, s record.Sampling) error {
	if s.Reward {
		return errors.New("remote: another engine reads no rewards: they need the model's directory")
	}
	if s.TopK > 0 && e.o.Standard {
		return errors.New("remote: top_k is none of OpenAI's own fields, which standard_fields restricts requests to")
	}
	for _, r := range reqs {
		switch {
		case r.Ask != nil:
			return errors.New("remote: ask_score: another engine cannot be asked for the score of a critique that has ended: give ask_score off")
		case e.o.Route == Chat && critic.OpenTurn(r.Messages) != "":
			return errors.New("remote: the prompt's last section leaves a turn open, which servers go on with in different ways or not at all: take the completions route with the model's directory, or another prompt")
		}
	}
	return nil
}

// Generate asks for the samples of all requests, many at a time. A failure that stays ends it, and with it all that is under way; nothing runs
// on behind it. Requests over a server's context are named by a *critic.OverContext.
func (e *Engine) Generate(ctx context.Context, reqs []critic.Request, s record.Sampling) ([][]critic.Sample, error) {
	if err := e.can(reqs, s); err != nil {
		return nil, err
	}
	w := &work{Engine: e, reqs: reqs, s: s, out: make([][]critic.Sample, len(reqs)), prompts: make([][]int32, len(reqs)), over: map[int]string{}}
	var jobs []*job
	for i, r := range reqs {
		w.out[i] = make([]critic.Sample, r.N)
		if e.o.Route == Completions {
			var err error
			if w.prompts[i], err = e.o.Encode(r.Messages, true); err != nil {
				return nil, err
			}
		}
		for from := 0; from < r.N; from += e.o.PerRequest {
			jobs = append(jobs, &job{order: len(jobs), of: i, from: from, n: min(e.o.PerRequest, r.N-from), home: int(r.Key % uint64(len(e.servers))), not: -1})
		}
	}
	start := time.Now()
	err := w.run(ctx, jobs)
	e.mu.Lock()
	e.stats.Elapsed += time.Since(start)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(w.over) > 0 {
		for i := range w.over {
			w.out[i] = nil
		}
		return w.out, &critic.OverContext{Why: w.over}
	}
	return w.out, nil
}

// work is one Generate.
type work struct {
	*Engine
	reqs    []critic.Request
	s       record.Sampling
	prompts [][]int32
	out     [][]critic.Sample

	mu     sync.Mutex
	over   map[int]string // requests over a server's context
	err    error          // the first that stays, in the order of jobs
	failed int            // the order of its job
}

// run does all jobs and waits for those that do them.
func (w *work) run(ctx context.Context, jobs []*job) error {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	q := newQueue(jobs)
	var all sync.WaitGroup
	for k, s := range w.servers {
		for range min(w.o.Concurrent, len(jobs)) {
			all.Go(func() {
				for s.enter(own) {
					j := q.take(own, k, len(w.servers))
					if j == nil {
						s.leave()
						return
					}
					if err := w.try(own, q, j, k); err != nil {
						w.fail(j, err)
						cancel()
					}
					s.leave()
				}
			})
		}
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.err
}

// fail keeps the error of the first job.
func (w *work) fail(j *job, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || j.order < w.failed {
		w.err, w.failed = err, j.order
	}
}

// try asks server k for a job's samples once, and gives the job back to the queue if that may help. The error ends the work.
func (w *work) try(ctx context.Context, q *queue, j *job, k int) error {
	w.mu.Lock()
	_, over := w.over[j.of]
	w.mu.Unlock()
	if over { // another sample of the request has found out
		q.done()
		return nil
	}
	b, err := w.encode(&w.reqs[j.of], w.prompts[j.of], w.s, j.from, j.n)
	if err != nil {
		return fmt.Errorf("remote: %w", err)
	}
	s := w.servers[k]
	to := s.url + "/chat/completions"
	if w.o.Route == Completions {
		to = s.url + "/completions"
	}
	w.count(func(t *Stats) {
		t.Requests++
		t.Retries += min(j.tries, 1)
	})
	list, err := w.ask(ctx, to, b, j)
	var f *failure
	switch {
	case err == nil:
		s.well(w.o.Concurrent)
		return w.take(q, j, list)
	case !errors.As(err, &f): // the context's
		return err
	case f.verdict == long:
		w.mu.Lock()
		w.over[j.of] = f.text
		w.mu.Unlock()
		q.done()
		return nil
	case f.verdict == stays:
		return fmt.Errorf("remote: %w", f)
	}
	if j.tries++; j.tries > w.o.Retries {
		return fmt.Errorf("remote: %d tries failed, the last: %w (what was finished before is kept: the same command goes on)", j.tries, f)
	}
	if f.verdict == busy {
		s.rest(f.wait, w.o.pause)
	}
	if j.not = k; f.verdict == again || len(w.servers) == 1 {
		j.before = time.Now().Add(max(f.wait, w.o.pause(j.tries-1)))
	}
	q.put(0, j)
	return nil
}

// ask sends a request and reads its answer. The error is a *failure or the context's.
func (w *work) ask(ctx context.Context, to string, b []byte, j *job) ([]chosen, error) {
	b, err := w.call(ctx, http.MethodPost, to, b)
	if err != nil {
		return nil, err
	}
	list, u, err := w.decode(b, j.n)
	switch {
	case errors.Is(err, errEnded):
		return nil, &failure{text: w.hide(fmt.Sprintf("%s: %v", to, err))}
	case err != nil:
		return nil, &failure{verdict: again, text: w.hide(fmt.Sprintf("%s: %v", to, err))}
	}
	if p := len(w.prompts[j.of]); u.Prompt != nil && *u.Prompt < int64(p) {
		return nil, &failure{text: fmt.Sprintf("%s: it has read %d of the prompt's %d tokens: give the server a longer context, or take max_length and overlong", to, *u.Prompt, p)}
	}
	w.count(func(t *Stats) {
		tokens := 0
		if u.Prompt == nil || u.Completion == nil {
			t.Uncounted++
		}
		if u.Prompt != nil {
			t.Prompt += *u.Prompt
		}
		if u.Completion != nil {
			t.Completion += *u.Completion
			tokens = int(*u.Completion)
		}
		for _, x := range list {
			t.Samples++
			if x.sample.Text == "" {
				t.Empty++
			}
			if x.lacks {
				t.Unspelled++
			}
		}
		if w.Progress != nil {
			w.Progress(tokens, len(list))
		}
	})
	return list, nil
}

func (e *Engine) count(f func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.stats)
}

// take puts samples in their places, and asks for those that the answer lacks, one by one.
func (w *work) take(q *queue, j *job, list []chosen) error {
	has := make([]bool, j.n)
	for _, x := range list {
		w.out[j.of][j.from+x.at], has[x.at] = x.sample, true
	}
	var more []*job
	for i, ok := range has {
		if !ok {
			more = append(more, &job{order: j.order, of: j.of, from: j.from + i, n: 1, home: j.home, not: -1})
		}
	}
	q.put(len(more)-1, more...)
	return nil
}
