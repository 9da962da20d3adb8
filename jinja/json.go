package jinja

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// toJSON is the filter tojson of transformers: json.dumps, nothing escaped for HTML.
func toJSON(in *run, v Value, a args) Value {
	p := a.bind(in, "tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	j := jsonWriter{in: in, item: NewText(", "), key: NewText(": ")}
	j.ascii = p[0] != nil && in.truth(p[0])
	j.sorted = p[3] != nil && in.truth(p[3])
	if p[1] != nil && p[1] != None {
		j.pretty = true
		j.item = NewText(",")
		if t, ok := p[1].(*Text); ok {
			j.indent = t
		} else {
			n := max(0, in.integer(p[1], "tojson"))
			in.text(n)
			j.indent = NewText(strings.Repeat(" ", n))
		}
	}
	if p[2] != nil && p[2] != None {
		s := in.list(p[2])
		if len(s) != 2 {
			in.fail("tojson: separators want two strings")
		}
		j.item, j.key = in.wantText(s[0], "tojson"), in.wantText(s[1], "tojson")
	}
	j.value(v, 0)
	return j.text()
}

type jsonWriter struct {
	builder
	in                    *run
	item, key, indent     *Text
	pretty, ascii, sorted bool
}

func (j *jsonWriter) line(depth int) {
	if !j.pretty {
		return
	}
	j.in.text(1 + depth*len(j.indent.S))
	j.WriteByte('\n')
	for range depth {
		j.add(j.indent)
	}
}

func (j *jsonWriter) value(v Value, depth int) {
	j.in.step()
	if depth > maxBrackets {
		j.in.fail("tojson: the value nests deeper than %d", maxBrackets)
	}
	j.in.checkText(j.Len())
	switch v := v.(type) {
	case none:
		j.WriteString("null")
	case bool:
		fmt.Fprint(j, v)
	case int64, *big.Int:
		j.in.repr(&j.builder, v, 0)
	case float64:
		j.WriteString(jsonFloat(v))
	case *Text:
		j.string(v)
	case *List:
		j.list(v.Items, depth)
	case *Tuple:
		j.list(v.Items, depth)
	case *Dict:
		j.dict(v, depth)
	default:
		j.in.fail("tojson: a value of type %s has no JSON", typeName(v))
	}
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatRepr(f)
}

func (j *jsonWriter) list(items []Value, depth int) {
	j.WriteByte('[')
	for i, v := range items {
		if i > 0 {
			j.add(j.item)
		}
		j.line(depth + 1)
		j.value(v, depth+1)
	}
	if len(items) > 0 {
		j.line(depth)
	}
	j.WriteByte(']')
}

func (j *jsonWriter) dict(d *Dict, depth int) {
	order := make([]int, len(d.keys))
	for i := range order {
		order[i] = i
	}
	if j.sorted {
		slices.SortStableFunc(order, func(a, b int) int { return j.in.order(d.keys[a], d.keys[b], "<") })
	}
	j.WriteByte('{')
	for n, i := range order {
		if n > 0 {
			j.add(j.item)
		}
		j.line(depth + 1)
		switch k := d.keys[i].(type) {
		case *Text:
			j.string(k)
		case none, bool, int64, *big.Int, float64:
			j.WriteByte('"')
			j.value(k, depth)
			j.WriteByte('"')
		default:
			j.in.fail("tojson: a key of type %s has no JSON", typeName(k))
		}
		j.add(j.key)
		j.value(d.values[i], depth+1)
	}
	if len(order) > 0 {
		j.line(depth)
	}
	j.WriteByte('}')
}

func (j *jsonWriter) string(t *Text) {
	j.in.charge(len(t.S))
	j.WriteByte('"')
	t.each(func(_ int, r rune, source int) {
		s := ""
		switch {
		case r == '"' || r == '\\':
			s = `\` + string(r)
		case r == '\n':
			s = `\n`
		case r == '\r':
			s = `\r`
		case r == '\t':
			s = `\t`
		case r == '\f':
			s = `\f`
		case r == '\b':
			s = `\b`
		case r < 0x20 || j.ascii && r >= 0x7F && r < 0x10000:
			s = fmt.Sprintf(`\u%04x`, r)
		case j.ascii && r >= utf8.RuneSelf:
			hi, lo := utf16.EncodeRune(r)
			s = fmt.Sprintf(`\u%04x\u%04x`, hi, lo)
		default:
			s = string(r)
		}
		j.from(s, source)
	})
	j.WriteByte('"')
	j.in.checkText(j.Len())
}
