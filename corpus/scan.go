package corpus

// A file is read by one goroutine, measured by several, and added up in the order of its rows.

import (
	"context"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"sync"

	"criticrm/record"
	"criticrm/stage"
)

// Options say how files are looked at. The zero value counts characters and compares nothing.
type Options struct {
	Read      record.ReadOptions
	Stdin     io.Reader // what "-" stands for
	Tokens    Counter
	MaxLength int // tokens of the longest conversation; 0: no limit
	Index     *Index
	Draws     int     // of the bootstrap behind File.Bias; 0: there is none
	Level     float64 // of its interval
	Seed      uint64
	Progress  func(records int) // now and then

	paths bool // files are named by their paths: several may have the same base
}

// Counter counts tokens; it is called from several goroutines. A nil function is of what is not known.
type Counter struct {
	Text  func(text string) int
	Whole func(r *record.Record) (int, error) // of the longest of its conversations
}

// AnyBad is ReadOptions.MaxBad for a file whose bad rows are counted by reason, however many there are.
const AnyBad = math.MaxInt

// batch is consecutive records.
type batch struct {
	records []*record.Record
	bad     []error
	err     error // behind them; io.EOF at the end
	done    chan []measured
}

const batchSize = 64

// open opens a file of rows, "-" for standard input.
func (o *Options) open(path string) (*record.Reader, error) {
	if path == "-" && o.Stdin != nil {
		return record.NewReader(o.Stdin, "standard input", o.Read)
	}
	return record.Open(path, o.Read)
}

// Scan reads a file and finds its facts. keep, which may be nil, gets every record before it is counted, and may change it; an error of it ends the
// reading.
func Scan(ctx context.Context, path string, o Options, keep func(*record.Record) error) (*File, error) {
	in, err := o.open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f := newFile(in.Name(), o)
	if !o.paths {
		f.Name = filepath.Base(f.Name)
	}
	if o.Index != nil {
		o.Index.file()
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	ordered, work := make(chan *batch, 2*workers), make(chan *batch, 2*workers)
	group.Go(func() { read(ctx, in, o.Read.MaxBad == AnyBad, ordered, work) })
	for range workers {
		group.Go(func() {
			for b := range work {
				list := make([]measured, len(b.records))
				for i, rec := range b.records {
					list[i] = o.measure(rec)
				}
				b.done <- list
			}
		})
	}
	for b := range ordered {
		for _, m := range <-b.done {
			if err = ctx.Err(); err != nil {
				return nil, err
			}
			if keep != nil {
				if err = keep(m.rec); err != nil {
					return nil, record.InFile(err, in.Name())
				}
			}
			if err = f.add(&m); err != nil {
				return nil, err
			}
		}
		f.bad(b.bad)
		if o.Progress != nil {
			o.Progress(f.Rows)
		}
		if b.err != nil && b.err != io.EOF {
			return nil, b.err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if path != "-" {
		for _, err := range []error{stage.Unfinished(path), stage.Altered(in)} {
			if err != nil {
				f.Unsound = append(f.Unsound, err)
			}
		}
	}
	return f, f.finish(in)
}

// read cuts a file into batches; drain takes the bad rows out of the reader, so that their number has no bound.
func read(ctx context.Context, in *record.Reader, drain bool, ordered, work chan<- *batch) {
	defer close(work)
	defer close(ordered)
	for {
		b := &batch{done: make(chan []measured, 1)}
		for len(b.records) < batchSize && b.err == nil {
			rec, err := in.Next()
			if err != nil {
				b.err = err
				break
			}
			b.records = append(b.records, rec)
			if drain {
				b.bad, in.Bad = append(b.bad, in.Bad...), nil
			}
		}
		for _, to := range []chan<- *batch{work, ordered} {
			select {
			case to <- b:
			case <-ctx.Done():
				return
			}
		}
		if b.err != nil {
			return
		}
	}
}
