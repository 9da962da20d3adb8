package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// Filled by init, because the methods refer to each other.
var strMethods map[string]strMethod

func init() {
	strMethods = map[string]strMethod{
		"upper":      simple(func(in *run, t *Text) Value { return in.upper(t) }),
		"lower":      simple(func(in *run, t *Text) Value { return in.lower(t) }),
		"capitalize": simple(func(in *run, t *Text) Value { return in.capital(t, false) }),
		"title":      simple(func(in *run, t *Text) Value { return in.capital(t, true) }),
		"casefold":   simple(casefold),
		"swapcase": simple(func(in *run, t *Text) Value {
			return t.mapRunes(in, func(at int, r rune) string {
				switch {
				case unicode.IsUpper(r):
					return in.lowerAt(t.S, at, r)
				case unicode.IsLower(r):
					return in.upperRune(r)
				}
				return string(r)
			})
		}),
		"strip":      stripMethod("strip", true, true),
		"lstrip":     stripMethod("lstrip", true, false),
		"rstrip":     stripMethod("rstrip", false, true),
		"find":       findMethod("find", false, false),
		"rfind":      findMethod("rfind", true, false),
		"index":      findMethod("index", false, true),
		"rindex":     findMethod("rindex", true, true),
		"startswith": fixMethod("startswith", strings.HasPrefix),
		"endswith":   fixMethod("endswith", strings.HasSuffix),
		"center":     justMethod("center", (*run).center),
		"ljust": justMethod("ljust", func(in *run, t *Text, width int, with *Text) *Text {
			return in.fill(t, 0, width-t.len(), with)
		}),
		"rjust": justMethod("rjust", func(in *run, t *Text, width int, with *Text) *Text {
			return in.fill(t, width-t.len(), 0, with)
		}),
		"zfill": func(in *run, t *Text, a args) Value {
			n := in.integer(a.positional(in, "zfill", 1, 1)[0], "zfill") - t.len()
			sign := 0
			if n > 0 && t.S != "" && (t.S[0] == '-' || t.S[0] == '+') {
				sign = 1
			}
			return in.join(t.cut(0, sign), in.fill(t.cut(sign, len(t.S)), n, 0, NewText("0")))
		},
		"replace": func(in *run, t *Text, a args) Value {
			v := a.positional(in, "replace", 2, 3)
			most := -1
			if v[2] != nil {
				most = in.integer(v[2], "replace")
			}
			return in.replace(t, in.wantText(v[0], "replace"), in.wantText(v[1], "replace"), most)
		},
		"removeprefix": func(in *run, t *Text, a args) Value {
			fix := in.wantText(a.positional(in, "removeprefix", 1, 1)[0], "removeprefix").S
			if strings.HasPrefix(t.S, fix) {
				return t.cut(len(fix), len(t.S))
			}
			return t
		},
		"removesuffix": func(in *run, t *Text, a args) Value {
			fix := in.wantText(a.positional(in, "removesuffix", 1, 1)[0], "removesuffix").S
			if strings.HasSuffix(t.S, fix) {
				return t.cut(0, len(t.S)-len(fix))
			}
			return t
		},
		"join": func(in *run, t *Text, a args) Value {
			v := a.positional(in, "join", 1, 1)[0]
			return in.joinTexts(t, in.iterate(v), false)
		},
		"split":      splitMethod("split", false),
		"rsplit":     splitMethod("rsplit", true),
		"expandtabs": expandTabs,
		"splitlines": func(in *run, t *Text, a args) Value {
			v := a.bind(in, "splitlines", 0, "keepends")[0]
			l := &List{}
			for _, s := range in.lines(t, v != nil && in.truth(v)) {
				l.Items = append(l.Items, s)
			}
			return l
		},
		"partition":  partitionMethod("partition", false),
		"rpartition": partitionMethod("rpartition", true),
		"count": func(in *run, t *Text, a args) Value {
			v := a.positional(in, "count", 1, 3)
			what := in.wantText(v[0], "count").S
			s, _, ok := in.part(t, v[1], v[2], "count")
			switch {
			case !ok:
				return int64(0)
			case what == "":
				return int64(utf8.RuneCountInString(s) + 1)
			}
			return int64(strings.Count(s, what))
		},
		"format":      func(in *run, t *Text, a args) Value { return in.format(t, a) },
		"isalpha":     all(unicode.IsLetter),
		"isdigit":     all(isDigit),
		"isdecimal":   all(func(r rune) bool { return unicode.Is(unicode.Nd, r) }),
		"isnumeric":   all(numeric),
		"isalnum":     all(func(r rune) bool { return unicode.IsLetter(r) || numeric(r) }),
		"isspace":     all(space),
		"isprintable": func(in *run, t *Text, a args) Value { return t.S == "" || all(printable)(in, t, a).(bool) },
		"isascii": func(in *run, t *Text, a args) Value {
			a.positional(in, "isascii", 0, 0)
			return t.len() == len(t.S)
		},
		"islower": casingMethod("lower"),
		"isupper": casingMethod("upper"),
		"istitle": casingMethod("title"),
	}
}

func casefold(in *run, t *Text) Value {
	folder := cases.Fold()
	return t.mapRunes(in, func(_ int, r rune) string { return folder.String(string(r)) })
}

func expandTabs(in *run, t *Text, a args) Value {
	size := 8
	if v := a.bind(in, "expandtabs", 0, "tabsize")[0]; v != nil {
		size = in.integer(v, "expandtabs")
	}
	tabs := strings.Count(t.S, "\t")
	if size > 0 && tabs > maxOutput/size {
		in.checkText(maxOutput + 1)
	}
	in.charge(tabs * max(0, size))
	column := 0
	return t.mapRunes(in, func(_ int, r rune) string {
		switch {
		case r == '\n' || r == '\r':
			column = 0
		case r == '\t' && size > 0:
			n := size - column%size
			column += n
			return strings.Repeat(" ", n)
		case r == '\t':
			return ""
		default:
			column++
		}
		return string(r)
	})
}

type method = func(in *run, self Value, a args) Value

var dictMethods = map[string]method{
	"keys":   viewMethod("keys"),
	"values": viewMethod("values"),
	"items":  viewMethod("items"),
	"get": func(in *run, self Value, a args) Value {
		v := a.positional(in, "dict.get", 1, 2)
		d := self.(*Dict)
		if _, ok := hashed(v[0]); !ok {
			in.fail("a value of type %s cannot be a key", typeName(v[0]))
		}
		if e, ok := d.get(v[0]); ok {
			return e
		}
		if v[1] != nil {
			return v[1]
		}
		return None
	},
	"copy": func(in *run, self Value, a args) Value {
		a.positional(in, "dict.copy", 0, 0)
		return in.copyDict(self.(*Dict))
	},
}

func (in *run) copyDict(d *Dict) *Dict {
	in.items(3 * len(d.keys))
	c := &Dict{}
	for i, k := range d.keys {
		c.set(k, d.values[i])
	}
	return c
}

func viewMethod(kind string) method {
	return func(in *run, self Value, a args) Value {
		a.positional(in, "dict."+kind, 0, 0)
		return &view{self.(*Dict), kind}
	}
}

func itemsOf(v Value) []Value {
	if l, ok := v.(*List); ok {
		return l.Items
	}
	return v.(*Tuple).Items
}

var listMethods = map[string]method{
	"count": func(in *run, self Value, a args) Value {
		v := a.positional(in, "count", 1, 1)[0]
		n := int64(0)
		for _, e := range itemsOf(self) {
			if e == v || in.equal(e, v) {
				n++
			}
		}
		return n
	},
	"index": func(in *run, self Value, a args) Value {
		v := a.positional(in, "index", 1, 3)
		items := itemsOf(self)
		from, to := 0, len(items)
		for i, p := range []*int{&from, &to} {
			if v[i+1] != nil {
				if *p = in.integer(v[i+1], "index"); *p < 0 {
					*p = max(0, *p+len(items))
				}
			}
		}
		for i := from; i < min(to, len(items)); i++ {
			if items[i] == v[0] || in.equal(items[i], v[0]) {
				return int64(i)
			}
		}
		in.fail("index: the value is not in the list")
		return nil
	},
}

// globals are the functions of every template.
var globals map[string]Value

func init() {
	globals = map[string]Value{}
	for n, f := range map[string]func(in *run, a args) Value{
		"range": makeRange,
		"dict":  makeDict,
		"namespace": func(in *run, a args) Value {
			d := makeDict(in, a).(*Dict)
			ns := &namespace{&Dict{}}
			for i, k := range d.keys {
				in.setAttr(ns, k, d.values[i])
			}
			return ns
		},
		"cycler": func(in *run, a args) Value {
			a.positional(in, "cycler", 1, maxItems)
			return &cycler{items: a.pos}
		},
		"joiner": func(in *run, a args) Value {
			v := a.bind(in, "joiner", 0, "sep")[0]
			if v == nil {
				v = NewText(", ")
			}
			return &joiner{sep: v}
		},
		"raise_exception": func(in *run, a args) Value {
			in.fail("%s", in.str(a.bind(in, "raise_exception", 1, "message")[0]).S)
			return nil
		},
		"lipsum": func(in *run, _ args) Value {
			in.fail("lipsum is not supported: it gives another text each time")
			return nil
		},
	} {
		globals[n] = &fn{name: n, call: f}
	}
}

func makeRange(in *run, a args) Value {
	v := a.positional(in, "range", 1, 3)
	r := &seq{step: 1}
	n := make([]int, len(a.pos))
	for i := range n {
		n[i] = in.integer(v[i], "range")
	}
	switch len(n) {
	case 1:
		r.stop = n[0]
	case 3:
		r.step = n[2]
		fallthrough
	default:
		r.start, r.stop = n[0], n[1]
	}
	if r.step == 0 {
		in.fail("range: the step is 0")
	}
	size := 0.0 // of float64: no difference of two integers overflows it
	if (r.step > 0) == (r.start < r.stop) && r.start != r.stop {
		size = (float64(r.stop) - float64(r.start)) / float64(r.step)
	}
	if size > maxItems {
		in.fail("range of %.0f items, limit %d", size, maxItems)
	}
	return r
}

func makeDict(in *run, a args) Value {
	if len(a.pos) > 1 {
		in.fail("dict takes at most 1 argument without a name")
	}
	d := &Dict{}
	set := func(k, v Value) {
		if !d.set(k, v) {
			in.fail("a value of type %s cannot be a key", typeName(k))
		}
		in.charge(64)
	}
	if len(a.pos) == 1 {
		if from, ok := a.pos[0].(*Dict); ok {
			d = in.copyDict(from)
		} else {
			for next := in.iterate(a.pos[0]); ; {
				e := next()
				if e == nil {
					break
				}
				in.step()
				pair := in.list(e)
				if len(pair) != 2 {
					in.fail("dict wants pairs")
				}
				set(pair[0], pair[1])
			}
		}
	}
	for i, n := range a.names {
		set(NewText(n), a.named[i])
	}
	return d
}

func strftimeNow(in *run, a args) Value {
	f := in.wantText(a.bind(in, "strftime_now", 1, "format")[0], "strftime_now")
	in.text(len(f.S) * 8)
	s, err := in.day(f.S)
	if err != nil {
		in.fail("%v", err)
	}
	return NewText(s)
}
