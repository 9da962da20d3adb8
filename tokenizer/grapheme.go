package tokenizer

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Graphemes, what readers take for one character, by the rules of Unicode Standard Annex 29 and with what the Hugging Face library knows of each
// character (unicode.txt). Charsmaps look them up.

// graphemeKind is what the rules ask of a character.
type graphemeKind uint16

const (
	joining      graphemeKind = 1 << iota // belongs to what stands before it
	control                               // by itself, line ends included
	prepended                             // belongs to what follows
	pictographic                          // may be joined to another by a joiner
	extending                             // of joining: may stand between such and its joiner
	consonant                             // of Indic scripts
	linking                               // of joining: ties consonants together
	linked                                // of joining: may stand beside it
	hangulL
	hangulV
	hangulT
	hangulLV
	hangulLVT
	flag // half of a flag
)

const joiner = '\u200d'

// graphemeRanges do not change from release to release, or are not told by a table.
var graphemeRanges = []struct {
	lo, hi rune
	kind   graphemeKind
}{
	{0x1100, 0x115f, hangulL}, {0xa960, 0xa97c, hangulL}, {0x1160, 0x11a7, hangulV}, {0xd7b0, 0xd7c6, hangulV}, {0x11a8, 0x11ff, hangulT}, {0xd7cb, 0xd7fb, hangulT},
	{0x16d63, 0x16d63, hangulV}, {0x16d67, 0x16d6a, hangulV}, // of Kirat Rai, by the same rules
	{0x1f1e6, 0x1f1ff, flag},
}

// graphemeKinds has a place for each character of the flat planes.
var graphemeKinds = sync.OnceValue(func() *[flat]graphemeKind {
	all := new([flat]graphemeKind)
	for r := range all {
		all[r] = findGraphemeKind(rune(r))
	}
	for r := range rune(hangulEnd - hangulBase) {
		all[hangulBase+r] = hangulLVT
		if r%28 == 0 {
			all[hangulBase+r] = hangulLV
		}
	}
	return all
})

// findGraphemeKind looks a character up in the tables.
func findGraphemeKind(r rune) (k graphemeKind) {
	for i, name := range []string{"joining", "control", "prepended", "pictographic", "extending", "consonants", "linking", "linked"} {
		if unicode.Is(uni().sets[name], r) {
			k |= 1 << i
		}
	}
	if k&joining == 0 { // the library was asked for them in texts where others join, too
		k &^= extending | linking | linked
	}
	for _, x := range graphemeRanges {
		if x.lo <= r && r <= x.hi {
			k |= x.kind
		}
	}
	return k
}

func graphemeKindOf(r rune) graphemeKind {
	if r < flat {
		return graphemeKinds()[r]
	}
	return findGraphemeKind(r)
}

// grapheme is what the rules remember of the characters of one.
type grapheme struct {
	last  graphemeKind
	flags int
	tied  int // 1: behind a consonant, 2: and what ties it to the next
	emoji int // 1: behind a pictographic character, 2: and a joiner
}

// add takes the next character.
func (g *grapheme) add(r rune, k graphemeKind) {
	switch {
	case k&consonant != 0:
		g.tied = 1
	case g.tied > 0 && k&linking != 0:
		g.tied = 2
	case k&linked == 0:
		g.tied = 0
	}
	switch {
	case k&pictographic != 0:
		g.emoji = 1
	case g.emoji == 1 && r == joiner:
		g.emoji = 2
	case g.emoji != 1 || k&extending == 0:
		g.emoji = 0
	}
	if k&flag != 0 {
		g.flags++
	}
	g.last = k
}

// joins says whether the next character belongs to it.
func (g *grapheme) joins(k graphemeKind) bool {
	has := func(k, in graphemeKind) bool { return k&in != 0 }
	switch {
	case has(g.last|k, control):
		return false
	case has(g.last, hangulL) && has(k, hangulL|hangulV|hangulLV|hangulLVT), has(g.last, hangulLV|hangulV) && has(k, hangulV|hangulT), has(g.last, hangulLVT|hangulT) && has(k, hangulT):
		return true
	case has(k, joining), has(g.last, prepended):
		return true
	case g.tied == 2 && has(k, consonant), g.emoji == 2 && has(k, pictographic):
		return true
	}
	return has(k, flag) && has(g.last, flag) && g.flags%2 == 1
}

// firstGrapheme gives the length of the grapheme that s begins with; s is not empty.
func firstGrapheme(s string) int {
	if strings.HasPrefix(s, "\r\n") {
		return 2
	}
	var g grapheme
	r, n := utf8.DecodeRuneInString(s)
	g.add(r, graphemeKindOf(r))
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		k := graphemeKindOf(r)
		if !g.joins(k) {
			break
		}
		g.add(r, k)
		n += size
	}
	return n
}
