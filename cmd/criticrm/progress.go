package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"criticrm/stage"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// isTerminal says whether a person looks at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// lineInterval is the longest silence of a stage that is not on a terminal, as far as its chunks allow.
const lineInterval = 10 * time.Second

// progress shows how far a stage is: a bar on a terminal, elsewhere a line for every tenth and every lineInterval.
type progress struct {
	w     io.Writer
	bar   *progressbar.ProgressBar
	start time.Time
	from  int // records done at the start
	tenth int
	last  time.Time
	begun bool
}

func newProgress(w io.Writer) *progress { return &progress{w: w} }

func (p *progress) stage(s stage.Progress) { p.report(s.Stage, s.Done, s.Total, s.Resumed) }

func (p *progress) report(what string, done, total, resumed int) {
	now := time.Now()
	if !p.begun {
		p.begun, p.start, p.from, p.last = true, now, done, now
		if isTerminal(p.w) {
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
				progressbar.OptionSetItsString("records"), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(what))
		}
		if resumed > 0 {
			fmt.Fprintf(p.w, "%s: going on after %d of %d records\n", what, resumed, total)
		}
	}
	if p.bar != nil {
		_ = p.bar.Set(done) // a bar that cannot be drawn must not stop a run
		return
	}
	tenth := 10 * done / max(total, 1)
	if done == p.from || tenth == p.tenth && now.Sub(p.last) < lineInterval && done < total {
		return
	}
	p.tenth, p.last = tenth, now
	rate := float64(done-p.from) / max(now.Sub(p.start).Seconds(), 1e-9)
	left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.w, "%s: %d/%d records, %.3g a second, %v left\n", what, done, total, rate, left)
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.w)
	}
}
