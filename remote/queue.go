package remote

// Who asks whom for what: requests wait in one queue, and each server has a few that ask it.

import (
	"context"
	"math"
	"sync"
	"time"
)

// job is one request: samples from number from on of request of.
type job struct {
	order  int // place in the queue at first
	of     int // index of the request
	from   int
	n      int
	home   int // server that is asked first, so that samples of one prompt find it in its cache
	not    int // server that failed last; -1: none
	tries  int
	before time.Time // not to be tried earlier
}

// queue are the jobs of one Generate.
type queue struct {
	mu      sync.Mutex
	waiting []*job
	left    int           // waiting or under way
	changed chan struct{} // closed when it changes
}

func newQueue(jobs []*job) *queue {
	return &queue{waiting: jobs, left: len(jobs), changed: make(chan struct{})}
}

// tell wakes those that wait; the queue is locked.
func (q *queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// put gives jobs back, or adds some.
func (q *queue) put(more int, jobs ...*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.left = append(q.waiting, jobs...), q.left+more
	q.tell()
}

// done tells that a job is finished.
func (q *queue) done() { q.put(-1) }

// take waits for a job for a server among several: one of its own, else any. nil: all are finished, or the context is.
func (q *queue) take(ctx context.Context, server, servers int) *job {
	for ctx.Err() == nil {
		q.mu.Lock()
		if q.left == 0 {
			q.mu.Unlock()
			return nil
		}
		now := time.Now()
		best, rank, soon := -1, math.MaxInt, time.Duration(math.MaxInt64)
		for i, j := range q.waiting {
			if j.not == server && servers > 1 {
				continue
			}
			if wait := j.before.Sub(now); wait > 0 {
				soon = min(soon, wait)
				continue
			}
			r := j.order
			if j.home != server {
				r += math.MaxInt / 2
			}
			if r < rank {
				best, rank = i, r
			}
		}
		if best >= 0 {
			j := q.waiting[best]
			q.waiting = append(q.waiting[:best], q.waiting[best+1:]...)
			q.mu.Unlock()
			return j
		}
		changed := q.changed
		q.mu.Unlock()
		wait(ctx, soon, changed)
	}
	return nil
}

// wait waits for a time, a channel or the context, whichever comes first.
func wait(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}

// server is one of those that are asked.
type server struct {
	url string

	mu      sync.Mutex
	fails   int       // rests in a row
	until   time.Time // not to be asked earlier
	most    float64   // requests that may be under way: what was found to be too many is not asked for again at once
	under   int       // requests under way
	changed chan struct{}
}

func newServer(url string, most int) *server {
	return &server{url: url, most: float64(most), changed: make(chan struct{})}
}

// enter waits until the server may be asked; leave is to be called behind it. false: the context has ended.
func (s *server) enter(ctx context.Context) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		d := time.Until(s.until)
		if d <= 0 && s.under < int(s.most) {
			s.under++
			s.mu.Unlock()
			return true
		}
		if d <= 0 {
			d = time.Hour
		}
		changed := s.changed
		s.mu.Unlock()
		wait(ctx, d, changed)
	}
	return false
}

func (s *server) leave() {
	s.mu.Lock()
	s.under--
	s.tell()
	s.mu.Unlock()
}

// tell wakes those that wait; the server is locked.
func (s *server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// rest leaves the server alone for as long as it asks for, else for longer the more often it was busy, and asks half as much of it from then
// on. Those that failed together count once.
func (s *server) rest(asked time.Duration, pause func(tries int) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.until) {
		if until := now.Add(asked); until.After(s.until) {
			s.until = until
		}
		return
	}
	s.until = now.Add(max(asked, pause(s.fails)))
	s.fails++
	s.most = max(1, float64(s.under/2))
}

// well tells that the server has answered: little by little it is asked for more again, up to what was wanted.
func (s *server) well(wanted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = 0
	was := int(s.most)
	if s.most = min(float64(wanted), s.most+1/(8*s.most)); int(s.most) > was {
		s.tell()
	}
}
