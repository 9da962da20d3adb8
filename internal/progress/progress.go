// Package progress tells people how far a long stage is: a bar on a terminal, lines elsewhere, the first within seconds.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// IsTerminal says whether a person looks at w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const (
	firstLine = 2 * time.Second        // a stage is silent for at most this long,
	interval  = 10 * time.Second       // and then for this long
	redraw    = 200 * time.Millisecond // of a bar
)

// Meter shows one stage after the other. Its methods are called from one goroutine, but for Wrote.
type Meter struct {
	mu    sync.Mutex
	tell  func(tokens, finished int)
	w     io.Writer
	bar   *progressbar.ProgressBar
	now   func() time.Time
	stage string

	start, last time.Time
	from        int // records done at the start
	done, total int
	samples     int // of a record; 0: not known
	tokens      int // since the start
	finished    int // samples, since the start
	tenth       int
}

// New is a meter that writes to w.
func New(w io.Writer) *Meter { return &Meter{w: w, now: time.Now} }

// Records tells that done of total records are finished, resumed of them by an earlier run; a total of 0 is not known. The first call of a stage
// begins it.
func (m *Meter) Records(stage string, done, total, resumed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stage != m.stage {
		m.begin(stage, done, total, resumed)
		return
	}
	m.done = done
	m.show(done == total && total > 0)
}

// Samples says how many samples a record of the next stages has, from which the time is told that is left before its first record is
// finished.
func (m *Meter) Samples(n int) { m.samples = n }

func (m *Meter) begin(stage string, done, total, resumed int) {
	m.end()
	m.stage, m.start, m.last = stage, m.now(), m.now()
	m.from, m.done, m.total, m.tokens, m.finished, m.tenth = done, done, total, 0, 0, 10*done/max(total, 1)
	if resumed > 0 {
		fmt.Fprintf(m.w, "%s: going on after %d of %d records\n", stage, resumed, total)
	}
	if IsTerminal(m.w) {
		most := total
		if total == 0 {
			most = -1 // it turns
		}
		m.bar = progressbar.NewOptions(most, progressbar.OptionSetWriter(m.w), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(stage))
		_ = m.bar.Set(done) // a bar that cannot be drawn must not stop a run
	}
}

// Tell has f called with what Wrote is told, in place of showing it.
func (m *Meter) Tell(f func(tokens, finished int)) { m.tell = f }

// Wrote adds tokens that went through the model, and samples or rewards that it has finished. It may be called from any goroutine.
func (m *Meter) Wrote(tokens, finished int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tell != nil {
		m.tell(tokens, finished)
		return
	}
	m.tokens, m.finished = m.tokens+tokens, m.finished+finished
	m.show(false)
}

func (m *Meter) show(end bool) {
	if m.stage == "" {
		return
	}
	if m.bar != nil {
		if m.now().Sub(m.last) >= redraw || end {
			m.last = m.now()
			m.bar.Describe(m.stage + " " + m.speed())
			_ = m.bar.Set(m.done)
		}
		return
	}
	tenth := 10 * m.done / max(m.total, 1)
	if m.total == 0 {
		tenth = m.tenth
	}
	if m.done == m.from && end || !end && tenth == m.tenth && !m.late() {
		return
	}
	m.tenth, m.last = tenth, m.now()
	count := fmt.Sprintf("%d/%d", m.done, m.total)
	if m.total == 0 {
		count = fmt.Sprint(m.done)
	}
	fmt.Fprintf(m.w, "%s: %s records, %s\n", m.stage, count, m.speed())
}

// late says whether a stage has been silent for as long as it may be.
func (m *Meter) late() bool {
	since := m.now().Sub(m.last)
	return since >= interval || since >= firstLine && m.last.Equal(m.start)
}

// speed is what stands behind the count: tokens a second, and the time that is left.
func (m *Meter) speed() string {
	seconds := max(m.now().Sub(m.start).Seconds(), 1e-9)
	made := float64(m.done - m.from)
	if m.samples > 0 { // those of records that are not finished yet count too
		made = max(made, float64(m.finished)/float64(m.samples))
	}
	text := ""
	if m.tokens > 0 {
		text = fmt.Sprintf("%.0f tokens/s, ", float64(m.tokens)/seconds)
	} else if rate := made / seconds; rate >= 100 {
		text = fmt.Sprintf("%.0f a second, ", rate)
	} else {
		text = fmt.Sprintf("%.3g a second, ", rate)
	}
	if m.total == 0 {
		return strings.TrimSuffix(text, ", ")
	}
	if made == 0 {
		return text + "no record finished yet"
	}
	left := time.Duration((float64(m.total-m.from) - made) / made * seconds * float64(time.Second))
	return text + Round(left) + " left"
}

// Round is a duration as people say it.
func Round(d time.Duration) string {
	switch {
	case d < time.Minute:
		return max(d, 0).Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Close ends the stage that is shown.
func (m *Meter) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

func (m *Meter) end() {
	if m.bar != nil {
		_ = m.bar.Exit()
		fmt.Fprintln(m.w)
		m.bar = nil
	}
	m.stage = ""
}
