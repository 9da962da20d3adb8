package record

// The fields of a row by name, checked.

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

func badField(format string, a ...any) error { return fmt.Errorf(format, a...) }

// row gives access to the fields of one object by name, and knows which were read.
type row struct {
	members []strictjson.Member
	columns table    // that may be asked for; nil: all, the object stands inside of another
	own     []string // likewise, of the row's schema
	keeps   []string // the schema's, that nobody need be told of
	used    map[string]bool
	kept    map[string]bool // that were read, and stay in the row all the same
	turns   bool            // the prompt was a transcript, of which turns were made
	began   bool            // the prompt is what both responses began with
	inner   []string        // keys of objects inside that nothing has read
	parts   []parts         // objects inside that were read
	asides  map[aside]int   // parts of the row that give no record
	max     int             // bytes of a text
	blank   bool            // messages and responses may be empty
	layout  *Layout         // what was said of the rows; nil: nothing
	untyped bool            // the values are texts that may stand for numbers and lists, as in CSV
}

// parts are the objects in a list of a row.
type parts struct {
	key     string
	objects []*row
}

func newRow(members []strictjson.Member, columns table, max int) *row {
	return &row{members: members, columns: columns, used: map[string]bool{}, kept: map[string]bool{}, max: max}
}

// nested is the row of an object inside of another, which is checked already.
func (r *row) nested(raw []byte) *row {
	var members []strictjson.Member
	checked(raw, func(v *strictjson.Reader) (err error) { members, err = v.Members(); return err })
	return newRow(members, nil, r.max)
}

// checked reads a value that was read before, as a part of its row.
func checked(raw []byte, value func(*strictjson.Reader) error) {
	if err := strictjson.Read(raw, value); err != nil {
		panic("record: a value was not checked before")
	}
}

// kind names the type of a key's value; "": there is none.
func (r *row) kind(key string) string {
	for _, m := range r.members {
		if m.Key == key {
			return strictjson.KindOf(m.Raw)
		}
	}
	return ""
}

// raw is a key's value, without a note that it was read; nil: there is none.
func (r *row) raw(key string) []byte {
	for _, m := range r.members {
		if m.Key == key {
			return m.Raw
		}
	}
	return nil
}

// has reports whether a key has a value; null is none.
func (r *row) has(key string) bool {
	kind := r.kind(key)
	return kind != "" && kind != "null"
}

// get gives a key's value and takes note that it was read. null is an absent field; it stays in the record as an extra one.
func (r *row) get(key string) ([]byte, bool) {
	if _, ok := r.columns.of(key); r.columns != nil && !ok && !slices.Contains(r.own, key) {
		panic("record: a key is read that is not in the table of columns")
	}
	for _, m := range r.members {
		if m.Key == key && strictjson.KindOf(m.Raw) != "null" {
			r.used[key] = true
			return m.Raw, true
		}
	}
	return nil, false
}

// aside counts parts of the row that give no record.
func (r *row) aside(why aside, n int) {
	if r.asides == nil {
		r.asides = map[aside]int{}
	}
	r.asides[why] += n
}

// missing is the error for a key that is not there, with the near miss if only the case differs.
func (r *row) missing(key string) error {
	for _, m := range r.members {
		if m.Key != key && strings.EqualFold(m.Key, key) {
			return badField("key %q is missing (found %q: keys are case-sensitive)", key, m.Key)
		}
	}
	if r.kind(key) == "null" {
		return badField("%q: got null, want a value", key)
	}
	return badField("key %q is missing", key)
}

// str decodes a checked JSON string; other kinds give "".
func str(raw []byte) (s string) {
	if strictjson.KindOf(raw) == "string" {
		checked(raw, func(v *strictjson.Reader) (err error) { s, err = v.String(); return err })
	}
	return s
}

// items splits a checked JSON array.
func items(raw []byte) (out [][]byte) {
	checked(raw, func(v *strictjson.Reader) error {
		return v.Array(func(int) error {
			item, err := v.Raw()
			out = append(out, item)
			return err
		})
	})
	return out
}

// typed is a value as the kind that is wanted: of rows whose values are all texts, one that spells such a value stands for it.
func (r *row) typed(raw []byte, want string) []byte {
	if !r.untyped || strictjson.KindOf(raw) != "string" {
		return raw
	}
	text := strings.TrimSpace(str(raw))
	switch want {
	case "boolean":
		if lower := strings.ToLower(text); lower == "true" || lower == "false" {
			return []byte(lower)
		}
	case "number":
		if v, err := strconv.ParseFloat(text, 64); err == nil && strings.Trim(text, "+-.0123456789eE") == "" {
			return strconv.AppendFloat(nil, v, 'g', -1, 64)
		}
	default:
		ok := false
		err := strictjson.Read([]byte(text), func(v *strictjson.Reader) error { ok = v.Kind() == want; return v.Skip() })
		if ok && err == nil {
			return []byte(text)
		}
	}
	return raw
}

// anyText is the text of a key, which may be empty.
func (r *row) anyText(key string) (string, error) {
	raw, ok := r.get(key)
	if !ok {
		return "", r.missing(key)
	}
	if kind := strictjson.KindOf(raw); kind != "string" {
		return "", badField("%q: got %s, want string", key, kind)
	}
	v := str(raw)
	if len(v) > r.max {
		return "", badField("%q: text is %d bytes, limit %d", key, len(v), r.max)
	}
	return v, nil
}

// text is the text of a key, which must hold more than white space.
func (r *row) text(key string) (string, error) {
	v, err := r.anyText(key)
	if err == nil && strings.TrimSpace(v) == "" {
		err = badField("%q is empty", key)
	}
	return v, err
}

func (r *row) optText(key string, dst *string) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	if kind := strictjson.KindOf(raw); kind != "string" {
		return badField("%q: got %s, want string", key, kind)
	}
	*dst = str(raw)
	return nil
}

func number(key string, raw []byte) (float64, error) {
	if kind := strictjson.KindOf(raw); kind != "number" {
		return 0, badField("%q: got %s, want a finite number", key, kind)
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, badField("%q: number out of range", key)
	}
	return v, nil
}

func (r *row) optNumber(key string, dst **float64) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	v, err := number(key, r.typed(raw, "number"))
	if err == nil {
		*dst = &v
	}
	return err
}

func (r *row) optBool(key string, dst **bool) error {
	raw, ok := r.get(key)
	if !ok {
		return nil
	}
	raw = r.typed(raw, "boolean")
	if kind := strictjson.KindOf(raw); kind != "boolean" {
		return badField("%q: got %s, want true or false", key, kind)
	}
	v := raw[0] == 't'
	*dst = &v
	return nil
}

// list is the items of a key's list; nothing if there is none.
func (r *row) list(key, of string) ([][]byte, error) {
	raw, ok := r.get(key)
	if !ok {
		return nil, nil
	}
	raw = r.typed(raw, "array")
	if kind := strictjson.KindOf(raw); kind != "array" {
		return nil, badField("%q: got %s, want a list of %s", key, kind, of)
	}
	return items(raw), nil
}

func (r *row) optNumbers(key string, dst *[]float64) error {
	list, err := r.list(key, "numbers")
	if err != nil {
		return err
	}
	for _, raw := range list {
		v, err := number(key, raw)
		if err != nil {
			return err
		}
		*dst = append(*dst, v)
	}
	return nil
}

func (r *row) optTokens(key string, dst *[]int32) error {
	list, err := r.list(key, "numbers")
	if err != nil || len(list) == 0 {
		return err
	}
	out := make([]int32, len(list))
	for i, raw := range list {
		v, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil || v < 0 {
			return badField("%q: item %d is %s, want a token id", key, i, clip(string(raw)))
		}
		out[i] = int32(v)
	}
	*dst = out
	return nil
}

// first runs steps up to the first error: the others are rarely independent of it.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// clip bounds what an error message quotes.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// syntax is the strict reader's error, if err is one.
func syntax(err error) (*strictjson.Error, bool) {
	var e *strictjson.Error
	return e, errors.As(err, &e)
}
