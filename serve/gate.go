package serve

import (
	"net/http"
	"sync"
	"time"
)

// gate lets requests in to be worked on, so many at once, until it is closed.
type gate struct {
	mu      sync.Mutex
	most, n int
	shut    bool
	idle    chan struct{} // closed when the gate is shut and nobody is inside
	last    time.Time     // when a request left
	apart   float64       // seconds between those that leave, as of late
}

// enter lets a request in, or says why not.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.shut:
		return draining()
	case g.n >= g.most:
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

// leave lets a request out.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	const weight = 1.0 / 16
	now := time.Now()
	if !g.last.IsZero() {
		g.apart += (now.Sub(g.last).Seconds() - g.apart) * weight
	}
	g.last = now
	if g.n--; g.n == 0 && g.shut {
		close(g.idle)
	}
}

// close shuts the gate; the channel is closed when all are out.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut, g.idle = true, make(chan struct{})
		if g.n == 0 {
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

// inside is how many are in.
func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// full says whether the next requests are likely to be refused.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n*10 >= g.most*9
}
