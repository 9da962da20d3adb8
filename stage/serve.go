package stage

// A helper's end.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"criticrm/record"
)

// Duty is a helper's connection to the process that has started it.
type Duty struct {
	Rank, Size int
	lines      chan request
	ended      chan struct{}
	mu         sync.Mutex // of what is written
	out        *os.File
	wrote      [2]int
	said       time.Time
}

type dutyKey struct{}

// OnDuty says whether the context's process is a helper; see Answering.
func OnDuty(ctx context.Context) (*Duty, bool) {
	d, ok := ctx.Value(dutyKey{}).(*Duty)
	return d, ok
}

// Answering makes this process a helper if its environment says so: it tells that it lives, and the context ends with the process that has started
// it. orphaned is called some seconds later, if it is called at all: what has not ended by then is to be ended.
func Answering(ctx context.Context, orphaned func()) (context.Context, error) {
	text := os.Getenv(HelperVariable)
	if text == "" {
		return ctx, nil
	}
	os.Unsetenv(HelperVariable) // it is not for what this process starts
	d := &Duty{lines: make(chan request), ended: make(chan struct{})}
	if n, err := fmt.Sscanf(text, "%d/%d", &d.Rank, &d.Size); n != 2 || err != nil {
		return nil, fmt.Errorf("the environment's %s is %q: it is set by criticrm for processes that it starts itself", HelperVariable, text)
	}
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	in := os.NewFile(3, "requests")
	d.out = os.NewFile(4, "answers")
	ctx, cancel := context.WithCancel(context.WithValue(ctx, dutyKey{}, d))
	go func() {
		defer time.AfterFunc(patience/2, orphaned)
		defer cancel()
		defer close(d.ended)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			var r request
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				return
			}
			select {
			case d.lines <- r:
			case <-ctx.Done(): // but who has started this process may be there still
			}
		}
	}()
	go func() {
		for range time.Tick(beat) {
			d.mu.Lock()
			err := d.tell(&answer{Wrote: &d.wrote})
			d.wrote = [2]int{}
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return ctx, nil
}

// Wrote adds to what the first process is told of progress.
func (d *Duty) Wrote(tokens, finished int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrote[0] += tokens
	d.wrote[1] += finished
}

// tell writes an answer; the lock is held.
func (d *Duty) tell(a *answer, rows ...byte) error {
	b, err := json.Marshal(a)
	if err == nil {
		_, err = d.out.Write(append(append(b, '\n'), rows...))
	}
	return err
}

// Serve does what the process that has started this one asks for, in place of Run: nothing is written, and nothing observed. It ends when the
// other one has nothing more to ask.
func (s *Stage) Serve(ctx context.Context, d *Duty) error {
	own := *s
	r := &execution{Stage: &own, res: &Result{}}
	settings, err := r.settled()
	if err != nil {
		return err
	}
	in, err := record.Open(r.In, r.Read)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := d.answer(&answer{Hello: &asked{r.Name, settings}}, nil); err != nil {
		return err
	}
	at := 0
	for {
		var q request
		select {
		case q = <-d.lines:
		case <-ctx.Done():
			return d.stopped(ctx)
		}
		if q.First < at || q.Records < 1 {
			return fmt.Errorf("%s: asked for %d records behind %d, and stands behind %d", r.Name, q.Records, q.First, at)
		}
		b, err := r.serve(ctx, in, q, &at)
		if ctx.Err() != nil {
			return d.stopped(ctx)
		}
		a := &answer{Bytes: len(b)}
		if err != nil {
			errors.As(err, &a.Row)
			a.Error = err.Error()
		}
		if err := d.answer(a, b); err != nil {
			return err
		}
	}
}

// stopped is the end of a helper: none of its own, or somebody has stopped it alone.
func (d *Duty) stopped(ctx context.Context) error {
	select {
	case <-d.ended:
		return nil
	case <-time.After(beat / 2): // both may have been stopped by one signal
		return fmt.Errorf("stopped: %w", ctx.Err())
	}
}

func (d *Duty) answer(a *answer, rows []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tell(a, rows...)
}

// serve does one chunk; at is where the input stands.
func (r *execution) serve(ctx context.Context, in *record.Reader, q request, at *int) ([]byte, error) {
	for ; *at < q.First; *at++ {
		if _, err := in.Next(); err != nil {
			return nil, fmt.Errorf("%s: %s behind record %d: %w", r.Name, r.In, *at, err)
		}
	}
	chunk, err := r.take(in, q.Records)
	*at += q.Records
	if err == nil {
		err = record.InFile(r.Work(ctx, chunk), r.In)
	}
	if err != nil {
		return nil, err
	}
	return rows(chunk)
}
