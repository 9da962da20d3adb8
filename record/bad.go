package record

// Rows that are set aside, in a file of their own, so that somebody can mend them.

import (
	"encoding/json"
	"errors"
	"regexp"
)

// BadPath is where the bad rows of an input lie that was read for an output.
func BadPath(out string) string { return out + ".bad.jsonl" }

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
