package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

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
