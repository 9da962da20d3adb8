package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonReader reads JSON more strictly than encoding/json, and in one pass: duplicate keys, text that
// is not UTF-8, lone surrogates and bytes after the end are errors, nesting is limited, and big
// objects are handed over entry by entry. Errors name the byte.
type jsonReader struct {
	b     []byte
	i     int
	depth int
}

func (r *jsonReader) fail(format string, args ...any) error {
	return fmt.Errorf("%s at byte %d", fmt.Sprintf(format, args...), r.i)
}

// peek skips white space and gives the next byte, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.i < len(r.b) {
		switch c := r.b[r.i]; c {
		case ' ', '\t', '\r', '\n':
			r.i++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) expect(c byte) error {
	if r.peek() != c {
		if r.i >= len(r.b) {
			return r.fail("unexpected end")
		}
		return r.fail("got %q, want %q", rune(r.b[r.i]), rune(c))
	}
	r.i++
	return nil
}

func (r *jsonReader) kind() string {
	switch c := r.peek(); {
	case c == '{':
		return "object"
	case c == '[':
		return "array"
	case c == '"':
		return "string"
	case c == 't' || c == 'f':
		return "bool"
	case c == 'n':
		return "null"
	case c == '-' || c >= '0' && c <= '9':
		return "number"
	case r.i >= len(r.b):
		return "nothing"
	}
	return "no value"
}

// want fails unless a value of that kind follows.
func (r *jsonReader) want(kind string) error {
	if k := r.kind(); k != kind {
		return r.fail("got %s, want %s", k, kind)
	}
	return nil
}

// items walks over an array or an object: each is called in front of every entry.
func (r *jsonReader) items(open, end byte, each func() error) error {
	if err := r.expect(open); err != nil {
		return err
	}
	if r.depth++; r.depth > maxJSONDepth {
		return r.fail("nested deeper than %d", maxJSONDepth)
	}
	defer func() { r.depth-- }()
	if r.peek() == end {
		r.i++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if r.peek() == ',' {
			r.i++
			continue
		}
		return r.expect(end)
	}
}

// object calls each in front of every value. Keys may repeat; see keys.
func (r *jsonReader) object(each func(key string) error) error {
	if err := r.want("object"); err != nil {
		return err
	}
	return r.items('{', '}', func() error {
		key, err := r.str()
		if err == nil {
			err = r.expect(':')
		}
		if err != nil {
			return err
		}
		return each(key)
	})
}

// keys is object where a key may come once.
func (r *jsonReader) keys(each func(key string) error) error {
	seen := map[string]bool{}
	return r.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("key %q appears twice", key)
		}
		seen[key] = true
		return each(key)
	})
}

// array calls each in front of every value.
func (r *jsonReader) array(each func(i int) error) error {
	if err := r.want("array"); err != nil {
		return err
	}
	n := -1
	return r.items('[', ']', func() error { n++; return each(n) })
}

func (r *jsonReader) str() (string, error) {
	if err := r.want("string"); err != nil {
		return "", err
	}
	r.i++
	start := r.i
	for r.i < len(r.b) {
		switch c := r.b[r.i]; {
		case c == '"':
			r.i++
			return string(r.b[start : r.i-1]), nil
		case c == '\\':
			return r.escaped(start)
		case c < 0x20:
			return "", r.fail("control character in a string")
		}
		r.i++
	}
	return "", r.fail("unexpected end")
}

// escaped goes on with a string that has a backslash at r.i.
func (r *jsonReader) escaped(start int) (string, error) {
	out := append([]byte(nil), r.b[start:r.i]...)
	for r.i < len(r.b) {
		c := r.b[r.i]
		switch {
		case c == '"':
			r.i++
			return string(out), nil
		case c < 0x20:
			return "", r.fail("control character in a string")
		case c != '\\':
			out = append(out, c)
			r.i++
			continue
		case r.i+1 >= len(r.b):
			return "", r.fail("unexpected end")
		}
		e := r.b[r.i+1]
		if e == 'u' {
			u, n := r.unicode(r.i)
			if n == 0 {
				return "", r.fail("invalid Unicode escape")
			}
			out = utf8.AppendRune(out, u)
			r.i += n
			continue
		}
		k := strings.IndexByte(`"\/bfnrt`, e)
		if k < 0 {
			return "", r.fail("invalid escape")
		}
		out = append(out, "\"\\/\b\f\n\r\t"[k])
		r.i += 2
	}
	return "", r.fail("unexpected end")
}

// unicode reads \uXXXX, or a pair of them, at i; length 0 if it is not one or a lone surrogate.
func (r *jsonReader) unicode(i int) (rune, int) {
	hex := func(i int) rune {
		if i+6 > len(r.b) || r.b[i] != '\\' || r.b[i+1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(string(r.b[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(v)
	}
	u := hex(i)
	switch {
	case u < 0 || u >= 0xDC00 && u < 0xE000:
		return 0, 0
	case u < 0xD800 || u >= 0xE000:
		return u, 6
	}
	low := hex(i + 6)
	if low < 0xDC00 || low >= 0xE000 {
		return 0, 0
	}
	return 0x10000 + (u-0xD800)<<10 + low - 0xDC00, 12
}

// number reads a number as it is written.
func (r *jsonReader) number() (string, error) {
	if err := r.want("number"); err != nil {
		return "", err
	}
	start := r.i
	for r.i < len(r.b) && strings.IndexByte("+-.eE0123456789", r.b[r.i]) >= 0 {
		r.i++
	}
	s := string(r.b[start:r.i])
	digits := strings.TrimPrefix(s, "-")
	if _, err := strconv.ParseFloat(s, 64); err != nil || digits[0] < '0' || digits[0] > '9' ||
		len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' || digits[len(digits)-1] == '.' {
		return "", r.fail("invalid number %q", s)
	}
	return s, nil
}

// integer reads a whole number.
func (r *jsonReader) integer() (int64, error) {
	s, err := r.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("got %s, want an integer", s)
	}
	return n, nil
}

func (r *jsonReader) boolean() (bool, error) {
	if err := r.want("bool"); err != nil {
		return false, err
	}
	v, err := r.value()
	b, _ := v.(bool)
	return b, err
}

// value reads anything: map[string]any, []any, string, int64 or float64, bool, nil.
func (r *jsonReader) value() (any, error) {
	switch k := r.kind(); k {
	case "object":
		m := map[string]any{}
		return m, r.keys(func(key string) (err error) { m[key], err = r.value(); return })
	case "array":
		a := []any{}
		return a, r.array(func(int) error {
			v, err := r.value()
			a = append(a, v)
			return err
		})
	case "string":
		return r.str()
	case "number":
		s, err := r.number()
		if err != nil {
			return nil, err
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(s, 64)
		return f, err
	case "bool", "null":
		for word, v := range map[string]any{"true": true, "false": false, "null": nil} {
			if strings.HasPrefix(string(r.b[r.i:min(len(r.b), r.i+5)]), word) {
				r.i += len(word)
				return v, nil
			}
		}
	case "nothing":
		return nil, r.fail("unexpected end")
	}
	return nil, r.fail("invalid character %q", rune(r.b[r.i]))
}

// raw skips a value and gives its bytes; it is checked like any other.
func (r *jsonReader) raw() ([]byte, error) {
	r.peek()
	start := r.i
	_, err := r.value()
	return r.b[start:r.i], err
}

// readJSON runs read over b, which has to be one JSON object and nothing else.
func readJSON(b []byte, limit int, each func(r *jsonReader, key string) error) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, limit %d", len(b), limit)
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("not valid UTF-8")
	}
	r := &jsonReader{b: b}
	if k := r.kind(); k != "object" {
		return fmt.Errorf("got %s, want object", k)
	}
	if err := r.keys(func(key string) error { return each(r, key) }); err != nil {
		return err
	}
	if r.peek(); r.i < len(b) {
		return r.fail("trailing bytes")
	}
	return nil
}
