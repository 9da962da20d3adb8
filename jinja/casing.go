package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// casers change the case of one code point. They hold state, so each rendering has its own.
type casers struct{ up, low, title *cases.Caser }

func (in *run) caser(which **cases.Caser, r rune, make func() cases.Caser) string {
	if !cased(r) {
		return string(r)
	}
	if *which == nil {
		c := make()
		*which = &c
	}
	return (*which).String(string(r))
}

// upperRune is Python's upper of one code point: ß becomes SS.
func (in *run) upperRune(r rune) string {
	if r < utf8.RuneSelf {
		return string(unicode.ToUpper(r))
	}
	return in.caser(&in.up, r, func() cases.Caser { return cases.Upper(language.Und) })
}

func (in *run) titleRune(r rune) string {
	if r < utf8.RuneSelf {
		return string(unicode.ToUpper(r))
	}
	return in.caser(&in.title, r, func() cases.Caser { return cases.Title(language.Und, cases.NoLower) })
}

// lowerAt is Python's lower of the code point at a place: a final sigma is another letter than the others.
func (in *run) lowerAt(s string, at int, r rune) string {
	switch {
	case r < utf8.RuneSelf:
		return string(unicode.ToLower(r))
	case r == 'Σ':
		if finalSigma(s, at) {
			return "ς"
		}
		return "σ"
	}
	return in.caser(&in.low, r, func() cases.Caser { return cases.Lower(language.Und) })
}

func caseIgnorable(r rune) bool {
	return unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Lm, r) ||
		unicode.Is(unicode.Sk, r) || strings.ContainsRune("'.:·\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a", r)
}

func cased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) ||
		unicode.Is(unicode.Other_Lowercase, r) || unicode.Is(unicode.Other_Uppercase, r)
}

func finalSigma(s string, at int) bool {
	before := false
	for i := at; i > 0; {
		r, n := utf8.DecodeLastRuneInString(s[:i])
		i -= n
		if !caseIgnorable(r) {
			before = cased(r)
			break
		}
	}
	if !before {
		return false
	}
	for _, r := range s[at+len("Σ"):] {
		if !caseIgnorable(r) {
			return !cased(r)
		}
	}
	return true
}

// casing is islower, isupper and istitle.
func casing(s, kind string) bool {
	any, inWord := false, false
	for _, r := range s {
		low := unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r)
		up := unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r)
		title := unicode.IsTitle(r)
		switch kind {
		case "lower":
			if up || title {
				return false
			}
			any = any || low
		case "upper":
			if low || title {
				return false
			}
			any = any || up
		default:
			switch {
			case up || title:
				if inWord {
					return false
				}
				inWord, any = true, true
			case low:
				if !inWord {
					return false
				}
				any = true
			default:
				inWord = false
			}
		}
	}
	return any
}
