package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"criticrm/checkpoint"
)

// Options say how a training is shown.
type Options struct {
	Once     bool
	Interval time.Duration // between two looks
	// Size gives the terminal's columns and rows; nil: the output is none, and a line is written now and then in place of a screen.
	Size func() (columns, rows int)
	Log  io.Writer // for what is no part of the screen
}

// Rows and columns where there is no terminal.
const plainColumns, plainRows = 100, 48

// quiet is how long nothing is written where there is no terminal.
const quiet = 10 * time.Second

// Run shows the training in dir until it ends, or ctx does. Of a run of several trainings it shows the one that wrote last, until the run's process
// has ended.
func Run(ctx context.Context, dir string, w io.Writer, o Options) error {
	v := &viewer{dir: dir, w: w, o: o}
	for {
		over, err := v.look()
		if err != nil || over {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.Interval):
		}
	}
}

// viewer is a Run.
type viewer struct {
	dir    string
	w      io.Writer
	o      Options
	t      *Training
	waits  bool // it was said that there is nothing yet
	drawn  string
	spoken time.Time
}

// look reads what is new and shows it; over says that there is no more to come.
func (v *viewer) look() (over bool, err error) {
	now, err := Open(v.dir)
	if errors.Is(err, ErrNothing) && !v.o.Once {
		if !v.waits {
			fmt.Fprintf(v.o.Log, "waiting for a training in %s\n", shown(v.dir))
			v.waits = true
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if v.t == nil || v.t.Dir != now.Dir {
		v.t = now
	}
	if _, err := v.t.Read(); err != nil {
		return false, err
	}
	ended, how := v.t.Ended()
	over = v.o.Once || ended && !v.goesOn()
	columns, rows := plainColumns, plainRows
	if v.o.Size != nil {
		columns, rows = v.o.Size()
		rows-- // the cursor's
	}
	screen := v.t.Screen(columns, rows, how)
	switch {
	case over && v.o.Size == nil, v.o.Once:
		_, err = io.WriteString(v.w, screen)
	case v.o.Size != nil && screen != v.drawn:
		_, err = io.WriteString(v.w, "\x1b[H\x1b[2J"+screen) // home, and clear
		v.drawn = screen
	case v.o.Size == nil && time.Since(v.spoken) >= quiet:
		if where := v.t.Where(); where != v.drawn {
			_, err = fmt.Fprintln(v.w, where)
			v.drawn, v.spoken = where, time.Now()
		}
	}
	return over, err
}

// goesOn says of a run whose training has ended whether more is to come: the process that trained is alive.
func (v *viewer) goesOn() bool {
	if filepath.Clean(v.t.Dir) == filepath.Clean(v.dir) {
		return false
	}
	alive, known := checkpoint.Holder(filepath.Join(v.t.Dir, "checkpoints"))
	return known && alive
}
