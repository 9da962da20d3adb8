package jinja

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The methods of Python's str. Each keeps the sources of what it takes.

func (in *run) upper(t *Text) *Text {
	return t.mapRunes(in, func(_ int, r rune) string { return in.upperRune(r) })
}

func (in *run) lower(t *Text) *Text {
	sigmas := strings.Count(t.S, "Σ")
	in.charge(sigmas * 64)
	return t.mapRunes(in, func(at int, r rune) string { return in.lowerAt(t.S, at, r) })
}

// capital makes the first code point a title letter and the rest small; words: of each word, as str.title.
func (in *run) capital(t *Text, words bool) *Text {
	start := true
	return t.mapRunes(in, func(at int, r rune) string {
		first := start
		if words {
			start = !cased(r)
		} else {
			start = false
		}
		if first {
			return in.titleRune(r)
		}
		return in.lowerAt(t.S, at, r)
	})
}

func printable(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }

func numeric(r rune) bool { return unicode.IsNumber(r) }

// isDigit is Python's isdigit of one code point: decimal digits, and others such as ² that are digits but not decimal.
func isDigit(r rune) bool {
	return unicode.Is(unicode.Nd, r) || r == '²' || r == '³' || r == '¹' || r == 0x2070 || r >= 0x2074 && r <= 0x2079 || r >= 0x2080 && r <= 0x2089 ||
		r >= 0x2460 && r <= 0x2468 || r >= 0x2474 && r <= 0x247C || r >= 0x2488 && r <= 0x2490 || r == 0x24EA || r >= 0x24F5 && r <= 0x24FD ||
		r == 0x24FF || r >= 0x2776 && r <= 0x277E || r >= 0x2780 && r <= 0x2788 || r >= 0x278A && r <= 0x2792 || r >= 0x1369 && r <= 0x1371
}

type strMethod = func(in *run, t *Text, a args) Value

// all makes a method of a test of each code point, false for nothing.
func all(f func(rune) bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		a.positional(in, "str.is…", 0, 0)
		in.charge(len(t.S))
		for _, r := range t.S {
			if !f(r) {
				return false
			}
		}
		return t.S != ""
	}
}

func casingMethod(kind string) strMethod {
	return func(in *run, t *Text, a args) Value {
		a.positional(in, "str.is"+kind, 0, 0)
		in.charge(len(t.S))
		return casing(t.S, kind)
	}
}

func simple(f func(in *run, t *Text) Value) strMethod {
	return func(in *run, t *Text, a args) Value {
		a.positional(in, "a method of str", 0, 0)
		in.charge(len(t.S))
		return f(in, t)
	}
}

// wantText wants a string argument.
func (in *run) wantText(v Value, f string) *Text {
	t, ok := v.(*Text)
	if !ok {
		in.fail("%s: got %s, want a string", f, typeName(v))
	}
	in.plain(t)
	return t
}

// chars is the set of code points that strip takes off.
func (in *run) chars(v Value, f string) func(rune) bool {
	if v == nil || v == None {
		return space
	}
	set := in.wantText(v, f).S
	return func(r rune) bool {
		in.charge(1 + len(set)/8)
		return strings.ContainsRune(set, r)
	}
}

func stripMethod(f string, left, right bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		v := a.positional(in, f, 0, 1)
		in.charge(len(t.S))
		return t.trim(left, right, in.chars(v[0], f))
	}
}

// part is s[start:end] as find and count take it, with the code point that it starts at; ok: start is not behind the end.
func (in *run) part(t *Text, start, end Value, f string) (s string, at int, ok bool) {
	in.charge(len(t.S))
	n := t.len()
	bound := func(v Value, def int) int {
		if v == nil || v == None {
			return def
		}
		i := in.integer(v, f)
		if i < 0 {
			i = max(0, i+n)
		}
		return i
	}
	from, to := bound(start, 0), min(bound(end, n), n)
	if from > to || from > n {
		return "", from, false
	}
	return t.S[t.offset(from):t.offset(to)], from, true
}

func findMethod(f string, last, must bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		v := a.positional(in, f, 1, 3)
		what := in.wantText(v[0], f).S
		s, from, ok := in.part(t, v[1], v[2], f)
		i := -1
		if ok && last {
			i = strings.LastIndex(s, what)
		} else if ok {
			i = strings.Index(s, what)
		}
		if i < 0 {
			if must {
				in.fail("%s: the text does not occur", f)
			}
			return int64(-1)
		}
		return int64(from + utf8.RuneCountInString(s[:i]))
	}
}

func fixMethod(f string, has func(s, fix string) bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		v := a.positional(in, f, 1, 3)
		s, _, ok := in.part(t, v[1], v[2], f)
		if tuple, isTuple := v[0].(*Tuple); isTuple {
			for _, e := range tuple.Items {
				if fix := in.wantText(e, f).S; ok && has(s, fix) {
					return true
				}
			}
			return false
		}
		fix := in.wantText(v[0], f).S
		return ok && has(s, fix)
	}
}

// fill is the padding of ljust, rjust, center and zfill.
func (in *run) fill(t *Text, left, right int, with *Text) *Text {
	left, right = max(0, left), max(0, right)
	in.text(min(left, maxOutput+1)*len(with.S) + len(t.S) + min(right, maxOutput+1)*len(with.S))
	var b builder
	for range left {
		b.add(with)
	}
	b.add(t)
	for range right {
		b.add(with)
	}
	return b.text()
}

var spaceText = NewText(" ")

func (in *run) center(t *Text, width int, with *Text) *Text {
	pad := max(0, width-t.len())
	left := pad/2 + pad&width&1
	return in.fill(t, left, pad-left, with)
}

func justMethod(f string, how func(in *run, t *Text, width int, with *Text) *Text) strMethod {
	return func(in *run, t *Text, a args) Value {
		v := a.positional(in, f, 1, 2)
		with := spaceText
		if v[1] != nil {
			if with = in.wantText(v[1], f); with.len() != 1 {
				in.fail("%s wants one character to fill with", f)
			}
		}
		return how(in, t, in.integer(v[0], f), with)
	}
}

func (in *run) replace(t *Text, old, with *Text, most int) *Text {
	if most < 0 {
		most = math.MaxInt
	}
	in.charge(len(t.S) + len(old.S))
	var n int
	if old.S == "" {
		n = min(most, t.len()+1)
	} else {
		n = min(most, strings.Count(t.S, old.S))
	}
	if n == 0 {
		return t
	}
	if len(with.S) > 0 && n > maxOutput/len(with.S) {
		in.checkText(maxOutput + 1)
	}
	in.text(max(0, len(t.S)+n*(len(with.S)-len(old.S))))
	in.charge(32 * n)
	if len(t.Spans) == 0 && len(with.Spans) == 0 {
		return NewText(strings.Replace(t.S, old.S, with.S, n))
	}
	var b builder
	at, c := 0, t.cutter()
	for i := range n {
		k := at
		if old.S == "" {
			if i > 0 {
				k += runeLen(t.S[at:])
			}
		} else {
			k += strings.Index(t.S[at:], old.S)
		}
		b.add(c.cut(at, k))
		b.add(with)
		at = k + len(old.S)
	}
	b.add(c.cut(at, len(t.S)))
	return b.text()
}

// cutter cuts pieces out of a text from left to right, in time that does not grow with the number of spans before them.
type cutter struct {
	t    *Text
	from int // the first span that may matter
}

func (t *Text) cutter() *cutter { return &cutter{t: t} }

func (c *cutter) cut(from, to int) *Text {
	for c.from < len(c.t.Spans) && c.t.Spans[c.from].To <= from {
		c.from++
	}
	out := &Text{S: c.t.S[from:to]}
	for _, s := range c.t.Spans[c.from:] {
		if s.From >= to {
			break
		}
		out.Spans = append(out.Spans, Span{max(s.From, from) - from, min(s.To, to) - from, s.Source})
	}
	return out
}

func (in *run) joinTexts(sep *Text, next func() Value, convert bool) *Text {
	var b builder
	first := true
	for e := next(); e != nil; e = next() {
		in.step()
		if !first {
			in.text(b.Len() + len(sep.S))
			b.add(sep)
		}
		first = false
		var t *Text
		if convert {
			t = in.str(e)
		} else {
			t = in.wantText(e, "join")
		}
		in.checkText(b.Len() + len(t.S))
		in.charge(len(t.S) + len(sep.S))
		b.add(t)
	}
	return b.text()
}

// split is str.split and str.rsplit; most < 0: no limit.
func (in *run) split(t *Text, sep Value, most int, right bool) Value {
	in.charge(len(t.S))
	if most < 0 {
		most = math.MaxInt
	}
	type piece struct{ from, to int }
	var out []piece
	add := func(from, to int) {
		in.charge(48)
		if out = append(out, piece{from, to}); len(out) > maxItems {
			in.items(len(out))
		}
	}
	s := t.S
	switch {
	case sep == nil || sep == None:
		from, to := 0, len(s)
		for {
			if right {
				to = len(strings.TrimRightFunc(s[:to], space))
			} else {
				from += skipSpace(s[from:])
			}
			if from >= to {
				break
			}
			if len(out) == most {
				add(from, to) // white space at its other end stays
				break
			}
			if right {
				k := strings.LastIndexFunc(s[:to], space)
				if k >= 0 {
					k += runeLen(s[k:])
				}
				add(max(0, k), to)
				to = max(0, k)
			} else {
				k := strings.IndexFunc(s[from:], space)
				if k < 0 {
					k = len(s) - from
				}
				add(from, from+k)
				from += k
			}
		}
	default:
		by := in.wantText(sep, "split").S
		if by == "" {
			in.fail("split: the separator is empty")
		}
		from, to := 0, len(s)
		for len(out) < most {
			if right {
				k := strings.LastIndex(s[:to], by)
				if k < 0 {
					break
				}
				add(k+len(by), to)
				to = k
			} else {
				k := strings.Index(s[from:], by)
				if k < 0 {
					break
				}
				add(from, from+k)
				from += k + len(by)
			}
		}
		add(from, to)
	}
	if right {
		slices.Reverse(out)
	}
	l := &List{Items: make([]Value, len(out))}
	c := t.cutter()
	for i, p := range out {
		l.Items[i] = c.cut(p.from, p.to)
	}
	return l
}

func splitMethod(f string, right bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		v := a.bind(in, f, 0, "sep", "maxsplit")
		most := -1
		if v[1] != nil {
			most = in.integer(v[1], f)
		}
		return in.split(t, v[0], most, right)
	}
}

// lines is str.splitlines.
func (in *run) lines(t *Text, keep bool) []*Text {
	in.charge(len(t.S))
	var out []*Text
	c := t.cutter()
	for i := 0; i < len(t.S); {
		k := strings.IndexFunc(t.S[i:], func(r rune) bool {
			return r == '\n' || r == '\r' || r == '\v' || r == '\f' || r >= 0x1C && r <= 0x1E || r == 0x85 || r == 0x2028 || r == 0x2029
		})
		end, next := len(t.S), len(t.S)
		if k >= 0 {
			end = i + k
			next = end + runeLen(t.S[end:])
			if t.S[end] == '\r' && next < len(t.S) && t.S[next] == '\n' {
				next++
			}
		}
		in.charge(48)
		if keep {
			end = next
		}
		if out = append(out, c.cut(i, end)); len(out) > maxItems {
			in.items(len(out))
		}
		i = next
	}
	return out
}

func partitionMethod(f string, right bool) strMethod {
	return func(in *run, t *Text, a args) Value {
		by := in.wantText(a.positional(in, f, 1, 1)[0], f)
		if by.S == "" {
			in.fail("%s: the separator is empty", f)
		}
		in.charge(len(t.S))
		i := strings.Index(t.S, by.S)
		if right {
			i = strings.LastIndex(t.S, by.S)
		}
		switch {
		case i >= 0:
			return &Tuple{Items: []Value{t.cut(0, i), by, t.cut(i+len(by.S), len(t.S))}}
		case right:
			return &Tuple{Items: []Value{empty, empty, t}}
		}
		return &Tuple{Items: []Value{t, empty, empty}}
	}
}
