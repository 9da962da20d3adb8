package stage

// Several processes on one stage: this one reads, does chunks like the others, and alone writes, in the order of the input. So the output, its
// state, what is observed and where it goes on are those of one process, whatever their number.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"

	"criticrm/record"
)

// Team are processes that do a stage's chunks together: this one, which is rank 0, and helpers, which are given the same command and answer as
// Serve does.
type Team struct {
	Size    int                        // processes, this one too
	Command func(rank int) *exec.Cmd   // of a helper, not started yet
	Finer   bool                       // chunks may be smaller than Stage.Chunk: no result depends on them
	Wrote   func(tokens, finished int) // what helpers say of their progress, from any goroutine; nil: it is not asked for
}

// size is 1 for a stage without a team.
func (t *Team) size() int {
	if t == nil {
		return 1
	}
	return t.Size
}

// LostError is the end of a helper that has not said why: it was killed, or has been silent for too long.
type LostError struct{ text string }

func (e *LostError) Error() string { return e.text }

// task is a chunk under way.
type task struct {
	first int // records before it
	chunk []*record.Record
	rows  []byte // finished, of a helper; else the chunk itself is
	err   error
	done  chan struct{}
}

// crew are the processes at work.
type crew struct {
	todo    chan *task
	lost    chan error // a helper that is no more; nothing can be waited for then
	helpers []*helper
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// ahead is how many chunks a process may be ahead of the first that is not finished: they are kept in memory, and lost by a stop.
const ahead = 2

// start starts the helpers and has all processes wait for tasks.
func (r *execution) start(ctx context.Context) (*crew, error) {
	n := r.Team.Size
	c := &crew{todo: make(chan *task, ahead*n), lost: make(chan error, n)}
	ctx, c.cancel = context.WithCancel(ctx)
	settings, err := r.settled()
	if err != nil {
		return nil, err
	}
	for rank := 1; rank < n; rank++ {
		h, err := startHelper(r.Team, rank, asked{r.Name, settings})
		if err != nil {
			c.end(false)
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		c.helpers = append(c.helpers, h)
	}
	c.running.Go(func() {
		for t := range c.todo {
			if t.err = ctx.Err(); t.err == nil {
				t.err = r.Work(ctx, t.chunk)
			}
			close(t.done)
		}
	})
	for _, h := range c.helpers {
		c.running.Go(func() { c.lost <- h.work(c.todo) })
	}
	return c, nil
}

// end has all processes stop: well, when nothing is left to do, or at once.
func (c *crew) end(well bool) {
	if !well {
		c.cancel()
	}
	close(c.todo)
	for _, h := range c.helpers {
		h.leave(well)
	}
	for _, h := range c.helpers {
		h.wait()
	}
	c.running.Wait()
	c.cancel()
}

// together does what is left in all processes of the team.
func (r *execution) together(ctx context.Context, in *record.Reader) (err error) {
	if err := ctx.Err(); err != nil {
		return r.interrupted(err)
	}
	c, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() { c.end(err == nil) }()
	var queue []*task
	for at := r.side.Done; r.side.Done < r.total; queue = queue[1:] {
		for at < r.total && len(queue) < cap(c.todo) {
			chunk, err := r.next(in, at)
			if err != nil {
				return err
			}
			t := &task{first: r.first + at, chunk: chunk, done: make(chan struct{})}
			queue, at = append(queue, t), at+len(chunk)
			c.todo <- t
		}
		select {
		case <-queue[0].done:
		case err := <-c.lost:
			return fmt.Errorf("%s: %w", r.Name, err)
		case <-ctx.Done():
			return r.interrupted(ctx.Err())
		}
		if err := r.accept(ctx, queue[0]); err != nil {
			return err
		}
		r.report()
	}
	return nil
}

// accept keeps a finished chunk.
func (r *execution) accept(ctx context.Context, t *task) error {
	if err := r.failed(ctx, t.err); err != nil {
		return err
	}
	if t.rows == nil {
		return r.append(t.chunk)
	}
	done, err := r.written(bytes.NewReader(t.rows))
	if err != nil {
		return err
	}
	defer done.Close()
	for i, want := range t.chunk {
		got, err := done.Next()
		if err == nil && !belong(got, want) {
			err = fmt.Errorf("record %.40q, and not %.40q", got.ID, want.ID)
		}
		if err != nil {
			return fmt.Errorf("%s: another process has made of record %d: %w: did %s change?", r.Name, t.first+i+1, err, r.In)
		}
		t.chunk[i] = got
	}
	if _, err := done.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: another process has made more than %d rows of as many records", r.Name, len(t.chunk))
	}
	return r.keep(t.rows, t.chunk)
}
