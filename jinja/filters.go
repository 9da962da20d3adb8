package jinja

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

type filterFunc = func(in *run, v Value, a args) Value

// filterTable holds the filters. Filled by init: map calls filters.
var filterTable map[string]filterFunc

func init() {
	filterTable = map[string]filterFunc{
		"abs": abs, "attr": attrFilter, "batch": batch, "dictsort": dictSort, "escape": escapeFilter, "e": escapeFilter,
		"first": first, "last": last, "float": floatFilter, "forceescape": forceEscape, "groupby": groupBy, "indent": indent, "int": intFilter,
		"items": itemsFilter, "join": joinFilter, "map": mapFilter, "max": minMax(1), "min": minMax(-1), "replace": replaceFilter,
		"reverse": reverse, "round": round, "safe": safe, "slice": sliceFilter, "sort": sortFilter, "sum": sum, "tojson": toJSON,
		"truncate": truncate, "unique": unique, "urlencode": urlEncode, "wordwrap": wordWrap,
		"select": choose(true, false), "reject": choose(false, false), "selectattr": choose(true, true), "rejectattr": choose(false, true),
		"length": length, "count": length, "default": defaultFilter, "d": defaultFilter,
		"capitalize": onText(func(in *run, t *Text) Value { return in.capital(t, false) }),
		"lower":      onText(func(in *run, t *Text) Value { return in.lower(t) }),
		"upper":      onText(func(in *run, t *Text) Value { return in.upper(t) }),
		"title":      onText(titleFilter),
		"wordcount": onText(func(in *run, t *Text) Value {
			return int64(len(strings.FieldsFunc(t.S, func(r rune) bool { return !pyWord(r) })))
		}),
		"string": func(in *run, v Value, a args) Value {
			a.bind(in, "string", 0)
			return in.str(v)
		},
		"list": func(in *run, v Value, a args) Value {
			a.bind(in, "list", 0)
			return &List{slices.Clone(in.list(v))}
		},
		"center": func(in *run, v Value, a args) Value {
			p := a.bind(in, "center", 0, "width")
			return in.center(in.soft(v), in.intOr(p[0], 80, "center"), spaceText)
		},
		"trim": func(in *run, v Value, a args) Value {
			p := a.bind(in, "trim", 0, "chars")
			t := in.soft(v)
			in.charge(len(t.S))
			return t.trim(true, true, in.chars(p[0], "trim"))
		},
		"format": func(in *run, v Value, a args) Value {
			if len(a.names) == 0 {
				return in.percent(in.soft(v), &Tuple{Items: a.pos})
			}
			if len(a.pos) > 0 {
				in.fail("format takes values with names or without, not both")
			}
			d := &Dict{}
			for i, n := range a.names {
				d.set(NewText(n), a.named[i])
			}
			return in.percent(in.soft(v), d)
		},
	}
	for _, n := range []string{"filesizeformat", "pprint", "random", "striptags", "urlize", "xmlattr"} {
		filterTable[n] = func(in *run, _ Value, _ args) Value {
			in.fail("the filter %s is not supported", n)
			return nil
		}
	}
}

// soft is what filters of text make of a value.
func (in *run) soft(v Value) *Text {
	t := in.str(v)
	in.plain(t)
	return t
}

func onText(f func(in *run, t *Text) Value) filterFunc {
	return func(in *run, v Value, a args) Value {
		a.bind(in, "the filter", 0)
		t := in.soft(v)
		in.charge(len(t.S))
		return f(in, t)
	}
}

func (in *run) intOr(v Value, def int, f string) int {
	if v == nil {
		return def
	}
	return in.integer(v, f)
}

func (in *run) flag(v Value) bool { return v != nil && in.truth(v) }

func length(in *run, v Value, a args) Value {
	a.bind(in, "length", 0)
	n, ok := in.length(v)
	if !ok {
		in.fail("a value of type %s has no length", typeName(v))
	}
	return int64(n)
}

func defaultFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "default", 0, "default_value", "boolean")
	if isUndef(v) || in.flag(p[1]) && !in.truth(v) {
		if p[0] == nil {
			return empty
		}
		return p[0]
	}
	return v
}

func attrFilter(in *run, v Value, a args) Value {
	n := in.wantText(a.bind(in, "attr", 1, "name")[0], "attr")
	if e := in.attr(v, n.S); e != nil {
		return e
	}
	return missing(v, n)
}

// titleFilter is not str.title: words end at white space, - ( { [ and <.
func titleFilter(in *run, t *Text) Value {
	var b builder
	sep := func(r rune) bool { return space(r) || strings.ContainsRune("-({[<", r) }
	c := t.cutter()
	for i := 0; i < len(t.S); {
		k := strings.IndexFunc(t.S[i:], sep)
		if k < 0 {
			k = len(t.S) - i
		}
		if k > 0 {
			word := c.cut(i, i+k)
			n := runeLen(word.S)
			b.add(in.upper(word.cut(0, n)))
			b.add(in.lower(word.cut(n, k)))
			i += k
			continue
		}
		n := runeLen(t.S[i:])
		b.add(c.cut(i, i+n))
		i += n
	}
	return b.text()
}

func (in *run) escape(t *Text) *Text {
	if t.safe {
		return t
	}
	out := t.mapRunes(in, func(_ int, r rune) string {
		switch r {
		case '&':
			return "&amp;"
		case '<':
			return "&lt;"
		case '>':
			return "&gt;"
		case '\'':
			return "&#39;"
		case '"':
			return "&#34;"
		}
		return string(r)
	})
	out.safe = true
	return out
}

func escapeFilter(in *run, v Value, a args) Value {
	a.bind(in, "escape", 0)
	return in.escape(in.str(v))
}

func forceEscape(in *run, v Value, a args) Value {
	a.bind(in, "forceescape", 0)
	t := in.str(v)
	return in.escape(&Text{S: t.S, Spans: t.Spans})
}

func safe(in *run, v Value, a args) Value {
	a.bind(in, "safe", 0)
	t := in.str(v)
	return &Text{S: t.S, Spans: t.Spans, safe: true}
}

// path is an attribute as filters take it: a.b.0, or an integer.
func (in *run) path(v Value) []Value {
	if v == nil || v == None {
		return nil
	}
	t, ok := v.(*Text)
	if !ok {
		return []Value{v}
	}
	var parts []Value
	for _, p := range strings.Split(t.S, ".") {
		if p != "" && strings.IndexFunc(p, func(r rune) bool { return r < '0' || r > '9' }) < 0 {
			n, err := strconv.ParseInt(p, 10, 62)
			if err != nil {
				in.fail("attribute %s is no sensible number", p)
			}
			parts = append(parts, n)
		} else {
			parts = append(parts, NewText(p))
		}
	}
	in.charge(16 * len(parts))
	return parts
}

func (in *run) follow(v Value, path []Value, def Value) Value {
	for _, p := range path {
		in.step()
		v = in.getitem(v, p)
		if def != nil && def != None && isUndef(v) {
			v = def
		}
	}
	return v
}

func (in *run) ignoreCase(v Value) Value {
	if t, ok := v.(*Text); ok {
		return in.lower(t)
	}
	return v
}

// key gives what sort, unique, min, max and groupby compare.
func (in *run) key(path []Value, caseSensitive bool, def Value) func(Value) Value {
	return func(v Value) Value {
		v = in.follow(v, path, def)
		if !caseSensitive {
			v = in.ignoreCase(v)
		}
		return v
	}
}

// sorted sorts items by their keys, equal ones in the order they came.
func (in *run) sorted(items []Value, key func(Value) Value, reverse bool) []Value {
	type keyed struct{ k, v Value }
	in.items(2 * len(items))
	list := make([]keyed, len(items))
	for i, v := range items {
		list[i] = keyed{key(v), v}
	}
	slices.SortStableFunc(list, func(a, b keyed) int {
		if reverse {
			a, b = b, a
		}
		return in.order(a.k, b.k, "<")
	})
	out := make([]Value, len(list))
	for i, e := range list {
		out[i] = e.v
	}
	return out
}

func sortFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "sort", 0, "reverse", "case_sensitive", "attribute")
	var paths [][]Value
	if t, ok := p[2].(*Text); ok {
		for _, s := range strings.Split(t.S, ",") {
			paths = append(paths, in.path(NewText(s)))
		}
	} else {
		paths = [][]Value{in.path(p[2])}
	}
	var keys []func(Value) Value
	for _, path := range paths {
		keys = append(keys, in.key(path, in.flag(p[1]), nil))
	}
	return &List{in.sorted(in.list(v), func(v Value) Value {
		k := &List{}
		for _, f := range keys {
			k.Items = append(k.Items, f(v))
		}
		return k
	}, in.flag(p[0]))}
}

func dictSort(in *run, v Value, a args) Value {
	p := a.bind(in, "dictsort", 0, "case_sensitive", "by", "reverse")
	d, ok := v.(*Dict)
	if !ok {
		in.defined(v)
		in.fail("dictsort wants a mapping, got %s", typeName(v))
	}
	at := int64(0)
	if p[1] != nil {
		switch t, _ := p[1].(*Text); {
		case t != nil && t.S == "key":
		case t != nil && t.S == "value":
			at = 1
		default:
			in.fail(`dictsort: by wants "key" or "value"`)
		}
	}
	in.items(len(d.keys))
	return &List{in.sorted((&view{d, "items"}).items(), in.key([]Value{at}, in.flag(p[0]), nil), in.flag(p[2]))}
}

func unique(in *run, v Value, a args) Value {
	p := a.bind(in, "unique", 0, "case_sensitive", "attribute")
	key := in.key(in.path(p[1]), in.flag(p[0]), nil)
	seen := &Dict{}
	return in.generator(v, func(next func() Value) Value {
		for e := next(); e != nil; e = next() {
			in.step()
			k := key(e)
			if _, ok := hashed(k); !ok {
				in.fail("unique: a value of type %s cannot be a key", typeName(k))
			}
			if _, ok := seen.get(k); !ok {
				in.charge(64)
				seen.set(k, None)
				return e
			}
		}
		return nil
	})
}

// generator makes an iterator that begins to look at v when it is asked for its first item.
func (in *run) generator(v Value, step func(next func() Value) Value) Value {
	var next func() Value
	done := false
	return &iter{name: "generator", next: func() Value {
		if done {
			return nil
		}
		if next == nil {
			next = in.iterate(v)
		}
		in.step()
		e := step(next)
		done = e == nil
		return e
	}}
}

func minMax(sign int) filterFunc {
	return func(in *run, v Value, a args) Value {
		p := a.bind(in, "min and max", 0, "case_sensitive", "attribute")
		key := in.key(in.path(p[1]), in.flag(p[0]), nil)
		next := in.iterate(v)
		best := next()
		if best == nil {
			return &undef{why: "there is no item to choose from"}
		}
		k := key(best)
		for e := next(); e != nil; e = next() {
			in.step()
			if ek := key(e); in.order(ek, k, "<") == sign {
				best, k = e, ek
			}
		}
		return best
	}
}

func sum(in *run, v Value, a args) Value {
	p := a.bind(in, "sum", 0, "attribute", "start")
	path := in.path(p[0])
	var total Value = int64(0)
	if p[1] != nil {
		total = p[1]
		if _, ok := total.(*Text); ok {
			in.fail("sum cannot add strings")
		}
	}
	next := in.iterate(v)
	for e := next(); e != nil; e = next() {
		total = in.binary("+", total, in.follow(e, path, nil))
	}
	return total
}

func joinFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "join", 0, "d", "attribute")
	sep := empty
	if p[0] != nil {
		sep = in.str(p[0])
	}
	next := in.iterate(v)
	if path := in.path(p[1]); path != nil {
		inner := next
		next = func() Value {
			e := inner()
			if e == nil {
				return nil
			}
			return in.follow(e, path, nil)
		}
	}
	return in.joinTexts(sep, next, true)
}

func replaceFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "replace", 2, "old", "new", "count")
	most := -1
	if p[2] != nil && p[2] != None {
		most = in.integer(p[2], "replace")
	}
	t := in.str(v)
	if t.safe {
		t = t.cut(0, len(t.S))
	}
	return in.replace(t, in.str(p[0]), in.str(p[1]), most)
}

func itemsFilter(in *run, v Value, a args) Value {
	a.bind(in, "items", 0)
	var next func() Value
	return &iter{name: "generator", next: func() Value {
		if next == nil {
			switch d := v.(type) {
			case *undef:
				next = func() Value { return nil }
			case *Dict:
				in.items(len(d.keys))
				next = walkItems((&view{d, "items"}).items())
			default:
				in.fail("items wants a mapping, got %s", typeName(v))
			}
		}
		return next()
	}}
}

func first(in *run, v Value, a args) Value {
	a.bind(in, "first", 0)
	if e := in.iterate(v)(); e != nil {
		return e
	}
	return &undef{why: "there is no first item"}
}

// backward gives the items of a value from the last, nil where Python cannot go backward.
func (in *run) backward(v Value) []Value {
	switch v := v.(type) {
	case *List, *Tuple, *Dict, *view, *seq, *undef:
		list := slices.Clone(in.list(v))
		slices.Reverse(list)
		if list == nil {
			list = []Value{}
		}
		return list
	}
	return nil
}

func last(in *run, v Value, a args) Value {
	a.bind(in, "last", 0)
	var list []Value
	if t, ok := v.(*Text); ok {
		if n, _ := in.length(t); n > 0 {
			return t.points(n-1, n)
		}
	} else if list = in.backward(v); list == nil {
		in.fail("last: a value of type %s has no end to start from", typeName(v))
	}
	if len(list) > 0 {
		return list[0]
	}
	return &undef{why: "there is no last item"}
}

func reverse(in *run, v Value, a args) Value {
	a.bind(in, "reverse", 0)
	if t, ok := v.(*Text); ok {
		return in.slice(t, None, None, int64(-1))
	}
	if list := in.backward(v); list != nil {
		return &iter{name: "reversed", next: walkItems(list)}
	}
	list := slices.Clone(in.list(v))
	slices.Reverse(list)
	return &List{list}
}

func pyWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }
