package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The byte-level alphabet of GPT-2: each byte has a visible character. Printable Latin-1 bytes
// stand for themselves, the 68 others follow from U+0100 on in byte order (space is U+0120, "Ġ").

// selfSpelled says whether byte b is spelled by the character with its own number.
func selfSpelled(b int) bool {
	return b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE && b <= 0xFF
}

// byteRune is the character that spells byte b.
func byteRune(b byte) rune {
	switch c := rune(b); {
	case selfSpelled(int(b)):
		return c
	case b <= 0x20:
		return 0x100 + c // 33 of them
	case b == 0xAD:
		return 0x100 + 67
	default:
		return 0x100 + 33 + (c - 0x7F) // 0x7F … 0xA0
	}
}

// runeByte is the inverse of byteRune.
func runeByte(r rune) (byte, bool) {
	switch {
	case r < 0x100:
		return byte(r), r >= 0 && selfSpelled(int(r))
	case r <= 0x120:
		return byte(r - 0x100), true
	case r < 0x100+67:
		return byte(r - 0x100 - 33 + 0x7F), true
	case r == 0x100+67:
		return 0xAD, true
	}
	return 0, false
}

// spell writes bytes in the byte-level alphabet.
func spell(raw string) string {
	b := make([]byte, 0, 2*len(raw))
	for i := range len(raw) {
		b = utf8.AppendRune(b, byteRune(raw[i]))
	}
	return string(b)
}

// unspell is the inverse of spell; false if s has characters outside the alphabet.
func unspell(s string) (string, bool) {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		c, ok := runeByte(r)
		if !ok {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
