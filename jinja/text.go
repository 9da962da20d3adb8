package jinja

import (
	"strings"
	"unicode/utf8"
)

// Span is a part of a text, in bytes, that came from a source: see NewSourced.
type Span struct{ From, To, Source int }

// Text is a string that knows which parts of it the template did not write.
type Text struct {
	S     string
	Spans []Span // sorted, apart
	safe  bool   // what the filters escape and safe return
	runes int    // 1 + number of code points; 0: not counted yet
}

// NewText is text of the template.
func NewText(s string) *Text { return &Text{S: s} }

// NewSourced is text from a source, such as the number of a message.
func NewSourced(s string, source int) *Text {
	t := &Text{S: s}
	if s != "" {
		t.Spans = []Span{{0, len(s), source}}
	}
	return t
}

var empty = NewText("")

func (t *Text) len() int {
	if t.runes == 0 {
		t.runes = 1 + utf8.RuneCountInString(t.S)
	}
	return t.runes - 1
}

// offset gives the byte where code point i starts, 0 ≤ i ≤ len.
func (t *Text) offset(i int) int {
	if t.len() == len(t.S) {
		return i
	}
	at := 0
	for ; i > 0; i-- {
		_, n := utf8.DecodeRuneInString(t.S[at:])
		at += n
	}
	return at
}

// cut gives bytes [from, to).
func (t *Text) cut(from, to int) *Text {
	if from == 0 && to == len(t.S) {
		if t.safe {
			return &Text{S: t.S, Spans: t.Spans, runes: t.runes}
		}
		return t
	}
	out := &Text{S: t.S[from:to]}
	for _, s := range t.Spans {
		if s.To > from && s.From < to {
			out.Spans = append(out.Spans, Span{max(s.From, from) - from, min(s.To, to) - from, s.Source})
		}
	}
	return out
}

// points gives code points [i, j).
func (t *Text) points(i, j int) *Text {
	if t.len() == len(t.S) {
		return t.cut(i, j)
	}
	from := t.offset(i)
	to := from
	for ; i < j; i++ {
		_, n := utf8.DecodeRuneInString(t.S[to:])
		to += n
	}
	return t.cut(from, to)
}

// source gives the source of a byte, -1: the template.
func (t *Text) source(at int) int {
	for _, s := range t.Spans {
		if at < s.To {
			if at >= s.From {
				return s.Source
			}
			break
		}
	}
	return -1
}

func (t *Text) trim(left, right bool, cut func(rune) bool) *Text {
	from, to := 0, len(t.S)
	if left {
		from = len(t.S) - len(strings.TrimLeftFunc(t.S, cut))
	}
	if right {
		to = max(from, len(strings.TrimRightFunc(t.S, cut)))
	}
	return t.cut(from, to)
}

// each calls f for each code point with its source.
func (t *Text) each(f func(at int, r rune, source int)) {
	k := 0
	for i, r := range t.S {
		for k < len(t.Spans) && t.Spans[k].To <= i {
			k++
		}
		source := -1
		if k < len(t.Spans) && t.Spans[k].From <= i {
			source = t.Spans[k].Source
		}
		f(i, r, source)
	}
}

// builder puts a text together.
type builder struct {
	strings.Builder
	spans []Span
}

func (b *builder) add(t *Text) {
	at := b.Len()
	for _, s := range t.Spans {
		b.span(at+s.From, at+s.To, s.Source)
	}
	b.WriteString(t.S)
}

func (b *builder) span(from, to, source int) {
	if from == to {
		return
	}
	if n := len(b.spans); n > 0 && b.spans[n-1].To == from && b.spans[n-1].Source == source {
		b.spans[n-1].To = to
		return
	}
	b.spans = append(b.spans, Span{from, to, source})
}

// from adds a string of a source, -1: the template.
func (b *builder) from(s string, source int) {
	if source >= 0 {
		b.span(b.Len(), b.Len()+len(s), source)
	}
	b.WriteString(s)
}

func (b *builder) text() *Text { return &Text{S: b.String(), Spans: b.spans} }

// mapRunes replaces each code point by a string.
func (t *Text) mapRunes(in *run, f func(at int, r rune) string) *Text {
	in.charge(len(t.S) + len(t.S)/2)
	var b builder
	b.Grow(len(t.S))
	t.each(func(at int, r rune, source int) { b.from(f(at, r), source) })
	in.checkText(b.Len())
	return b.text()
}
