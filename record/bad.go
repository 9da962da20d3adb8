package record

// Rows that are set aside, in a file of their own, so that somebody can mend them.

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// BadPath is where the bad rows of an input lie that was read for an output.
func BadPath(out string) string { return out + ".bad.jsonl" }

// BadLines says it of a file's bad rows for people: the first few, and how many there are. listed is the file that has them all; "": none
// has.
func (f *Found) BadLines(file, listed string) (lines []string) {
	const most = 5
	n := len(f.Bad)
	for _, err := range f.Bad[:min(n, most)] {
		lines = append(lines, fmt.Sprintf("left out: %v", err))
	}
	switch {
	case n > 0 && listed != "":
		lines = append(lines, fmt.Sprintf("%s: %d bad rows left out, listed in %s", file, n, listed))
	case n > most:
		lines = append(lines, fmt.Sprintf("%s: %d bad rows left out, of which the first %d stand above", file, n, most))
	case n > 0:
		lines = append(lines, fmt.Sprintf("%s: %d bad rows left out", file, n))
	}
	return lines
}

// field finds the name at the start of a fault.
var field = regexp.MustCompile(`^(?:key )?"([^"]*)"`)

// Bad writes rows that MaxBad let pass, a line of JSON each: file, line, byte, field, reason.
func Bad(rows []error) ([]byte, error) {
	var out []byte
	for _, err := range rows {
		var row *RowError
		if !errors.As(err, &row) {
			row = &RowError{At: -1, Msg: err.Error()}
		}
		line := struct {
			File   string `json:"file"`
			Line   int    `json:"line"`
			Byte   *int   `json:"byte,omitempty"` // of the line, from 0
			Field  string `json:"field,omitempty"`
			Reason string `json:"reason"`
		}{File: row.File, Line: row.Line, Reason: row.Msg}
		if row.At >= 0 {
			line.Byte = &row.At
		}
		if m := field.FindStringSubmatch(row.Msg); m != nil {
			line.Field = m[1]
		}
		b, err := json.Marshal(line)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}
