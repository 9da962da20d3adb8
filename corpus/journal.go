package corpus

// What was measured of rows, kept so that an interrupted run need not measure them again.

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"criticrm/record"

	"github.com/klauspost/compress/zstd"
)

// entry is a line of a journal: a measured row or a bad one.
type entry struct {
	Row *measured        `json:"row,omitempty"`
	Bad *record.RowError `json:"bad,omitempty"`
}

// scanned is how far a file is measured.
type scanned struct {
	Entries int          `json:"entries"`
	Input   *record.Mark `json:"input"`
}

// journal is that of a work which scans files, one after the other. A nil one keeps nothing.
type journal struct {
	w    *work
	to   *partial
	from *json.Decoder // of the entries of an earlier run
	old  []scanned     // by that
	file int           // that is scanned, from 0
	n    int           // entries of it
}

// errTorn says that a journal does not have what its state says.
var errTorn = errors.New("is damaged: --restart begins again")

// newJournal goes on with what is left of an earlier run.
func newJournal(w *work, to *partial) *journal {
	if w.path == "" {
		return nil
	}
	return &journal{w: w, to: to, old: slices.Clone(w.Scanned), file: -1}
}

// replay begins the next file: it gives what an earlier run has kept of it, and goes to where that was.
func (j *journal) replay(ctx context.Context, in *record.Reader, f *File, add func(*measured) error) error {
	if j == nil {
		return nil
	}
	j.file, j.n = j.file+1, 0
	if j.file >= len(j.old) {
		return nil
	}
	torn := fmt.Errorf("%s %w", j.to.path(), errTorn)
	if j.from == nil {
		z, err := zstd.NewReader(io.NewSectionReader(j.to.file, 0, j.to.size), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return torn
		}
		j.from = json.NewDecoder(bufio.NewReaderSize(z, 1<<16))
	}
	at := j.old[j.file]
	for ; j.n < at.Entries; j.n++ {
		var e entry
		if err := j.from.Decode(&e); err != nil || (e.Row == nil) == (e.Bad == nil) {
			return torn
		}
		if e.Bad != nil {
			f.bad([]error{e.Bad})
			continue
		}
		if err := add(e.Row); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return j.w.skip(ctx, in, at.Input)
}

// line is what put writes of a row.
func (j *journal) line(m *measured) (err error) {
	if j != nil {
		m.line, err = json.Marshal(entry{Row: m})
	}
	return err
}

// put keeps a row, behind the bad ones before it.
func (j *journal) put(m *measured, bad []error) error {
	if j == nil {
		return nil
	}
	if j.w.Input != nil { // what is written is of the rows that there were
		return j.w.grown()
	}
	for _, err := range bad {
		row := &record.RowError{At: -1, Msg: err.Error()}
		errors.As(err, &row)
		b, err := json.Marshal(entry{Bad: row})
		if err == nil {
			_, err = j.to.Write(append(b, '\n'))
		}
		if err != nil {
			return err
		}
		j.n++
	}
	j.n++
	_, err := j.to.Write(append(m.line, '\n'))
	m.line = nil
	return err
}

// at notes how far the file is measured; nil: inside of a row. What is known of a file before the last one of an earlier run stays as it is.
func (j *journal) at(m *record.Mark) {
	if j == nil || m == nil || j.file < len(j.old)-1 {
		return
	}
	j.w.Scanned = append(j.w.Scanned[:min(j.file, len(j.w.Scanned))], scanned{j.n, m})
}

// look saves the state now and then.
func (j *journal) look(in *record.Reader, rows int) error {
	if j == nil || j.w.o.every > 0 && (rows%often > 0 || time.Since(j.w.last) < j.w.o.every) {
		return nil
	}
	m := in.Mark()
	if m == nil {
		return nil
	}
	j.at(m)
	return j.w.save(nil, nil)
}

// stopped saves the state if the context has ended while files were scanned, or behind that, and makes the error say so.
func (j *journal) stopped(ctx context.Context, err error) error {
	end := ctx.Err()
	if j == nil || err == nil || end == nil || !errors.Is(err, end) || len(j.w.Scanned) == 0 {
		return err
	}
	if j.w.Input == nil { // else the state is of what is written, and stays
		if err := j.w.save(nil, nil); err != nil {
			return err
		}
	}
	return j.w.stopped(end, j.w.rows())
}

// rows is how many the state is behind.
func (s *state) rows() (n int) {
	if s.Input != nil {
		return s.Input.Rows
	}
	for _, f := range s.Scanned {
		n += f.Input.Rows
	}
	return n
}

// remember is the journal of a command that writes no file: in StateDir, under a name that is of what decides on it. It is nil where there is no such place,
// where an input cannot be read again, and while another run of the same has it. close must be called with the command's error.
func (o *Options) remember(command string, settings any, inputs ...string) (j *journal, close func(error), err error) {
	none := func(error) {}
	for _, in := range inputs {
		if record.Rereadable(in) != nil {
			return nil, none, nil
		}
	}
	if o.StateDir == "" {
		return nil, none, nil
	}
	w, err := o.newWork(command, settings)
	if err != nil {
		return nil, none, err
	}
	sum := sha256.Sum256(append([]byte(command), w.Settings...))
	p, err := newPartial(filepath.Join(o.StateDir, hex.EncodeToString(sum[:8])), true)
	if err != nil {
		return nil, none, nil
	}
	w.files, w.name, w.path = []*partial{p}, command, p.path()+".json"
	w.side = w.path
	old, err := readState(w.path)
	if err == nil && !o.Restart {
		err = w.resume(old)
	}
	if err != nil || o.Restart {
		if err := os.Remove(w.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.release()
			return nil, none, nil
		}
	}
	if err := w.cut(); err != nil {
		w.release()
		return nil, none, nil
	}
	return newJournal(w, p), func(err error) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			w.kept = false
		}
		w.close(err)
	}, nil
}
