package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"criticrm/strictjson"
)

// maxConfigBytes is far above any real config.json.
const maxConfigBytes = 1 << 20

// parseObject reads a strict JSON object. Numbers stay as they are spelled.
func parseObject(b []byte) (m map[string]any, err error) {
	if len(b) > maxConfigBytes {
		return nil, fmt.Errorf("%d bytes, limit %d", len(b), maxConfigBytes)
	}
	err = strictjson.Read(b, func(r *strictjson.Reader) error {
		if k := r.Kind(); k != "object" && k != "nothing" {
			return fmt.Errorf("got %s, want object", k)
		}
		m, err = r.Map()
		return err
	})
	var je *strictjson.Error
	switch {
	case errors.As(err, &je) && je.Code == strictjson.Truncated:
		return nil, errors.New("JSON is cut off")
	case errors.As(err, &je) && je.Code == strictjson.Trailing:
		return nil, fmt.Errorf("text after the JSON object at byte %d", je.At)
	}
	return m, err
}

func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// fields reads typed values out of an object and keeps the first error. A null counts as absent, as in transformers.
type fields struct {
	m   map[string]any
	at  string // prefix of names in errors: "" or "rope_parameters."
	err error

	asked map[string]bool // names that were looked for; nil: not noted
}

func (f *fields) get(name string) any {
	if f.asked != nil {
		f.asked[name] = true
	}
	return f.m[name]
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s%s: "+format, append([]any{f.at, name}, args...)...)
	}
}

func (f *fields) has(name string) bool { return f.get(name) != nil }

// given says whether the name is there, be it with null.
func (f *fields) given(name string) bool { f.get(name); _, ok := f.m[name]; return ok }

// whole reads an integer in [lo, hi]; def is given where it is absent, and a def of -1 makes it required. After a failure it is lo.
func (f *fields) whole(name string, def, lo, hi int64) int {
	v := f.get(name)
	if v == nil {
		if def < 0 {
			f.fail(name, "missing")
			return int(lo)
		}
		return int(def)
	}
	n, ok := v.(json.Number)
	if !ok {
		f.fail(name, "got %s, want %d..%d", jsonKind(v), lo, hi)
		return int(lo)
	}
	x, err := n.Int64()
	if err != nil || x < lo || x > hi {
		f.fail(name, "got %s, want %d..%d", n, lo, hi)
		return int(lo)
	}
	return int(x)
}

// positive reads a finite number above zero.
func (f *fields) positive(name string, def float64) float64 {
	v := f.get(name)
	if v == nil {
		if def < 0 {
			f.fail(name, "missing")
		}
		return def
	}
	n, ok := v.(json.Number)
	if !ok {
		f.fail(name, "got %s, want a number above 0", jsonKind(v))
		return 0
	}
	x, err := n.Float64()
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		f.fail(name, "got %s, want a finite number above 0", n)
	}
	return x
}

// numbers reads a list of finite numbers above zero.
func (f *fields) numbers(name string) []float64 {
	list, ok := f.get(name).([]any)
	if !ok {
		f.fail(name, "got %s, want an array of numbers", jsonKind(f.get(name)))
	}
	var out []float64
	for i, v := range list {
		one := &fields{m: map[string]any{"": v}}
		if out = append(out, one.positive("", -1)); one.err != nil {
			f.fail(name, "number %d: got %v, want a finite number above 0", i, v)
		}
	}
	return out
}

func (f *fields) flag(name string) bool { return f.flagOr(name, false) }

// flagOr reads true or false; def is given where it is absent.
func (f *fields) flagOr(name string, def bool) bool {
	v := f.get(name)
	if v == nil {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		f.fail(name, "got %s, want true or false", jsonKind(v))
	}
	return b
}

func (f *fields) text(name string) string {
	v := f.get(name)
	s, ok := v.(string)
	if v != nil && !ok {
		f.fail(name, "got %s, want string", jsonKind(v))
	}
	return s
}

// object gives a nested object, or nil where it is absent.
func (f *fields) object(name string) *fields {
	v := f.get(name)
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.fail(name, "got %s, want object", jsonKind(v))
		return nil
	}
	return &fields{m: m, at: f.at + name + "."}
}

// ids reads one token id or a list of them.
func (f *fields) ids(name string, vocab int) []int32 {
	v := f.get(name)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]int32, 0, len(list))
	for _, v := range list {
		n, ok := v.(json.Number)
		var x int64
		var err error
		if ok {
			x, err = n.Int64()
		}
		if !ok || err != nil || x < 0 || x >= int64(vocab) {
			f.fail(name, "got %v, want token ids in 0..%d", v, vocab-1)
			return nil
		}
		out = append(out, int32(x))
	}
	return out
}

func (f *fields) id(name string, vocab int) *int32 {
	if n, ok := f.get(name).(json.Number); ok && n == "-1" {
		return nil // a widespread way to say that there is none
	}
	ids := f.ids(name, vocab)
	if len(ids) > 1 {
		f.fail(name, "got %d ids, want one", len(ids))
	}
	if len(ids) == 0 {
		return nil
	}
	return &ids[0]
}
