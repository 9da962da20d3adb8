package tokenizer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// onePattern reads a pattern of one set of characters and how often, with an optional character of another in front, which some
// published tokenizers cut by in several steps (DeepSeek): \p{N}{1,3}, \s?\p{L}+, [一-龥ぁ-ゟ]+, [0-9][0-9][0-9], \s+$.
// It gives nil for any other.
func onePattern(pattern string) cutter {
	if pattern == `\s+$` {
		return cutLineEnds
	}
	in, p := readSet(pattern)
	if in == nil {
		return nil
	}
	if rest, ok := strings.CutPrefix(p, "?"); ok {
		second, p := readSet(rest)
		if second == nil || p != "+" {
			return nil
		}
		return first(func(s string, i int) int { return runOf(s, i, in, second) })
	}
	most := 1
	if p == "+" {
		most = maxInt
	} else if n, ok := strings.CutPrefix(p, "{1,"); ok && len(n) < 4 && strings.HasSuffix(n, "}") {
		most, _ = strconv.Atoi(n[:len(n)-1])
	} else {
		same := strings.TrimSuffix(pattern, p)
		for p != "" { // the set again
			if p, ok = strings.CutPrefix(p, same); !ok {
				return nil
			}
			most++
		}
		if most > 1 {
			return first(func(s string, i int) int { return exactly(s, i, in, most) })
		}
	}
	if most < 1 {
		return nil
	}
	return first(func(s string, i int) int {
		for k := 0; k < most && i < len(s); k++ {
			r, n := utf8.DecodeRuneInString(s[i:])
			if !in(r) {
				break
			}
			i += n
		}
		return i
	})
}

const maxInt = int(^uint(0) >> 1)

type runeSet func(r rune) bool

// runOf is  before?in+ .
func runOf(s string, i int, before, in runeSet) int {
	start := i
	r, n := utf8.DecodeRuneInString(s[i:])
	if before(r) {
		i += n
	}
	from := i
	for i < len(s) {
		if r, n = utf8.DecodeRuneInString(s[i:]); !in(r) {
			break
		}
		i += n
	}
	if r, n = utf8.DecodeRuneInString(s[start:]); i == from && in(r) { // what may stand before is all there is
		return start + n
	}
	if i == from {
		return start
	}
	return i
}

// exactly is n characters of a set.
func exactly(s string, i int, in runeSet, n int) int {
	start := i
	for ; n > 0; n-- {
		r, size := utf8.DecodeRuneInString(s[i:])
		if size == 0 || !in(r) {
			return start
		}
		i += size
	}
	return i
}

// cutLineEnds cuts by  \s+$ , where $ is the end of a line: white space up to the last line end in it, or to the end of the text.
func cutLineEnds(s string, i int) int {
	end := func(i int) int { // of the match at i, or i
		last := i
		for k, r := range s[i:] {
			if !unicode.IsSpace(r) {
				return last
			}
			if r == '\n' && k > 0 { // what is before it ends the line
				last = i + k
			}
		}
		return len(s)
	}
	if j := end(i); j > i {
		return j
	}
	for i < len(s) { // to the next run of white space that has a match
		r, n := utf8.DecodeRuneInString(s[i:])
		if i += n; unicode.IsSpace(r) {
			i += len(s[i:]) - len(strings.TrimLeftFunc(s[i:], unicode.IsSpace)) // a run without a match
			continue
		}
		if i < len(s) && end(i) > i {
			return i
		}
	}
	return i
}

// readSet reads a set at the start of a pattern: \p{N}, \s, or [...] of characters, ranges and such. It gives nil, or the set and what is behind.
func readSet(p string) (runeSet, string) {
	if inner, ok := strings.CutPrefix(p, "["); ok {
		negative := strings.HasPrefix(inner, "^")
		if negative {
			inner = inner[1:]
		}
		in, rest := readRanges(inner)
		if in != nil && negative {
			return func(r rune) bool { return !in(r) }, rest
		}
		return in, rest
	}
	if strings.HasPrefix(p, `\`) {
		in, _, rest := readEscape(p)
		return in, rest
	}
	return nil, p
}

// readEscape reads \p{L}, \s, \r, \n or an escaped punctuation character; of one character r tells which.
func readEscape(p string) (in runeSet, r rune, rest string) {
	if len(p) < 2 {
		return nil, 0, p
	}
	one := func(r rune) (runeSet, rune, string) { return func(x rune) bool { return x == r }, r, p[2:] }
	switch c := p[1]; {
	case c == 'p':
		name, rest, ok := strings.Cut(strings.TrimPrefix(p[2:], "{"), "}")
		tables := uni().category(name)
		if !ok || !strings.HasPrefix(p[2:], "{") || tables == nil {
			return nil, 0, p
		}
		return func(r rune) bool { return unicode.In(r, tables...) }, -1, rest
	case c == 's':
		return unicode.IsSpace, -1, p[2:]
	case c == 'r':
		return one('\r')
	case c == 'n':
		return one('\n')
	case c < utf8.RuneSelf && !wordRune(rune(c)):
		return one(rune(c))
	}
	return nil, 0, p
}

// readRanges reads the inside of [...] and its end.
func readRanges(p string) (runeSet, string) {
	table := &unicode.RangeTable{}
	var sets []runeSet
	add := func(lo, hi rune) {
		table.R32 = append(table.R32, unicode.Range32{Lo: uint32(lo), Hi: uint32(hi), Stride: 1})
	}
	next := func() (r rune, ok bool) { // one character; ok is false for a set, which is taken, and where nothing can be read
		if strings.HasPrefix(p, `\`) {
			in, r, rest := readEscape(p)
			if p = rest; in != nil && r < 0 {
				sets = append(sets, in)
			}
			return r, in != nil && r >= 0
		}
		r, n := utf8.DecodeRuneInString(p)
		p = p[n:]
		return r, true
	}
	for !strings.HasPrefix(p, "]") {
		if p == "" || p[0] == '[' || strings.HasPrefix(p, "&&") {
			return nil, p
		}
		before, known := p, len(sets)
		lo, ok := next()
		switch {
		case len(sets) > known:
			continue
		case !ok || p == before:
			return nil, p
		}
		hi := lo
		if strings.HasPrefix(p, "-") && !strings.HasPrefix(p, "-]") {
			p = p[1:]
			if p == "" || p[0] == '[' {
				return nil, p
			}
			if hi, ok = next(); !ok || hi < lo {
				return nil, p
			}
		}
		add(lo, hi)
	}
	if len(table.R32) == 0 && len(sets) == 0 {
		return nil, p
	}
	return func(r rune) bool {
		for _, x := range table.R32 {
			if rune(x.Lo) <= r && r <= rune(x.Hi) {
				return true
			}
		}
		for _, in := range sets {
			if in(r) {
				return true
			}
		}
		return false
	}, p[1:]
}
