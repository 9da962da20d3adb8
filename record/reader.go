package record

// Records one by one, from one file or several, whatever kinds of file they are.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"criticrm/strictjson"
)

// ReadOptions bounds what a file may hold. The zero value stands for DefaultReadOptions.
type ReadOptions struct {
	MaxLine  int   // bytes of one row, default 16 MiB
	MaxText  int   // bytes of one text field, default 8 MiB
	MaxBytes int64 // bytes of a whole file after decompression, default 1 TiB
	MaxBad   int   // rows that may be bad: skipped and listed in Found.Bad; default 0, the first one is fatal

	Layout // what the user says of the rows

	// Reads are columns that the caller reads itself, with Record.Extra: they do not count as unread.
	Reads []string
	// Apart takes rows that stand in pairs, as HelpSteer's, one by one: each is a response with its ratings.
	Apart bool
	// Check says what else is wrong with a row, as a RowError: such a row is bad, too. Any other error ends the reading. nil: nothing.
	Check func(*Record) error
	// Marks is set where Mark or Resume will be called.
	Marks bool
	// Stdin is what the input "-" stands for; nil: the process's standard input.
	Stdin io.Reader
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

// Reader reads records one by one. Schema and Found tell what was found so far.
type Reader struct {
	Schema *Schema // of the first row; nil before it
	Found

	name    string
	o       ReadOptions
	mix     mix       // the files and whose turn it is
	reached []reached // of each file, the rows that take has counted; with Marks
	rows    int       // that gave records
	waiting []*Record // of the row that was read last
	given   *Schema   // that Layout names
	rename  map[string]string
	columns table
	done    error // sticky end or error
}

// Open opens an input: a file of any kind that Kinds lists, also compressed, or several, as Files takes them.
func Open(input string, o ReadOptions) (*Reader, error) {
	files, err := Files(input)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	r, err := newReader(input, o)
	if err != nil {
		return nil, err
	}
	if len(files) == 1 {
		r.name = files[0].Name()
	}
	r.begin(files)
	for _, p := range r.mix.parts {
		if !p.file.Stream {
			p.total = sizeOf(p.file.Path) // until it is opened
		}
	}
	if err := r.mix.parts[0].open(); err != nil {
		return nil, err
	}
	return r, nil
}

// NewReader reads records from any stream; name stands for the file in errors. A Parquet file is read if in is an io.ReaderAt that knows its
// Size, or an *os.File.
func NewReader(in io.Reader, name string, o ReadOptions) (*Reader, error) {
	r, err := newReader(name, o)
	if err != nil {
		return nil, err
	}
	r.begin([]File{{Path: name}})
	return r, r.mix.parts[0].begin(in)
}

// begin takes the files.
func (r *Reader) begin(files []File) {
	r.mix, r.reached = newMix(r, files), make([]reached, len(files))
}

func newReader(name string, o ReadOptions) (*Reader, error) {
	r := &Reader{name: name, o: o.withDefaults(), columns: columns()}
	var err error
	r.given, r.rename, err = r.o.parse()
	return r, err
}

// note adds a remark about a file, which is named if there are several.
func (r *Reader) note(p *part, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if p.number > 0 {
		text = p.name + ": " + text
	}
	r.Notes = append(r.Notes, text)
}

// Close ends the reading; it is needed after Open.
func (r *Reader) Close() error {
	var errs []error
	for _, p := range r.mix.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// Name is the input's, as errors give it.
func (r *Reader) Name() string { return r.name }

// Progress is how many stored bytes are read, and how many there are; 0: nobody knows, as of a pipe. It may be called while Each runs.
func (r *Reader) Progress() (read, total int64) {
	for _, p := range r.mix.parts {
		read += p.read.Load()
		if p.total == 0 {
			total = -1 << 62
		}
		total += p.total
	}
	return read, max(total, 0)
}

// Layouts names the schemas of the files read so far, in order.
func (r *Reader) Layouts() string {
	var names []string
	for _, p := range r.mix.parts {
		if p.schema != nil && !slices.Contains(names, p.schema.Name) {
			names = append(names, p.schema.Name)
		}
	}
	if names == nil {
		return r.Schema.String()
	}
	return strings.Join(names, ", ")
}

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
	file    string
	part    *part
	reached reached // in part, this row included
	list    []*Record
	asides  map[aside]int
	unread  []string
	turns   bool  // the prompt was a transcript
	began   bool  // the prompt is what both responses begin with
	err     error // why it is not used; an aside is one, too
}

// row reads up to the next row. An error is final; what is wrong with the row alone is the row's.
func (r *Reader) row() (*found, error) {
	f, err := r.next()
	if err == nil {
		f.reached = f.part.reached()
	}
	return f, err
}

func (r *Reader) next() (*found, error) {
	for r.done == nil {
		p, err := r.mix.turn()
		if err != nil {
			r.done = err
			break
		}
		text, err := p.next()
		var bad badRow
		switch {
		case err == io.EOF:
			if err := p.finish(); err != nil {
				r.done = err
			} else if p.half != nil { // nothing can belong to it any more
				p.half = nil
				return &found{file: p.name, part: p, err: AsideAlone}, nil
			}
			continue
		case errors.As(err, &bad):
			p.row([]byte(bad))
			return &found{file: p.name, part: p, err: p.fault(p.src.place(), -1, "%s", string(bad))}, nil
		case err != nil:
			r.done = err
			continue
		}
		p.row(text)
		f := r.parse(p, text)
		if f.err == nil && p.schema.join != nil && !r.o.Apart {
			p.join(f)
		}
		if f.err == nil && len(f.list) > 0 {
			r.mix.gave(p, len(f.list))
		}
		return f, nil
	}
	return nil, r.done
}

// take counts a row and gives its records, none if it is set aside or bad. Rows come in the order of the file; an error is final.
func (r *Reader) take(f *found) ([]*Record, error) {
	r.reached[f.part.index()] = f.reached
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
		if len(f.list) > 0 { // else its parts are counted
			r.rows++
		}
		r.addBenchmark(f.list)
		return f.list, nil
	case len(r.Bad) >= r.o.MaxBad || !errors.As(f.err, &row):
		return nil, InFile(f.err, f.file)
	default:
		r.Bad = append(r.Bad, InFile(f.err, f.file))
	}
	return nil, nil
}

// end makes an error the final one. An input without records is one.
func (r *Reader) end(err error) error {
	if err == io.EOF && r.rows == 0 {
		err = &RowError{File: r.name, At: -1, Msg: "no examples"}
		if len(r.Aside) > 0 {
			err = &RowError{File: r.name, At: -1, Msg: fmt.Sprintf("no examples (%s)", strings.Join(r.Lines(), "; "))}
		}
		if len(r.Bad) > 0 {
			err = fmt.Errorf("no examples: all %d rows are bad, the first: %w", len(r.Bad), r.Bad[0])
		}
	}
	r.done = err
	return err
}

// parse decodes one row and holds its file to the schema of its first row.
func (r *Reader) parse(p *part, text []byte) *found {
	f := &found{file: p.name, part: p}
	at := p.src.place()
	var members []strictjson.Member
	err := strictjson.Read(text, func(v *strictjson.Reader) (err error) { members, err = v.Members(); return err })
	if err == nil {
		members, err = renamed(members, r.rename)
	}
	fault := func(err error) error {
		if s, ok := syntax(err); ok {
			return p.src.syntax(s)
		}
		return p.fault(at, -1, "%v", err)
	}
	if err != nil {
		f.err = fault(err)
		return f
	}
	row := newRow(members, r.columns, r.o.MaxText)
	row.layout, row.untyped = &r.o.Layout, p.kind.untyped
	s := r.given
	if s == nil {
		if s, err = detect(row); err != nil {
			f.err = fault(err)
			return f
		}
	}
	if p.schema == nil {
		p.schema = s
	}
	if r.Schema == nil {
		r.Schema = s
	}
	if !s.mixes(p.schema) {
		f.err = p.fault(at, -1, "row is %s, the file began with %s: one file holds one format", s, p.schema)
		return f
	}
	var why aside
	switch f.list, err = decode(row, s, origin{file: p.name, number: p.number, place: at}); {
	case errors.As(err, &why):
		f.err = why
	case err != nil:
		f.err = fault(err)
	default:
		f.asides, f.unread, f.turns, f.began = row.asides, row.unread(), row.turns, row.began
	}
	for _, rec := range f.list {
		if rec.ordinal = p.ordinal; f.err == nil && s.join == nil && (s != rec.home() || r.given != nil) {
			if err := rec.readsBack(r.columns); err != nil {
				f.err = fault(err)
			}
		}
	}
	return f
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

// ReadFile reads all records of an input.
func ReadFile(input string, o ReadOptions) ([]*Record, error) {
	r, err := Open(input, o)
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
	r, err := newReader("record", ReadOptions{})
	if err != nil {
		return nil, err
	}
	r.begin([]File{{Path: "record"}})
	p := r.mix.parts[0]
	if err := p.beginAs(bytes.NewReader(line), &jsonLines); err != nil {
		return nil, err
	}
	rec, err := r.Next()
	if err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, p.fault(place{line: 2}, -1, "more than one record")
	}
	rec.File = "" // it is from none
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
