package cuda

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// pool hands out pieces of large segments of device memory and keeps what comes back for the next request, since the driver's
// own calls wait for the device. All work is on one stream: memory that is given back may be used by whatever is queued next.
//
// Pieces are whole granules. Up to smallPiece they come from segments of smallSegment, up to middlePiece from segments of
// middleSegment. The smallest free piece that is large enough is taken, the lowest of equals, and split; neighbours that are free are
// joined again. Larger requests have a segment each, which nothing else uses a part of. Before one is made, those that nobody uses go
// back to the driver, unless one is of nearly the size: tensors that grow one after the other leave nothing behind.
type pool struct {
	reserve func(bytes int) (addr uintptr, err error) // a segment from the driver
	giveUp  func(addr uintptr) error                  // of what reserve gave, when the device is done with it

	free  [3][]*piece // of small, middle and other segments, by (size, address)
	used  map[uintptr]*piece
	stats Stats
}

const (
	granule       = 512
	smallPiece    = 1 << 20
	smallSegment  = 2 << 20
	middlePiece   = 10 << 20
	middleSegment = 20 << 20
	segmentStep   = 2 << 20 // size of the other segments
	closeFit      = 16      // a segment serves a large request that leaves at most this part of it
)

// Classes of pieces and segments.
const (
	small = iota
	middle
	large
)

// piece is a part of a segment. Its neighbours cover the segment.
type piece struct {
	addr       uintptr
	size       int
	prev, next *piece
	class      int // index in pool.free
	used       bool
}

// Stats say how a device's memory is used, in bytes. High is the most so far.
type Stats struct {
	Allocated, HighAllocated int // in use
	Reserved, HighReserved   int // taken from the driver: in use or kept for the next request
	Requests, Segments       int // Malloc calls; driver's allocations now
	Largest                  []Request
}

// Request counts the requests of one size.
type Request struct{ Bytes, Times int }

const largestKept = 8

func newPool(reserve func(int) (uintptr, error), giveUp func(uintptr) error) *pool {
	return &pool{reserve: reserve, giveUp: giveUp, used: map[uintptr]*piece{}}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// order is by size, then by address.
func order(a, b *piece) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.addr, b.addr)) }

// find gives a free piece of at least the size, and whether there is one.
func (p *pool) find(class, size int) (*piece, bool) {
	i, _ := slices.BinarySearchFunc(p.free[class], &piece{size: size}, order)
	if i == len(p.free[class]) {
		return nil, false
	}
	return p.free[class][i], true
}

func (p *pool) insert(b *piece) {
	i, _ := slices.BinarySearchFunc(p.free[b.class], b, order)
	p.free[b.class] = slices.Insert(p.free[b.class], i, b)
}

func (p *pool) remove(b *piece) {
	i, ok := slices.BinarySearchFunc(p.free[b.class], b, order)
	if !ok {
		panic("cuda: the list of free memory is broken")
	}
	p.free[b.class] = slices.Delete(p.free[b.class], i, i+1)
}

// malloc gives memory of at least so many bytes. If the driver has no more, segments that nothing is in go back to it first; the
// error is the driver's.
func (p *pool) malloc(bytes int) (uintptr, error) {
	p.note(bytes)
	size := max(roundUp(bytes, granule), granule)
	class, segment := large, roundUp(size, segmentStep)
	switch {
	case size <= smallPiece:
		class, segment = small, smallSegment
	case size <= middlePiece:
		class, segment = middle, middleSegment
	}
	b, ok := p.find(class, size)
	if !ok || class == large && b.size-size > b.size/closeFit {
		var err error
		if b, err = p.segment(class, size, segment); err != nil {
			return 0, err
		}
	} else {
		p.remove(b)
	}
	p.split(b, size)
	b.used = true
	p.used[b.addr] = b
	p.stats.Allocated += b.size
	p.stats.HighAllocated = max(p.stats.HighAllocated, p.stats.Allocated)
	return b.addr, nil
}

// segment gives a new segment of so many bytes, or of just enough for a request of size.
func (p *pool) segment(class, size, bytes int) (*piece, error) {
	if class == large {
		if err := p.trim(large); err != nil {
			return nil, err
		}
	}
	addr, err := p.reserve(bytes)
	if err != nil {
		if failed := p.trim(small, middle, large); failed != nil {
			return nil, failed
		}
		bytes = roundUp(size, segmentStep)
		if addr, err = p.reserve(bytes); err != nil {
			return nil, err
		}
	}
	p.stats.Reserved += bytes
	p.stats.HighReserved = max(p.stats.HighReserved, p.stats.Reserved)
	p.stats.Segments++
	return &piece{addr: addr, size: bytes, class: class}, nil
}

// split cuts a piece to size, where what is left is worth keeping apart.
func (p *pool) split(b *piece, size int) {
	least := [...]int{granule, smallPiece + granule, math.MaxInt}[b.class] // smaller requests do not come here
	if b.size-size < least {
		return
	}
	rest := &piece{addr: b.addr + uintptr(size), size: b.size - size, class: b.class, prev: b, next: b.next}
	if b.next != nil {
		b.next.prev = rest
	}
	b.next, b.size = rest, size
	p.insert(rest)
}

// release takes back what malloc gave.
func (p *pool) release(addr uintptr) {
	b := p.used[addr]
	if b == nil {
		panic(fmt.Sprintf("cuda: free of %#x, which is not allocated", addr))
	}
	delete(p.used, addr)
	b.used = false
	p.stats.Allocated -= b.size
	if n := b.next; n != nil && !n.used {
		p.remove(n)
		p.join(b)
	}
	if n := b.prev; n != nil && !n.used {
		p.remove(n)
		b = n
		p.join(b)
	}
	p.insert(b)
}

// join adds the next piece to b.
func (p *pool) join(b *piece) {
	n := b.next
	b.size += n.size
	if b.next = n.next; b.next != nil {
		b.next.prev = b
	}
}

// trim gives segments of some classes that nothing is in back to the driver.
func (p *pool) trim(classes ...int) error {
	for _, class := range classes {
		list := p.free[class]
		var kept []*piece // parts of segments that are in use
		for i, b := range list {
			if b.prev != nil || b.next != nil {
				kept = append(kept, b)
				continue
			}
			if err := p.giveUp(b.addr); err != nil {
				p.free[class] = append(kept, list[i:]...)
				return err
			}
			p.stats.Reserved -= b.size
			p.stats.Segments--
		}
		p.free[class] = kept
	}
	return nil
}

// drop gives everything back, also what is in use.
func (p *pool) drop() error {
	for addr := range p.used {
		p.release(addr)
	}
	return p.trim(small, middle, large)
}

// note counts a request among the largest.
func (p *pool) note(bytes int) {
	s := &p.stats
	s.Requests++
	i, ok := slices.BinarySearchFunc(s.Largest, bytes, func(r Request, n int) int { return cmp.Compare(n, r.Bytes) })
	switch {
	case ok:
		s.Largest[i].Times++
	case i < largestKept:
		s.Largest = slices.Insert(s.Largest, i, Request{bytes, 1})
		s.Largest = s.Largest[:min(len(s.Largest), largestKept)]
	}
}
