package tokenizer

import (
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Every line of unicode.txt is read; a character is in one category; the Unicode of the library's patterns is at least 16, that of its
// normal forms is known to x/text.
func TestUnicodeTables(t *testing.T) {
	u := uni()
	seen := map[rune]string{}
	for name, table := range u.sets {
		n := 0
		each(table, func(r rune) {
			n++
			if len(name) == 2 {
				if was, twice := seen[r]; twice {
					t.Errorf("%U is in %s and in %s", r, was, name)
				}
				seen[r] = name
			}
		})
		if n == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	for r := range rune(unicode.MaxLatin1) {
		if seen[r] == "" {
			t.Errorf("%U has no category", r)
		}
	}
	for r, want := range map[rune]string{0x13d44: "Lo", 0x1c89: "Lu", 0x10efc: "Mn", 0x1fae9: "So", '(': "Ps", '\n': "Cc"} {
		if seen[r] != want {
			t.Errorf("%U is %q, want %q", r, seen[r], want)
		}
	}
	each(u.normal, func(r rune) {
		p := norm.NFKD.PropertiesString(string(r))
		hangul := r >= hangulBase && r < hangulEnd
		if r == 0xfb5 || r == 0xfb7 { // what they end is never composed
			return
		}
		if p.CCC() == 0 && p.Decomposition() == nil && !hangul && norm.NFC.PropertiesString(string(r)).BoundaryBefore() {
			t.Errorf("x/text knows nothing of %U", r)
		}
	})
	for r, want := range map[rune]rune{'A': 'a', 'a': 'a', 'É': 'é', 'Ā': 'ā', 'ā': 'ā', 0x1c89: 0x1c8a, 0x16ea0: 0x16ebb, '0': '0', 0x10ffff: 0x10ffff} {
		if got := lowerRune(r); got != want {
			t.Errorf("%U in small is %U, want %U", r, got, want)
		}
	}
	if uni().category("Q") != nil || uni().category("C") != nil || uni().category("words") != nil {
		t.Error("names of categories")
	}
}

func each(t *unicode.RangeTable, f func(r rune)) {
	for _, x := range t.R16 {
		for r := rune(x.Lo); r <= rune(x.Hi); r++ {
			f(r)
		}
	}
	for _, x := range t.R32 {
		for r := rune(x.Lo); r <= rune(x.Hi); r++ {
			f(r)
		}
	}
}
