package serve

// Answers in parts: server-sent events, and texts that grow by tokens.

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// stream writes server-sent events. It is used by one goroutine.
type stream struct {
	c     *call
	ctl   *http.ResponseController
	wrote bool
	gone  bool      // the client does not read
	last  time.Time // of all writing, however little of it is read at a time
}

// open begins to answer in events. Nothing is sent before the first of them, so that what fails first is answered as elsewhere.
func (c *call) open() *stream {
	s := &stream{c: c, ctl: http.NewResponseController(c.w)}
	if limit, ok := c.ctx.Deadline(); ok {
		s.last = limit.Add(c.s.patience)
	}
	return s
}

// send sends a value as an event.
func (s *stream) send(v any) error {
	var b bytes.Buffer
	b.WriteString("data: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.WriteByte('\n')
	return s.write(b.Bytes())
}

// end sends the event that ends OpenAI's streams.
func (s *stream) end() error { return s.write([]byte("data: [DONE]\n\n")) }

// fail sends an error as the last event.
func (s *stream) fail(body any) {
	if !s.gone {
		_ = s.send(body)
	}
}

func (s *stream) write(b []byte) error {
	if !s.wrote {
		s.wrote = true
		h := s.c.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		s.c.status, s.c.stream = http.StatusOK, s
		s.c.w.WriteHeader(http.StatusOK)
	}
	until := time.Now().Add(s.c.s.patience)
	if !s.last.IsZero() && s.last.Before(until) {
		until = s.last
	}
	_ = s.ctl.SetWriteDeadline(until)
	_, err := s.c.w.Write(b)
	if err == nil {
		err = s.ctl.Flush()
	}
	if err != nil {
		s.gone = true
		return gone()
	}
	return nil
}

// feed carries tokens from the model to the goroutine that writes the answer, and never waits.
type feed struct {
	mu     sync.Mutex
	list   []drawn
	signal chan struct{} // has room for one
}

// drawn are tokens of a sample of an item, or, without tokens, an item's verdict.
type drawn struct {
	item, sample int
	ids          []int32
	verdict      *verdict
}

func newFeed() *feed { return &feed{signal: make(chan struct{}, 1)} }

func (f *feed) put(d drawn) {
	f.mu.Lock()
	d.ids = slices.Clone(d.ids)
	f.list = append(f.list, d)
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

func (f *feed) take() []drawn {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.list
	f.list = nil
	return list
}

// follow does the work on a goroutine of its own and gives each what it feeds, in order, until the work is done; its error is follow's.
func (f *feed) follow(work func() error, each func(d drawn) error) error {
	done := make(chan error, 1)
	go func() { done <- Safely(work) }()
	var failed error // of each: the client is gone, or all is said that will be; the work ends by its context
	give := func() {
		for _, d := range f.take() {
			if failed == nil {
				failed = each(d)
			}
		}
	}
	for {
		select {
		case <-f.signal:
			give()
		case err := <-done:
			give()
			if failed != nil {
				return failed
			}
			return err
		}
	}
}

// growing is a text that grows by tokens.
type growing struct {
	decode func([]int32) string
	ends   []int32
	stops  []string // the text ends in front of the first of these

	ids   []int32
	from  int    // decoding begins at this token: far enough back that what follows is spelled as in the whole
	known int    // tokens that text has
	text  string // all that is sure
	sent  int    // bytes of text that next has given
	ended bool   // by a stop string
	over  bool   // an end token came
}

// add adds tokens.
func (g *growing) add(ids []int32) {
	for _, id := range ids {
		if g.ended || g.over {
			return
		}
		g.ids = append(g.ids, id)
		if slices.Contains(g.ends, id) {
			g.over = true
			return
		}
		before, all := g.decode(g.ids[g.from:g.known]), g.decode(g.ids[g.from:])
		if !strings.HasPrefix(all, before) || incomplete(all) {
			continue // a character of which a part is there
		}
		g.grow(all[len(before):])
		g.from, g.known = g.known, len(g.ids)
	}
}

// grow appends text, and looks for stop strings at its end.
func (g *growing) grow(more string) {
	was := len(g.text)
	g.text += more
	at := -1
	for _, stop := range g.stops {
		from := max(0, was-len(stop)+1)
		if i := strings.Index(g.text[from:], stop); i >= 0 && (at < 0 || from+i < at) {
			at = from + i
		}
	}
	if at >= 0 {
		g.text, g.ended = g.text[:at], true
	}
}

// close says that no tokens follow, and what the whole text is, which what was said is the beginning of.
func (g *growing) close(whole string) {
	if g.ended {
		return
	}
	if rest, ok := strings.CutPrefix(whole, g.text); ok {
		g.grow(rest)
	}
}

// next is what is new and will not be taken back; last says that nothing follows.
func (g *growing) next(last bool) string {
	end := len(g.text)
	if !last && !g.ended {
		for _, stop := range g.stops {
			for n := min(len(stop)-1, len(g.text)); n > 0; n-- { // it may be the beginning of a stop string
				if strings.HasSuffix(g.text, stop[:n]) {
					end = min(end, len(g.text)-n)
					break
				}
			}
		}
	}
	if end <= g.sent {
		return ""
	}
	part := g.text[g.sent:end]
	g.sent = end
	return part
}

// incomplete says whether a text ends in a part of a character.
func incomplete(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return r == utf8.RuneError && s != ""
}
