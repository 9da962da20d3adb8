// Package trace writes when a process did what, in Chrome's trace event format (JSON), which Perfetto and chrome://tracing open. There is one
// recorder in a process, or none: then a span costs a load and a branch.
package trace

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Row is a line of a rank's in the picture. Spans of a row follow each other or lie in each other.
type Row int

// The rows of a rank.
const (
	Compute       Row = 1 // what the device is given to do: on the CPU it has done so at a span's end, on a GPU the host has queued it
	Communication Row = 2 // collective calls, from their begin to their end; those that overlap have rows of their own
	Host          Row = 3 // packing, reading figures, evaluation, checkpoints
	Writing       Row = 4 // of checkpoints, beside the training
	lanes         Row = 8 // further rows of Communication are behind this one
)

// flushAfter is how much is kept back before it is written, and for how long.
const flushBytes, flushTime = 1 << 16, time.Second

// tail ends the file, and is written over by what follows.
const tail = "\n]\n"

type recorder struct {
	mu      sync.Mutex
	f       *os.File
	rank    int
	began   time.Time // with the monotonic clock
	buf     []byte
	at      int64 // of the tail
	flushed time.Time
	busy    []bool // lanes of Communication
	failed  error
}

var active atomic.Pointer[recorder]

// Who is what is said of a process.
type Who struct {
	Rank   int
	Device string // cpu, or another one
}

// Start begins to record into a file, which is valid JSON at every moment that follows, but for one in which it is written. stop ends that
// and gives the first error that there was; what was recorded before that is kept.
func Start(path string, w Who) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	r := &recorder{f: f, rank: w.Rank, began: time.Now()}
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	r.names(w, host)
	if !active.CompareAndSwap(nil, r) {
		f.Close()
		return nil, fmt.Errorf("trace: this process records already")
	}
	return func() error {
		active.CompareAndSwap(r, nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flush()
		if err := r.f.Close(); r.failed == nil {
			r.failed = err
		}
		if r.failed != nil {
			return fmt.Errorf("trace: %w", r.failed)
		}
		return nil
	}, nil
}

// names says what the rows are.
func (r *recorder) names(w Who, host string) {
	compute := "compute"
	if w.Device != "cpu" {
		compute = "queueing of compute (host)"
	}
	r.meta("process_name", 0, fmt.Sprintf("rank %d (%s, process %d, %s)", w.Rank, host, os.Getpid(), w.Device))
	for i, name := range []string{compute, "communication", "host", "checkpoint writing"} {
		r.meta("thread_name", Compute+Row(i), name)
	}
	r.flush()
}

func (r *recorder) meta(what string, row Row, name string) {
	text, _ := json.Marshal(name) // a string
	r.event(fmt.Appendf(nil, `{"ph":"M","pid":%d,"tid":%d,"name":%q,"args":{"name":%s}}`, r.rank, row, what, text))
}

// event keeps an event until it is written.
func (r *recorder) event(b []byte) {
	if r.at > 0 || len(r.buf) > 0 {
		r.buf = append(r.buf, ",\n"...)
	} else {
		r.buf = append(r.buf, "[\n"...)
	}
	r.buf = append(r.buf, b...)
}

// flush writes what was kept back, and the tail.
func (r *recorder) flush() {
	r.flushed = time.Now()
	if len(r.buf) == 0 || r.failed != nil {
		r.buf = r.buf[:0]
		return
	}
	n := len(r.buf)
	if _, r.failed = r.f.WriteAt(append(r.buf, tail...), r.at); r.failed == nil {
		r.at += int64(n)
	}
	r.buf = r.buf[:0]
}

// Span is something that lasts. The zero value is of a process that does not record.
type Span struct {
	r     *recorder
	row   Row
	name  string
	begun time.Duration
}

// Begin begins a span; End ends it.
func Begin(row Row, name string) Span {
	r := active.Load()
	if r == nil {
		return Span{}
	}
	return Span{r, row, name, time.Since(r.began)}
}

// BeginNumbered is Begin with a number behind the name.
func BeginNumbered(row Row, name string, n int) Span {
	s := Begin(row, name)
	if s.r != nil {
		s.name += " " + strconv.Itoa(n)
	}
	return s
}

// BeginCall begins a span of Communication that may overlap others.
func BeginCall(name string) Span {
	s := Begin(Communication, name)
	if s.r == nil {
		return s
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	lane := slices.Index(s.r.busy, false)
	if lane < 0 {
		lane = len(s.r.busy)
		if s.r.busy = append(s.r.busy, false); lane > 0 {
			s.r.meta("thread_name", lanes+Row(lane), fmt.Sprintf("communication %d", lane+1))
		}
	}
	if s.r.busy[lane] = true; lane > 0 {
		s.row = lanes + Row(lane)
	}
	return s
}

// Number is something that is counted of a span, such as its bytes.
type Number struct {
	Name string
	N    int64
}

// End ends the span.
func (s Span) End() { s.EndWith() }

// EndWith ends the span and says numbers of it.
func (s Span) EndWith(numbers ...Number) {
	r := s.r
	if r == nil {
		return
	}
	end := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _ := json.Marshal(s.name) // a string
	b := fmt.Appendf(nil, `{"ph":"X","pid":%d,"tid":%d,"ts":%s,"dur":%s,"name":%s`, r.rank, s.row, micros(r.began.UnixNano()+int64(s.begun)), micros(int64(end-s.begun)), text)
	between := `,"args":{`
	for _, x := range numbers {
		b = fmt.Appendf(b, `%s%q:%d`, between, x.Name, x.N)
		between = ","
	}
	if len(numbers) > 0 {
		b = append(b, '}')
	}
	r.event(append(b, '}'))
	switch {
	case s.row == Communication:
		r.busy[0] = false
	case s.row > lanes:
		r.busy[s.row-lanes] = false
	}
	if len(r.buf) > flushBytes || time.Since(r.flushed) > flushTime {
		r.flush()
	}
}

// micros writes nanoseconds as microseconds, as the format has them.
func micros(ns int64) string { return fmt.Sprintf("%d.%03d", ns/1000, ns%1000) }
