package record

// A file read by one goroutine while several others work on its records.

import (
	"context"
	"io"
	"sync"
)

// ahead is how many rows may wait for each goroutine that works on them.
const ahead = 8

// Each goes through a file, in place of Next: do is called with every record, on up to workers goroutines at once and in no order; keep gets
// what came of it in the order of the file, one record after the other on the caller's goroutine. Few rows are read ahead. A RowError of do
// makes the row bad, as one of ReadOptions.Check does (which must be nil): of such a row nothing is kept, not its other records either. Any
// other error ends the reading: do's, keep's, or ctx's. Of several faults the first in the file is the error, whatever was met first.
func Each[T any](ctx context.Context, r *Reader, workers int, do func(*Record) (T, error), keep func(*Record, T) error) error {
	if r.o.Check != nil || len(r.waiting) > 0 || workers < 1 {
		panic("record: Each wants no Check, no row half read by Next, and workers")
	}
	type job struct {
		*found
		out  []T
		done chan struct{}
	}
	queue, work, stop := make(chan *job, ahead*workers), make(chan *job, ahead*workers), make(chan struct{})
	var all sync.WaitGroup
	var last error // of the reading; read behind the end of queue
	all.Go(func() {
		defer close(work)
		defer close(queue)
		for {
			f, err := r.row()
			if err != nil {
				last = err
				return
			}
			j := &job{found: f, done: make(chan struct{})}
			for _, to := range [...]chan *job{queue, work} {
				select {
				case to <- j:
				case <-stop:
					return
				}
			}
		}
	})
	for range workers {
		all.Go(func() {
			for j := range work {
				for _, rec := range j.list {
					if j.err != nil {
						break
					}
					var x T
					x, j.err = do(rec)
					j.out = append(j.out, x)
				}
				close(j.done)
			}
		})
	}
	err := func() error {
		for j := range queue {
			<-j.done
			if err := ctx.Err(); err != nil {
				return err
			}
			list, err := r.take(j.found)
			if err != nil {
				return err
			}
			for i, rec := range list {
				r.waiting = list[i+1:] // Mark asks
				if err := keep(rec, j.out[i]); err != nil {
					return err
				}
			}
		}
		return last
	}()
	close(stop)
	all.Wait()
	if err = r.end(err); err == io.EOF {
		return nil
	}
	return err
}
