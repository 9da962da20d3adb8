package record

// Tables of text with a header line: CSV as RFC 4180 has it, and the same with tabs.

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"criticrm/strictjson"
)

var csvFile = kind{
	name: "CSV", endings: []string{".csv"}, untyped: true,
	rows: "a header line with the columns' names, then a row of texts on each line, or on several where a quoted text has line ends (RFC 4180; semicolons will do for commas). An empty cell is no value; a cell that is a JSON array of objects is that array",
	is:   func(head []byte, p *part) bool { d, found := separator(head, p); return found && d != '\t' },
	open: openTable,
}

var tsvFile = kind{
	name: "TSV", endings: []string{".tsv"}, untyped: true,
	rows: "the same with tabs between cells; a quotation mark inside of an unquoted cell is one",
	is:   func(head []byte, p *part) bool { d, found := separator(head, p); return found && d == '\t' },
	open: openTable,
}

// separators may stand between the cells of a table.
var separators = [...]byte{',', '\t', ';'}

// separator finds what stands between the cells of a table, by its first line: what parts it into the most cells. found is whether this is one: it
// names a known column, or the file's name says so.
func separator(head []byte, p *part) (sep byte, found bool) {
	first := bytes.TrimLeft(head, "\r\n")
	if len(first) == 0 || bytes.IndexByte(head, 0) >= 0 {
		return 0, false
	}
	if i := bytes.IndexByte(first, '\n'); i >= 0 {
		first = first[:i+1]
	}
	most := 0
	for _, s := range separators {
		t := tableRows{separator: s}
		if t.parse(first) != nil {
			continue
		}
		if len(t.cells) > most {
			sep, most = s, len(t.cells)
		}
		for i := range t.cells {
			if p.knows(string(bytes.TrimSpace(t.cell(i)))) {
				found = true
			}
		}
	}
	if most == 0 {
		sep = ','
	}
	if !found {
		name := strings.ToLower(p.name)
		for _, end := range packed {
			found = found || strings.HasSuffix(name, ".csv"+end) || strings.HasSuffix(name, ".tsv"+end)
		}
	}
	return sep, found
}

// knows says whether a name is that of a column.
func (p *part) knows(name string) bool {
	_, renamed := p.r.rename[name]
	return renamed || isColumn(name)
}

// tableRows reads the rows of a table. Each becomes the text of an object of JSON.
type tableRows struct {
	lines
	separator byte
	header    [][]byte // the columns' names, as strings of JSON
	start     int      // line of the row in hand
	text      []byte   // of it, cells without quotes
	cells     []int    // where each ends in text
	quoted    bool     // inside of a quoted cell
	out       []byte
}

func openTable(p *part) (source, error) {
	head, _ := p.in.Peek(headSize - 3)
	t := &tableRows{lines: lines{p: p}}
	t.separator, _ = separator(head, p)
	return t, t.readHeader()
}

func (t *tableRows) place() place { return place{line: t.start} }

func (t *tableRows) syntax(e *strictjson.Error) *RowError {
	return t.p.fault(t.place(), -1, "%s", e.Msg) // its byte is one of the object
}

// cell is the text of a cell.
func (t *tableRows) cell(i int) []byte {
	start := 0
	if i > 0 {
		start = t.cells[i-1]
	}
	return t.text[start:t.cells[i]]
}

// readHeader reads the first line.
func (t *tableRows) readHeader() error {
	err := t.row()
	if err == io.EOF {
		return nil // no rows, which is said where they are wanted
	}
	if bad, ok := err.(badRow); ok {
		return t.p.fault(t.place(), -1, "header: %s", string(bad))
	}
	if err != nil {
		return err
	}
	known := false
	var seen []string
	for i := range t.cells {
		name := string(bytes.TrimSpace(t.cell(i)))
		known = known || t.p.knows(name)
		switch {
		case name == "" && i == 0 && len(t.cells) > 1:
			name = "__index_level_0__" // the numbers of pandas' rows
		case name == "":
			return t.p.fault(t.place(), -1, "header: column %d has no name", i+1)
		}
		if slices.Contains(seen, name) {
			return t.p.fault(t.place(), -1, "header: two columns are called %q", clip(name))
		}
		seen = append(seen, name)
		e := encoder{}
		if e.text(name); e.err != nil {
			return t.p.fault(t.place(), -1, "header: not valid UTF-8: save the file as UTF-8")
		}
		t.header = append(t.header, e.b)
	}
	if !known {
		return t.p.fault(t.place(), -1, "no known column in the first line (%s): want a header, as prompt,chosen,rejected, or --columns, which says what is what", names(seen))
	}
	return nil
}

// row reads the cells of the next row. A badRow is a fault of its text.
func (t *tableRows) row() error {
	t.text, t.cells, t.quoted, t.buf = t.text[:0], t.cells[:0], false, t.buf[:0]
	for {
		line, err := t.read()
		if !t.quoted {
			t.start = t.line
		}
		if err == io.EOF && t.quoted {
			return badRow("a quotation mark is not closed up to the end of the file")
		}
		if err != nil {
			return err
		}
		if len(t.buf) == len(line) && len(bytes.TrimRight(line, "\r\n")) == 0 {
			if err := t.blank(); err != nil {
				return err
			}
			t.buf = t.buf[:0]
			continue
		}
		if err := t.parse(line); err != nil {
			return err
		}
		if !t.quoted {
			t.filled()
			return nil
		}
	}
}

// parse takes a line, with its end, into cells. The last one is open if it ends inside of quotes.
func (t *tableRows) parse(line []byte) error {
	for i := 0; ; {
		if !t.quoted && i < len(line) && line[i] == '"' && len(t.text) == t.begin() {
			t.quoted = true
			i++
		}
		if t.quoted {
			n := bytes.IndexByte(line[i:], '"')
			if n < 0 {
				t.text = append(t.text, line[i:]...)
				return nil
			}
			t.text = append(t.text, line[i:i+n]...)
			if i += n + 1; i < len(line) && line[i] == '"' {
				t.text = append(t.text, '"')
				i++
				continue
			}
			t.quoted = false
			if rest := line[i:]; len(rest) > 0 && rest[0] != t.separator && !isLineEnd(rest) {
				return badRow("text behind a closing quotation mark: a mark inside of a quoted cell is written twice")
			}
		} else {
			n := bytes.IndexByte(line[i:], t.separator)
			if n < 0 {
				n = len(bytes.TrimSuffix(bytes.TrimSuffix(line[i:], []byte("\n")), []byte("\r")))
			}
			cell := line[i : i+n]
			if t.separator != '\t' && bytes.IndexByte(cell, '"') >= 0 {
				return badRow("a quotation mark inside of an unquoted cell: quote the cell, and write the mark twice")
			}
			if bytes.IndexByte(cell, '\r') >= 0 {
				return badRow("lone carriage return: want LF or CRLF line ends")
			}
			t.text = append(t.text, cell...)
			i += n
		}
		t.cells = append(t.cells, len(t.text))
		if i == len(line) || line[i] != t.separator {
			return nil
		}
		i++
	}
}

// begin is where the open cell begins in text.
func (t *tableRows) begin() int {
	if len(t.cells) == 0 {
		return 0
	}
	return t.cells[len(t.cells)-1]
}

func isLineEnd(b []byte) bool { return string(b) == "\n" || string(b) == "\r\n" || string(b) == "\r" }

func (t *tableRows) next() ([]byte, error) {
	if t.header == nil {
		return nil, io.EOF
	}
	if err := t.row(); err != nil {
		return nil, err
	}
	if len(t.cells) != len(t.header) {
		return nil, badRow(fmt.Sprintf("cells: %d, and the header has %d columns", len(t.cells), len(t.header)))
	}
	e := encoder{b: append(t.out[:0], '{')}
	for i, key := range t.header {
		cell := t.cell(i)
		if len(cell) == 0 {
			continue
		}
		if len(e.b) > 1 {
			e.b = append(e.b, ',')
		}
		e.b = append(append(e.b, key...), ':')
		objects, err := isObjects(cell)
		if err != nil {
			return nil, err
		}
		if objects {
			e.b = append(e.b, cell...)
		} else if e.text(string(cell)); e.err != nil {
			return nil, badRow("column " + string(key) + ": not valid UTF-8: save the file as UTF-8")
		}
	}
	t.out = append(e.b, '}')
	return t.out, nil
}

// isObjects says whether a cell is a JSON array of objects. One in Python's writing is an error: taken as a text, it would be a conversation
// that nobody has had.
func isObjects(cell []byte) (bool, error) {
	text := bytes.TrimSpace(cell)
	if len(text) < 2 || text[0] != '[' || begins(text[1:]) != '{' {
		return false, nil
	}
	objects := true
	err := strictjson.Read(text, func(v *strictjson.Reader) error {
		return v.Array(func(int) error {
			objects = objects && v.Kind() == "object"
			return v.Skip()
		})
	})
	if err == nil {
		return objects, nil
	}
	if inside := bytes.TrimLeft(text[1:], " \n{"); bytes.HasPrefix(inside, []byte("'")) {
		return false, badRow("a list in Python's writing, " + clip(string(text)) + ": write it as JSON (json.dumps), or the table as Parquet")
	}
	return false, nil
}
