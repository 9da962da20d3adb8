package record

// JSON that is no JSON Lines: an array of objects, one inside of an object as {"data": [...]}, or objects that go on over several lines.

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"criticrm/strictjson"
)

var jsonFile = kind{
	name: "JSON", endings: []string{".json"},
	rows: "the objects of an array; or of the array in an object, under `" + strings.Join(listKeys[:], "`, `") + "`; or objects behind each other, each on one line or several",
	is: func(head []byte, _ *part) bool {
		first := begins(head)
		return first == '[' || first == '{' && isDocument(head)
	},
	open: func(p *part) (source, error) { return &jsonRows{p: p, here: spot{line: 1}, top: true}, nil },
}

// listKeys are the keys under which files hold their rows.
var listKeys = [...]string{"data", "rows", "examples", "instances", "records", "items", "train", "validation", "test"}

// isDocument says of a text that begins with an object whether that is no line of JSON Lines: it goes on on the next line, or holds the rows.
func isDocument(head []byte) bool { return goesOn(head) || holdsRows(head) }

// goesOn says whether the first line ends inside of the object, between two values of it.
func goesOn(head []byte) bool {
	depth, quoted, last := 0, false, byte(0)
	text := bytes.TrimLeft(head, " \t\r\n")
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n' && (quoted || depth == 0): // no JSON, or a whole line
			return false
		case c == '\n':
			next := begins(text[i:])
			return next != '{' || last == '[' || last == ',' || last == ':' // else the line is damaged, and another one follows
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if c != ' ' && c != '\t' && c != '\r' {
			last = c
		}
	}
	return false
}

// holdsRows says whether the object that a text begins with has its rows in a list of its own: see listKeys. A known column in front of that
// makes it a row.
func holdsRows(head []byte) bool {
	s := jsonRows{top: true, peeked: bytes.TrimLeft(head, " \t\r\n")}
	_, err := s.begin()
	return err == nil && s.key != ""
}

// isColumn says whether a key is one that rows have.
func isColumn(key string) bool {
	return slices.Contains(nameable(), key) || slices.Contains(refusedColumns(), key)
}

// spot is a place in a text: the line from 1, the byte in it from 0.
type spot struct{ line, at int }

// move is the spot behind some bytes.
func (s spot) move(b []byte) spot {
	if n := bytes.Count(b, []byte("\n")); n > 0 {
		return spot{s.line + n, len(b) - 1 - bytes.LastIndexByte(b, '\n')}
	}
	return spot{s.line, s.at + len(b)}
}

// jsonRows splits a file into the objects that are its rows, and looks at nothing else than where they begin and end: what is in them is read
// strictly later on.
type jsonRows struct {
	p     *part
	here  spot // of the next byte
	row   int
	start spot   // of the row in hand
	buf   []byte // what was taken since the last row

	top    bool   // nothing was read yet
	list   bool   // rows are in an array
	first  bool   // of which nothing was read
	key    string // of the array, if it is in an object
	others []string
	peeked []byte // the whole text, where there is no file
}

func (s *jsonRows) place() place { return place{line: s.start.line, row: s.row} }

func (s *jsonRows) syntax(e *strictjson.Error) *RowError {
	at := s.start.move(s.buf[:min(e.At, len(s.buf))])
	return s.p.fault(place{line: at.line, row: s.row}, at.at, "%s", e.Msg)
}

// fail is an error of the next byte, which is final.
func (s *jsonRows) fail(format string, a ...any) error {
	if s.p == nil {
		return io.ErrUnexpectedEOF
	}
	return s.p.fault(place{line: s.here.line}, s.here.at, format, a...)
}

func (s *jsonRows) next() ([]byte, error) {
	if s.top {
		if row, err := s.begin(); err != nil || row != nil {
			return row, err
		}
	}
	s.buf = s.buf[:0]
	c, err := s.space()
	if !s.list {
		switch {
		case err != nil: // also the end
			return nil, err
		case c != '{':
			return nil, s.fail("got %q, want another object or the end", c)
		}
		return s.take()
	}
	if err == nil && c == ']' {
		s.skip(1)
		return nil, s.end()
	}
	if err == nil && !s.first {
		if c != ',' {
			return nil, s.fail("got %q behind row %d, want ',' or ']'", c, s.row)
		}
		s.skip(1)
		c, err = s.space()
	}
	switch {
	case err == io.EOF:
		return nil, s.cut()
	case err != nil:
		return nil, err
	case c == ']' || c == ',':
		return nil, s.fail("got %q, want a row", c)
	}
	s.first = false
	return s.take()
}

// begin reads up to the first row. It gives that where it is the object that the file begins with.
func (s *jsonRows) begin() ([]byte, error) {
	s.top = false
	c, err := s.space()
	if err != nil {
		return nil, err
	}
	if c == '[' {
		s.list, s.first = true, true
		s.skip(1)
		return nil, nil
	}
	s.buf, s.start, s.row = s.buf[:0], s.here, 1
	s.skip(1)
	row := false // a column says so
	for n := 0; ; n++ {
		c, err := s.space()
		if err == nil && c == '}' && n == 0 {
			s.skip(1)
			return s.buf, nil
		}
		key, err := s.member()
		if err != nil {
			return nil, err
		}
		row = row || isColumn(key)
		c, err = s.space()
		if err == nil && c == '[' && !row && slices.Contains(listKeys[:], key) {
			s.skip(1)
			if c, err = s.space(); err == nil && c == '{' {
				s.list, s.first, s.key, s.row, s.buf = true, true, key, 0, s.buf[:0]
				return nil, nil
			}
			err = s.value(1)
		} else if err == nil {
			err = s.value(0)
		}
		if err == nil {
			c, err = s.space()
		}
		switch {
		case err == io.EOF:
			return nil, s.cut()
		case err != nil:
			return nil, err
		case c == '}':
			s.skip(1)
			return s.buf, s.byColumns()
		case c != ',':
			return nil, s.fail("got %q behind the value of %.60q, want ',' or '}'", c, key)
		}
		s.skip(1)
		s.others = append(s.others, key)
	}
}

// byColumns is an error if the object is a table by columns, as pandas writes it: {"prompt": {"0": …, "1": …}, …}.
func (s *jsonRows) byColumns() error {
	if s.p == nil {
		return nil
	}
	var columns []strictjson.Member
	if strictjson.Read(s.buf, func(v *strictjson.Reader) (err error) { columns, err = v.Members(); return err }) != nil {
		return nil // which is said later on
	}
	for _, c := range columns {
		if !bytes.HasPrefix(c.Raw, []byte(`{"0"`)) {
			return nil
		}
	}
	if len(columns) == 0 {
		return nil
	}
	return s.p.fault(place{}, -1, "is a table by columns, want rows: with pandas to_json(…, orient='records', lines=True)")
}

// member reads a key and its colon.
func (s *jsonRows) member() (key string, err error) {
	c, err := s.space()
	switch {
	case err == io.EOF:
		return "", s.cut()
	case err != nil:
		return "", err
	case c != '"':
		return "", s.fail("got %q, want a key", c)
	}
	start := len(s.buf)
	if err := s.value(0); err != nil {
		return "", err
	}
	var bad error
	if key, bad = unquote(s.buf[start:]); bad != nil {
		return "", s.fail("%v", bad)
	}
	if c, err = s.space(); err == io.EOF {
		return "", s.cut()
	} else if err != nil {
		return "", err
	}
	if c != ':' {
		return "", s.fail("got %q, want ':'", c)
	}
	s.skip(1)
	return key, nil
}

// unquote reads a string of JSON.
func unquote(text []byte) (s string, err error) {
	err = strictjson.Read(text, func(v *strictjson.Reader) (err error) { s, err = v.String(); return err })
	return s, err
}

// end reads what stands behind the array of rows: nothing, or the rest of the object that it is in.
func (s *jsonRows) end() error {
	for s.key != "" {
		s.buf = s.buf[:0]
		c, err := s.space()
		if err == io.EOF {
			return s.cut()
		}
		if err != nil {
			return err
		}
		if c == '}' {
			s.skip(1)
			break
		}
		if c != ',' {
			return s.fail("got %q behind the rows, want ',' or '}'", c)
		}
		s.skip(1)
		key, err := s.member()
		if err != nil {
			return err
		}
		if c, err = s.space(); err == nil && c == '[' && slices.Contains(listKeys[:], key) {
			return s.fail("has rows under %q and under %q: write the ones that are meant into a file of their own", s.key, key)
		}
		s.buf = s.buf[:0]
		if err := s.value(0); err != nil {
			return err
		}
		if bad := strictjson.Read(s.buf, (*strictjson.Reader).Skip); bad != nil {
			return s.fail("%.60q: %v", key, bad)
		}
		s.others = append(s.others, key)
	}
	if len(s.others) > 0 && s.key != "" {
		s.p.r.note(s.p, "beside %q, which has the rows, it holds what is not read: %s", s.key, names(s.others))
	}
	switch c, err := s.space(); {
	case err != nil: // the end, if all is well
		return err
	default:
		return s.fail("got %q behind the end", c)
	}
}

// take reads the value that follows, which is a row.
func (s *jsonRows) take() ([]byte, error) {
	s.row++
	s.buf, s.start = s.buf[:0], s.here
	err := s.value(0)
	return s.buf, err
}

func (s *jsonRows) cut() error {
	if s.row == 0 {
		return s.fail("is cut off (unexpected end)")
	}
	return s.fail("is cut off behind the beginning of row %d (unexpected end)", s.row)
}

// chunk is what can be looked at without reading, at least one byte.
func (s *jsonRows) chunk() ([]byte, error) {
	if s.p == nil {
		if len(s.peeked) == 0 {
			return nil, io.EOF
		}
		return s.peeked, nil
	}
	if _, err := s.p.in.Peek(1); err == io.EOF {
		return nil, err
	} else if err != nil {
		return nil, s.p.broken(err)
	}
	return s.p.in.Peek(s.p.in.Buffered())
}

// skip takes n bytes that can be looked at into buf.
func (s *jsonRows) skip(n int) {
	b, _ := s.chunk()
	s.buf = append(s.buf, b[:n]...)
	s.here = s.here.move(b[:n])
	if s.p == nil {
		s.peeked = s.peeked[n:]
		return
	}
	s.p.in.Discard(n)
}

// room is an error if the row in hand has grown too long.
func (s *jsonRows) room() error {
	if s.p == nil || len(s.buf) <= s.p.r.o.MaxLine {
		return nil
	}
	return s.p.fault(place{line: s.start.line, row: s.row}, -1, "row is longer than %d bytes", s.p.r.o.MaxLine)
}

// space takes white space and gives the byte behind it.
func (s *jsonRows) space() (byte, error) {
	for {
		b, err := s.chunk()
		if err != nil {
			return 0, err
		}
		n := len(b) - len(bytes.TrimLeft(b, " \t\r\n"))
		if n < len(b) {
			c := b[n]
			s.skip(n)
			return c, s.room()
		}
		s.skip(n)
		if err := s.room(); err != nil {
			return 0, err
		}
	}
}

// value takes one value, of which depth brackets are taken already.
func (s *jsonRows) value(depth int) error {
	quoted, escaped, begun := false, false, depth > 0
	for {
		b, err := s.chunk()
		if err == io.EOF && begun && depth == 0 && !quoted { // a bare word
			return nil
		}
		if err == io.EOF {
			return s.cut()
		}
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i++ {
			c := b[i]
			switch {
			case escaped:
				escaped = false
			case quoted:
				for i < len(b) && b[i] != '"' && b[i] != '\\' {
					i++
				}
				switch {
				case i == len(b):
				case b[i] == '\\':
					escaped = true
				default:
					if quoted = false; depth == 0 {
						s.skip(i + 1)
						return s.room()
					}
				}
			case c == '"':
				quoted = true
			case c == '{' || c == '[':
				depth++
			case (c == '}' || c == ']') && depth > 0:
				if depth--; depth == 0 {
					s.skip(i + 1)
					return s.room()
				}
			case depth == 0 && strings.IndexByte(" \t\r\n,}]", c) >= 0: // behind a bare word
				s.skip(i)
				return s.room()
			}
			begun = true
		}
		s.skip(len(b))
		if err := s.room(); err != nil {
			return err
		}
	}
}
