package tokenizer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalizers change a text before it is cut. What is not listed here is refused by name.

// normalizer changes a text.
type normalizer struct {
	apply func(s string) string
	moves func(s string) bool // what s begins with is taken away, so that the rest is not the beginning of the whole text; nil: never
}

// normalizers are the kinds by "type", except Sequence.
func normalizers() map[string]func(m map[string]any) (normalizer, error) {
	always := func(apply func(string) string) func(map[string]any) (normalizer, error) {
		return func(map[string]any) (normalizer, error) { return normalizer{apply: apply}, nil }
	}
	// dropping is for those that only take characters away, or write one in the place of one.
	dropping := func(apply func(string) string) func(map[string]any) (normalizer, error) {
		moves := func(s string) bool {
			_, n := utf8.DecodeRuneInString(s)
			return n > 0 && apply(s[:n]) == ""
		}
		return func(map[string]any) (normalizer, error) { return normalizer{apply, moves}, nil }
	}
	return map[string]func(m map[string]any) (normalizer, error){
		"NFC":          always(nfcString),
		"NFD":          always(decomposed(norm.NFD)),
		"NFKC":         always(func(s string) string { return nfcString(decomposed(norm.NFKD)(s)) }),
		"NFKD":         always(decomposed(norm.NFKD)),
		"Lowercase":    always(lowerCase),
		"Nmt":          dropping(nmt),
		"Precompiled":  readPrecompiled,
		"Prepend":      readPrepend,
		"Replace":      readReplace,
		"Strip":        readStrip,
		"StripAccents": dropping(stripAccents),
	}
}

// readNormalizer appends the normalizers that v, a member of tokenizer.json, asks for.
func readNormalizer(dst []normalizer, v any) ([]normalizer, error) {
	m, typ := typeOf(v)
	if v == nil {
		return dst, nil
	}
	if typ == "Sequence" {
		list, err := listOf(m, "normalizers")
		for i := 0; err == nil && i < len(list); i++ {
			dst, err = readNormalizer(dst, list[i])
		}
		return dst, err
	}
	read := normalizers()[typ]
	if read == nil {
		return dst, fmt.Errorf("normalizer %q is not supported, want %s", clip(typ), oneOf(normalizers()))
	}
	n, err := read(m)
	if err != nil {
		return dst, fmt.Errorf("normalizer %q: %w", typ, err)
	}
	return append(dst, n), nil
}

// normalize gives the normalized text, and whether it begins where s does.
func (t *Tokenizer) normalize(s string) (normal string, starts bool) {
	starts = true
	for _, n := range t.normalizers {
		starts = starts && (n.moves == nil || !n.moves(s))
		s = n.apply(s)
	}
	return s, starts
}

func readPrepend(m map[string]any) (normalizer, error) {
	text, ok := m["prepend"].(string)
	if !ok || len(text) > maxToken {
		return normalizer{}, errors.New(`want a short text as "prepend"`)
	}
	return normalizer{apply: func(s string) string {
		if s == "" {
			return s
		}
		return text + s
	}}, nil
}

func readStrip(m map[string]any) (normalizer, error) {
	left, ok := m["strip_left"].(bool)
	right, ok2 := m["strip_right"].(bool)
	if !ok || !ok2 {
		return normalizer{}, errors.New("want strip_left and strip_right, true or false")
	}
	return normalizer{func(s string) string {
		if left {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		if right {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		}
		return s
	}, func(s string) bool { return left && startsWith(s, unicode.IsSpace) }}, nil
}

func startsWith(s string, in func(r rune) bool) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && in(r)
}

// readReplace is a Replace of a text, or of one of the patterns that converted SentencePiece models have.
func readReplace(m map[string]any) (normalizer, error) {
	content, ok := m["content"].(string)
	if !ok || len(content) > maxToken {
		return normalizer{}, errors.New(`want a short text as "content"`)
	}
	text, isText, err := patternOf(m)
	switch {
	case err != nil:
		return normalizer{}, err
	case isText:
		return normalizer{func(s string) string { return strings.ReplaceAll(s, text, content) }, func(s string) bool {
			return strings.HasPrefix(s, text) && (content == "" || utf8.RuneCountInString(text) > 1)
		}}, nil
	}
	switch text {
	case ` {2,}`:
		return normalizer{func(s string) string { return replaceRuns(s, content) }, func(s string) bool { return strings.HasPrefix(s, "  ") }}, nil
	case `\A +| +\z`:
		return normalizer{func(s string) string { return replaceEnds(s, content) }, func(s string) bool {
			return strings.HasPrefix(s, " ") && content == "" || strings.HasPrefix(s, "  ")
		}}, nil
	case `\A▁`:
		return normalizer{func(s string) string {
			if rest, ok := strings.CutPrefix(s, "▁"); ok {
				return content + rest
			}
			return s
		}, func(s string) bool { return content == "" && strings.HasPrefix(s, "▁") }}, nil
	}
	return normalizer{}, fmt.Errorf("pattern %q is not one of the known patterns", clip(text))
}

// replaceEnds puts content in the place of the spaces at the beginning and at the end.
func replaceEnds(s, content string) string {
	if n := len(s) - len(strings.TrimLeft(s, " ")); n > 0 {
		s = content + s[n:]
	}
	if n := len(strings.TrimRight(s, " ")); n < len(s) {
		s = s[:n] + content
	}
	return s
}

// replaceRuns puts content in the place of each run of two and more spaces.
func replaceRuns(s, content string) string {
	i := strings.Index(s, "  ")
	if i < 0 {
		return s
	}
	var b strings.Builder
	for ; i >= 0; i = strings.Index(s, "  ") {
		b.WriteString(s[:i])
		b.WriteString(content)
		s = strings.TrimLeft(s[i:], " ")
	}
	b.WriteString(s)
	return b.String()
}

// patternOf is the "pattern" of a Replace or a Split: a text, or a regular expression.
func patternOf(m map[string]any) (text string, isText bool, err error) {
	p, _ := m["pattern"].(map[string]any)
	for kind, v := range p {
		s, ok := v.(string)
		if ok && len(p) == 1 && s != "" && (kind == "String" || kind == "Regex") {
			return s, kind == "String", nil
		}
	}
	return "", false, errors.New(`want a pattern of kind "String" or "Regex"`)
}

func readPrecompiled(m map[string]any) (normalizer, error) {
	text, ok := m["precompiled_charsmap"].(string)
	if !ok {
		return normalizer{}, errors.New("precompiled_charsmap: want a text in base64")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return normalizer{}, fmt.Errorf("precompiled_charsmap: %w", err)
	}
	c, err := newCharsmap(b)
	if err != nil {
		return normalizer{}, fmt.Errorf("precompiled_charsmap: %w", err)
	}
	return normalizer{apply: c.normalize}, nil
}

// lowerCase is Unicode's full lower-casing of each character by itself.
func lowerCase(s string) string {
	return mapRunes(s, func(dst []byte, r rune) []byte {
		if r == 'İ' {
			return append(dst, "i\u0307"...)
		}
		return utf8.AppendRune(dst, lowerRune(r))
	})
}

// stripAccents leaves out combining marks.
func stripAccents(s string) string {
	return mapRunes(s, func(dst []byte, r rune) []byte {
		if unicode.Is(uni().accents, r) {
			return dst
		}
		return utf8.AppendRune(dst, r)
	})
}

// nmt leaves out control characters, and writes white space of all kinds as a space: SentencePiece's rules of that name.
func nmt(s string) string {
	return mapRunes(s, func(dst []byte, r rune) []byte {
		switch {
		case r >= 1 && r <= 8, r == 0x0B, r >= 0x0E && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
			return dst
		case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, r >= 0x200B && r <= 0x200F, r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
			return append(dst, ' ')
		}
		return utf8.AppendRune(dst, r)
	})
}

// mapRunes puts what to appends in the place of each character. Bytes that are not UTF-8 stay.
func mapRunes(s string, to func(dst []byte, r rune) []byte) string {
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[i])
		} else {
			dst = to(dst, r)
		}
		i += n
	}
	return string(dst)
}
