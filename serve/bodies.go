package serve

import (
	"errors"
	"io"
	"sync"
)

// bodies bounds the bytes of bodies that are in memory at once: a connection sends one before there is a place for it in the queue.
type bodies struct {
	mu         sync.Mutex
	held, most int64
}

func (b *bodies) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held+n > b.most {
		return false
	}
	b.held += n
	return true
}

func (b *bodies) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
}

var errBodies = errors.New("serve: no room for a body")

// bounded reads a body as long as there is room, and knows what it has taken.
type bounded struct {
	r    io.Reader
	of   *bodies
	held int64
}

func (b *bounded) Read(p []byte) (n int, err error) {
	n, err = b.r.Read(p)
	if !b.of.take(int64(n)) {
		return 0, errBodies
	}
	b.held += int64(n)
	return n, err
}
