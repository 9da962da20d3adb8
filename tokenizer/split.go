package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// Pre-tokenizers: scanners that cut text exactly as the known patterns do, in linear time. The
// patterns use look-ahead, which Go's regexp lacks, and backtracking engines take quadratic time
// or overflow on hostile text.

// The patterns, letter by letter as tokenizer.json files hold them.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// Character classes. Every rune has exactly one.
const (
	classOther   = iota // neither of the others; also bytes that are not UTF-8
	classLetter         // \p{L}
	classNumber         // \p{N}
	classSpace          // \s without the next
	classNewline        // \r \n
)

// cutter gives the end of the piece of s that starts at i. i < len(s).
type cutter func(s string, i int) int

// appendCuts appends the pieces of s.
func appendCuts(dst []string, s string, cut cutter) []string {
	for i := 0; i < len(s); {
		j := cut(s, i)
		dst = append(dst, s[i:j])
		i = j
	}
	return dst
}

// singleNumbers makes each number (\p{N}) a piece, and what lies between them.
func singleNumbers(s string, i int) int {
	for start := i; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		if unicode.Is(unicode.N, r) {
			if i == start {
				i += n
			}
			return i
		}
		i += n
	}
	return i
}

// splitter cuts text at the boundaries of one of the patterns.
type splitter struct {
	pattern string
	digits  int             // longest run of \p{N} in one piece; 0: no limit
	gpt2    bool            // the GPT-2 pattern
	class   *[0x10000]uint8 // class of each rune of the basic plane
}

// newSplitter recognises a pattern; false if it is not a known one.
func newSplitter(pattern string) (splitter, bool) {
	s := splitter{pattern: pattern}
	switch pattern {
	case patternGPT2:
		s.gpt2 = true
	case patternLlama3:
		s.digits = 3
	case patternQwen2:
		s.digits = 1
	default:
		return s, false
	}
	s.class = new([0x10000]uint8)
	fill := func(t *unicode.RangeTable, class uint8) {
		for _, r := range t.R16 {
			for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
				s.class[c] = class
			}
		}
	}
	fill(unicode.L, classLetter)
	fill(unicode.N, classNumber)
	fill(unicode.White_Space, classSpace)
	s.class['\r'], s.class['\n'] = classNewline, classNewline
	return s, true
}

// at gives class and length of the rune at s[i:]. i < len(s).
func (p *splitter) at(s string, i int) (uint8, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return p.class[c], 1
	}
	return p.wide(s, i)
}

// wide is at for runes beyond ASCII.
func (p *splitter) wide(s string, i int) (uint8, int) {
	r, n := utf8.DecodeRuneInString(s[i:])
	switch {
	case r == utf8.RuneError && n == 1:
		return classOther, 1
	case r < 0x10000:
		return p.class[r], n
	case unicode.Is(unicode.L, r):
		return classLetter, n
	case unicode.Is(unicode.N, r):
		return classNumber, n
	}
	return classOther, n // there is no white space beyond the basic plane
}

// next gives the end of the piece that starts at i. i < len(s).
func (p *splitter) next(s string, i int) int {
	if p.gpt2 {
		return p.nextGPT2(s, i)
	}
	c, n := p.at(s, i)
	switch c {
	case classLetter:
		return p.run(s, i+n, classLetter)
	case classNumber:
		return p.numbers(s, i+n, p.digits-1)
	case classNewline:
		return p.blanks(s, i, true)
	case classSpace:
		if i+n < len(s) {
			c2, n2 := p.at(s, i+n)
			if c2 == classLetter { // [^\r\n\p{L}\p{N}]?\p{L}+
				return p.run(s, i+n+n2, classLetter)
			}
			if c2 == classOther && s[i] == ' ' { // " ?[^\s\p{L}\p{N}]+[\r\n]*"
				return p.newlines(s, p.run(s, i+n+n2, classOther))
			}
		}
		return p.blanks(s, i, true)
	}
	if s[i] == '\'' {
		if k := contraction(s[i+1:], true); k > 0 {
			return i + 1 + k
		}
	}
	i += n
	if i < len(s) {
		if c2, n2 := p.at(s, i); c2 == classLetter {
			return p.run(s, i+n2, classLetter)
		}
	}
	return p.newlines(s, p.run(s, i, classOther))
}

// nextGPT2 is next for the GPT-2 pattern.
func (p *splitter) nextGPT2(s string, i int) int {
	if s[i] == '\'' {
		if k := contraction(s[i+1:], false); k > 0 {
			return i + 1 + k
		}
	}
	c, n := p.at(s, i)
	if c >= classSpace {
		if s[i] != ' ' || i+1 == len(s) {
			return p.blanks(s, i, false)
		}
		var n2 int
		if c, n2 = p.at(s, i+1); c >= classSpace {
			return p.blanks(s, i, false)
		}
		n += n2
	}
	return p.run(s, i+n, c)
}

// run gives the end of the run of class c at i.
func (p *splitter) run(s string, i int, c uint8) int {
	for i < len(s) {
		if b := s[i]; b < utf8.RuneSelf {
			if p.class[b] != c {
				return i
			}
			i++
			continue
		}
		c2, n := p.wide(s, i)
		if c2 != c {
			return i
		}
		i += n
	}
	return i
}

// numbers gives the end of at most max more numbers at i.
func (p *splitter) numbers(s string, i, max int) int {
	for ; max > 0 && i < len(s); max-- {
		c, n := p.at(s, i)
		if c != classNumber {
			return i
		}
		i += n
	}
	return i
}

// newlines gives the end of [\r\n]* at i.
func (p *splitter) newlines(s string, i int) int {
	for i < len(s) && (s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// blanks cuts the run of white space at i by  \s*[\r\n]+ (if lines) | \s+(?!\S) | \s+ :
// up to the last line break; else the whole run at the end of the text; else all but its last
// rune, which goes with what follows; else, a run of one, that one.
func (p *splitter) blanks(s string, i int, lines bool) int {
	start, last, line := i, i, 0
	for i < len(s) {
		c, n := p.at(s, i)
		if c < classSpace {
			break
		}
		last = i
		i += n
		if c == classNewline {
			line = i
		}
	}
	switch {
	case lines && line > 0:
		return line
	case i == len(s) || last == start:
		return i
	}
	return last
}

// contraction gives the length of s, t, re, ve, m, ll or d at the start of s, 0 for none. With fold
// also in capitals, and then U+017F counts as an s, as in every Unicode-aware engine.
func contraction(s string, fold bool) int {
	if s == "" {
		return 0
	}
	low := func(c byte) byte {
		if fold && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	switch c := low(s[0]); c {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v', 'l':
		if len(s) > 1 {
			if d := low(s[1]); d == 'e' && c != 'l' || d == 'l' && c == 'l' {
				return 2
			}
		}
	case 0xC5:
		if fold && len(s) > 1 && s[1] == 0xBF {
			return 2
		}
	}
	return 0
}
