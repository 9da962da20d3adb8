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
	if one && mapping {
		return b.text()
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
		if n, isInt := v.(int64); isInt && utf8.ValidRune(rune(n)) && n >= 0 && n <= utf8.MaxRune {
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

// format is str.format.
func (in *run) format(t *Text, a args) Value {
	auto := 0
	out := in.formatText(t, a, &auto, 0)
	return out
}

func (in *run) formatText(t *Text, a args, auto *int, depth int) *Text {
	if depth > 1 {
		in.fail("format: fields nest too deep")
	}
	var b builder
	s := t.S
	in.text(len(s))
	c := t.cutter()
	for i := 0; i < len(s); {
		k := strings.IndexAny(s[i:], "{}")
		if k < 0 {
			b.add(c.cut(i, len(s)))
			break
		}
		b.add(c.cut(i, i+k))
		i += k
		if i+1 < len(s) && s[i+1] == s[i] {
			b.add(c.cut(i, i+1))
			i += 2
			continue
		}
		if s[i] == '}' {
			in.fail("format: a single }")
		}
		end, level := i+1, 1
		for ; end < len(s) && level > 0; end++ {
			switch s[end] {
			case '{':
				level++
			case '}':
				level--
			case '[':
				if j := strings.IndexByte(s[end:], ']'); j > 0 && level == 1 && !strings.ContainsAny(s[i:end], ":!") {
					end += j
				}
			}
		}
		if level > 0 {
			in.fail("format: a { has no }")
		}
		in.formatField(&b, t.cut(i+1, end-1), a, auto, depth)
		in.checkText(b.Len())
		i = end
	}
	return b.text()
}

func (in *run) formatField(b *builder, field *Text, a args, auto *int, depth int) {
	s := field.S
	head := strings.IndexAny(s, ":!")
	if br := strings.IndexByte(s, '['); br >= 0 && br < head || head < 0 {
		head = len(s)
		for i := 0; i < len(s); i++ {
			if s[i] == '[' {
				if j := strings.IndexByte(s[i:], ']'); j > 0 {
					i += j
					continue
				}
			}
			if s[i] == ':' || s[i] == '!' {
				head = i
				break
			}
		}
	}
	name, rest := s[:head], s[head:]
	conv := byte(0)
	if strings.HasPrefix(rest, "!") {
		if len(rest) < 2 || len(rest) > 2 && rest[2] != ':' {
			in.fail("format: ! wants one letter")
		}
		conv, rest = rest[1], rest[2:]
	}
	formatSpec := in.formatText(NewText(strings.TrimPrefix(rest, ":")), a, auto, depth+1).S
	v := in.formatValue(name, a, auto)
	switch conv {
	case 0:
	case 's':
		v = in.str(v)
	case 'r':
		var r builder
		in.repr(&r, v, 0)
		v = r.text()
	default:
		in.fail("format: !%c is not supported", conv)
	}
	if formatSpec == "" {
		b.add(in.str(v))
		return
	}
	f := in.parseSpec(formatSpec)
	switch x := v.(type) {
	case *Text:
		if f.sign != 0 || f.alternate || f.group != 0 || f.align == '=' || f.kind != 0 && f.kind != 's' {
			in.fail("format: %s cannot be used with a string", quote(formatSpec))
		}
		if f.zero && f.align == 0 {
			f.fill = "0"
		}
		if f.align == 0 {
			f.align = '<'
		}
		if f.precision >= 0 && f.precision < x.len() {
			x = x.points(0, f.precision)
		}
		in.pad(b, f, x)
		return
	case bool, int64, *big.Int, float64:
		in.formatNumberSpec(b, f, v, formatSpec)
		return
	}
	in.fail("format: %s cannot be used with %s", quote(formatSpec), typeName(v))
}

func (in *run) formatNumberSpec(b *builder, f spec, v Value, text string) {
	if f.align == 0 {
		f.align = '>'
	} else if f.zero && f.align != '=' {
		f.zero, f.fill = false, map[bool]string{true: "0", false: f.fill}[f.fill == " "]
	}
	i, fl := number(v)
	var digits, prefix string
	negative := false
	switch {
	case i != nil && strings.IndexByte("\x00dxXob", f.kind) >= 0 && f.precision < 0:
		base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'b': 2}[f.kind]
		if base == 0 {
			base = 10
		}
		if f.group != 0 && base != 10 {
			in.fail("format: %s is not supported", quote(text))
		}
		digits, negative = new(big.Int).Abs(i).Text(base), i.Sign() < 0
		if f.alternate && base != 10 {
			prefix = "0" + strings.ToLower(string(f.kind))
		}
		if f.kind == 'X' {
			digits, prefix = strings.ToUpper(digits), strings.ToUpper(prefix)
		}
	case strings.IndexByte("eEfFgG%", f.kind) >= 0:
		if i != nil {
			x := in.toFloat(i)
			fl = &x
		}
		x := *fl
		end := ""
		if f.kind == '%' {
			x, f.kind, end = x*100, 'f', "%"
		}
		digits, negative = in.floatText(f, math.Abs(x))+end, math.Signbit(x)
	case fl != nil && f.kind == 0 && f.precision < 0:
		digits, negative = floatRepr(math.Abs(*fl)), math.Signbit(*fl)
	default:
		in.fail("format: %s cannot be used with %s", quote(text), typeName(v))
	}
	if f.group != 0 {
		if f.zero || f.align == '=' {
			in.fail("format: %s is not supported", quote(text))
		}
		whole, rest := digits, ""
		if k := strings.IndexAny(digits, ".e%"); k >= 0 {
			whole, rest = digits[:k], digits[k:]
		}
		for k := len(whole) - 3; k > 0; k -= 3 {
			whole = whole[:k] + string(f.group) + whole[k:]
		}
		digits = whole + rest
	}
	in.padNumber(b, f, negative, prefix, digits)
}

// parseSpec reads [[fill]align][sign][#][0][width][,][.precision][type].
func (in *run) parseSpec(s string) spec {
	f := spec{fill: " ", precision: -1}
	text := s
	if n := runeLen(s); len(s) > n && strings.IndexByte("<>=^", s[n]) >= 0 {
		f.fill, f.align, s = s[:n], s[n], s[n+1:]
	} else if s != "" && strings.IndexByte("<>=^", s[0]) >= 0 {
		f.align, s = s[0], s[1:]
	}
	take := func(set string) byte {
		if s != "" && strings.IndexByte(set, s[0]) >= 0 {
			c := s[0]
			s = s[1:]
			return c
		}
		return 0
	}
	f.sign = take("+- ")
	f.alternate = take("#") != 0
	f.zero = take("0") != 0
	n := 0
	f.width, n = in.formatNumber(s, 0, func() Value { return nil })
	s = s[n:]
	f.group = take(",_")
	if take(".") != 0 {
		if s == "" || !digit(s[0]) {
			in.fail("format: %s has no precision behind the point", quote(text))
		}
		f.precision, n = in.formatNumber(s, 0, func() Value { return nil })
		s = s[n:]
	}
	f.kind = take("bcdeEfFgGnosxX%")
	if s != "" || f.kind == 'n' || f.kind == 'c' {
		in.fail("format: %s is not supported", quote(text))
	}
	return f
}

// formatValue finds the value of a field such as 0.name[key].
func (in *run) formatValue(name string, a args, auto *int) Value {
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	first, rest := name[:end], name[end:]
	var v Value
	number := func(i int) {
		if i >= len(a.pos) {
			in.fail("format: there is no value %d", i)
		}
		v = a.pos[i]
	}
	i, err := strconv.Atoi(first)
	switch {
	case first == "":
		if *auto < 0 {
			in.fail("format: numbered and unnumbered fields are mixed")
		}
		number(*auto)
		*auto++
	case err == nil && digit(first[0]):
		if *auto > 0 {
			in.fail("format: numbered and unnumbered fields are mixed")
		}
		*auto = -1
		number(i)
	default:
		for k, n := range a.names {
			if n == first {
				v = a.named[k]
			}
		}
		if v == nil {
			in.fail("format: there is no value %s", quote(first))
		}
	}
	for rest != "" {
		if rest[0] == '.' {
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			v, rest = in.getattr(v, rest[1:1+end]), rest[1+end:]
			continue
		}
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 2 {
			in.fail("format: the field %s is malformed", quote(name))
		}
		var key Value = NewText(rest[1:end])
		if n, err := strconv.ParseUint(rest[1:end], 10, 31); err == nil {
			key = int64(n)
		}
		v, rest = in.getitem(v, key), rest[end+1:]
	}
	return v
}
