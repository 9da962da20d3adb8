package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Limits on a config.json, far above any real one.
const (
	maxConfigBytes = 1 << 20
	maxConfigDepth = 32
)

// parseObject reads a JSON object and refuses what encoding/json lets through: repeated keys, deep nesting, a second value.
// Numbers stay as they are spelled.
func parseObject(b []byte) (map[string]any, error) {
	if len(b) > maxConfigBytes {
		return nil, fmt.Errorf("%d bytes, limit %d", len(b), maxConfigBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("JSON is cut off")
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("text after the JSON object at byte %d", dec.InputOffset())
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("got %s, want object", jsonKind(v))
	}
	return m, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxConfigDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxConfigDepth)
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		m := map[string]any{}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key := k.(string) // the decoder accepts nothing else here
			if _, twice := m[key]; twice {
				return nil, fmt.Errorf("key %q appears twice", key)
			}
			if m[key], err = parseValue(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return m, err
	}
	return t, nil
}

func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
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
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s%s: "+format, append([]any{f.at, name}, args...)...)
	}
}

func (f *fields) has(name string) bool { return f.m[name] != nil }

// whole reads an integer in [lo, hi]; def is given where it is absent, and a def of -1 makes it required.
func (f *fields) whole(name string, def, lo, hi int64) int {
	v := f.m[name]
	if v == nil {
		if def < 0 {
			f.fail(name, "missing")
		}
		return int(def)
	}
	n, ok := v.(json.Number)
	if !ok {
		f.fail(name, "got %s, want %d..%d", jsonKind(v), lo, hi)
		return 0
	}
	x, err := n.Int64()
	if err != nil || x < lo || x > hi {
		f.fail(name, "got %s, want %d..%d", n, lo, hi)
	}
	return int(x)
}

// positive reads a finite number above zero.
func (f *fields) positive(name string, def float64) float64 {
	v := f.m[name]
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

func (f *fields) flag(name string) bool {
	v := f.m[name]
	b, ok := v.(bool)
	if v != nil && !ok {
		f.fail(name, "got %s, want true or false", jsonKind(v))
	}
	return b
}

func (f *fields) text(name string) string {
	v := f.m[name]
	s, ok := v.(string)
	if v != nil && !ok {
		f.fail(name, "got %s, want string", jsonKind(v))
	}
	return s
}

// object gives a nested object, or nil where it is absent.
func (f *fields) object(name string) *fields {
	v := f.m[name]
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
	v := f.m[name]
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
	if n, ok := f.m[name].(json.Number); ok && n == "-1" {
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
