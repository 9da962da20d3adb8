package jinja

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// Value is what a template computes with: None, bool, int64, *big.Int, float64, *Text, *List, *Tuple, *Dict and what is private to
// this package. No value changes after it is made, but for namespaces, cyclers, joiners and iterators, so values can be shared.
type Value any

type none struct{}

// None is Python's None. A nil Value is a variable that has none.
var None Value = none{}

type (
	// List is a list.
	List struct{ Items []Value }
	// Tuple is a tuple, with names for its items where it comes from groupby.
	Tuple struct {
		Items []Value
		names []string
	}
	undef     struct{ why string }
	namespace struct{ attrs *Dict }
	// fn is a function or a method.
	fn struct {
		name string
		self Value
		call func(in *run, a args) Value
	}
	// iter is an iterator: what it gave is gone.
	iter struct {
		name string
		next func() Value // nil: no more
	}
	// seq is Python's range.
	seq struct{ start, stop, step int }
	// view is what keys, values and items of a dict return.
	view struct {
		d    *Dict
		kind string
	}
	cycler struct {
		items []Value
		at    int
	}
	joiner struct {
		sep  Value
		used bool
	}
)

// NewList makes a list.
func NewList(items ...Value) *List { return &List{items} }

// Dict is an ordered dictionary.
type Dict struct {
	keys, values []Value
	index        map[any]int
}

// NewDict makes a dictionary of texts: keys and values in turn.
func NewDict(pairs ...Value) *Dict {
	d := &Dict{}
	for i := 0; i < len(pairs); i += 2 {
		k := pairs[i]
		if s, ok := k.(string); ok {
			k = NewText(s)
		}
		d.set(k, pairs[i+1])
	}
	return d
}

type (
	bigKey   string
	tupleKey string
)

// hashed is a key of Dict.index: equal for values that are equal in Python.
func hashed(v Value) (any, bool) {
	switch v := v.(type) {
	case *Text:
		return v.S, true
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<62 {
			return int64(v), true
		}
		return v, true
	case int64, none:
		return v, true
	case *big.Int:
		return bigKey(v.String()), true
	case *Tuple:
		var b strings.Builder
		for _, i := range v.Items {
			h, ok := hashed(i)
			if !ok {
				return nil, false
			}
			fmt.Fprintf(&b, "%T:%q;", h, fmt.Sprint(h))
		}
		return tupleKey(b.String()), true
	case *undef:
		return undef{}, true
	case *List, *Dict, *view:
		return nil, false
	case *seq:
		return *v, true
	}
	return v, true // by identity
}

func (d *Dict) set(k, v Value) bool {
	h, ok := hashed(k)
	if !ok {
		return false
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	if i, ok := d.index[h]; ok {
		d.values[i] = v
		return true
	}
	d.index[h] = len(d.keys)
	d.keys, d.values = append(d.keys, k), append(d.values, v)
	return true
}

func (d *Dict) get(k Value) (Value, bool) {
	h, ok := hashed(k)
	if !ok {
		return nil, false
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *Dict) str(k string) (Value, bool) {
	if i, ok := d.index[k]; ok {
		return d.values[i], true
	}
	return nil, false
}

// FromGo makes a value of nil, bool, int, int64, float64, string, []any and map[string]any; maps are sorted by key.
func FromGo(v any) (Value, error) { return fromGo(v, 0) }

func fromGo(v any, depth int) (Value, error) {
	if depth > maxBrackets {
		return nil, fmt.Errorf("variables nest deeper than %d", maxBrackets)
	}
	switch x := v.(type) {
	case nil:
		return None, nil
	case bool, int64, float64:
		return x, nil
	case int:
		return int64(x), nil
	case string:
		return NewText(x), nil
	case []any:
		l := &List{}
		for _, v := range x {
			e, err := fromGo(v, depth+1)
			if err != nil {
				return nil, err
			}
			l.Items = append(l.Items, e)
		}
		return l, nil
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		d := &Dict{}
		for _, k := range keys {
			e, err := fromGo(x[k], depth+1)
			if err != nil {
				return nil, err
			}
			d.set(NewText(k), e)
		}
		return d, nil
	}
	return nil, fmt.Errorf("variable of type %T: want a map, list, string, number or bool", v)
}

// typeName is Python's.
func typeName(v Value) string {
	switch v := v.(type) {
	case none:
		return "None"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case *Text:
		return "str"
	case *List:
		return "list"
	case *Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *undef:
		return "Undefined"
	case *namespace:
		return "namespace"
	case *iter:
		return "iterator"
	case *seq:
		return "range"
	case *view:
		return "dict_" + v.kind
	case *macro:
		return "macro"
	case *loop:
		return "loop"
	}
	return "function"
}

// floatRepr is Python's repr of a float.
func floatRepr(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	exp, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// str is Python's str.
func (in *run) str(v Value) *Text {
	switch v := v.(type) {
	case *Text:
		return v
	case *undef:
		return empty
	case int64:
		return NewText(strconv.FormatInt(v, 10))
	}
	var b builder
	in.repr(&b, v, 0)
	return b.text()
}

// repr writes Python's repr.
func (in *run) repr(b *builder, v Value, depth int) {
	in.charge(8)
	if depth > maxBrackets {
		in.fail("a value nests deeper than %d", maxBrackets)
	}
	list := func(open string, items []Value, end string) {
		b.WriteString(open)
		for i, x := range items {
			if i > 0 {
				b.WriteString(", ")
			}
			in.repr(b, x, depth+1)
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case none:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case *big.Int:
		in.charge(v.BitLen())
		b.WriteString(v.String())
	case float64:
		b.WriteString(floatRepr(v))
	case *Text:
		in.reprText(b, v)
	case *undef:
		b.WriteString("Undefined")
	case *List:
		list("[", v.Items, "]")
	case *Tuple:
		if len(v.Items) == 1 {
			list("(", v.Items, ",)")
		} else {
			list("(", v.Items, ")")
		}
	case *Dict:
		b.WriteString("{")
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			in.repr(b, k, depth+1)
			b.WriteString(": ")
			in.repr(b, v.values[i], depth+1)
		}
		b.WriteString("}")
	case *namespace:
		b.WriteString("<Namespace ")
		in.repr(b, v.attrs, depth+1)
		b.WriteString(">")
	case *seq:
		if v.step == 1 {
			fmt.Fprintf(b, "range(%d, %d)", v.start, v.stop)
		} else {
			fmt.Fprintf(b, "range(%d, %d, %d)", v.start, v.stop, v.step)
		}
	case *view:
		list("dict_"+v.kind+"([", v.items(), "])")
	default:
		in.fail("a value of type %s cannot be written", typeName(v))
	}
	in.checkText(b.Len())
}

// reprText writes a string with quotes, as Python does.
func (in *run) reprText(b *builder, t *Text) {
	in.charge(len(t.S))
	if t.safe {
		in.fail("text made safe cannot be written inside another value")
	}
	quote := byte('\'')
	if strings.IndexByte(t.S, '\'') >= 0 && strings.IndexByte(t.S, '"') < 0 {
		quote = '"'
	}
	b.WriteByte(quote)
	t.each(func(_ int, r rune, source int) {
		switch {
		case r == rune(quote) || r == '\\':
			b.from(`\`+string(r), source)
		case r == '\n':
			b.from(`\n`, source)
		case r == '\r':
			b.from(`\r`, source)
		case r == '\t':
			b.from(`\t`, source)
		case r >= 0x20 && r < 0x7F:
			b.from(string(r), source)
		case printable(r):
			b.from(string(r), source)
		case r < 0x100:
			b.from(fmt.Sprintf(`\x%02x`, r), source)
		case r < 0x10000:
			b.from(fmt.Sprintf(`\u%04x`, r), source)
		default:
			b.from(fmt.Sprintf(`\U%08x`, r), source)
		}
	})
	b.WriteByte(quote)
}

func (v *view) items() []Value {
	switch v.kind {
	case "keys":
		return v.d.keys
	case "values":
		return v.d.values
	}
	out := make([]Value, len(v.d.keys))
	for i, k := range v.d.keys {
		out[i] = &Tuple{Items: []Value{k, v.d.values[i]}}
	}
	return out
}

func (s *seq) len() int {
	switch {
	case s.step > 0 && s.start < s.stop:
		return (s.stop-s.start-1)/s.step + 1
	case s.step < 0 && s.start > s.stop:
		return (s.start-s.stop-1)/-s.step + 1
	}
	return 0
}

func (s *seq) items() []Value {
	out := make([]Value, s.len())
	for i := range out {
		out[i] = int64(s.start + i*s.step)
	}
	return out
}
