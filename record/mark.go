package record

// Where a reader stands, so that another one of the same input goes on there.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Mark is where a Reader stands between two rows, and what it has counted up to there. It is kept as JSON.
type Mark struct {
	Rows   int         `json:"rows"`             // that gave records
	Layout string      `json:"layout,omitempty"` // of the first row
	Found              // without Bad, and without Notes and Blank, which are found again when rows are passed over
	Faults []*RowError `json:"bad,omitempty"`
	Files  []FileMark  `json:"files"`
}

// FileMark is how far one file of the input is read.
type FileMark struct {
	Name    string `json:"name"`
	Rows    int    `json:"rows"`
	SHA256  string `json:"sha256"` // of these rows, as row adds them up
	Layout  string `json:"layout,omitempty"`
	Records int    `json:"records"`        // of these rows
	Half    int    `json:"half,omitempty"` // the row whose record waits for the one behind it
}

// ErrOther says that an input does not begin with the rows of a mark.
var ErrOther = errors.New("its rows are not those that were read before")

// reached is how far a reader is in one file.
type reached struct {
	rows, records, half int
	sum                 [sha256.Size]byte
	schema              *Schema
}

// row adds a row to those that are behind.
func (p *part) row(text []byte) {
	p.ordinal++
	if p.r.o.Marks {
		p.chain = append(append(p.chain[:0], p.chained[:]...), text...)
		p.chained = sha256.Sum256(p.chain)
	}
}

// reached is how far row has read.
func (p *part) reached() reached {
	b := reached{rows: p.ordinal, records: p.given, sum: p.chained, schema: p.schema}
	if p.half != nil {
		b.half = p.half.ordinal
	}
	return b
}

// Mark says where the reader stands; nil: inside of a row of several records. ReadOptions.Marks must be set.
func (r *Reader) Mark() *Mark {
	if !r.o.Marks {
		panic("record: Mark without ReadOptions.Marks")
	}
	if len(r.waiting) > 0 {
		return nil
	}
	m := &Mark{Rows: r.rows}
	m.Turns, m.Began, m.Aside, m.Unread, m.Benchmarks = r.Turns, r.Began, r.Aside, r.Unread, r.Benchmarks // Each may add to the others by now
	for _, err := range r.Bad {
		row := &RowError{At: -1, Msg: err.Error()}
		errors.As(err, &row)
		m.Faults = append(m.Faults, row)
	}
	if r.Schema != nil {
		m.Layout = r.Schema.Name
	}
	for i, p := range r.mix.parts {
		b := r.reached[i]
		f := FileMark{Name: p.name, Rows: b.rows, SHA256: hex.EncodeToString(b.sum[:]), Records: b.records, Half: b.half}
		if b.schema != nil {
			f.Layout = b.schema.Name
		}
		m.Files = append(m.Files, f)
	}
	return m
}

// Resume goes to a mark that a reader of the same input with the same options has given: it is called in place of the first Next or Each. The
// rows before it are read and compared by their hash, and not looked into; tick is called for each of them, and ends it by an error. ErrOther:
// they are others.
func (r *Reader) Resume(m *Mark, tick func() error) (err error) {
	if !r.o.Marks || r.rows > 0 || r.done != nil {
		panic("record: Resume wants ReadOptions.Marks, and a reader that nothing was read of")
	}
	if len(m.Files) != len(r.mix.parts) {
		return fmt.Errorf("%s: %w", r.name, ErrOther)
	}
	if r.Schema, err = r.layout(m.Layout); err != nil {
		return err
	}
	for _, g := range r.mix.groups {
		for i, p := range g.parts {
			at := m.Files[p.index()]
			last := !slices.ContainsFunc(g.parts[i+1:], func(p *part) bool { return m.Files[p.index()].Rows > 0 })
			if err := p.resume(&at, last, tick); err != nil {
				return err
			}
			g.given += at.Records
		}
	}
	notes, blank := r.Notes, r.Blank
	r.Found, r.rows = m.Found, m.Rows
	r.Notes, r.Blank = notes, blank
	for _, row := range m.Faults {
		r.Bad = append(r.Bad, row)
	}
	return nil
}

// layout is the schema of a mark; "": there was none.
func (r *Reader) layout(name string) (*Schema, error) {
	if name == "" {
		return nil, nil
	}
	return schemaOf(name)
}

// resume passes over the rows of a file; last: no file behind it in its group was begun.
func (p *part) resume(at *FileMark, last bool, tick func() error) (err error) {
	other := fmt.Errorf("%s: %w", p.name, ErrOther)
	if at.Name != p.name {
		return other
	}
	if at.Rows > 0 {
		if err := p.open(); err != nil {
			return err
		}
	}
	if p.schema, err = p.r.layout(at.Layout); err != nil {
		return err
	}
	for p.ordinal < at.Rows {
		if err := tick(); err != nil {
			return err
		}
		text, err := p.next()
		var bad badRow
		switch {
		case err == io.EOF:
			return other
		case errors.As(err, &bad):
			text = []byte(bad)
		case err != nil:
			return err
		}
		p.row(text)
		if p.ordinal == at.Half {
			f := p.r.parse(p, text)
			if f.err != nil || len(f.list) == 0 {
				return other
			}
			p.half = f.list[0]
		}
	}
	if p.given = at.Records; hex.EncodeToString(p.chained[:]) != at.SHA256 {
		return other
	}
	p.r.reached[p.index()] = p.reached()
	if last {
		return nil
	}
	if _, err := p.next(); err != io.EOF {
		return other
	}
	return p.finish()
}

// index is the file's among those of the input.
func (p *part) index() int { return max(0, p.number-1) }
