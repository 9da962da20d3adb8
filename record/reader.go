package record

// JSONL in, strictly: limits, line ends, compression and the position of every error.

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"criticrm/internal/spell"
	"criticrm/safefile"
	"criticrm/strictjson"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ReadOptions bounds what a file may hold. The zero value stands for DefaultReadOptions.
type ReadOptions struct {
	MaxLine  int   // bytes of one line, default 16 MiB
	MaxText  int   // bytes of one text field, default 8 MiB
	MaxBytes int64 // bytes of the whole file after decompression, default 1 TiB
	MaxBad   int   // rows that may be bad: skipped and listed in Found.Bad; default 0, the first one is fatal

	Layout // what the user says of the rows

	// Reads are columns that the caller reads itself, with Record.Extra: they do not count as unread.
	Reads []string
	// Check says what else is wrong with a row, as a RowError: such a row is bad, too. Any other error ends the reading. nil: nothing.
	Check func(*Record) error
}

// DefaultReadOptions gives the limits for untrusted files.
func DefaultReadOptions() ReadOptions {
	return ReadOptions{MaxLine: 16 << 20, MaxText: 8 << 20, MaxBytes: 1 << 40}
}

func (o ReadOptions) withDefaults() ReadOptions {
	d := DefaultReadOptions()
	if o.MaxLine <= 0 {
		o.MaxLine = d.MaxLine
	}
	if o.MaxText <= 0 {
		o.MaxText = d.MaxText
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = d.MaxBytes
	}
	return o
}

// maxBlank is how many blank lines may follow each other: a small compressed file may hold gigabytes of them.
const maxBlank = 1 << 16

// RowError is a fault of one place in a file.
type RowError struct {
	File string // empty: of a record that was not read from one, or by somebody who knows the line only
	Line int    // 1-based; 0: the file as a whole
	At   int    // byte in the line from 0; -1: the line as a whole
	Msg  string
}

func (e *RowError) Error() string {
	switch {
	case e.File == "" && e.Line == 0:
		return e.Msg
	case e.File == "":
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	case e.At < 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d@%d: %s", e.File, e.Line, e.At, e.Msg)
}

// Fault is an error of the record: its line, if it was read from a file, and its id.
func (r *Record) Fault(format string, a ...any) error {
	return &RowError{Line: r.Line, At: -1, Msg: fmt.Sprintf("record %.40q: ", r.ID) + fmt.Sprintf(format, a...)}
}

// InFile names the file for an error of one of its rows, which does not know it.
func InFile(err error, path string) error {
	var row *RowError
	if errors.As(err, &row) && row.File == "" {
		row.File = path
	}
	return err
}

// Reader reads records one by one. Schema and Found tell what was found so far.
type Reader struct {
	Schema *Schema // of the first row; nil before it
	Found

	name    string
	o       ReadOptions
	raw     io.Reader // the stored bytes, which hash and size take note of
	hash    hash.Hash
	size    atomic.Int64
	of      int64 // stored bytes in all; 0: not known
	in      *bufio.Reader
	frames  *frames // of a zstd file
	closers []func() error
	line    int
	blanks  int // blank lines since the last row; they count only if a row follows
	total   int64
	buf     []byte
	rows    int       // that gave records
	ordinal int       // of the last row among those that are not blank, 1-based
	half    *Record   // of the row before, which may belong to the next one
	waiting []*Record // of the row that was read last
	given   *Schema   // that Layout names
	rename  map[string]string
	columns table
	done    error // sticky end or error
}

// Open opens a .jsonl file, also compressed with zstd or gzip (by content, not by name).
func Open(path string, o ReadOptions) (*Reader, error) {
	f, err := safefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("record: %w", spell.Hub(err, path, spell.Dataset))
	}
	r, err := NewReader(f, path, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closers = append(r.closers, f.Close)
	if info, err := f.Stat(); err == nil {
		r.of = info.Size()
	}
	return r, nil
}

// NewReader reads records from any stream; name stands for the file in errors.
func NewReader(in io.Reader, name string, o ReadOptions) (*Reader, error) {
	r := &Reader{name: name, o: o.withDefaults(), hash: sha256.New(), columns: columns()}
	var err error
	if r.given, r.rename, err = r.o.parse(); err != nil {
		return nil, err
	}
	r.raw = io.TeeReader(in, stored{r})
	raw := bufio.NewReaderSize(r.raw, 1<<16)
	head, err := raw.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("record: read %s: %w", name, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}):
		if err := r.zstd(raw, head); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, r.fault(0, -1, "damaged gzip: %v", err)
		}
		r.closers = append(r.closers, z.Close)
		r.in = bufio.NewReaderSize(z, 1<<16)
	default:
		r.in = raw
	}
	if err := r.sniff(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// stored takes note of the bytes of the file as they are read.
type stored struct{ r *Reader }

func (s stored) Write(p []byte) (int, error) {
	s.r.size.Add(int64(len(p)))
	return s.r.hash.Write(p)
}

// Sum reads what is left of the file and gives the sha256, in hexadecimal, and the number of its stored bytes: before decompression. It
// is the hash of what Next has read, also if the file was replaced meanwhile.
func (r *Reader) Sum() (sha string, bytes int64, err error) {
	if _, err := io.Copy(io.Discard, r.raw); err != nil {
		return "", 0, fmt.Errorf("record: read %s: %w", r.name, err)
	}
	return hex.EncodeToString(r.hash.Sum(nil)), r.size.Load(), nil
}

// Progress is how many of the file's stored bytes have been read, and how many there are: 0 if nobody knows. It may be called while Each
// reads.
func (r *Reader) Progress() (read, of int64) { return r.size.Load(), r.of }

// sniff looks at the first bytes: a byte order mark is removed, other kinds of file are refused by name.
func (r *Reader) sniff() error {
	head, err := r.in.Peek(4)
	if err != nil && err != io.EOF {
		return r.fault(0, -1, "cannot be read: %v", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		r.in.Discard(3)
		r.Notes = append(r.Notes, "byte order mark at the start removed")
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}),
		len(head) >= 2 && (head[0] == 0) != (head[1] == 0):
		return r.fault(0, -1, "looks like UTF-16; convert to UTF-8")
	case bytes.HasPrefix(head, []byte("PAR1")):
		return r.fault(0, -1, "is a parquet file; convert it to .jsonl")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return r.fault(0, -1, "is a zip file, want .jsonl")
	case len(head) > 0 && head[0] == '[':
		return r.fault(0, -1, "is a JSON array, want one object a line (jq -c '.[]' converts it)")
	}
	return nil
}

func (r *Reader) fault(line, at int, format string, a ...any) error {
	return &RowError{File: r.name, Line: line, At: at, Msg: fmt.Sprintf(format, a...)}
}

// Close ends the reading; it is needed after Open.
func (r *Reader) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c())
	}
	r.closers = nil
	return errors.Join(errs...)
}

// Name is the file's, as errors give it.
func (r *Reader) Name() string { return r.name }

// Line is the number of the last line read, 1-based.
func (r *Reader) Line() int { return r.line }

// Next gives the next record, io.EOF after the last one. Errors name file, line and field; they are final except
// for those that MaxBad lets pass.
func (r *Reader) Next() (*Record, error) {
	for len(r.waiting) == 0 {
		found, err := r.row()
		if err == nil && found.err == nil && r.o.Check != nil {
			for _, rec := range found.list {
				if found.err = r.o.Check(rec); found.err != nil {
					break
				}
			}
		}
		if err == nil {
			r.waiting, err = r.take(found)
		}
		if err != nil {
			return nil, r.end(err)
		}
	}
	rec := r.waiting[0]
	r.waiting = r.waiting[1:]
	return rec, nil
}

// found is what a row has given.
type found struct {
	list   []*Record
	asides map[aside]int
	unread []string
	turns  bool  // the prompt was a transcript
	began  bool  // the prompt is what both responses begin with
	err    error // why it is not used; an aside is one, too
}

// row reads up to the next row that is not blank. An error is final; what is wrong with the row alone is the row's.
func (r *Reader) row() (*found, error) {
	for r.done == nil {
		line, err := r.readLine()
		if err != nil {
			if r.done = err; err == io.EOF {
				r.noteFrames()
				if r.half != nil { // nothing can belong to it any more
					r.half = nil
					return &found{err: AsideAlone}, nil
				}
			}
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			if r.blanks++; r.blanks > maxBlank {
				r.done = r.fault(r.line, -1, "more than %d blank lines in a row", maxBlank)
			}
			continue
		}
		r.Blank, r.blanks = r.Blank+r.blanks, 0
		r.ordinal++
		f := r.parse(line)
		if f.err == nil && r.Schema.join != nil {
			r.join(f)
		}
		return f, nil
	}
	return nil, r.done
}

// take counts a row and gives its records, none if it is set aside or bad. Rows come in the order of the file; an error is final.
func (r *Reader) take(f *found) ([]*Record, error) {
	var why aside
	var row *RowError
	switch {
	case errors.As(f.err, &why):
		r.setAside(why, 1)
	case f.err == nil:
		for why, n := range f.asides {
			r.setAside(why, n)
		}
		if f.turns {
			r.Turns++
		}
		if f.began {
			r.Began++
		}
		r.addUnread(slices.DeleteFunc(f.unread, func(key string) bool { return slices.Contains(r.o.Reads, key) }))
		r.addBenchmark(f.list)
		if len(f.list) > 0 { // else its parts are counted
			r.rows++
		}
		return f.list, nil
	case len(r.Bad) >= r.o.MaxBad || !errors.As(f.err, &row):
		return nil, InFile(f.err, r.name)
	default:
		r.Bad = append(r.Bad, InFile(f.err, r.name))
	}
	return nil, nil
}

// end makes an error the final one. A file without records is one.
func (r *Reader) end(err error) error {
	if err == io.EOF && r.rows == 0 {
		err = r.fault(0, -1, "no examples")
		if len(r.Aside) > 0 {
			err = r.fault(0, -1, "no examples (%s)", strings.Join(r.Lines(), "; "))
		}
		if len(r.Bad) > 0 {
			err = fmt.Errorf("no examples: all %d rows are bad, the first: %w", len(r.Bad), r.Bad[0])
		}
	}
	r.done = err
	return err
}

// parse decodes one line and holds the file to the schema of its first row.
func (r *Reader) parse(line []byte) *found {
	f := &found{}
	var members []strictjson.Member
	err := strictjson.Read(line, func(v *strictjson.Reader) (err error) { members, err = v.Members(); return err })
	if err == nil {
		members, err = renamed(members, r.rename)
	}
	if err != nil {
		f.err = r.rowError(err)
		return f
	}
	row := newRow(members, r.columns, r.o.MaxText)
	row.layout = &r.o.Layout
	s := r.given
	if s == nil {
		if s, err = detect(row); err != nil {
			f.err = r.rowError(err)
			return f
		}
	}
	if r.Schema == nil {
		r.Schema = s
	}
	if !s.mixes(r.Schema) {
		f.err = r.fault(r.line, -1, "row is %s, the file began with %s: one file holds one format", s, r.Schema)
		return f
	}
	var why aside
	switch f.list, err = decode(row, s, r.line); {
	case errors.As(err, &why):
		f.err = why
	case err != nil:
		f.err = r.rowError(err)
	default:
		f.asides, f.unread, f.turns, f.began = row.asides, row.unread(), row.turns, row.began
	}
	for _, rec := range f.list {
		if rec.ordinal = r.ordinal; f.err == nil && s.join == nil && (s != rec.home() || r.given != nil) {
			if err := rec.readsBack(r.columns); err != nil {
				f.err = r.rowError(err)
			}
		}
	}
	return f
}

func (r *Reader) rowError(err error) error {
	s, ok := syntax(err)
	if !ok {
		return r.fault(r.line, -1, "%v", err)
	}
	if r.line == 1 && string(bytes.TrimSpace(r.buf)) == "{" {
		return r.fault(r.line, -1, "a row goes on over several lines, want one object a line (jq -c . converts it)")
	}
	if s.Code == strictjson.Truncated {
		if _, more := r.in.Peek(1); more != nil {
			return r.fault(r.line, -1, "line is cut off (unexpected end)")
		}
	}
	return r.fault(r.line, s.At, "%s", s.Msg)
}

// readLine gives the next line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		r.total += int64(len(part))
		if r.total > r.o.MaxBytes {
			return nil, r.fault(0, -1, "decompresses to more than %d bytes", r.o.MaxBytes)
		}
		if len(r.buf) > r.o.MaxLine+2 || len(r.buf) > r.o.MaxLine && err != nil && err != bufio.ErrBufferFull {
			return nil, r.fault(r.line+1, -1, "line is longer than %d bytes", r.o.MaxLine)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF && len(r.buf) == 0 {
			return nil, io.EOF
		}
		if err != nil && err != io.EOF {
			return nil, r.fault(r.line+1, -1, "cannot be read: %v", err)
		}
		break
	}
	r.line++
	line := bytes.TrimSuffix(bytes.TrimSuffix(r.buf, []byte("\n")), []byte("\r"))
	if len(line) > r.o.MaxLine {
		return nil, r.fault(r.line, -1, "line is longer than %d bytes", r.o.MaxLine)
	}
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		return nil, r.fault(r.line, i, "lone carriage return: want LF or CRLF line ends")
	}
	return line, nil
}

// Records iterates over the rest; the last item may carry an error.
func (r *Reader) Records() iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for {
			rec, err := r.Next()
			if err == io.EOF || !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// ReadFile reads all records of a file.
func ReadFile(path string, o ReadOptions) ([]*Record, error) {
	r, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []*Record
	for rec, err := range r.Records() {
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

// ParseRecord reads one record from one line of JSON under the default limits.
func ParseRecord(line []byte) (*Record, error) {
	r, err := NewReader(bytes.NewReader(line), "record", ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rec, err := r.Next()
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, &RowError{File: "record", Line: r.line, At: -1, Msg: "more than one record"}
	}
	return rec, nil
}

// UnmarshalJSON is ParseRecord for encoding/json.
func (r *Record) UnmarshalJSON(b []byte) error {
	var line bytes.Buffer // JSON between other values may be spread over lines
	if err := json.Compact(&line, b); err != nil {
		return err
	}
	rec, err := ParseRecord(line.Bytes())
	if err != nil {
		return err
	}
	*r = *rec
	return nil
}
