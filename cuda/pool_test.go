package cuda

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

var errFull = errors.New("full")

// driverModel is a driver with so much memory. Segments lie far apart.
type driverModel struct {
	room     int
	next     uintptr
	segments map[uintptr]int
}

func newDriverModel(room int) *driverModel {
	return &driverModel{room: room, next: 1 << 40, segments: map[uintptr]int{}}
}

func (d *driverModel) reserve(bytes int) (uintptr, error) {
	if bytes > d.room {
		return 0, errFull
	}
	d.room -= bytes
	addr := d.next
	d.next += uintptr(bytes) + 1<<30
	d.segments[addr] = bytes
	return addr, nil
}

func (d *driverModel) giveUp(addr uintptr) error {
	bytes, ok := d.segments[addr]
	if !ok {
		return errors.New("the driver does not know this segment")
	}
	delete(d.segments, addr)
	d.room += bytes
	return nil
}

func mustMalloc(t *testing.T, p *pool, bytes int) uintptr {
	t.Helper()
	addr, err := p.malloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestPoolSplitsAndJoins(t *testing.T) {
	d := newDriverModel(1 << 30)
	p := newPool(d.reserve, d.giveUp)
	a, b, c := mustMalloc(t, p, 1), mustMalloc(t, p, 1000), mustMalloc(t, p, 512)
	if b != a+512 || c != b+1024 {
		t.Fatalf("pieces at %#x, %#x, %#x: want neighbours of 512 and 1024 bytes", a, b, c)
	}
	if p.stats.Allocated != 2048 || p.stats.Reserved != smallSegment || p.stats.Segments != 1 {
		t.Errorf("after three small requests: %+v", p.stats)
	}
	p.release(b)
	if got := mustMalloc(t, p, 600); got != b {
		t.Errorf("a request that fits the hole got %#x, want %#x", got, b)
	}
	for _, x := range []uintptr{a, b, c} {
		p.release(x)
	}
	if len(p.free[0]) != 1 || p.free[0][0].size != smallSegment {
		t.Errorf("%d free pieces after everything came back, want the whole segment", len(p.free[0]))
	}
	if err := p.trim(small, middle, large); err != nil || len(d.segments) != 0 || p.stats.Reserved != 0 {
		t.Errorf("trim: %v; %d segments left, %d reserved", err, len(d.segments), p.stats.Reserved)
	}
	if p.stats.HighAllocated != 2048 || p.stats.HighReserved != smallSegment {
		t.Errorf("the most so far: %+v", p.stats)
	}
}

func TestPoolClasses(t *testing.T) {
	d := newDriverModel(1 << 34)
	p := newPool(d.reserve, d.giveUp)
	for _, c := range []struct{ bytes, segment int }{
		{smallPiece, smallSegment}, {smallPiece + 1, middleSegment}, {middlePiece - granule, 0}, {middlePiece + 1, 12 << 20}, {3<<30 + 1, 3<<30 + 2<<20},
	} {
		before := p.stats.Reserved
		mustMalloc(t, p, c.bytes)
		if got := p.stats.Reserved - before; got != c.segment {
			t.Errorf("%d bytes took a segment of %d, want %d", c.bytes, got, c.segment)
		}
	}
}

// The best piece is the smallest that is large enough; a segment of a large request serves one other of nearly the size, or goes back.
func TestPoolBestFit(t *testing.T) {
	d := newDriverModel(1 << 34)
	p := newPool(d.reserve, d.giveUp)
	var at [4]uintptr
	for i := range at {
		at[i] = mustMalloc(t, p, 5<<20-i<<19) // 5, 4.5, 4, 3.5 MiB of a segment
	}
	p.release(at[0])
	p.release(at[2])
	if got := mustMalloc(t, p, 7<<19); got != at[2] {
		t.Errorf("3.5 MiB lie at %#x, want in the piece of 4 MiB at %#x", got, at[2])
	}
	first, second := mustMalloc(t, p, 100<<20), mustMalloc(t, p, 40<<20)
	p.release(first)
	p.release(second)
	if got := mustMalloc(t, p, 95<<20); got != first {
		t.Errorf("95 MiB lie at %#x, want in the segment of 100 MiB at %#x", got, first)
	}
	if before := p.stats.Reserved; mustMalloc(t, p, 30<<20) == second || p.stats.Reserved != before-10<<20 {
		t.Errorf("30 MiB: %d bytes are reserved, before %d: the segment of 40 MiB goes back", p.stats.Reserved, before)
	}
}

// Tensors that grow one after the other, as those of a model do when a longer batch comes, take no more memory than they need.
func TestPoolGrowth(t *testing.T) {
	d := newDriverModel(1 << 36)
	p := newPool(d.reserve, d.giveUp)
	sizes := []int{11 << 20, 300 << 20, 40 << 20, 40 << 20, 150 << 20}
	tensors := make([]uintptr, 10*len(sizes))
	for batch := range 20 {
		for i := range tensors {
			if batch > 0 {
				p.release(tensors[i])
			}
			tensors[i] = mustMalloc(t, p, sizes[i%len(sizes)]/100*(100+batch))
		}
		if limit := p.stats.Allocated + len(tensors)*segmentStep; p.stats.Reserved > limit {
			t.Fatalf("batch %d: %d bytes are reserved for %d in use", batch, p.stats.Reserved, p.stats.Allocated)
		}
	}
}

// Memory that is kept but of no use goes back to the driver before a request fails.
func TestPoolFull(t *testing.T) {
	d := newDriverModel(100 << 20)
	p := newPool(d.reserve, d.giveUp)
	p.release(mustMalloc(t, p, 60<<20))
	keep := mustMalloc(t, p, 10)
	a := mustMalloc(t, p, 90<<20)
	if d.segments[a] != 90<<20 || p.stats.Reserved != 92<<20 {
		t.Errorf("after giving back: %+v", p.stats)
	}
	if _, err := p.malloc(50 << 20); !errors.Is(err, errFull) {
		t.Errorf("no room: %v", err)
	}
	if got := mustMalloc(t, p, 5<<20); d.segments[got] != 6<<20 { // less than a usual segment, which has no room
		t.Errorf("5 MiB have a segment of %d bytes, want 6 MiB", d.segments[got])
	}
	p.release(keep)
	if err := p.drop(); err != nil || len(d.segments) != 0 || len(p.used) != 0 || p.stats.Reserved != 0 || p.stats.Allocated != 0 {
		t.Errorf("drop: %v, %d segments left, %+v", err, len(d.segments), p.stats)
	}
}

func TestPoolDoubleFree(t *testing.T) {
	d := newDriverModel(1 << 30)
	p := newPool(d.reserve, d.giveUp)
	a := mustMalloc(t, p, 10)
	p.release(a)
	defer func() {
		if recover() == nil {
			t.Error("a second free is accepted")
		}
	}()
	p.release(a)
}

func TestPoolLargest(t *testing.T) {
	d := newDriverModel(1 << 34)
	p := newPool(d.reserve, d.giveUp)
	for i := range 20 {
		mustMalloc(t, p, 1000*(1+i%10))
	}
	want := []Request{{10000, 2}, {9000, 2}, {8000, 2}, {7000, 2}, {6000, 2}, {5000, 2}, {4000, 2}, {3000, 2}}
	if !slices.Equal(p.stats.Largest, want) || p.stats.Requests != 20 {
		t.Errorf("largest: %v, %d in all", p.stats.Largest, p.stats.Requests)
	}
}

// Random requests and releases against what must always hold: pieces in use are aligned, inside one segment, apart from each other,
// and large enough; pieces cover their segments; free neighbours are joined; the statistics add up.
func TestPoolRandom(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := newDriverModel(120 << 20)
		p := newPool(d.reserve, d.giveUp)
		live := map[uintptr]int{}
		refused := 0
		for range 600 {
			if r.IntN(5) < 3 {
				bytes := 1 + r.IntN(1<<(1+r.IntN(25)))
				addr, err := p.malloc(bytes)
				if err != nil {
					refused++
				} else {
					live[addr] = bytes
				}
			} else if len(live) > 0 {
				keys := slices.Sorted(maps.Keys(live))
				addr := keys[r.IntN(len(keys))]
				p.release(addr)
				delete(live, addr)
			}
			checkPool(t, p, d, live)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		if seed == 0 && refused == 0 {
			t.Error("no request was ever refused: the test does not reach a full device")
		}
		if err := p.drop(); err != nil || len(d.segments) != 0 {
			t.Fatalf("seed %d: drop: %v, %d segments left", seed, err, len(d.segments))
		}
	}
}

func checkPool(t *testing.T, p *pool, d *driverModel, live map[uintptr]int) {
	pieces := map[uintptr]*piece{}
	allocated := 0
	for addr, b := range p.used {
		pieces[addr] = b
		allocated += b.size
		if live[addr] == 0 || b.size < live[addr] || addr%granule != 0 {
			t.Errorf("a piece of %d bytes at %#x for a request of %d", b.size, addr, live[addr])
		}
	}
	if len(p.used) != len(live) || p.stats.Allocated != allocated {
		t.Errorf("%d pieces with %d bytes, want %d requests with %d", len(p.used), p.stats.Allocated, len(live), allocated)
	}
	for _, list := range p.free {
		if !slices.IsSortedFunc(list, order) {
			t.Error("a list of free pieces is not sorted")
		}
		for _, b := range list {
			pieces[b.addr] = b
			if b.used || b.next != nil && !b.next.used {
				t.Errorf("the free piece at %#x has a free neighbour", b.addr)
			}
		}
	}
	reserved := 0
	for addr, bytes := range d.segments {
		reserved += bytes
		for at := addr; at < addr+uintptr(bytes); {
			b := pieces[at]
			if b == nil || b.size <= 0 {
				t.Errorf("nothing covers %#x", at)
				return
			}
			delete(pieces, at)
			at += uintptr(b.size)
		}
	}
	if len(pieces) != 0 || reserved != p.stats.Reserved || len(d.segments) != p.stats.Segments || p.stats.HighReserved < reserved {
		t.Errorf("%d pieces outside of segments; %d bytes reserved: %+v", len(pieces), reserved, p.stats)
	}
}
