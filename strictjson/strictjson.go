// Package strictjson reads JSON from strangers: what encoding/json lets pass in silence is refused, with the byte where
// it stands.
//
// Refused are text that is not UTF-8, keys that appear twice in an object (also when one is spelled with escapes), lone
// surrogates, nesting over MaxDepth, numbers that are not JSON numbers or beyond float64, and bytes after the value. Keys are compared
// exactly. No tree is built unless Value or Map asks for one: Object, Entries and Array call back in front of each value,
// and the callback has to read it with one of the Reader's methods, so memory follows what the caller keeps.
//
// Errors of the Reader are *Error, whose Code lets a caller word them for its own file; errors of callbacks pass through.
package strictjson

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how many arrays and objects may stand inside each other.
const MaxDepth = 32

// Code says what sort of mistake an Error is.
type Code int

const (
	Invalid   Code = iota // not JSON, nested too deep, or a value of another type than wanted
	Encoding              // not UTF-8
	Truncated             // the text ends too early
	Trailing              // bytes after the value
	Duplicate             // a key appears twice
)

// Error is what is wrong with a text, and where.
type Error struct {
	Code Code
	At   int    // byte in the text, from 0
	Msg  string // without the place
	Key  string // the key of a Duplicate
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.At) }

// Reader walks one text from front to back. It is made by Read.
type Reader struct {
	b     []byte
	i     int
	depth int
}

// Read checks the encoding of b, has value read one value, and makes sure that nothing but white space follows.
// Read(b, (*Reader).Skip) is the check alone.
func Read(b []byte, value func(r *Reader) error) error {
	if !utf8.Valid(b) {
		i := 0
		for c, n := utf8.DecodeRune(b); c != utf8.RuneError || n != 1; c, n = utf8.DecodeRune(b[i:]) {
			i += n
		}
		return &Error{Code: Encoding, At: i, Msg: "not valid UTF-8"}
	}
	r := &Reader{b: b}
	if err := value(r); err != nil {
		return err
	}
	if r.peek(); r.i < len(b) {
		return r.fail(Trailing, r.i, "unexpected %q", r.char())
	}
	return nil
}

// Kind names the type of the next value: object, array, string, number, boolean, null; nothing where none begins.
func (r *Reader) Kind() string { return kindOf(r.peek()) }

// KindOf is Kind for a value that Raw has given.
func KindOf(raw []byte) string {
	if len(raw) == 0 {
		return kindOf(0)
	}
	return kindOf(raw[0])
}

func kindOf(c byte) string {
	switch {
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

// Object calls member behind each key; a key that appears twice is an error.
func (r *Reader) Object(member func(key string) error) error {
	var seen keys
	return r.entries(func(at int, key string) error {
		if !seen.add(key) {
			return &Error{Code: Duplicate, At: at, Msg: "key " + strconv.Quote(clip(key)) + " appears twice", Key: key}
		}
		return member(key)
	})
}

// keys is a set of keys. Most objects have few, and no map is made for those.
type keys struct {
	few  [8]string
	n    int // of few
	many map[string]struct{}
}

// add says false of a key that is there already.
func (k *keys) add(key string) bool {
	if slices.Contains(k.few[:k.n], key) {
		return false
	}
	if k.n < len(k.few) {
		k.few[k.n] = key
		k.n++
		return true
	}
	if k.many == nil {
		k.many = map[string]struct{}{}
	}
	_, twice := k.many[key]
	k.many[key] = struct{}{}
	return !twice
}

// Entries is Object for a caller that keeps the keys, and so looks for repeated ones itself.
func (r *Reader) Entries(member func(key string) error) error {
	return r.entries(func(_ int, key string) error { return member(key) })
}

func (r *Reader) entries(member func(at int, key string) error) error {
	return r.items("object", '}', func(int) error {
		r.peek()
		at := r.i
		key, err := r.String()
		if err == nil {
			err = r.expect(':')
		}
		if err != nil {
			return err
		}
		return member(at, key)
	})
}

// Array calls element in front of each value.
func (r *Reader) Array(element func(i int) error) error { return r.items("array", ']', element) }

func (r *Reader) items(kind string, end byte, each func(i int) error) error {
	if err := r.want(kind); err != nil {
		return err
	}
	if r.depth++; r.depth > MaxDepth {
		return r.fail(Invalid, r.i, "nested deeper than %d", MaxDepth)
	}
	defer func() { r.depth-- }()
	r.i++
	if r.peek() == end {
		r.i++
		return nil
	}
	for i := 0; ; i++ {
		if err := each(i); err != nil {
			return err
		}
		if r.peek() != ',' {
			return r.expect(end)
		}
		r.i++
	}
}

// String reads a string and resolves its escapes.
func (r *Reader) String() (string, error) {
	r.peek()
	start := r.i + 1
	plain, err := r.skipString()
	if err != nil {
		return "", err
	}
	text := r.b[start : r.i-1]
	if plain {
		return string(text), nil
	}
	var b strings.Builder
	b.Grow(len(text)) // no escape is shorter than what it stands for
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\\')
		if n < 0 {
			n = len(text)
		}
		b.Write(text[:n])
		if text = text[n:]; len(text) > 0 {
			c, n := escape(text)
			b.WriteRune(c)
			text = text[n:]
		}
	}
	return b.String(), nil
}

// skipString checks a string; plain says that it has no escapes.
func (r *Reader) skipString() (plain bool, err error) {
	if err := r.want("string"); err != nil {
		return false, err
	}
	plain = true
	for r.i++; r.i < len(r.b); {
		r.i += ordinary(r.b[r.i:])
		if r.i == len(r.b) {
			break
		}
		switch c := r.b[r.i]; {
		case c == '"':
			r.i++
			return plain, nil
		case c < ' ':
			return false, r.fail(Invalid, r.i, "control character in a string: %q", c)
		case c == '\\':
			if err := r.checkEscape(); err != nil {
				return false, err
			}
			plain = false
		}
	}
	return false, r.truncated()
}

// ordinary is how many bytes at the start stand for themselves in a string: up to a quote, a backslash or a control character.
func ordinary(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		if ((x-ones*' ')&^x|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 { // a byte below ' ', or 0 after the xor
			break
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// checkEscape goes over an escape.
func (r *Reader) checkEscape() error {
	if r.i+1 >= len(r.b) {
		return r.truncated()
	}
	u, n := escape(r.b[r.i:])
	if u < 0 {
		what := "escape"
		if r.b[r.i+1] == 'u' {
			what = "Unicode escape"
		}
		return r.fail(Invalid, r.i, "invalid %s", what)
	}
	r.i += n
	return nil
}

// escape is the character that the escape at the start of b stands for, -1 for none, and its length.
func escape(b []byte) (rune, int) {
	if k := strings.IndexByte(`"\/bfnrt`, b[1]); k >= 0 {
		return rune("\"\\/\b\f\n\r\t"[k]), 2
	}
	u := hex(b)
	if utf16.IsSurrogate(u) { // a pair or nothing: half of one has no UTF-8 form
		if u = utf16.DecodeRune(u, hex(b[6:])); u == utf8.RuneError {
			u = -1
		}
		return u, 12
	}
	return u, 6
}

// hex gives the value of the \uXXXX at the start of b, -1 if there is none.
func hex(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	u, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(u)
}

// Number reads a number and gives it as it is written. It may have more digits than any Go type holds, but is within float64's range.
func (r *Reader) Number() (json.Number, error) {
	if err := r.want("number"); err != nil {
		return "", err
	}
	start := r.i
	for r.i < len(r.b) && strings.IndexByte("+-.eE0123456789", r.b[r.i]) >= 0 {
		r.i++
	}
	lit := r.b[start:r.i]
	if !json.Valid(lit) {
		return "", r.fail(Invalid, start, "invalid number %q", clip(string(lit)))
	}
	if _, err := strconv.ParseFloat(string(lit), 64); err != nil {
		return "", r.fail(Invalid, start, "number %s is out of range", clip(string(lit)))
	}
	return json.Number(lit), nil
}

// Bool reads true or false.
func (r *Reader) Bool() (bool, error) {
	if err := r.want("boolean"); err != nil {
		return false, err
	}
	v, err := r.word()
	b, _ := v.(bool)
	return b, err
}

func (r *Reader) word() (any, error) {
	rest := r.b[r.i:]
	for _, w := range [...]struct {
		text  string
		value any
	}{{"true", true}, {"false", false}, {"null", nil}} {
		if len(rest) >= len(w.text) && string(rest[:len(w.text)]) == w.text {
			r.i += len(w.text)
			return w.value, nil
		}
	}
	return nil, r.noValue()
}

// Map reads an object with all that is in it; see Value.
func (r *Reader) Map() (map[string]any, error) {
	m := map[string]any{}
	return m, r.Object(func(key string) (err error) { m[key], err = r.Value(); return err })
}

// Value reads anything: map[string]any, []any, string, json.Number, bool or nil.
func (r *Reader) Value() (any, error) {
	switch r.Kind() {
	case "object":
		return r.Map()
	case "array":
		a := []any{}
		err := r.Array(func(int) error {
			v, err := r.Value()
			a = append(a, v)
			return err
		})
		return a, err
	case "string":
		return r.String()
	case "number":
		return r.Number()
	}
	return r.word()
}

// Skip reads anything and checks it.
func (r *Reader) Skip() (err error) {
	switch r.Kind() {
	case "object":
		return r.Object(func(string) error { return r.Skip() })
	case "array":
		return r.Array(func(int) error { return r.Skip() })
	case "string":
		_, err = r.skipString()
		return err
	}
	_, err = r.Value()
	return err
}

// Raw is Skip that gives the value's bytes, a part of the text.
func (r *Reader) Raw() ([]byte, error) {
	r.peek()
	start := r.i
	err := r.Skip()
	return r.b[start:r.i:r.i], err
}

// Member is one member of an object: its key, the bytes of its value (a part of the text), and where the value begins.
type Member struct {
	Key string
	Raw []byte
	At  int // byte in the text, from 0
}

// Members is Object that keeps the members, in order, each with its value checked.
func (r *Reader) Members() ([]Member, error) {
	var list []Member
	err := r.Object(func(key string) error {
		r.peek()
		at := r.i
		raw, err := r.Raw()
		list = append(list, Member{Key: key, Raw: raw, At: at})
		return err
	})
	return list, err
}

// peek skips white space and gives the next byte, 0 at the end.
func (r *Reader) peek() byte {
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

// char is the character at the place, for errors.
func (r *Reader) char() rune {
	c, _ := utf8.DecodeRune(r.b[r.i:])
	return c
}

func (r *Reader) expect(c byte) error {
	if r.peek(); r.i >= len(r.b) {
		return r.truncated()
	}
	if r.b[r.i] != c {
		return r.fail(Invalid, r.i, "got %q, want %q", r.char(), c)
	}
	r.i++
	return nil
}

// want fails unless a value of that kind follows.
func (r *Reader) want(kind string) error {
	switch k := r.Kind(); {
	case k == kind:
		return nil
	case r.i >= len(r.b):
		return r.fail(Truncated, r.i, "got nothing, want %s", kind)
	case k == "nothing":
		return r.noValue()
	default:
		return r.fail(Invalid, r.i, "got %s, want %s", k, kind)
	}
}

func (r *Reader) noValue() error {
	if r.i >= len(r.b) {
		return r.truncated()
	}
	for _, word := range [...]string{"NaN", "Infinity"} { // Python writes them
		if bytes.HasPrefix(r.b[r.i:], []byte(word)) {
			return r.fail(Invalid, r.i, "%s is no value in JSON: want a number, or null", word)
		}
	}
	return r.fail(Invalid, r.i, "invalid character %q", r.char())
}

func (r *Reader) truncated() error { return r.fail(Truncated, len(r.b), "unexpected end") }

func (r *Reader) fail(code Code, at int, format string, args ...any) error {
	return &Error{Code: code, At: at, Msg: fmt.Sprintf(format, args...)}
}

// clip keeps an error one readable line.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
