package critic

// A strict JSON scanner for one row: what encoding/json lets pass is refused here, with the byte where it is.
// Refused: duplicate keys at any depth, invalid UTF-8, lone surrogates, numbers beyond float64, depth over the
// limit, bytes after the value.

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds nesting of one row.
const maxDepth = 32

// member is one field of an object: its key and the raw JSON of its value.
type member struct {
	key string
	raw []byte
	at  int // offset of the value in the row, bytes from 0
}

// syntaxError is what is wrong with a row and where (bytes from 0); at < 0: the row as a whole.
type syntaxError struct {
	at  int
	msg string
	cut bool // the text ended too early
}

func (e *syntaxError) Error() string { return e.msg }

type scanner struct {
	b   []byte
	pos int
}

// scanObject checks a whole row and splits its top level. The members' raw values point into b.
func scanObject(b []byte) ([]member, error) {
	if i := firstInvalidUTF8(b); i >= 0 {
		return nil, &syntaxError{at: i, msg: "not valid UTF-8"}
	}
	s := &scanner{b: b}
	s.space()
	if s.pos < len(b) && b[s.pos] != '{' {
		if kind := kindOf(b[s.pos:]); kind != "" {
			return nil, &syntaxError{at: s.pos, msg: "got " + kind + ", want an object"}
		}
		return nil, s.unexpected()
	}
	var members []member
	if err := s.object(1, &members); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(b) {
		return nil, &syntaxError{at: s.pos, msg: "bytes after the end of the object"}
	}
	return members, nil
}

// scanValue checks one value that scanObject has already seen, to split nested objects.
func scanValue(raw []byte) []member {
	var members []member
	if err := (&scanner{b: raw}).object(1, &members); err != nil {
		panic("critic: scanValue: the value was not checked before")
	}
	return members
}

func firstInvalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
}

func (s *scanner) space() {
	for s.pos < len(s.b) && (s.b[s.pos] == ' ' || s.b[s.pos] == '\t' || s.b[s.pos] == '\n' || s.b[s.pos] == '\r') {
		s.pos++
	}
}

func (s *scanner) unexpected() error {
	if s.pos >= len(s.b) {
		return &syntaxError{at: s.pos, msg: "unexpected end", cut: true}
	}
	r, _ := utf8.DecodeRune(s.b[s.pos:])
	return &syntaxError{at: s.pos, msg: "invalid character " + strconv.QuoteRune(r)}
}

func (s *scanner) expect(c byte) error {
	if s.pos >= len(s.b) || s.b[s.pos] != c {
		return s.unexpected()
	}
	s.pos++
	return nil
}

func (s *scanner) value(depth int) error {
	s.space()
	if s.pos >= len(s.b) {
		return s.unexpected()
	}
	switch c := s.b[s.pos]; {
	case c == '{':
		return s.object(depth, nil)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if s.b[s.pos] == word[0] {
			for i := range len(word) {
				if err := s.expect(word[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return s.unexpected()
}

// object scans an object; members, if not nil, receives its fields.
func (s *scanner) object(depth int, members *[]member) error {
	if depth > maxDepth {
		return &syntaxError{at: s.pos, msg: fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	if err := s.expect('{'); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.b) && s.b[s.pos] == '}' {
		s.pos++
		return nil
	}
	seen := make(map[string]bool)
	for {
		s.space()
		keyAt := s.pos
		key, err := s.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return &syntaxError{at: keyAt, msg: fmt.Sprintf("key %s appears twice", quote(key))}
		}
		seen[key] = true
		s.space()
		if err := s.expect(':'); err != nil {
			return err
		}
		s.space()
		at := s.pos
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if members != nil {
			*members = append(*members, member{key: key, raw: s.b[at:s.pos:s.pos], at: at})
		}
		s.space()
		if s.pos < len(s.b) && s.b[s.pos] == ',' {
			s.pos++
			continue
		}
		return s.expect('}')
	}
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return &syntaxError{at: s.pos, msg: fmt.Sprintf("nested deeper than %d", maxDepth)}
	}
	s.pos++
	s.space()
	if s.pos < len(s.b) && s.b[s.pos] == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		if s.pos < len(s.b) && s.b[s.pos] == ',' {
			s.pos++
			continue
		}
		return s.expect(']')
	}
}

// text scans a string and gives its value.
func (s *scanner) text() (string, error) {
	start := s.pos
	if err := s.expect('"'); err != nil {
		return "", err
	}
	escaped := false
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; {
		case c == '"':
			s.pos++
			if !escaped {
				return string(s.b[start+1 : s.pos-1]), nil
			}
			var v string
			if err := json.Unmarshal(s.b[start:s.pos], &v); err != nil {
				return "", &syntaxError{at: start, msg: "invalid string"}
			}
			return v, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return "", err
			}
		case c < 0x20:
			return "", &syntaxError{at: s.pos, msg: fmt.Sprintf("control character 0x%02x in a string", c)}
		default:
			s.pos++
		}
	}
	return "", s.unexpected()
}

// escape scans one escape; a surrogate must be a whole pair, because half a pair has no UTF-8 form.
func (s *scanner) escape() error {
	at := s.pos
	s.pos++
	if s.pos >= len(s.b) {
		return s.unexpected()
	}
	switch s.b[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
	default:
		return s.unexpected()
	}
	hi, err := s.hex4()
	if err != nil || hi < 0xD800 || hi > 0xDFFF {
		return err
	}
	bad := &syntaxError{at: at, msg: fmt.Sprintf("invalid Unicode escape at byte %d", at)}
	if hi > 0xDBFF || s.pos+1 >= len(s.b) || s.b[s.pos] != '\\' || s.b[s.pos+1] != 'u' {
		return bad
	}
	s.pos++
	lo, err := s.hex4()
	if err != nil {
		return err
	}
	if lo < 0xDC00 || lo > 0xDFFF {
		return bad
	}
	return nil
}

// hex4 reads uXXXX.
func (s *scanner) hex4() (v uint32, err error) {
	for range 4 {
		s.pos++
		if s.pos >= len(s.b) {
			return 0, s.unexpected()
		}
		c := s.b[s.pos]
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint32(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | uint32(c-'A'+10)
		default:
			return 0, s.unexpected()
		}
	}
	s.pos++
	return v, nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.b) && s.b[s.pos] >= '0' && s.b[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) number() error {
	start := s.pos
	if s.b[s.pos] == '-' {
		s.pos++
	}
	first := s.pos
	if !s.digits() {
		return s.unexpected()
	}
	if s.b[first] == '0' && s.pos > first+1 {
		return &syntaxError{at: start, msg: "number with a leading zero"}
	}
	if s.pos < len(s.b) && s.b[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return s.unexpected()
		}
	}
	if s.pos < len(s.b) && (s.b[s.pos] == 'e' || s.b[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.b) && (s.b[s.pos] == '+' || s.b[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return s.unexpected()
		}
	}
	if f, err := strconv.ParseFloat(string(s.b[start:s.pos]), 64); err != nil || math.IsInf(f, 0) {
		return &syntaxError{at: start, msg: fmt.Sprintf("number %s is out of range", clip(string(s.b[start:s.pos])))}
	}
	return nil
}

// kindOf names the JSON type of a value by its first byte; empty for no value.
func kindOf(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	switch c := raw[0]; {
	case c == '{':
		return "object"
	case c == '[':
		return "array"
	case c == '"':
		return "string"
	case c == 't', c == 'f':
		return "boolean"
	case c == 'n':
		return "null"
	case c == '-', c >= '0' && c <= '9':
		return "number"
	}
	return ""
}

// clip bounds what an error message quotes.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func quote(s string) string { return strconv.Quote(clip(s)) }
