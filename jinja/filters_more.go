package jinja

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mapFilter is map: of an attribute, or through another filter.
func mapFilter(in *run, v Value, a args) Value {
	var f func(Value) Value
	return in.lazily(v, func() {
		if i := slices.Index(a.names, "attribute"); len(a.pos) == 0 && i >= 0 {
			p := a.bind(in, "map", 0, "attribute", "default")
			if len(a.pos) > 0 {
				in.fail("map wants attribute= or the name of a filter")
			}
			path := in.path(p[0])
			f = func(v Value) Value { return in.follow(v, path, p[1]) }
			return
		}
		if len(a.pos) == 0 {
			in.fail("map wants attribute= or the name of a filter")
		}
		name := in.wantText(a.pos[0], "map").S
		rest := args{pos: a.pos[1:], names: a.names, named: a.named}
		f = func(v Value) Value { return in.runFilter(name, v, rest) }
	}, func(next func() Value) Value {
		e := next()
		if e == nil {
			return nil
		}
		return f(e)
	})
}

// choose is select, reject, selectattr and rejectattr.
func choose(keep, attr bool) filterFunc {
	return func(in *run, v Value, a args) Value {
		var passes func(Value) bool
		return in.lazily(v, func() {
			var path []Value
			pos := a.pos
			if attr {
				if len(pos) == 0 {
					in.fail("selectattr and rejectattr want the name of an attribute")
				}
				path, pos = in.path(pos[0]), pos[1:]
			}
			if len(pos) == 0 {
				passes = func(v Value) bool { return in.truth(in.follow(v, path, nil)) }
				return
			}
			name := in.wantText(pos[0], "select").S
			rest := args{pos: pos[1:], names: a.names, named: a.named}
			passes = func(v Value) bool { return in.truth(in.runTest(name, in.follow(v, path, nil), rest)) }
		}, func(next func() Value) Value {
			for e := next(); e != nil; e = next() {
				in.step()
				if passes(e) == keep {
					return e
				}
			}
			return nil
		})
	}
}

// lazily makes an iterator over a value, of nothing where the value is false. prepare runs before the first item.
func (in *run) lazily(v Value, prepare func(), step func(next func() Value) Value) Value {
	var inner *iter
	return &iter{name: "generator", next: func() Value {
		if inner == nil {
			if !in.truth(v) {
				v = &List{}
			} else {
				prepare()
			}
			inner = in.generator(v, step).(*iter)
		}
		return inner.next()
	}}
}

func groupBy(in *run, v Value, a args) Value {
	p := a.bind(in, "groupby", 1, "attribute", "default", "case_sensitive")
	path := in.path(p[0])
	sensitive := in.flag(p[2])
	key := in.key(path, sensitive, p[1])
	out := &List{}
	var at *List
	var last Value
	for _, e := range in.sorted(in.list(v), key, false) {
		in.charge(64)
		k := key(e)
		if at == nil || !in.equal(last, k) {
			at, last = &List{}, k
			show := k
			if !sensitive {
				show = in.follow(e, path, p[1])
			}
			out.Items = append(out.Items, &Tuple{Items: []Value{show, at}, names: []string{"grouper", "list"}})
		}
		at.Items = append(at.Items, e)
	}
	return out
}

func batch(in *run, v Value, a args) Value {
	p := a.bind(in, "batch", 1, "linecount", "fill_with")
	size := p[0]
	var held []Value
	end := false
	return in.generator(v, func(next func() Value) Value {
		if end {
			return nil
		}
		for {
			e := next()
			if e == nil {
				break
			}
			in.charge(16)
			if in.equal(int64(len(held)), size) {
				full := held
				held = []Value{e}
				return &List{full}
			}
			held = append(held, e)
		}
		end = true
		if len(held) == 0 {
			return nil
		}
		if p[1] != nil && p[1] != None {
			n := in.integer(size, "batch")
			in.items(max(0, n-len(held)))
			for len(held) < n {
				held = append(held, p[1])
			}
		}
		return &List{held}
	})
}

func sliceFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "slice", 1, "slices", "fill_with")
	var items []Value
	count, number, offset := 0, -1, 0
	return &iter{name: "generator", next: func() Value {
		if number < 0 {
			items = in.list(v)
			if count = in.integer(p[0], "slice"); count == 0 {
				in.fail("slice: division by zero")
			}
			in.items(max(0, count))
			number = 0
		}
		if number >= count {
			return nil
		}
		in.step()
		size, extra := len(items)/count, len(items)%count
		from := offset + number*size
		if number < extra {
			offset++
		}
		to := offset + (number+1)*size
		out := in.pick(items, from, 1, to-from)
		if p[1] != nil && p[1] != None && number >= extra {
			out = append(out, p[1])
		}
		number++
		return &List{out}
	}}
}

func indent(in *run, v Value, a args) Value {
	p := a.bind(in, "indent", 0, "width", "first", "blank")
	in.defined(v)
	t := in.wantText(v, "indent")
	by := NewText("    ")
	if w, ok := p[0].(*Text); ok {
		by = in.wantText(w, "indent")
	} else if p[0] != nil {
		n := max(0, in.integer(p[0], "indent"))
		in.text(n)
		by = NewText(strings.Repeat(" ", n))
	}
	var b builder
	if in.flag(p[1]) {
		b.add(by)
	}
	for i, l := range in.lines(in.join(t, NewText("\n")), false) {
		in.step()
		if i > 0 {
			b.WriteByte('\n')
			if in.flag(p[2]) || l.S != "" {
				b.add(by)
			}
		}
		in.charge(len(by.S) + len(l.S))
		in.checkText(b.Len() + len(l.S))
		b.add(l)
	}
	return b.text()
}

func truncate(in *run, v Value, a args) Value {
	p := a.bind(in, "truncate", 0, "length", "killwords", "end", "leeway")
	most := in.intOr(p[0], 255, "truncate")
	end := NewText("...")
	if p[2] != nil {
		end = in.wantText(p[2], "truncate")
	}
	leeway := 5
	if p[3] != nil && p[3] != None {
		leeway = in.integer(p[3], "truncate")
	}
	if most < end.len() || leeway < 0 {
		in.fail("truncate: the length is less than that of the end, or the leeway is negative")
	}
	n, ok := in.length(v)
	if !ok {
		in.fail("a value of type %s has no length", typeName(v))
	}
	if n <= most+leeway {
		return v
	}
	t := in.wantText(v, "truncate").points(0, most-end.len())
	if !in.flag(p[1]) {
		if i := strings.LastIndexByte(t.S, ' '); i >= 0 {
			t = t.cut(0, i)
		}
	}
	return in.join(t, end)
}

func abs(in *run, v Value, a args) Value {
	a.bind(in, "abs", 0)
	i, f := number(v)
	switch {
	case i != nil:
		return small(new(big.Int).Abs(i))
	case f != nil:
		return math.Abs(*f)
	}
	in.fail("abs wants a number, got %s", typeName(v))
	return nil
}

func round(in *run, v Value, a args) Value {
	p := a.bind(in, "round", 0, "precision", "method")
	method := "common"
	if p[1] != nil {
		method = in.wantText(p[1], "round").S
	}
	i, f := number(v)
	if i == nil && f == nil || method != "common" && method != "ceil" && method != "floor" {
		in.fail("round wants a number, got %s, and common, ceil or floor", typeName(v))
	}
	n := 0
	if p[0] != nil && p[0] != None {
		n = in.integer(p[0], "round")
	}
	if n < 0 || n > 300 {
		in.fail("round: a precision of %d is not supported", n)
	}
	if method != "common" {
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
		scaled := in.binary("*", v, small(ten))
		if x, ok := scaled.(float64); ok {
			if method == "ceil" {
				x = math.Ceil(x)
			} else {
				x = math.Floor(x)
			}
			scaled = small(in.truncate(x))
		}
		return in.binary("/", scaled, small(ten))
	}
	switch {
	case i != nil:
		return small(i)
	case p[0] == None:
		return small(in.truncate(math.RoundToEven(*f)))
	}
	x, _ := strconv.ParseFloat(strconv.FormatFloat(*f, 'f', n, 64), 64)
	return x
}

// pyFloat reads a number as Python's float does.
func pyFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, space)
	bare := strings.ToLower(strings.TrimLeft(s, "+-"))
	if len(s)-len(bare) > 1 {
		return 0, false
	}
	switch bare {
	case "inf", "infinity", "nan":
	default:
		if bare == "" || strings.Trim(bare, "0123456789._e+-") != "" || strings.HasPrefix(bare, "_") || strings.HasSuffix(bare, "_") {
			return 0, false
		}
		for i := range bare {
			if bare[i] == '_' && !(digit(bare[i-1]) && digit(bare[i+1])) {
				return 0, false
			}
		}
		s = strings.ReplaceAll(s, "_", "")
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// pyInt reads a number as Python's int does.
func (in *run) pyInt(s string, base int) (*big.Int, bool) {
	if base != 0 && (base < 2 || base > 36) {
		return nil, false
	}
	s = strings.TrimFunc(s, space)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || len(s) > maxBits {
		return nil, false
	}
	low := strings.ToLower(digits)
	for b, prefix := range map[int]string{2: "0b", 8: "0o", 16: "0x"} {
		if (base == 0 || base == b) && strings.HasPrefix(low, prefix) {
			low, base = strings.TrimPrefix(low[2:], "_"), b
			break
		}
	}
	if base == 0 {
		if base = 10; strings.HasPrefix(low, "0") && strings.Trim(low, "0_") != "" {
			return nil, false
		}
	}
	if low == "" || strings.HasPrefix(low, "_") || strings.HasSuffix(low, "_") || strings.Contains(low, "__") || strings.ContainsAny(low, "+-") {
		return nil, false
	}
	for _, r := range low {
		if r >= utf8.RuneSelf && unicode.Is(unicode.Nd, r) {
			in.fail("int of digits that are not ASCII is not supported")
		}
	}
	i, ok := new(big.Int).SetString(strings.ReplaceAll(low, "_", ""), base)
	if ok && strings.HasPrefix(s, "-") {
		i.Neg(i)
	}
	return i, ok
}

func intFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "int", 0, "default", "base")
	var def Value = int64(0)
	if p[0] != nil {
		def = p[0]
	}
	in.defined(v)
	if t, ok := v.(*Text); ok {
		in.charge(len(t.S))
		if i, ok := in.pyInt(t.S, in.intOr(p[1], 10, "int")); ok {
			return in.bigger(i)
		}
		f, ok := pyFloat(t.S)
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return def
		}
		return in.bigger(in.truncate(f))
	}
	i, f := number(v)
	switch {
	case i != nil:
		return small(i)
	case f != nil && math.IsNaN(*f):
		return def
	case f != nil:
		return in.bigger(in.truncate(*f))
	}
	return def
}

func floatFilter(in *run, v Value, a args) Value {
	p := a.bind(in, "float", 0, "default")
	in.defined(v)
	if t, ok := v.(*Text); ok {
		in.charge(len(t.S))
		if f, ok := pyFloat(t.S); ok {
			return f
		}
	} else if i, f := number(v); i != nil {
		return in.toFloat(i)
	} else if f != nil {
		return *f
	}
	if p[0] != nil {
		return p[0]
	}
	return 0.0
}

func urlEncode(in *run, v Value, a args) Value {
	a.bind(in, "urlencode", 0)
	quoted := func(v Value, query bool) *Text {
		t := in.soft(v)
		in.charge(2 * len(t.S))
		var b builder
		for i := range len(t.S) {
			c := t.S[i]
			s := string(rune(c))
			switch {
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || strings.IndexByte("_.-~", c) >= 0 || c == '/' && !query:
			case c == ' ' && query:
				s = "+"
			default:
				s = "%" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:])
			}
			b.from(s, t.source(i))
		}
		in.checkText(b.Len())
		return b.text()
	}
	if _, ok := v.(*Text); ok || !iterable(v) {
		return quoted(v, false)
	}
	next := in.iterate(v)
	if d, ok := v.(*Dict); ok {
		next = walkItems((&view{d, "items"}).items())
	}
	var b builder
	for e := next(); e != nil; e = next() {
		in.step()
		pair := in.list(e)
		if len(pair) != 2 {
			in.fail("urlencode wants pairs")
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.add(quoted(pair[0], true))
		b.WriteByte('=')
		b.add(quoted(pair[1], true))
		in.checkText(b.Len())
	}
	return b.text()
}
