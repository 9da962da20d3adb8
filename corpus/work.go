package corpus

// Work that goes on where it was interrupted: files that are written beside the ones that they become, and the state of it.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"criticrm/checkpoint"
	"criticrm/checkpoint/vfs"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/stage"
	"criticrm/strictjson"

	"github.com/klauspost/compress/zstd"
)

// state is what the next run of a command has to know. What its files hold beyond Bytes is cut then.
type state struct {
	Version  int             `json:"version"`
	Command  string          `json:"command"`
	Settings json.RawMessage `json:"settings"`
	Complete bool            `json:"complete"`          // all is written, and the files get their names
	Bytes    []int64         `json:"bytes"`             // of each partial file
	Scanned  []scanned       `json:"scanned,omitempty"` // files that are measured, the last of them in part
	Input    *record.Mark    `json:"input,omitempty"`   // what of the input is written
	Counts   json.RawMessage `json:"counts,omitempty"`
}

const (
	stateVersion = 1
	maxState     = 256 << 20 // bytes; bad rows are most of it
	stateEvery   = 10 * time.Second
)

// work is a command that writes files.
type work struct {
	state
	name  string // for errors
	side  string // the file of the state; "": the work has no files
	path  string // the same; "": the work cannot go on, and the file says only whose the others are
	files []*partial
	o     *Options
	kept  bool // the state is there, and is to stay
	done  bool
	last  time.Time
}

// begin takes the files beside outputs, and what an earlier run has left there. The work can go on if the input can be read again. The caller
// calls finish or close, or both. With rows the first of the files is one for a journal.
func (o *Options) begin(command, in string, settings any, rows bool, outs ...string) (_ *work, err error) {
	w, err := o.newWork(command, settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.unused()
		}
	}()
	if rows {
		p, err := newPartial(outs[0]+".rows", true)
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, p)
	}
	for _, out := range outs {
		if err := record.Apart(in, out, out+record.PartEnd); err != nil {
			return nil, err
		}
		p, err := newPartial(out, false)
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, p)
	}
	if len(outs) == 0 {
		return w, nil
	}
	w.name, w.side = outs[0], outs[0]+record.PartEnd+".json"
	if record.Rereadable(in) == nil {
		w.path = w.side
	}
	if err := w.earlier(); err != nil {
		return nil, err
	}
	if !w.kept { // before there is anything: what lies beside it is of this work
		w.Bytes = make([]int64, len(w.files))
		if err := w.write(); err != nil {
			return nil, err
		}
	}
	return w, w.cut()
}

// earlier looks at what an earlier run has left.
func (w *work) earlier() error {
	old, err := readState(w.side)
	switch {
	case w.o.Restart:
		if err := os.Remove(w.side); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		for _, p := range w.files {
			info, err := p.file.Stat()
			if err != nil {
				return err
			}
			if info.Size() > 0 {
				w.kept = true
				return fmt.Errorf("%s is there, and nothing says that it is of this command: move it away, or --restart writes over it", p.path())
			}
		}
	case err != nil:
		return fmt.Errorf("%w (--restart begins again)", err)
	case w.path == "":
		return w.same(old)
	default:
		return w.resume(old)
	}
	return nil
}

func (o *Options) newWork(command string, settings any) (*work, error) {
	if o.every == 0 {
		o.every = stateEvery
	}
	b, err := json.Marshal(settings)
	return &work{o: o, last: time.Now(), state: state{Version: stateVersion, Command: command, Settings: b}}, err
}

func readState(path string) (*state, error) {
	b, err := safefile.Read(path, maxState)
	if err != nil {
		return nil, err
	}
	var s state
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if strictjson.Read(b, (*strictjson.Reader).Skip) != nil || d.Decode(&s) != nil || len(s.Bytes) == 0 || slices.ContainsFunc(s.Scanned, func(f scanned) bool { return f.Input == nil }) {
		return nil, fmt.Errorf("%s is not the state of an interrupted command", path)
	}
	return &s, nil
}

// same refuses the state of other work.
func (w *work) same(old *state) error {
	what := ""
	switch {
	case old.Version != w.Version:
		what = fmt.Sprintf("its format is %d, this program knows %d", old.Version, w.Version)
	case old.Command != w.Command || len(old.Bytes) != len(w.files):
		what = fmt.Sprintf("it is of the command %.40q", old.Command)
	default:
		what = stage.Differing(old.Settings, w.Settings)
	}
	if what != "" {
		return w.cannot(errors.New(what))
	}
	return nil
}

// resume takes over the state of an earlier run if it was the same work.
func (w *work) resume(old *state) error {
	if err := w.same(old); err != nil || old.Input == nil && old.Scanned == nil {
		return err
	}
	there := false
	for i, p := range w.files {
		info, err := p.file.Stat()
		switch {
		case err != nil:
			return err
		case old.Bytes[i] < 0 || info.Size() < old.Bytes[i] && !old.Complete:
			return fmt.Errorf("%s is damaged: %d bytes, want at least %d: --restart begins again", p.path(), info.Size(), old.Bytes[i])
		case info.Size() < old.Bytes[i]:
			p.named = true
		default:
			there = there || old.Bytes[i] > 0 && !p.scratch
		}
	}
	if old.Complete && !there { // it was done, and only the state was left
		return os.Remove(w.path)
	}
	w.state, w.kept = *old, true
	if w.o.Resumed != nil {
		w.o.Resumed(w.rows())
	}
	for i, p := range w.files {
		if p.scratch || old.Input != nil { // else no row is written, and empty frames may be
			p.size = old.Bytes[i]
		}
	}
	return nil
}

// cannot says why the work does not go on. What an earlier run has left stays.
func (w *work) cannot(what error) error {
	w.kept = true
	return fmt.Errorf("cannot resume %s: %w: choose another output or --restart", w.name, what)
}

// grown is the error of an input that has more rows than when all of them were known.
func (w *work) grown() error {
	return w.cannot(errors.New("the input changed: it has more rows than before"))
}

// cut takes away what the files hold beyond the state.
func (w *work) cut() error {
	for _, p := range w.files {
		if err := p.cut(); err != nil {
			return err
		}
	}
	return nil
}

// pass goes to where the earlier run was in the input, and takes over what it has counted.
func (w *work) pass(ctx context.Context, in *record.Reader, counts any) error {
	if w.Input == nil {
		return nil
	}
	if err := json.Unmarshal(w.Counts, counts); err != nil {
		return fmt.Errorf("%s: %w (--restart begins again)", w.path, err)
	}
	err := w.skip(ctx, in, w.Input)
	if end := ctx.Err(); err != nil && end != nil {
		return w.stopped(end, w.Input.Rows)
	}
	return err
}

// skip passes over the rows that are behind a mark.
func (w *work) skip(ctx context.Context, in *record.Reader, to *record.Mark) error {
	n := 0
	err := in.Resume(to, func() error {
		if n++; w.o.Progress != nil && n%often == 0 {
			w.o.Progress(position(n, in))
		}
		return ctx.Err()
	})
	if errors.Is(err, record.ErrOther) {
		return w.cannot(fmt.Errorf("the input changed: %w", err))
	}
	return err
}

// look saves the state if it is time to, before the given row of this run, or if the context has ended, whose error it gives then.
func (w *work) look(ctx context.Context, in *record.Reader, row int, counts any) error {
	end := ctx.Err()
	if end == nil && w.o.every > 0 && (row%often > 0 || time.Since(w.last) < w.o.every) {
		return nil
	}
	if w.Complete {
		return w.stopped(end, w.Input.Rows)
	}
	at := in.Mark()
	if at == nil { // inside of a row
		return nil
	}
	if err := w.save(at, counts); err != nil {
		return err
	}
	return w.stopped(end, at.Rows)
}

// save makes what was written last, and then the state say so.
func (w *work) save(at *record.Mark, counts any) (err error) {
	if w.path == "" {
		return nil
	}
	w.Input, w.Bytes = at, make([]int64, len(w.files))
	if w.Counts, err = json.Marshal(counts); err != nil {
		return err
	}
	for i, p := range w.files {
		if w.Bytes[i], err = p.sync(); err != nil {
			return err
		}
	}
	if err := w.write(); err != nil {
		return err
	}
	w.kept, w.last = true, time.Now()
	if w.o.saved != nil {
		w.o.saved()
	}
	return nil
}

// write keeps the state.
func (w *work) write() error {
	b, err := json.Marshal(&w.state)
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(w.side, append(b, '\n'))
}

// stopped is the error of a context that has ended, before which the state was saved.
func (w *work) stopped(err error, rows int) error {
	if w.path == "" || err == nil {
		return err
	}
	return fmt.Errorf("stopped after %d rows, run it again to go on: %w", rows, err)
}

// finish gives the files their names, the last first. at and counts are as of save.
func (w *work) finish(ctx context.Context, at *record.Mark, counts any) error {
	if w.Complete && len(at.Faults) != len(w.Input.Faults) {
		return w.grown()
	}
	if !w.Complete {
		w.Complete = true
		if err := w.save(at, counts); err != nil {
			return err
		}
	}
	for i := range w.files {
		err := w.files[len(w.files)-1-i].commit(ctx)
		if end := ctx.Err(); err != nil && end != nil {
			return w.stopped(end, at.Rows)
		}
		if err != nil {
			return err
		}
	}
	if w.side != "" {
		if err := os.Remove(w.side); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w.done = true
	return nil
}

// close ends the work. After an error of a row nothing stays: once it is mended, or let pass, the work is another.
func (w *work) close(err error) {
	var row *record.RowError
	if w.done || w.kept && !errors.As(err, &row) {
		w.release()
		return
	}
	if w.side != "" {
		os.Remove(w.side)
	}
	for _, p := range w.files {
		if p.file != nil {
			os.Remove(p.path())
		}
	}
	w.release()
}

// unused ends work that was not begun, without the files that it has made.
func (w *work) unused() {
	for _, p := range w.files {
		if p.made {
			os.Remove(p.path())
		}
	}
	w.release()
}

func (w *work) release() {
	for _, p := range w.files {
		p.close()
	}
}

// partial is a file that is written row by row, and gets its name when it is whole. If that says compressed it is packed in frames, one for each
// time that it was synced, and packed anew in the end: many programs read one frame only.
type partial struct {
	out   string
	file  *os.File // nil: closed
	to    *bufio.Writer
	pack  *zstd.Encoder // nil: as it is
	size  int64         // that the state knows
	named bool          // an earlier run has given it its name
	made  bool          // it was not there

	scratch bool // it becomes no file
}

func newPartial(out string, scratch bool) (*partial, error) {
	p := &partial{out: out, scratch: scratch}
	info, err := os.Lstat(p.path())
	if err == nil && !info.Mode().IsRegular() { // what a link leads to is somebody's
		return nil, fmt.Errorf("%s is there, and no plain file", p.path())
	}
	p.made = errors.Is(err, fs.ErrNotExist)
	if p.file, err = stage.Take(p.path()); err != nil {
		return nil, err
	}
	p.to = bufio.NewWriterSize(p.file, 1<<18)
	if ext := filepath.Ext(out); scratch || ext == ".zst" || ext == ".gz" {
		if p.pack, err = zstd.NewWriter(p.to, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

func (p *partial) path() string { return p.out + record.PartEnd }

func (p *partial) cut() error {
	if p.named {
		return nil
	}
	if err := p.file.Truncate(p.size); err != nil {
		return err
	}
	_, err := p.file.Seek(p.size, io.SeekStart)
	return err
}

// Write takes lines, whole or not.
func (p *partial) Write(b []byte) (int, error) {
	if p.pack != nil {
		return p.pack.Write(b)
	}
	return p.to.Write(b)
}

// sync makes what was written last, and says how much the file holds.
func (p *partial) sync() (int64, error) {
	if p.named {
		return p.size, nil
	}
	if p.pack != nil {
		if err := p.pack.Close(); err != nil {
			return 0, err
		}
		p.pack.Reset(p.to)
	}
	if err := p.to.Flush(); err != nil {
		return 0, err
	}
	if err := p.file.Sync(); err != nil {
		return 0, err
	}
	return p.file.Seek(0, io.SeekCurrent)
}

// commit gives the file its name; an empty one takes away the file of that name, which is of another input.
func (p *partial) commit(ctx context.Context) error {
	if p.named || p.scratch { // made by newPartial
		return os.Remove(p.path())
	}
	n, err := p.sync()
	if err != nil {
		return err
	}
	if n == 0 {
		if err := stage.SetAside(p.out, nil); err != nil {
			return err
		}
		return os.Remove(p.path())
	}
	if p.pack != nil {
		if err := p.repack(ctx); err != nil {
			return err
		}
		return os.Remove(p.path())
	}
	root, err := vfs.OpenRoot(filepath.Dir(p.out))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Rename(filepath.Base(p.path()), filepath.Base(p.out)); err != nil {
		return vfs.Wrap("rename", p.path(), err)
	}
	p.named = true
	return vfs.Wrap("fsync", filepath.Dir(p.out), root.SyncDir("."))
}

// repack writes the file as its name says.
func (p *partial) repack(ctx context.Context) error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := zstd.NewReader(p.file, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	to, err := create(p.out)
	if err != nil {
		return err
	}
	defer to.abort()
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(to, z, 1<<20)
		}
	}
	if err != io.EOF {
		return fmt.Errorf("%s: %w", p.path(), err)
	}
	return to.commit()
}

func (p *partial) close() {
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
	if p.pack != nil {
		p.pack.Reset(nil)
	}
}
