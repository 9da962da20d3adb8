package corpus

// A file is measured by several goroutines and added up in the order of its rows.

import (
	"context"
	"errors"
	"math"
	"runtime"
	"time"

	"criticrm/record"
	"criticrm/stage"
)

// Options say how files are looked at. The zero value counts characters and compares nothing.
type Options struct {
	Read      record.ReadOptions
	Tokens    Counter
	MaxLength int // tokens of the longest conversation; 0: no limit
	Index     *Index
	Draws     int     // of the bootstrap behind File.Bias; 0: there is none
	Level     float64 // of its interval
	Seed      uint64
	Progress  func(at Position) // now and then
	Restart   bool              // forget what an interrupted run has left
	StateDir  string            // where Check keeps what it has measured, for when it is interrupted; "": nowhere
	Resumed   func(rows int)    // is told how many rows of an interrupted run are taken over

	paths  bool          // files are named by their paths: several may have the same base
	limits *limits       // of what is in memory; nil: inMemory
	every  time.Duration // between two savings of the state; 0: stateEvery, below 0: behind each row
	saved  func()        // is called behind each of them
}

func (o *Options) memory() limits {
	if o.limits != nil {
		return *o.limits
	}
	return inMemory
}

// Counter counts tokens; it is called from several goroutines. A nil function is of what is not known.
type Counter struct {
	Name  string // of what counts: another one has another name
	Text  func(text string) int
	Whole func(r *record.Record) (int, error) // of the longest of its conversations
}

// AnyBad is ReadOptions.MaxBad for a file whose bad rows are counted by reason, however many there are.
const AnyBad = math.MaxInt

// Position is how far the reading is.
type Position struct {
	Rows     int
	Read, Of int64 // stored bytes; Of is 0 if nobody knows
}

func position(rows int, in *record.Reader) Position {
	at := Position{Rows: rows}
	at.Read, at.Of = in.Progress()
	return at
}

// often is how many records lie between two calls of Progress.
const often = 64

// Scan reads a file and finds its facts. keep, which may be nil, gets every record before it is counted, and may change its category; an error of it ends the reading. The caller closes the file.
func Scan(ctx context.Context, path string, o Options, keep func(*record.Record) error) (*File, error) {
	return o.scan(ctx, path, nil, keep, nil)
}

// scan is Scan with a journal; each gets what every record is counted by, those of an earlier run too.
func (o Options) scan(ctx context.Context, path string, j *journal, keep func(*record.Record) error, each func(*measured) error) (*File, error) {
	check := o.Read.Check
	o.Read.Check, o.Read.Marks = nil, j != nil // Each asks it, on several goroutines
	in, err := record.Open(path, o.Read)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f := newFile(in.Name(), o)
	if !o.paths {
		f.Name = record.Title(path)
	}
	if o.Index != nil {
		o.Index.file()
	}
	measure := func(rec *record.Record) (m measured, err error) {
		if check != nil {
			err = check(rec)
		}
		if err == nil {
			m = o.measure(rec, f.Name)
			err = j.line(&m)
		}
		return m, err
	}
	add := func(m *measured) error {
		if each != nil {
			if err := each(m); err != nil {
				return err
			}
		}
		if o.Progress != nil && f.Rows%often == 0 {
			o.Progress(position(f.Rows, in))
		}
		return f.add(m)
	}
	if err := j.replay(ctx, in, f, add); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	err = record.Each(ctx, in, runtime.GOMAXPROCS(0), measure, func(rec *record.Record, m measured) error {
		if keep != nil {
			if err := keep(rec); err != nil {
				return record.InFile(err, in.Name())
			}
			m.Group = rec.Group()
		}
		var bad []error
		if o.Read.MaxBad == AnyBad { // their number has no bound
			bad, in.Bad = in.Bad, nil
			f.bad(bad)
		}
		if err := j.put(&m, bad); err != nil {
			return err
		}
		if err := add(&m); err != nil {
			return err
		}
		return j.look(in, f.Rows)
	})
	if j != nil {
		j.at(in.Mark())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if path != "-" {
		for _, err := range []error{stage.Unfinished(path), stage.Altered(in)} {
			if err != nil {
				f.Unsound = append(f.Unsound, err)
			}
		}
	}
	if err := f.finish(in); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
