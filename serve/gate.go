package serve

import (
	"net/http"
	"sync"
	"time"
)

// gate lets requests in to be worked on, so many at once, until it is closed. Those whose answers are only written any more are counted apart: a
// client that is slow to read takes no other's place.
type gate struct {
	mu        sync.Mutex
	most, n   int
	mostWrite int // answers that are written at once, before no request is let in
	writing   int
	shut      bool
	idle      chan struct{} // closed when the gate is shut and nobody is inside or written to
	last      time.Time     // when a request was done
	apart     float64       // seconds between those that are done, as of late
}

// enter lets a request in, or says why not.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.shut:
		return draining()
	case g.n >= g.most, g.writing >= g.mostWrite:
		return &Error{Status: http.StatusServiceUnavailable, Code: "busy", Message: "the queue is full: try again", Retry: g.wait()}
	}
	g.n++
	return nil
}

// wait is how many seconds the queue needs, as it went of late, to be half empty.
func (g *gate) wait() int {
	const most = 60
	return min(max(int(g.apart*float64(g.most)/2+0.999), 1), most)
}

// done says that a request is worked on no more.
func (g *gate) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	const weight = 1.0 / 16
	now := time.Now()
	if !g.last.IsZero() {
		g.apart += (now.Sub(g.last).Seconds() - g.apart) * weight
	}
	g.last = now
	g.n--
	g.writing++
}

// leave lets a request out that is done.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writing--; g.n+g.writing == 0 && g.shut {
		close(g.idle)
	}
}

// close shuts the gate; the channel is closed when all are out.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut, g.idle = true, make(chan struct{})
		if g.n+g.writing == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// inside is how many are at work or waiting.
func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// written is how many answers are being written.
func (g *gate) written() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writing
}

// full says whether the next requests are likely to be refused.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n*10 >= g.most*9
}
