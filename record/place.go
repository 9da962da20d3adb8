package record

// Where a row stands, and errors that say so.

import (
	"errors"
	"fmt"
)

// place is where a row stands: its line, its number among the rows, or both, from 1; 0: it has none.
type place struct{ line, row int }

// Number is the record's among those of its file, as people count: its line where rows are lines, else which row it is.
func (r *Record) Number() int {
	if r.Row > 0 {
		return r.Row
	}
	return r.Line
}

// PlaceID is the id of a record whose row has none: the same in every reading, and no other row's of all files of an input.
func (r *Record) PlaceID() string {
	if r.part > 0 {
		return fmt.Sprintf("row-%d-%d", r.part, r.Number())
	}
	return fmt.Sprintf("row-%d", r.Number())
}

// Where says where the record stands, as errors do. file names its file unless that is one of several, which names itself.
func (r *Record) Where(file string) string {
	if part := r.Part(); part != "" {
		file = part
	}
	return Place{File: file, Line: r.Line, Row: r.Row}.String()
}

// Part is the file of an input of several that the record stands in; empty: the input is one file.
func (r *Record) Part() string {
	if r.part > 0 {
		return r.File
	}
	return ""
}

// RowError is a fault of one place in a file.
type RowError struct {
	File string // empty: of a record that was not read from one, or by somebody who knows the line only
	Line int    // 1-based; 0: the file as a whole, or a file without lines
	Row  int    // 1-based; 0: the file as a whole, or one whose rows are lines
	At   int    // byte in the line from 0; -1: the line as a whole
	Msg  string
}

func (e *RowError) Error() string {
	msg := e.Msg
	if e.Row > 0 {
		msg = fmt.Sprintf("row %d: %s", e.Row, msg)
	}
	switch {
	case e.File == "" && e.Line == 0:
		return msg
	case e.File == "":
		return fmt.Sprintf("line %d: %s", e.Line, msg)
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, msg)
	case e.At < 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, msg)
	}
	return fmt.Sprintf("%s:%d@%d: %s", e.File, e.Line, e.At, msg)
}

// Fault is an error of the record: its place, if it was read from a file, and its id.
func (r *Record) Fault(format string, a ...any) error {
	return &RowError{File: r.File, Line: r.Line, Row: r.Row, At: -1, Msg: fmt.Sprintf("record %.40q: ", r.ID) + fmt.Sprintf(format, a...)}
}

// InFile names the file for an error of one of its rows, which does not know it.
func InFile(err error, path string) error {
	var row *RowError
	if errors.As(err, &row) && row.File == "" {
		row.File = path
	}
	return err
}
