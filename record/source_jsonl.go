package record

// JSON Lines: one object a line.

import (
	"bufio"
	"bytes"
	"io"

	"criticrm/strictjson"
)

var jsonLines = kind{
	name: "JSON Lines", endings: []string{".jsonl", ".ndjson"},
	rows: "one object a line; blank lines between them are counted",
	is:   func(head []byte, _ *part) bool { return begins(head) == '{' && !isDocument(head) },
	open: func(p *part) (source, error) { return &jsonlRows{lines: lines{p: p}}, nil },
}

// lines reads a file by lines.
type lines struct {
	p      *part
	line   int // number of the last one, from 1
	blanks int // since the last row; they count only if a row follows
	buf    []byte
}

// maxBlank is how many blank lines may follow each other: a small compressed file may hold gigabytes of them.
const maxBlank = 1 << 16

// read appends the next line, with its end, to buf, which may have MaxLine bytes. It gives what it has appended, io.EOF if that is nothing.
func (l *lines) read() ([]byte, error) {
	start, most := len(l.buf), l.p.r.o.MaxLine
	for {
		part, err := l.p.in.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		if len(l.buf) > most+2 || len(l.buf) > most && err != nil && err != bufio.ErrBufferFull {
			return nil, tooLong{l.long(), err == nil}
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF && len(l.buf) == start {
			return nil, io.EOF
		}
		if err != nil && err != io.EOF {
			return nil, l.p.broken(err)
		}
		break
	}
	l.line++
	return l.buf[start:], nil
}

// tooLong is a line that has more than MaxLine bytes; it may be read to its end.
type tooLong struct {
	*RowError
	ended bool
}

func (t tooLong) Unwrap() error { return t.RowError }

// passed is how many times MaxLine a line may have that is passed over.
const passed = 64

// pass reads on to the end of a line that is too long.
func (l *lines) pass(t tooLong) error {
	for n := 0; !t.ended; {
		part, err := l.p.in.ReadSlice('\n')
		switch {
		case err != nil && err != bufio.ErrBufferFull && err != io.EOF:
			return l.p.broken(err)
		case n > passed*l.p.r.o.MaxLine:
			return t.RowError
		}
		n += len(part)
		t.ended = err != bufio.ErrBufferFull
	}
	l.line++
	return badRow(t.Msg)
}

func (l *lines) long() *RowError {
	return l.p.fault(place{line: l.line + 1}, -1, "line is longer than %d bytes", l.p.r.o.MaxLine)
}

// blank counts a line without anything.
func (l *lines) blank() error {
	if l.blanks++; l.blanks > maxBlank {
		return l.p.fault(place{line: l.line}, -1, "more than %d blank lines in a row", maxBlank)
	}
	return nil
}

// filled takes note that a line with something follows.
func (l *lines) filled() {
	l.p.r.Blank, l.blanks = l.p.r.Blank+l.blanks, 0
}

type jsonlRows struct{ lines }

func (s *jsonlRows) place() place { return place{line: s.line} }

func (s *jsonlRows) next() ([]byte, error) {
	for {
		s.buf = s.buf[:0]
		line, err := s.read()
		if t, ok := err.(tooLong); ok {
			s.filled()
			return nil, s.pass(t)
		}
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) > s.p.r.o.MaxLine {
			s.line--
			return nil, s.pass(tooLong{s.long(), true})
		}
		if i := bytes.IndexByte(line, '\r'); i >= 0 {
			return nil, s.p.fault(s.place(), i, "lone carriage return: want LF or CRLF line ends")
		}
		if len(bytes.TrimSpace(line)) > 0 {
			s.filled()
			return line, nil
		}
		if err := s.blank(); err != nil {
			return nil, err
		}
	}
}

func (s *jsonlRows) syntax(e *strictjson.Error) *RowError {
	if e.Code == strictjson.Truncated {
		if _, more := s.p.in.Peek(1); more != nil {
			return s.p.fault(s.place(), -1, "line is cut off (unexpected end)")
		}
	}
	return s.p.fault(s.place(), e.At, "%s", e.Msg)
}

// begins is the first byte of a text that is no white space, 0 if there is none.
func begins(head []byte) byte {
	if head = bytes.TrimLeft(head, " \t\r\n"); len(head) > 0 {
		return head[0]
	}
	return 0
}
