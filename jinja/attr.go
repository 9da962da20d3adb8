package jinja

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func quote(s string) string { return strconv.Quote(s) }

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// refused are attributes that Python's values have and ours do not, so that a template that asks for one is told. What changes a list
// or a dict, Jinja2's sandbox hides: such an attribute is undefined.
var refused = map[string][]string{
	"str":      {"encode", "format_map", "isidentifier", "maketrans", "translate"},
	"dict":     {"fromkeys"},
	"int":      {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag", "numerator", "real", "to_bytes"},
	"bool":     {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag", "numerator", "real", "to_bytes"},
	"float":    {"as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real"},
	"range":    {"count", "index"},
	"iterator": {"close", "send", "throw", "gi_running", "gi_yieldfrom", "gi_suspended"},
	"macro":    {"explicit_caller"},
}

var hidden = map[string][]string{
	"dict": {"clear", "pop", "popitem", "setdefault", "update"},
	"list": {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"},
}

// attr gives an attribute of a value as Python's getattr does, nil where it has none.
func (in *run) attr(v Value, name string) Value {
	if strings.HasPrefix(name, "__") {
		in.fail("%s is not allowed", quote(name))
	}
	var method func(in *run, self Value, a args) Value
	switch v := v.(type) {
	case *undef:
		in.useUndefined(v)
	case *namespace:
		e, _ := v.attrs.str(name)
		return e
	case *loop:
		if e := v.attr(in, name); e != nil {
			return e
		}
	case *Text:
		if m := strMethods[name]; m != nil {
			return &fn{name: "str." + name, self: v, call: func(in *run, a args) Value {
				in.plain(v)
				return m(in, v, a)
			}}
		}
	case *Dict:
		method = dictMethods[name]
	case *List:
		if method = listMethods[name]; method == nil && name == "copy" {
			return &fn{name: "list.copy", self: v, call: func(in *run, a args) Value {
				a.positional(in, "list.copy", 0, 0)
				in.items(len(v.Items))
				return &List{slices.Clone(v.Items)}
			}}
		}
	case *Tuple:
		if i := slices.Index(v.names, name); i >= 0 {
			return v.Items[i]
		}
		method = listMethods[name]
	case *seq:
		if i := slices.Index([]string{"start", "stop", "step"}, name); i >= 0 {
			return int64([]int{v.start, v.stop, v.step}[i])
		}
	case *view:
		if name == "mapping" || name == "isdisjoint" && v.kind != "values" {
			in.fail("%s.%s is not supported", typeName(v), name)
		}
	case *macro:
		return v.attr(name)
	case *cycler:
		return v.attr(name)
	case *joiner:
		switch name {
		case "sep":
			return v.sep
		case "used":
			return v.used
		}
	case *fn:
		if v.name == "dict" && name == "fromkeys" {
			in.fail("dict.fromkeys is not supported")
		}
	}
	if method != nil {
		return &fn{name: typeName(v) + "." + name, self: v, call: func(in *run, a args) Value { return method(in, v, a) }}
	}
	t := typeName(v)
	if slices.Contains(hidden[t], name) {
		return &undef{why: t + "." + name + " changes the value: not allowed"}
	}
	if slices.Contains(refused[t], name) {
		in.fail("%s.%s is not supported", t, name)
	}
	return nil
}

func (m *macro) attr(name string) Value {
	switch name {
	case "name":
		if m.def.name == "" {
			return None
		}
		return NewText(m.def.name)
	case "arguments":
		t := &Tuple{}
		for _, a := range m.def.args {
			t.Items = append(t.Items, NewText(a.name))
		}
		return t
	case "catch_kwargs":
		return m.def.kwargs
	case "catch_varargs":
		return m.def.varargs
	case "caller":
		return m.def.caller
	}
	return nil
}

func (c *cycler) attr(name string) Value {
	switch name {
	case "current":
		return c.items[c.at]
	case "next":
		return &fn{name: "cycler.next", self: c, call: func(in *run, a args) Value {
			a.positional(in, "cycler.next", 0, 0)
			v := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return v
		}}
	case "reset":
		return &fn{name: "cycler.reset", self: c, call: func(in *run, a args) Value {
			a.positional(in, "cycler.reset", 0, 0)
			c.at = 0
			return None
		}}
	case "items":
		return &Tuple{Items: c.items}
	case "pos":
		return int64(c.at)
	}
	return nil
}

// getattr is x.name.
func (in *run) getattr(v Value, name string) Value {
	if e := in.attr(v, name); e != nil {
		return e
	}
	if d, ok := v.(*Dict); ok {
		if e, ok := d.str(name); ok {
			return e
		}
	}
	return missing(v, NewText(name))
}

func missing(v, key Value) *undef {
	if t, ok := key.(*Text); ok {
		return &undef{why: "a value of type " + typeName(v) + " has no attribute " + quote(t.S)}
	}
	return &undef{why: "a value of type " + typeName(v) + " has no such element"}
}

// getitem is x[key].
func (in *run) getitem(v, key Value) Value {
	switch x := v.(type) {
	case *undef:
		in.useUndefined(x)
	case *Dict:
		if t, ok := key.(*Text); ok {
			in.charge(len(t.S))
		}
		if e, ok := x.get(key); ok {
			return e
		}
	case *List, *Tuple, *Text, *seq:
		if t, ok := v.(*Text); ok {
			in.plain(t)
		}
		i, isInt := index(key)
		if !isInt {
			break
		}
		n, _ := in.length(v)
		if i < 0 {
			i += n
		}
		if i < 0 || i >= n {
			return missing(v, key)
		}
		switch x := v.(type) {
		case *List:
			return x.Items[i]
		case *Tuple:
			return x.Items[i]
		case *Text:
			in.charge(len(x.S) / 8)
			return x.points(i, i+1)
		case *seq:
			return int64(x.start + i*x.step)
		}
	}
	if t, ok := key.(*Text); ok {
		if e := in.attr(v, t.S); e != nil {
			return e
		}
	}
	return missing(v, key)
}

// index gives an integer; one that is too large for any list is as large as fits.
func index(v Value) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(max(-1<<62, min(v, 1<<62))), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case *big.Int:
		return v.Sign() * 1 << 62, true
	}
	return 0, false
}

// integer wants an integer argument.
func (in *run) integer(v Value, f string) int {
	i, ok := index(v)
	if u, bad := v.(*undef); bad {
		in.useUndefined(u)
	}
	if !ok {
		in.fail("%s: got %s, want an integer", f, typeName(v))
	}
	return i
}

func sliceable(v Value, parts ...Value) bool {
	for _, p := range parts {
		if _, ok := index(p); !ok && p != None {
			return false
		}
	}
	switch v.(type) {
	case *List, *Tuple, *Text, *seq, *undef:
		return true
	}
	return false
}

// slice is x[start:stop:step].
func (in *run) slice(v, start, stop, step Value) Value {
	n := 0
	switch x := v.(type) {
	case *undef:
		in.useUndefined(x)
	case *List, *Tuple, *Text, *seq:
		if t, ok := v.(*Text); ok {
			in.plain(t)
		}
		n, _ = in.length(v)
	default:
		in.fail("a value of type %s cannot be sliced", typeName(v))
	}
	by := 1
	if step != None {
		if by = in.integer(step, "slice"); by == 0 {
			in.fail("slice: the step is 0")
		}
	}
	bound := func(v Value, def int) int {
		if v == None {
			return def
		}
		i := in.integer(v, "slice")
		low, high := 0, n
		if by < 0 {
			low, high = -1, n-1
		}
		if i < 0 {
			return max(i+n, low)
		}
		return min(i, high)
	}
	from, to := bound(start, 0), bound(stop, n)
	if by < 0 {
		from, to = bound(start, n-1), bound(stop, -1)
	}
	r := &seq{from, to, by}
	count := r.len()
	switch x := v.(type) {
	case *Text:
		in.text(len(x.S))
		if by == 1 {
			return x.points(from, max(from, to))
		}
		var b builder
		at := make([]int, 0, n+1)
		for i := range x.S {
			at = append(at, i)
		}
		at = append(at, len(x.S))
		in.charge(8 * n)
		for k := range count {
			i := from + k*by
			b.from(x.S[at[i]:at[i+1]], x.source(at[i]))
		}
		return b.text()
	case *List:
		return &List{in.pick(x.Items, from, by, count)}
	case *Tuple:
		return &Tuple{Items: in.pick(x.Items, from, by, count)}
	}
	s := v.(*seq)
	return &seq{s.start + from*s.step, s.start + to*s.step, s.step * by}
}

func (in *run) pick(items []Value, from, by, count int) []Value {
	in.items(count)
	out := make([]Value, count)
	for k := range out {
		out[k] = items[from+k*by]
	}
	return out
}

// plain refuses text that escape or safe made: Jinja2 would escape what is joined to it.
func (in *run) plain(t *Text) {
	if t.safe {
		in.fail("text from the filters escape and safe can only be written, joined and compared")
	}
}
