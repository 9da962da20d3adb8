package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// set is a set of kinds of characters. Every character is of one kind.
type set uint16

const (
	upper    set = 1 << iota // \p{Lu} \p{Lt}
	lower                    // \p{Ll}
	letter                   // \p{Lm} \p{Lo}
	marks                    // \p{M}
	numbers                  // \p{N}
	puncts                   // \p{P}
	symbols                  // \p{S}
	blank                    // the space of ASCII
	tabs                     // \s but for the space and the next
	newlines                 // \r \n
	rest                     // all others; also bytes that are not UTF-8

	letters = upper | lower | letter
	spaces  = blank | tabs | newlines
	every   = rest<<1 - 1
	others  = every &^ (spaces | letters | numbers)
)

// kindTables is a set with the tables of Unicode behind it.
type kindTables struct {
	set    set
	tables []*unicode.RangeTable
}

// makeKinds has no character twice. What there is most of beyond the flat planes comes first.
func (u *unicodeTables) makeKinds() (list []kindTables) {
	for _, k := range []struct {
		set   set
		names []string
	}{{letter, []string{"Lo", "Lm"}}, {marks, []string{"M"}}, {upper, []string{"Lu", "Lt"}}, {lower, []string{"Ll"}}, {numbers, []string{"N"}}, {puncts, []string{"P"}}, {symbols, []string{"S"}}} {
		var tables []*unicode.RangeTable
		for _, name := range k.names {
			tables = append(tables, u.category(name)...)
		}
		list = append(list, kindTables{k.set, tables})
	}
	return list
}

// flat is how many characters classes has a place for: two planes, with emoji.
const flat = 0x20000

// classes tells the kind of each of them.
type classes [flat]set

// newClasses makes the table. A tokenizer has one.
func newClasses() *classes {
	c := new(classes)
	fill := func(lo, hi uint32, s set) {
		for i := lo; i <= hi && i < flat; i++ {
			c[i] = s
		}
	}
	fill(0, flat, rest)
	for _, k := range uni().kinds {
		for _, t := range k.tables {
			for _, r := range t.R16 {
				fill(uint32(r.Lo), uint32(r.Hi), k.set)
			}
			for _, r := range t.R32 {
				fill(r.Lo, r.Hi, k.set)
			}
		}
	}
	for r := range c {
		if unicode.IsSpace(rune(r)) {
			c[r] = tabs
		}
	}
	c[' '], c['\r'], c['\n'] = blank, newlines, newlines
	return c
}

// at gives kind and length of the character at s[i:]. i < len(s).
func (c *classes) at(s string, i int) (set, int) {
	if b := s[i]; b < utf8.RuneSelf {
		return c[b], 1
	}
	return c.wide(s, i)
}

// wide is at for characters beyond ASCII.
func (c *classes) wide(s string, i int) (set, int) {
	r, n := utf8.DecodeRuneInString(s[i:])
	switch {
	case r == utf8.RuneError && n == 1:
		return rest, 1
	case r < flat:
		return c[r], n
	}
	return high(r), n
}

// high is the kind of a character beyond those.
func high(r rune) set {
	for _, k := range uni().kinds {
		if unicode.In(r, k.tables...) {
			return k.set
		}
	}
	return rest
}

// span gives the end of the run of characters in a set at i.
func (c *classes) span(s string, i int, in set) int {
	for i < len(s) {
		if b := s[i]; b < utf8.RuneSelf {
			if c[b]&in == 0 {
				return i
			}
			i++
			continue
		}
		k, n := c.wide(s, i)
		if k&in == 0 {
			return i
		}
		i += n
	}
	return i
}

// Alternatives of patterns. Each gives the end of its match at i, or i if there is none.
type alternative func(s string, i int) int

// first cuts by the first alternative that matches. What none matches is a piece up to where one does.
func first(alternatives ...alternative) cutter {
	match := func(s string, i int) int {
		for _, a := range alternatives {
			if j := a(s, i); j > i {
				return j
			}
		}
		return i
	}
	return func(s string, i int) int {
		if j := match(s, i); j > i {
			return j
		}
		for i < len(s) {
			_, n := utf8.DecodeRuneInString(s[i:])
			if i += n; i < len(s) && match(s, i) > i {
				break
			}
		}
		return i
	}
}

// run is  before?in+[tail]* .
func (c *classes) run(before, in set, tail string) alternative {
	return func(s string, i int) int {
		k, n := c.at(s, i)
		j := c.span(s, i+n, in)
		if k&in == 0 && (k&before == 0 || j == i+n) {
			return i
		}
		for j < len(s) && strings.IndexByte(tail, s[j]) >= 0 {
			j++
		}
		return j
	}
}

// numbers is  \p{N}{1,most} .
func (c *classes) numbers(most int) alternative {
	return func(s string, i int) int { return c.digits(s, i, most) }
}

// digits gives the end of at most most numbers at i.
func (c *classes) digits(s string, i, most int) int {
	for ; most > 0 && i < len(s); most-- {
		k, n := c.at(s, i)
		if k != numbers {
			break
		}
		i += n
	}
	return i
}

// blanks is  \s*[\r\n]+|\s+(?!\S)|\s+ .
func (c *classes) blanks(s string, i int) int { return c.white(s, i, true) }

// white cuts the run of white space at i by  \s*[\r\n]+ (if lines) | \s+(?!\S) | \s+ :
// up to the last line break; else the whole run at the end of the text; else all but its last
// character, which goes with what follows; else, a run of one, that one.
func (c *classes) white(s string, i int, lines bool) int {
	start, last, line := i, i, 0
	for i < len(s) {
		k, n := c.at(s, i)
		if k&spaces == 0 {
			break
		}
		last = i
		i += n
		if k == newlines {
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

// cased is a word whose case changes at most once, from capitals to small letters:
//
//	before?capital*small+|before?capital+small*
//
// The sets may overlap. With endings, an English contraction behind it belongs to it.
func (c *classes) cased(before, capital, small set, endings bool) alternative {
	return func(s string, i int) int {
		k, n := c.at(s, i)
		starts := []int{i + n, i} // with and without what may stand before
		if k&before == 0 {
			starts = starts[1:]
		}
		for _, part := range []func(string, int, set, set) int{c.lowered, c.raised} {
			for _, from := range starts {
				j := part(s, from, capital, small)
				if j == from {
					continue
				}
				if endings {
					j = contractions(s, j)
				}
				return j
			}
		}
		return i
	}
}

// lowered is  capital*small+ .
func (c *classes) lowered(s string, i int, capital, small set) int {
	end := i // behind the last character of the run that is in both sets
	for i < len(s) {
		k, n := c.at(s, i)
		if k&capital == 0 {
			if k&small != 0 {
				return c.span(s, i, small)
			}
			break
		}
		if i += n; k&small != 0 {
			end = i
		}
	}
	return end
}

// raised is  capital+small* .
func (c *classes) raised(s string, i int, capital, small set) int {
	j := c.span(s, i, capital)
	if j == i {
		return i
	}
	return c.span(s, j, small)
}

// contractions is  (?i:'s|'t|'re|'ve|'m|'ll|'d) .
func contractions(s string, i int) int { return i + contraction(s[i:], true) }

// contraction gives the length of 's, 't, 're, 've, 'm, 'll or 'd at the start of s, 0 for none. With fold also in capitals, and
// then U+017F counts as an s, as in every Unicode-aware engine.
func contraction(s string, fold bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	low := func(c byte) byte {
		if fold && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	switch c := low(s[1]); c {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v', 'l':
		if len(s) > 2 {
			if d := low(s[2]); d == 'e' && c != 'l' || d == 'l' && c == 'l' {
				return 3
			}
		}
	case 0xC5:
		if fold && len(s) > 2 && s[2] == 0xBF {
			return 3
		}
	}
	return 0
}

// punctuatedWord is a word of ASCII letters behind a punctuation character of ASCII.
func punctuatedWord(s string, i int) int {
	isLetter := func(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
	if b := s[i]; b <= ' ' || b >= 0x7F || isLetter(b) || b >= '0' && b <= '9' {
		return i
	}
	j := i + 1
	for j < len(s) && isLetter(s[j]) {
		j++
	}
	if j == i+1 {
		return i
	}
	return j
}
