package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// longSegment is the number of runes from which a segment is composed here instead of by x/text.
const longSegment = 8

// nfcString is Unicode normalization form C. x/text alone would not do: it writes the stream-safe
// form, with a U+034F after every 30 combining marks, where other tokenizers write none.
func nfcString(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	return betweenNewer(s, composedString)
}

func composedString(s string) string {
	out := make([]byte, 0, len(s)+len(s)/8)
	done := 0 // s[:done] is in out
	for i := 0; i < len(s); {
		start, runes := i, 0
		for i < len(s) && (runes == 0 || !norm.NFC.PropertiesString(s[i:]).BoundaryBefore()) {
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
			runes++
		}
		if runes > longSegment {
			out = append(out, norm.NFC.String(s[done:start])...)
			out = appendLongNFC(out, s[start:i])
			done = i
		}
	}
	return string(append(out, norm.NFC.String(s[done:])...))
}

// mark is a decomposed rune with its canonical combining class.
type mark struct {
	r   rune
	ccc uint8
}

// appendLongNFC normalizes one segment, of any length: decompose, sort the marks by class, compose
// (Unicode Standard, 3.11, D117).
func appendLongNFC(out []byte, s string) []byte {
	return appendMarks(out, compose(decompose(s, norm.NFD)))
}

// decomposed is the normalization form D or KD.
func decomposed(form norm.Form) func(string) string {
	return func(s string) string {
		if form.IsNormalString(s) {
			return s
		}
		return betweenNewer(s, func(s string) string { return string(appendMarks(make([]byte, 0, 2*len(s)), decompose(s, form))) })
	}
}

// decompose gives the characters of s decomposed (form D or KD), marks sorted by class.
func decompose(s string, form norm.Form) []mark {
	var m []mark
	for i := 0; i < len(s); {
		p := form.PropertiesString(s[i:])
		r, n := utf8.DecodeRuneInString(s[i:])
		d := p.Decomposition()
		if r >= hangulBase && r < hangulEnd {
			d = hangul(r)
		} else if d == nil {
			d = []byte(s[i : i+n])
		}
		for len(d) > 0 {
			r, k := utf8.DecodeRune(d)
			if r == utf8.RuneError && k == 1 { // not UTF-8: kept, nothing composes across it
				r = -1 - rune(d[0])
			}
			c := mark{r: r}
			if r >= 0 {
				c.ccc = norm.NFD.Properties(d).CCC()
			}
			m = append(m, c)
			d = d[k:]
		}
		i += n
	}
	for i := 0; i < len(m); {
		j := i + 1
		for j < len(m) && m[i].ccc != 0 && m[j].ccc != 0 {
			j++
		}
		slices.SortStableFunc(m[i:j], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		i = j
	}
	return m
}

// Hangul syllables decompose by a formula (Unicode Standard, 3.12), which x/text does not tell.
const hangulBase, hangulEnd = 0xAC00, 0xAC00 + 11172

func hangul(r rune) []byte {
	i := r - hangulBase
	d := utf8.AppendRune(utf8.AppendRune(nil, 0x1100+i/588), 0x1161+i%588/28)
	if i%28 != 0 {
		d = utf8.AppendRune(d, 0x11A7+i%28)
	}
	return d
}

func appendMarks(out []byte, m []mark) []byte {
	for _, c := range m {
		if c.r < 0 {
			out = append(out, byte(-1-c.r))
		} else {
			out = utf8.AppendRune(out, c.r)
		}
	}
	return out
}

// compose joins each rune with the last starter before it unless one of its own class or higher,
// or another starter, stands between.
func compose(m []mark) []mark {
	starter, n := -1, 0
	last := 0 // class of the last rune kept since the starter; -1: none since
	for _, c := range m {
		if starter >= 0 && (last < 0 || last != 0 && last < int(c.ccc)) {
			if r, ok := composePair(m[starter].r, c.r); ok {
				m[starter].r = r
				continue
			}
		}
		if c.ccc == 0 {
			starter, last = n, -1
		} else {
			last = int(c.ccc)
		}
		m[n] = c
		n++
	}
	return m[:n]
}

// composePair gives the primary composite of a and b.
func composePair(a, b rune) (rune, bool) {
	if a < 0 || b < 0 {
		return 0, false
	}
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
