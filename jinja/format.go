package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// spec is how a value is to be written: by % or by str.format.
type spec struct {
	fill      string
	align     byte // < > ^ = or 0
	sign      byte // + - space or 0
	alternate bool
	zero      bool
	width     int
	precision int // -1: none
	group     byte
	kind      byte // 0: none
}

// percent is text % values.
func (in *run) percent(t *Text, v Value) Value {
	values, one := []Value{v}, true
	if tuple, ok := v.(*Tuple); ok {
		values, one = tuple.Items, false
	}
	dict, mapping := v.(*Dict)
	switch v.(type) {
	case *Dict, *List, *undef, *seq:
		mapping = true
	default:
		mapping = false
	}
	used := 0
	next := func() Value {
		if used >= len(values) {
			in.fail("%% has not enough values")
		}
		used++
		return values[used-1]
	}
	var b builder
	c := t.cutter()
	s := t.S
	in.text(len(s))
	for i := 0; i < len(s); {
		k := strings.IndexByte(s[i:], '%')
		if k < 0 {
			b.add(c.cut(i, len(s)))
			break
		}
		b.add(c.cut(i, i+k))
		i += k + 1
		f := spec{precision: -1, fill: " ", align: '>'}
		var value Value
		if i < len(s) && s[i] == '(' {
			end := i + 1
			for depth := 1; ; end++ {
				if end >= len(s) {
					in.fail("%%( has no )")
				}
				if s[end] == '(' {
					depth++
				} else if s[end] == ')' {
					if depth--; depth == 0 {
						break
					}
				}
			}
			if dict == nil {
				in.fail("%%(name) wants a mapping")
			}
			key := s[i+1 : end]
			var ok bool
			if value, ok = dict.str(key); !ok {
				in.fail("%% has no value for %s", quote(key))
			}
			i = end + 1
		}
	flags:
		for ; i < len(s); i++ {
			switch s[i] {
			case '-':
				f.align = '<'
			case '+':
				f.sign = '+'
			case ' ':
				if f.sign == 0 {
					f.sign = ' '
				}
			case '#':
				f.alternate = true
			case '0':
				f.zero = true
			default:
				break flags
			}
		}
		f.width, i = in.formatNumber(s, i, next)
		if f.width < 0 {
			f.width, f.align = -f.width, '<'
		}
		if i < len(s) && s[i] == '.' {
			f.precision, i = in.formatNumber(s, i+1, next)
			f.precision = max(0, f.precision)
		}
		if i < len(s) && strings.IndexByte("hlL", s[i]) >= 0 {
			i++
		}
		if i >= len(s) {
			in.fail("%% stands at the end of a format")
		}
		f.kind = s[i]
		i++
		if f.kind == '%' {
			b.WriteByte('%')
			continue
		}
		if value == nil {
			value = next()
		}
		in.percentValue(&b, f, value)
		in.checkText(b.Len())
	}
	if used < len(values) && !mapping && (!one || used == 0) {
		in.fail("%% has more values than its format")
	}
	return b.text()
}

func (in *run) formatNumber(s string, i int, next func() Value) (int, int) {
	if i < len(s) && s[i] == '*' {
		v, ok := next().(int64)
		if !ok || v > maxOutput || v < -maxOutput {
			in.fail("* in a format wants an integer of a sensible size")
		}
		return int(v), i + 1
	}
	n := 0
	for ; i < len(s) && digit(s[i]); i++ {
		if n = 10*n + int(s[i]-'0'); n > maxOutput {
			in.fail("output is over %d bytes", maxOutput)
		}
	}
	return n, i
}

func (in *run) percentValue(b *builder, f spec, v Value) {
	switch f.kind {
	case 's', 'r':
		var t *Text
		if f.kind == 's' {
			t = in.str(v)
		} else {
			var r builder
			in.repr(&r, v, 0)
			t = r.text()
		}
		if f.precision >= 0 && f.precision < t.len() {
			t = t.points(0, f.precision)
		}
		in.pad(b, f, t)
	case 'd', 'i', 'u', 'x', 'X', 'o':
		i, fl := number(v)
		if fl != nil && strings.IndexByte("diu", f.kind) >= 0 {
			i = in.truncate(*fl)
		}
		if i == nil {
			in.fail("%%%c wants a number, got %s", f.kind, typeName(v))
		}
		base := map[byte]int{'x': 16, 'X': 16, 'o': 8}[f.kind]
		if base == 0 {
			base = 10
		}
		digits := new(big.Int).Abs(i).Text(base)
		if len(digits) < f.precision {
			in.text(f.precision)
			digits = strings.Repeat("0", f.precision-len(digits)) + digits
		}
		prefix := ""
		if f.alternate && base != 10 {
			prefix = "0" + strings.ToLower(string(f.kind))
		}
		if f.kind == 'X' {
			digits, prefix = strings.ToUpper(digits), strings.ToUpper(prefix)
		}
		in.padNumber(b, f, i.Sign() < 0, prefix, digits)
	case 'e', 'E', 'f', 'F', 'g', 'G':
		i, fl := number(v)
		if i != nil {
			x := in.toFloat(i)
			fl = &x
		}
		if fl == nil {
			in.fail("%%%c wants a number, got %s", f.kind, typeName(v))
		}
		in.padNumber(b, f, math.Signbit(*fl), "", in.floatText(f, math.Abs(*fl)))
	case 'c':
		t, ok := v.(*Text)
		if n, isInt := index(v); isInt && n >= 0 && n <= utf8.MaxRune && utf8.ValidRune(rune(n)) {
			t, ok = NewText(string(rune(n))), true
		}
		if !ok || t.len() != 1 {
			in.fail("%%c wants one character")
		}
		in.pad(b, f, t)
	default:
		in.fail("%%%c in a format is not supported", f.kind)
	}
}

func (in *run) truncate(f float64) *big.Int {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		in.fail("%s is no integer", floatRepr(f))
	}
	i, _ := big.NewFloat(f).Int(nil)
	return i
}

// floatText writes a float that is not negative.
func (in *run) floatText(f spec, x float64) string {
	if f.alternate {
		in.fail("# in the format of a float is not supported")
	}
	p := f.precision
	if p < 0 {
		p = 6
	}
	in.text(p + 400)
	kind := f.kind
	var s string
	switch {
	case math.IsInf(x, 0):
		s = "inf"
	case math.IsNaN(x):
		s = "nan"
	case kind == 'g' || kind == 'G':
		s = strconv.FormatFloat(x, 'g', max(p, 1), 64)
	default:
		s = strconv.FormatFloat(x, kind|0x20, p, 64)
	}
	if kind < 'a' {
		s = strings.ToUpper(s)
	}
	return s
}

// pad writes a text in its width.
func (in *run) pad(b *builder, f spec, t *Text) {
	n := max(0, f.width-t.len())
	in.text(n*len(f.fill) + len(t.S))
	left, right := n, 0
	switch f.align {
	case '<':
		left, right = 0, n
	case '^':
		left, right = n/2, n-n/2
	}
	b.WriteString(strings.Repeat(f.fill, left))
	b.add(t)
	b.WriteString(strings.Repeat(f.fill, right))
}

// padNumber writes sign, prefix and digits in their width.
func (in *run) padNumber(b *builder, f spec, negative bool, prefix, digits string) {
	sign := ""
	switch {
	case negative:
		sign = "-"
	case f.sign == '+' || f.sign == ' ':
		sign = string(f.sign)
	}
	if f.zero && f.align != '<' || f.align == '=' {
		fill := f.fill
		if f.zero {
			fill = "0"
		}
		n := max(0, f.width-len(sign)-len(prefix)-utf8.RuneCountInString(digits))
		in.text(n * len(fill))
		b.WriteString(sign + prefix + strings.Repeat(fill, n) + digits)
		return
	}
	in.pad(b, f, NewText(sign+prefix+digits))
}
