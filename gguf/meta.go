package gguf

import (
	"fmt"
	"slices"
	"strings"
)

// Value is a metadata value: uint8…uint64 and int8…int64 as they are, float32, float64, bool, string, or a slice of one of these.
type Value any

// Pair is a key of the metadata with its value.
type Pair struct {
	Key   string
	Value Value
}

// Meta is the metadata of a file, in its order.
type Meta []Pair

// Get gives the value of a key, or nil.
func (m Meta) Get(key string) Value {
	i := slices.IndexFunc(m, func(p Pair) bool { return p.Key == key })
	if i < 0 {
		return nil
	}
	return m[i].Value
}

// Fields reads typed values out of metadata and keeps the first error.
type Fields struct {
	Meta Meta
	Err  error

	asked map[string]bool // keys that were looked for
}

// Get gives the value of a key, or nil.
func (f *Fields) Get(key string) Value {
	if f.asked == nil {
		f.asked = map[string]bool{}
	}
	f.asked[key] = true
	return f.Meta.Get(key)
}

// Unread lists what nobody has looked for, of keys that begin with a prefix.
func (f *Fields) Unread(prefix string) (list []Pair) {
	for _, p := range f.Meta {
		if strings.HasPrefix(p.Key, prefix) && !f.asked[p.Key] {
			list = append(list, p)
		}
	}
	return list
}

func (f *Fields) fail(key, format string, a ...any) {
	if f.Err == nil {
		f.Err = fmt.Errorf("metadata %q: "+format, append([]any{key}, a...)...)
	}
}

// Has says whether a key is there.
func (f *Fields) Has(key string) bool { return f.Get(key) != nil }

// Whole reads an integer in [lo, hi] of any integer type; def is given where it is absent, and a negative def makes it required.
func (f *Fields) Whole(key string, def, lo, hi int64) int64 {
	v := f.Get(key)
	if v == nil {
		if def < 0 {
			f.fail(key, "missing")
		}
		return def
	}
	n, ok := whole(v)
	if !ok || n < lo || n > hi {
		f.fail(key, "got %s, want a whole number in %d..%d", shown(v), lo, hi)
	}
	return n
}

// WholeOf reads an integer, or the element i of an array of them, as some files have one for each layer.
func (f *Fields) WholeOf(key string, i int, def, lo, hi int64) int64 {
	list := integers(f.Get(key))
	if list == nil {
		return f.Whole(key, def, lo, hi)
	}
	if i >= len(list) || list[i] < lo || list[i] > hi {
		f.fail(key, "got %s, want whole numbers in %d..%d, more than %d of them", shown(list), lo, hi, i)
		return def
	}
	return list[i]
}

// Uniform wants all elements of an array of integers to be the same; a single integer is.
func (f *Fields) Uniform(key string) {
	list := integers(f.Get(key))
	for _, n := range list {
		if n != list[0] {
			f.fail(key, "differs between layers, which is not supported")
		}
	}
}

// Number reads a number; def is given where it is absent, and required says that it must not be.
func (f *Fields) Number(key string, def float64, required bool) float64 {
	v := f.Get(key)
	switch x := v.(type) {
	case nil:
		if required {
			f.fail(key, "missing")
		}
		return def
	case float32:
		return float64(x)
	case float64:
		return x
	}
	n, ok := whole(v)
	if !ok {
		f.fail(key, "got %T, want a number", v)
	}
	return float64(n)
}

// Text reads a string; "" where it is absent.
func (f *Fields) Text(key string) string {
	v := f.Get(key)
	s, ok := v.(string)
	if v != nil && !ok {
		f.fail(key, "got %T, want a string", v)
	}
	return s
}

// Flag reads a switch; def where it is absent.
func (f *Fields) Flag(key string, def bool) bool {
	v := f.Get(key)
	if v == nil {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		f.fail(key, "got %T, want true or false", v)
	}
	return b
}

// Texts reads an array of strings; nil where it is absent.
func (f *Fields) Texts(key string) []string {
	v := f.Get(key)
	list, ok := v.([]string)
	if v != nil && !ok {
		f.fail(key, "got %T, want an array of strings", v)
	}
	return list
}

// Integers reads an array of integers; nil where it is absent.
func (f *Fields) Integers(key string) []int64 {
	v := f.Get(key)
	list := integers(v)
	if v != nil && list == nil {
		f.fail(key, "got %T, want an array of integers", v)
	}
	return list
}

// Numbers reads an array of float32; nil where it is absent.
func (f *Fields) Numbers(key string) []float32 {
	v := f.Get(key)
	list, ok := v.([]float32)
	if v != nil && !ok {
		f.fail(key, "got %T, want an array of float32", v)
	}
	return list
}

// shown is a value for an error, cut.
func shown(v Value) string {
	text := fmt.Sprint(v)
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return text
}

func whole(v Value) (int64, bool) {
	switch x := v.(type) {
	case uint8:
		return int64(x), true
	case int8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case int16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case int32:
		return int64(x), true
	case uint64:
		return int64(x), x < 1<<63
	case int64:
		return x, true
	}
	return 0, false
}

// integers widens an array of integers; nil is given for anything else.
func integers(v Value) []int64 {
	switch x := v.(type) {
	case []uint8:
		return widen(x)
	case []int8:
		return widen(x)
	case []uint16:
		return widen(x)
	case []int16:
		return widen(x)
	case []uint32:
		return widen(x)
	case []int32:
		return widen(x)
	case []uint64:
		return widen(x)
	case []int64:
		return x
	}
	return nil
}

func widen[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64](x []T) []int64 {
	out := make([]int64, len(x))
	for i, v := range x {
		out[i] = int64(v)
	}
	return out
}
