package checkpoint

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader walks strict JSON without building a tree: memory follows what the caller keeps, not what the text holds.
// Unlike encoding/json it refuses duplicate keys, invalid UTF-8, lone surrogates, deep nesting and trailing bytes, and
// keys are compared exactly. Errors are *jsonError with the byte they were found at.
type jsonReader struct {
	b     []byte
	i     int
	depth int
}

type jsonError struct {
	at  int    // byte in the text
	msg string // without position
	dup string // the key, when it appears twice
}

func (e *jsonError) Error() string { return fmt.Sprintf("byte %d: %s", e.at, e.msg) }

func (r *jsonReader) fail(at int, format string, args ...any) error {
	return &jsonError{at: at, msg: fmt.Sprintf(format, args...)}
}

// newJSON checks the encoding of the whole text first.
func newJSON(b []byte) (*jsonReader, error) {
	if utf8.Valid(b) {
		return &jsonReader{b: b}, nil
	}
	i := 0
	for {
		c, n := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && n == 1 {
			return nil, &jsonError{at: i, msg: "not valid UTF-8"}
		}
		i += n
	}
}

func (r *jsonReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// peek gives the first byte of the next token, 0 at the end.
func (r *jsonReader) peek() byte {
	r.space()
	if r.i == len(r.b) {
		return 0
	}
	return r.b[r.i]
}

func (r *jsonReader) unexpected() error {
	if r.i >= len(r.b) {
		return r.fail(len(r.b), "unexpected end")
	}
	c, _ := utf8.DecodeRune(r.b[r.i:])
	return r.fail(r.i, "unexpected %q", c)
}

func (r *jsonReader) expect(c byte) error {
	if r.peek() != c || r.i == len(r.b) {
		return r.unexpected()
	}
	r.i++
	return nil
}

// kind names the type of the next value.
func (r *jsonReader) kind() string {
	switch c := r.peek(); {
	case c == '{':
		return "object"
	case c == '[':
		return "array"
	case c == '"':
		return "string"
	case c == 't' || c == 'f':
		return "boolean"
	case c == 'n':
		return "null"
	case c == '-' || c >= '0' && c <= '9':
		return "number"
	}
	return "nothing"
}

// object calls member for each key; member must read the value. A key that appears twice ends it.
func (r *jsonReader) object(member func(key string) error) error {
	if err := r.open('{'); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	if r.peek() == '}' {
		r.i++
		return nil
	}
	seen := map[string]struct{}{}
	for {
		r.space()
		at := r.i
		key, err := r.str()
		if err != nil {
			return err
		}
		if _, twice := seen[key]; twice {
			return &jsonError{at: at, msg: "key " + quote(key) + " appears twice", dup: key}
		}
		seen[key] = struct{}{}
		if err := r.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if done, err := r.next('}'); done || err != nil {
			return err
		}
	}
}

// array calls element for each index; element must read the value.
func (r *jsonReader) array(element func(i int) error) error {
	if err := r.open('['); err != nil {
		return err
	}
	defer func() { r.depth-- }()
	if r.peek() == ']' {
		r.i++
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil {
			return err
		}
		if done, err := r.next(']'); done || err != nil {
			return err
		}
	}
}

func (r *jsonReader) open(c byte) error {
	if err := r.expect(c); err != nil {
		return err
	}
	if r.depth++; r.depth > maxDepth {
		return r.fail(r.i-1, "nested deeper than %d", maxDepth)
	}
	return nil
}

func (r *jsonReader) next(closing byte) (done bool, err error) {
	switch r.peek() {
	case ',':
		r.i++
		return false, nil
	case closing:
		r.i++
		return true, nil
	}
	return false, r.unexpected()
}

// str reads a string and resolves its escapes.
func (r *jsonReader) str() (string, error) {
	if err := r.expect('"'); err != nil {
		return "", err
	}
	start := r.i
	var b strings.Builder
	for r.i < len(r.b) {
		switch c := r.b[r.i]; {
		case c == '"':
			s := string(r.b[start:r.i])
			r.i++
			if b.Len() > 0 {
				return b.String() + s, nil
			}
			return s, nil
		case c < ' ':
			return "", r.fail(r.i, "control character %q in a string", c)
		case c == '\\':
			b.Write(r.b[start:r.i])
			if err := r.escape(&b); err != nil {
				return "", err
			}
			start = r.i
		default:
			r.i++
		}
	}
	return "", r.fail(len(r.b), "unexpected end")
}

func (r *jsonReader) escape(b *strings.Builder) error {
	at := r.i
	if r.i+1 >= len(r.b) {
		return r.fail(len(r.b), "unexpected end")
	}
	c := r.b[r.i+1]
	r.i += 2
	if k := strings.IndexByte(`"\/bfnrt`, c); k >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[k])
		return nil
	}
	if c != 'u' {
		return r.fail(at, "invalid escape '\\%c'", c)
	}
	u, ok := r.hex()
	if ok && utf16.IsSurrogate(u) {
		low := rune(0)
		if ok = r.i+1 < len(r.b) && r.b[r.i] == '\\' && r.b[r.i+1] == 'u'; ok {
			r.i += 2
			low, ok = r.hex()
		}
		if u = utf16.DecodeRune(u, low); u == utf8.RuneError {
			ok = false
		}
	}
	if !ok {
		return r.fail(at, "invalid Unicode escape")
	}
	b.WriteRune(u)
	return nil
}

func (r *jsonReader) hex() (rune, bool) {
	if r.i+4 > len(r.b) {
		return 0, false
	}
	var u rune
	for _, c := range r.b[r.i : r.i+4] {
		k := strings.IndexByte("0123456789abcdef", c|0x20)
		if k < 0 || c < '0' {
			return 0, false
		}
		u = u<<4 | rune(k)
	}
	r.i += 4
	return u, true
}

// number reads a number and gives it as it is written.
func (r *jsonReader) number() (string, error) {
	r.space()
	start := r.i
	digits := func() bool {
		from := r.i
		for r.i < len(r.b) && r.b[r.i] >= '0' && r.b[r.i] <= '9' {
			r.i++
		}
		return r.i > from
	}
	at := func(set string) bool { return r.i < len(r.b) && strings.IndexByte(set, r.b[r.i]) >= 0 }
	if at("-") {
		r.i++
	}
	if at("0") {
		r.i++
	} else if !digits() {
		return "", r.unexpected()
	}
	if at(".") {
		r.i++
		if !digits() {
			return "", r.unexpected()
		}
	}
	if at("eE") {
		r.i++
		if at("+-") {
			r.i++
		}
		if !digits() {
			return "", r.unexpected()
		}
	}
	return string(r.b[start:r.i]), nil
}

// skip reads any value, checking it.
func (r *jsonReader) skip() error {
	switch r.kind() {
	case "object":
		return r.object(func(string) error { return r.skip() })
	case "array":
		return r.array(func(int) error { return r.skip() })
	case "string":
		_, err := r.str()
		return err
	case "number":
		_, err := r.number()
		return err
	}
	for _, word := range []string{"true", "false", "null"} {
		if len(r.b)-r.i >= len(word) && string(r.b[r.i:r.i+len(word)]) == word {
			r.i += len(word)
			return nil
		}
	}
	return r.unexpected()
}

// end makes sure that nothing but white space follows.
func (r *jsonReader) end() error {
	if r.peek(); r.i < len(r.b) {
		return r.unexpected()
	}
	return nil
}

// checkJSON is the strict check alone.
func checkJSON(b []byte) error {
	r, err := newJSON(b)
	if err == nil {
		err = r.skip()
	}
	if err == nil {
		err = r.end()
	}
	return err
}

// integer takes a written number for an int64, if it is one.
func integer(lit string) (int64, bool) {
	n, err := strconv.ParseInt(lit, 10, 64)
	return n, err == nil && lit != "-0" && n > math.MinInt64
}

// quote shows a name from a file: escaped, and cut so that an error stays one readable line.
func quote(s string) string {
	if len(s) <= maxShownBytes {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:maxShownBytes]) + "…"
}
