package trainer

// A page about the training that is made again while it lasts. What is on it is not the trainer's: Report.Page makes it, from the files of the run.

import "time"

// pageEvery is the least time between two pages of a run, but for those of evaluations; pageShare is how many times as long as one took the run goes on before the next.
const (
	pageEvery = 30 * time.Second
	pageShare = 20
)

// pages makes them beside the training, one at a time.
type pages struct {
	busy  chan pageMade // nil: none is being made
	next  time.Time     // when the next one is due
	again bool          // an evaluation came while one was being made
	told  bool          // that one has failed
}

type pageMade struct {
	took time.Duration
	err  error
}

// page has the page made if it is due: behind an evaluation, or some time behind the last one.
func (r *run) page(evaluated bool) {
	if r.report.Page == nil || r.log == nil {
		return
	}
	p := &r.pages
	p.again = p.again || evaluated
	if p.next.IsZero() {
		p.next = time.Now().Add(pageEvery)
	}
	if p.busy != nil {
		select {
		case x := <-p.busy:
			r.pageDone(x)
		default:
			return
		}
	}
	if !p.again && time.Now().Before(p.next) {
		return
	}
	p.again, p.busy = false, make(chan pageMade, 1)
	make, dir, done := r.report.Page, r.c.OutputDir, p.busy
	go func() {
		start := time.Now()
		err := make(dir, true)
		done <- pageMade{time.Since(start), err}
	}()
}

// pageDone takes note of a page. One that cannot be made is told once, and training goes on.
func (r *run) pageDone(x pageMade) {
	p := &r.pages
	p.busy, p.next = nil, time.Now().Add(max(pageEvery, pageShare*x.took))
	if x.err != nil && !p.told {
		p.told = true
		r.console.say("the report of the training is not written: %v", x.err)
	}
}

// lastPage makes the page of a training that has ended, in whatever way; of one that had nothing left to do it stays as it is.
func (r *run) lastPage() {
	if r.report.Page == nil || r.log == nil {
		return
	}
	if busy := r.pages.busy; busy != nil {
		r.pageDone(<-busy)
	}
	if r.result.MicroBatches > 0 {
		r.pageDone(pageMade{err: r.report.Page(r.c.OutputDir, false)})
	}
}
