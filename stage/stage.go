// Package stage runs one step of a pipeline from an input, a file or several, to a JSON Lines file. It can be interrupted at any moment and
// goes on where it was.
//
// Rows are appended chunk by chunk; after each chunk the file is synced and then the sidecar OUT.stage.json is
// replaced with the number of rows, bytes and their hash. What the file holds beyond the sidecar's count (a torn
// row, a chunk that was not acknowledged) is cut on restart and made again, so an interrupted run ends with the
// same bytes as an uninterrupted one. The output is complete only when the sidecar says so.
package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/record"
	"criticrm/safefile"
)

// Progress tells how far a stage is.
type Progress struct {
	Stage       string
	Done, Total int // records
	Resumed     int // of Done, those that an earlier run has made
}

// Stage is one step. Work gets consecutive records and changes them in place, one row each.
type Stage struct {
	Name     string
	In, Out  string
	Settings any                // marshalled to JSON and stored; another run must have the same to resume
	Chunk    int                // records per call of Work and per sync
	Chunks   func(done int) int // of the chunk behind so many records, to begin with smaller ones; nil: Chunk
	Read     record.ReadOptions // Check, of what Work would refuse, is asked only where bad rows may be left out
	Restart  bool               // forget an earlier output of this stage
	Team     *Team              // processes that share the chunks; nil: this one does them all
	Shard    *Shard             // the part of the input that is worked on, to be written to its Path; nil: all of it

	Work     func(ctx context.Context, records []*record.Record) error
	Observe  func(*record.Record) error // each finished record in order, those of earlier runs too; an error ends the run behind it; may be nil
	Finish   func() error               // after the last record, before the output counts as complete; may be nil
	Progress func(Progress)             // after each chunk; may be nil
}

// Result is what a finished stage found.
type Result struct {
	Records      int
	Resumed      int             // made by earlier runs
	record.Found                 // of the input
	Check        *record.Checker // duplicate ids, duplicate rows, contradictory labels of the input
}

// execution is the state of one Run.
type execution struct {
	*Stage
	side sidecar
	out  *os.File
	sum  hash.Hash // of the acknowledged bytes
	res  *Result

	first, total int // records before the part, and of it
}

// Run reads the whole input once to check it, then does what is not done yet. A cancelled context ends it between
// chunks, or inside one if Work returns, with an error that wraps the context's; the next Run goes on.
func (s *Stage) Run(ctx context.Context) (*Result, error) {
	own := *s
	r := &execution{Stage: &own, sum: sha256.New(), res: &Result{Check: record.NewChecker()}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.openOutput(); err != nil {
		return nil, err
	}
	defer r.out.Close()
	return r.res, r.work(ctx)
}

// prepare checks the settings and the input before anything is written.
func (r *execution) prepare(ctx context.Context) error {
	if r.Work == nil || r.Chunk < 1 {
		panic("stage: Stage needs Work and a positive Chunk")
	}
	if ext := filepath.Ext(r.Out); ext == ".zst" || ext == ".gz" {
		return fmt.Errorf("%s: output %s: rows are appended, which a compressed file does not allow: write .jsonl and compress it later", r.Name, r.Out)
	}
	if err := record.Rereadable(r.In); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: input %w", r.Name, err)
	}
	if err := record.Apart(r.In, r.Out); err != nil {
		return fmt.Errorf("%s: output %w", r.Name, err)
	}
	settings, err := r.settled()
	if err != nil {
		return err
	}
	r.side = sidecar{Version: sidecarVersion, Stage: r.Name, Settings: settings, MaxBad: r.Read.MaxBad, Layout: r.Read.Layout, Shard: r.Shard}
	if err := Unfinished(r.In); err != nil {
		return fmt.Errorf("%s: input %w", r.Name, err)
	}
	in, err := record.Open(r.In, r.Read)
	if err != nil {
		return err
	}
	defer in.Close()
	defer r.res.Check.Close()
	for rec, err := range in.Records() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := r.res.Check.Add(rec); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		r.side.Input.Records++
	}
	if err := Altered(in); err != nil {
		return fmt.Errorf("%s: input %w", r.Name, err)
	}
	if err := r.res.Check.Finish(); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	r.res.Found = in.Found
	r.first, r.total = r.Shard.span(r.side.Input.Records)
	r.total -= r.first
	if s := r.Shard; s != nil && s.Of > max(1, r.side.Input.Records) {
		return fmt.Errorf("%s: %d parts of %d records: ask for %d at most", r.Name, s.Of, r.side.Input.Records, max(1, r.side.Input.Records))
	}
	if n := r.Team.size(); n > max(1, r.total) && r.Team.Fewer {
		fewer := *r.Team
		fewer.Size = max(1, r.total)
		r.Team = &fewer
	} else if n > max(1, r.total) {
		return fmt.Errorf("%s: %d processes are to share %d records: ask for %d at most", r.Name, n, r.total, max(1, r.total))
	}
	if err := SetAside(record.BadPath(r.Out), in.Bad); err != nil {
		return fmt.Errorf("%s: bad rows: %w", r.Name, err)
	}
	r.side.Input.Name = record.Title(r.In)
	r.side.Input.SHA256, r.side.Input.Bytes, err = in.Sum()
	return err
}

// settled gives the settings as JSON, and makes the reading the one of every process that works on the stage.
func (r *execution) settled() (json.RawMessage, error) {
	if r.Read.MaxBad == 0 { // Work finds the first one, too
		r.Read.Check = nil
	}
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return nil, fmt.Errorf("%s: settings: %w", r.Name, err)
	}
	return settings, nil
}

// SetAside lists bad rows in a file, if there are some. If there are none, the list of an earlier input goes.
func SetAside(path string, bad []error) error {
	if len(bad) == 0 {
		if _, err := os.Lstat(path); err != nil { // as a rule it is not there
			return nil
		}
		return os.Remove(path)
	}
	b, err := record.Bad(bad)
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(path, b)
}

// openOutput locks the output, reads the sidecar and cuts what is not acknowledged.
func (r *execution) openOutput() (err error) {
	if r.out, err = os.OpenFile(r.Out, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	defer func() {
		if err != nil {
			r.out.Close()
		}
	}()
	if err := lockFile(r.out); err != nil {
		return fmt.Errorf("%s: output %w", r.Name, err)
	}
	info, err := r.out.Stat()
	if err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	old, err := readSidecar(r.Out)
	switch {
	case r.Restart, err == nil && old.Done == 0 && !old.Complete:
		// Nothing is lost: there is none, or it is to be forgotten. The new sidecar replaces the old one before the file is cut: a crash in between leaves no false claim.
	case errors.Is(err, fs.ErrNotExist):
		if info.Size() > 0 {
			return fmt.Errorf("%s: output %s exists and has no %s beside it: remove it or choose another name",
				r.Name, r.Out, filepath.Base(SidecarPath(r.Out)))
		}
	case err != nil:
		return fmt.Errorf("%s: %w (restart to begin again)", r.Name, err)
	default:
		if err := r.resume(old, info.Size()); err != nil {
			return err
		}
	}
	if r.side.Done == 0 {
		r.side.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
		if err := r.save(); err != nil {
			return err
		}
	}
	if err := r.out.Truncate(r.side.Bytes); err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	if _, err := r.out.Seek(r.side.Bytes, io.SeekStart); err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	return nil
}

// Lock takes a file, which is made if it is not there, for this process until release is called or the process ends. It fails at once where
// another process has it.
func Lock(path string) (release func() error, err error) {
	f, err := Take(path)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}

// Take is Lock of a file that is read and written: until it is closed.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = lockFile(f)
	if err == nil { // whoever had it may have renamed or removed it meanwhile
		mine, fault := f.Stat()
		now, gone := os.Stat(path)
		if fault != nil || gone != nil || !os.SameFile(mine, now) {
			err = fmt.Errorf("%s is in use by another run", path)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// resume takes over the state of an earlier run if it was the same work and its bytes are intact.
func (r *execution) resume(old *sidecar, size int64) error {
	if what := r.side.differs(old); what != "" {
		return fmt.Errorf("%s: cannot resume %s: %s: choose another output or restart", r.Name, r.Out, what)
	}
	if size < old.Bytes {
		return fmt.Errorf("%s: output %s is damaged: %d bytes, want at least %d: restart", r.Name, r.Out, size, old.Bytes)
	}
	if _, err := io.CopyN(r.sum, r.out, old.Bytes); err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != old.SHA256 {
		return fmt.Errorf("%s: output %s was changed since it was written (sha256 of the first %d bytes %.12s… → %.12s…): restart",
			r.Name, r.Out, old.Bytes, old.SHA256, got)
	}
	r.side.Done, r.side.Bytes, r.side.SHA256, r.side.Complete = old.Done, old.Bytes, old.SHA256, old.Complete
	r.res.Resumed = old.Done
	return nil
}

// work goes through the input: skips and verifies what is done, does the rest.
func (r *execution) work(ctx context.Context) error {
	in, err := record.Open(r.In, r.Read)
	if err != nil {
		return err
	}
	defer in.Close()
	for range r.first {
		if _, err := in.Next(); err != nil {
			return r.orChanged(err)
		}
	}
	if err := r.skip(in); err != nil {
		return err
	}
	r.report()
	if r.Team.size() > 1 && r.side.Done < r.total {
		err = r.together(ctx, in)
	} else {
		err = r.alone(ctx, in)
	}
	if err != nil {
		return err
	}
	return r.finish(in)
}

// alone does what is left in this process.
func (r *execution) alone(ctx context.Context, in *record.Reader) error {
	for r.side.Done < r.total {
		if err := ctx.Err(); err != nil {
			return r.interrupted(err)
		}
		chunk, err := r.next(in, r.side.Done)
		if err == nil {
			err = r.failed(ctx, r.Work(ctx, chunk))
		}
		if err == nil {
			err = r.append(chunk)
		}
		if err != nil {
			return err
		}
		r.report()
	}
	return nil
}

// next reads the chunk that begins behind so many records.
func (r *execution) next(in *record.Reader, at int) ([]*record.Record, error) {
	size, left := r.Chunk, r.total-at
	if r.Chunks != nil {
		size = min(size, r.Chunks(at))
	}
	if r.Team.size() > 1 && r.Team.Finer { // so that they end together
		size = min(size, max(1, left/(2*r.Team.Size)))
	}
	return r.take(in, min(size, left))
}

// take reads so many records.
func (r *execution) take(in *record.Reader, n int) ([]*record.Record, error) {
	chunk := make([]*record.Record, 0, n)
	for len(chunk) < n {
		rec, err := in.Next()
		if err != nil {
			return nil, r.orChanged(err)
		}
		chunk = append(chunk, rec)
	}
	return chunk, nil
}

// failed is an error of Work as the run's.
func (r *execution) failed(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return r.interrupted(ctx.Err())
	}
	return record.InFile(err, r.In)
}

func (r *execution) interrupted(err error) error {
	return fmt.Errorf("%s: stopped after %d of %d records, run it again to go on: %w", r.Name, r.side.Done, r.total, err)
}

// orChanged is an error of reading records that were there before.
func (r *execution) orChanged(err error) error {
	if err == io.EOF {
		return r.inputChanged()
	}
	return err
}

func (r *execution) inputChanged() error {
	return fmt.Errorf("%s: input %s changed while it was read", r.Name, r.In)
}

// skip passes over the input records that the output already has, and checks that they belong together.
func (r *execution) skip(in *record.Reader) error {
	if r.side.Done == 0 {
		return nil
	}
	f, err := safefile.Open(r.Out)
	if err != nil {
		return fmt.Errorf("%s: output: %w", r.Name, err)
	}
	defer f.Close()
	done, err := r.written(io.LimitReader(f, r.side.Bytes))
	if err != nil {
		return err
	}
	defer done.Close()
	for i := range r.side.Done {
		want, err := in.Next()
		if err != nil {
			return r.orChanged(err)
		}
		got, err := done.Next()
		if err != nil {
			return fmt.Errorf("%s: output row %d: %w: restart", r.Name, i+1, err)
		}
		if !belong(got, want) {
			return fmt.Errorf("%s: output row %d is record %.40q, the input has %.40q there: restart", r.Name, i+1, got.ID, want.ID)
		}
		if r.Observe != nil {
			if err := r.Observe(got); err != nil {
				return err
			}
		}
	}
	return nil
}

// written reads finished rows. They grow from stage to stage, so the limit of a line holds for inputs only.
func (r *execution) written(in io.Reader) (*record.Reader, error) {
	o := r.Read
	o.MaxLine, o.MaxBad, o.Check, o.Layout = 1<<30, 0, nil, record.Layout{}
	return record.NewReader(in, r.Out, o)
}

// belong says whether a finished row is one of the input's.
func belong(got, want *record.Record) bool {
	return got.ID == want.ID && got.Prompt.Key() == want.Prompt.Key() && slices.Equal(got.Texts(), want.Texts())
}

// append keeps a chunk that was made here.
func (r *execution) append(chunk []*record.Record) error {
	b, err := rows(chunk)
	if err != nil {
		return err
	}
	return r.keep(b, chunk)
}

// rows are records as lines.
func rows(chunk []*record.Record) (b []byte, err error) {
	for _, rec := range chunk {
		if b, err = rec.AppendJSON(b); err != nil {
			return nil, err
		}
		b = append(b, '\n')
	}
	return b, nil
}

// keep writes a chunk's rows, syncs them, and only then acknowledges them in the sidecar.
func (r *execution) keep(b []byte, chunk []*record.Record) error {
	if _, err := r.out.Write(b); err != nil {
		return fmt.Errorf("%s: write %s: %w", r.Name, r.Out, err)
	}
	if err := r.out.Sync(); err != nil {
		return fmt.Errorf("%s: write %s: %w", r.Name, r.Out, err)
	}
	r.sum.Write(b)
	r.side.Done += len(chunk)
	r.side.Bytes += int64(len(b))
	r.side.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
	if err := r.save(); err != nil {
		return err
	}
	if r.Observe != nil {
		for _, rec := range chunk {
			if err := r.Observe(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *execution) report() {
	if r.Progress != nil {
		r.Progress(Progress{Stage: r.Name, Done: r.side.Done, Total: r.total, Resumed: r.res.Resumed})
	}
}

// finish makes sure that the input is still the one that was checked, and declares the output complete.
func (r *execution) finish(in *record.Reader) error {
	for range r.side.Input.Records - r.first - r.total { // of later parts
		if _, err := in.Next(); err != nil {
			return r.orChanged(err)
		}
	}
	if _, err := in.Next(); err != io.EOF {
		return r.inputChanged()
	}
	sum, n, err := in.Sum()
	if err != nil {
		return err
	}
	if sum != r.side.Input.SHA256 || n != r.side.Input.Bytes {
		return r.inputChanged()
	}
	r.res.Records = r.side.Done
	if r.Finish != nil {
		if err := r.Finish(); err != nil {
			return err
		}
	}
	if r.side.Complete {
		return nil
	}
	r.side.Complete = true
	return r.save()
}
