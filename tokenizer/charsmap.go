package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"
)

// charsmap is SentencePiece's precompiled_charsmap: a double array of byte strings, each with the text that takes its place.
// It is applied as the Hugging Face library does (normalizers/precompiled.rs), which is not as SentencePiece does: a grapheme of
// less than six bytes becomes the text of the shortest string that it begins with; otherwise each of its characters does.
type charsmap struct {
	units []uint32 // the double array of Darts-clone
	texts string   // each ends with a zero byte
	ascii [utf8.RuneSelf]struct {
		text string
		ok   bool
	}
}

// newCharsmap reads a charsmap: the size of the double array in bytes (u32, little endian), the array, the texts.
func newCharsmap(b []byte) (*charsmap, error) {
	if len(b) < 4 {
		return nil, errors.New("cut short: want a size of four bytes")
	}
	size := int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	switch {
	case size%4 != 0 || size == 0:
		return nil, errors.New("the size of its table is not that of whole numbers of four bytes")
	case size > len(b):
		return nil, errors.New("cut short: its table is longer than the file")
	case !utf8.Valid(b[size:]):
		return nil, errors.New("its texts are not valid UTF-8")
	}
	c := &charsmap{units: make([]uint32, size/4), texts: string(b[size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	for i := range c.ascii {
		a := &c.ascii[i]
		a.text, a.ok = c.lookup(string(rune(i)))
	}
	return c, nil
}

// lookup gives the text of the shortest string of the map that s begins with.
func (c *charsmap) lookup(s string) (string, bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at := offset(c.units[0])
	for i := range len(s) {
		at ^= uint32(s[i])
		if s[i] == 0 || int(at) >= len(c.units) {
			return "", false
		}
		unit := c.units[at]
		if unit&(1<<31|0xFF) != uint32(s[i]) {
			return "", false
		}
		at ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if int(at) >= len(c.units) {
			return "", false
		}
		from := int(c.units[at] & (1<<31 - 1))
		if from >= len(c.texts) || !utf8.RuneStart(c.texts[from]) {
			return "", false
		}
		text, _, _ := strings.Cut(c.texts[from:], "\x00")
		return text, true
	}
	return "", false
}

func (c *charsmap) normalize(s string) string {
	const longest = 6 // bytes from which a grapheme is not looked up as a whole
	out := make([]byte, 0, len(s))
	for s != "" {
		// Two ASCII characters in a row are two graphemes, but for a line end.
		if s[0] < utf8.RuneSelf && s[0] != '\r' && (len(s) == 1 || s[1] < utf8.RuneSelf) {
			if a := &c.ascii[s[0]]; a.ok {
				out = append(out, a.text...)
			} else {
				out = append(out, s[0])
			}
			s = s[1:]
			continue
		}
		n := firstGrapheme(s)
		g := s[:n]
		s = s[n:]
		if len(g) < longest {
			if text, ok := c.lookup(g); ok {
				out = append(out, text...)
				continue
			}
		}
		for i := 0; i < len(g); {
			_, n := utf8.DecodeRuneInString(g[i:])
			if text, ok := c.lookup(g[i : i+n]); ok {
				out = append(out, text...)
			} else {
				out = append(out, g[i:i+n]...)
			}
			i += n
		}
	}
	return string(out)
}
