package record

// Rows that are set aside, in a file of their own, so that somebody can mend them.

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
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

var (
	ofRecord = regexp.MustCompile(`^record "(?:[^"\\\\]|\\\\.)*": `)
	// figures are numbers, and names with digits, which are none: UTF-8, \x00, "answer_1".
	figures = regexp.MustCompile(`UTF-[0-9]+|\\x[0-9a-f]{2}|[A-Za-z_]+[0-9][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?`)
)

// maxReason bounds a reason, in bytes.
const maxReason = 160

// Reason is why a row is bad, without its id and its figures, so that rows with the same fault have the same reason, and the field that it names;
// "": none.
func Reason(err error) (reason, name string) {
	reason = err.Error()
	var row *RowError
	if errors.As(err, &row) {
		reason = row.Msg
	}
	reason = ofRecord.ReplaceAllString(reason, "")
	if m := field.FindStringSubmatch(reason); m != nil {
		name = m[1]
	}
	reason = figures.ReplaceAllStringFunc(reason, func(s string) string {
		if s[0] < '0' || s[0] > '9' {
			return s
		}
		return "N"
	})
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason, name
}

// Bad writes rows that MaxBad let pass, a line of JSON each: file, line or row, byte, field, reason.
func Bad(rows []error) ([]byte, error) {
	var out []byte
	for _, err := range rows {
		var row *RowError
		if !errors.As(err, &row) {
			row = &RowError{At: -1, Msg: err.Error()}
		}
		line := struct {
			File   string `json:"file"`
			Line   int    `json:"line,omitempty"`
			Row    int    `json:"row,omitempty"`
			Byte   *int   `json:"byte,omitempty"` // of the line, from 0
			Field  string `json:"field,omitempty"`
			Reason string `json:"reason"`
		}{File: row.File, Line: row.Line, Row: row.Row, Reason: row.Msg}
		if row.At >= 0 {
			line.Byte = &row.At
		}
		_, line.Field = Reason(row)
		b, err := json.Marshal(line)
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}
