package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pre-tokenizers cut a text into the pieces that the model sees one by one. What is not listed here is refused by name.

// cutter gives the end of the piece of s that starts at i. i < len(s).
type cutter func(s string, i int) int

// step is one pre-tokenizer: it may change a text, cuts it, and may leave pieces out.
type step struct {
	change func(s string, first bool) string // first: s is the beginning of the whole text; nil: as it is
	cut    cutter                            // nil: one piece
	drop   func(piece string) bool           // nil: all pieces count
}

// preTokenizers are the kinds by "type", except Sequence.
func preTokenizers() map[string]func(m map[string]any, c *classes) (step, error) {
	return map[string]func(m map[string]any, c *classes) (step, error){
		"ByteLevel":       readByteLevel,
		"Digits":          readDigits,
		"Metaspace":       readMetaspace,
		"Punctuation":     readPunctuation,
		"Split":           readSplit,
		"WhitespaceSplit": readWhitespaceSplit,
	}
}

// setPreTokenizer makes the steps that v, a member of tokenizer.json, asks for.
func (t *Tokenizer) setPreTokenizer(v any, c *classes) error {
	m, typ := typeOf(v)
	switch {
	case v == nil:
		return nil
	case t.byteLevel:
		return fmt.Errorf("pre_tokenizer %q behind ByteLevel is not supported", clip(typ))
	case typ == "Sequence":
		list, err := listOf(m, "pretokenizers")
		for i := 0; err == nil && i < len(list); i++ {
			err = t.setPreTokenizer(list[i], c)
		}
		return err
	}
	read := preTokenizers()[typ]
	if read == nil {
		return fmt.Errorf("pre_tokenizer %q is not supported, want %s", clip(typ), oneOf(preTokenizers()))
	}
	s, err := read(m, c)
	if err != nil {
		return fmt.Errorf("pre_tokenizer %q: %w", typ, err)
	}
	t.byteLevel = typ == "ByteLevel"
	if s.cut != nil || s.change != nil {
		t.steps = append(t.steps, s)
	}
	return nil
}

// appendPieces appends what a model makes of text, cut by steps.
func appendPieces(m pieceModel, dst []int32, text string, steps []step, first bool) []int32 {
	switch {
	case text == "":
		return dst
	case len(steps) == 0:
		return m.appendPiece(dst, text)
	}
	s := &steps[0]
	if s.change != nil {
		text = s.change(text, first)
	}
	if s.cut == nil {
		return appendPieces(m, dst, text, steps[1:], first)
	}
	cut := s.cut
	if len(steps) == 1 && s.drop == nil { // as most are
		for i := 0; i < len(text); {
			j := cut(text, i)
			dst = m.appendPiece(dst, text[i:j])
			i = j
		}
		return dst
	}
	for i := 0; i < len(text); {
		j := cut(text, i)
		if s.drop == nil || !s.drop(text[i:j]) {
			dst = appendPieces(m, dst, text[i:j], steps[1:], first && i == 0)
		}
		i = j
	}
	return dst
}

// readByteLevel is ByteLevel: what follows sees bytes. It cuts by the pattern of GPT-2 unless use_regex is false.
func readByteLevel(m map[string]any, c *classes) (s step, err error) {
	if m["add_prefix_space"] == true {
		s.change = func(s string, _ bool) string {
			if strings.HasPrefix(s, " ") {
				return s
			}
			return " " + s
		}
	}
	if m["use_regex"] != false { // a file that does not say so means true
		s.cut = patterns()[patternGPT2](c)
	}
	return s, nil
}

// readDigits is Digits: each number (\p{N}), or each run of them.
func readDigits(m map[string]any, _ *classes) (step, error) {
	single, ok := m["individual_digits"].(bool)
	if !ok && m["individual_digits"] != nil {
		return step{}, errors.New("individual_digits: want true or false")
	}
	return step{cut: cutRunes(func(r rune) bool { return unicode.Is(uni().digits, r) }, !single)}, nil
}

// readPunctuation is Punctuation: \p{P}, and what else is punctuation in ASCII.
func readPunctuation(m map[string]any, _ *classes) (step, error) {
	b, given := m["behavior"]
	if given && b != "Isolated" && b != "Contiguous" {
		return step{}, fmt.Errorf(`behavior %v: want "Isolated" or "Contiguous"`, b)
	}
	return step{cut: cutRunes(func(r rune) bool {
		return unicode.Is(uni().punctuation, r)
	}, b == "Contiguous")}, nil
}

func readWhitespaceSplit(map[string]any, *classes) (step, error) {
	return step{cut: cutRunes(unicode.IsSpace, true), drop: func(piece string) bool {
		r, _ := utf8.DecodeRuneInString(piece)
		return unicode.IsSpace(r)
	}}, nil
}

// cutRunes cuts out the characters that are in a set, each by itself or as runs of them.
func cutRunes(in func(r rune) bool, runs bool) cutter {
	var ascii [utf8.RuneSelf]bool // most of most texts
	for r := range ascii {
		ascii[r] = in(rune(r))
	}
	is := func(s string, i int) (inside bool, n int) {
		if c := s[i]; c < utf8.RuneSelf {
			return ascii[c], 1
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		return in(r), n
	}
	return func(s string, i int) int {
		inside, n := is(s, i)
		for i += n; i < len(s) && !(inside && !runs); i += n {
			var now bool
			if now, n = is(s, i); now != inside {
				break
			}
		}
		return i
	}
}

// readMetaspace is Metaspace: spaces become a visible character, which may be put in front of the text too, and, if "split" is
// not false, begins a piece.
func readMetaspace(m map[string]any, _ *classes) (s step, err error) {
	mark, scheme, err := metaspaceOf(m)
	if err != nil {
		return s, err
	}
	split, ok := m["split"].(bool)
	if !ok && m["split"] != nil {
		return s, errors.New("split: want true or false")
	}
	s.change = func(s string, first bool) string {
		s = strings.ReplaceAll(s, " ", mark)
		if scheme == "never" || scheme == "first" && !first || strings.HasPrefix(s, mark) {
			return s
		}
		return mark + s
	}
	if split || !ok {
		s.cut = func(s string, i int) int {
			_, n := utf8.DecodeRuneInString(s[i:])
			if k := strings.Index(s[i+n:], mark); k >= 0 {
				return i + n + k
			}
			return len(s)
		}
	}
	return s, nil
}

// metaspaceOf gives the visible character of a Metaspace and where it is put in front: always, never, or first.
func metaspaceOf(m map[string]any) (mark, scheme string, err error) {
	mark, _ = m["replacement"].(string)
	if utf8.RuneCountInString(mark) != 1 {
		return "", "", errors.New("replacement: want one character")
	}
	scheme, ok := m["prepend_scheme"].(string)
	if !ok && m["prepend_scheme"] == nil {
		scheme = "always"
		if m["add_prefix_space"] == false { // as older files say it
			scheme = "never"
		}
	}
	switch {
	case scheme != "always" && scheme != "never" && scheme != "first":
		return "", "", fmt.Errorf(`prepend_scheme %v: want "always", "never" or "first"`, m["prepend_scheme"])
	case m["add_prefix_space"] == false && scheme != "never":
		return "", "", fmt.Errorf("prepend_scheme %q and add_prefix_space false contradict each other", scheme)
	}
	return mark, scheme, nil
}

// readSplit is Split by a text, by one of the known patterns, or by a pattern that is a list of texts.
func readSplit(m map[string]any, c *classes) (s step, err error) {
	text, isText, err := patternOf(m)
	if err != nil {
		return s, err
	}
	if m["invert"] == true {
		return s, errors.New("invert is not supported")
	}
	behavior, _ := m["behavior"].(string)
	if !isText && behavior == "Isolated" {
		spelled := strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(text) // some files have the characters themselves
		if pattern := patterns()[spelled]; pattern != nil {
			return step{cut: pattern(c)}, nil
		}
		if s.cut = onePattern(text); s.cut != nil {
			return s, nil
		}
	}
	words := []string{text}
	if !isText {
		var ok bool
		if words, ok = literals(text); !ok {
			return s, fmt.Errorf("behavior %s, pattern %q is not one of the known patterns", clip(behavior), clip(text))
		}
	}
	s.cut, err = cutWords(words, behavior)
	return s, err
}

// literals takes a pattern apart that is nothing but texts with | between; false if it is not.
func literals(pattern string) (words []string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '|':
			words = append(words, b.String())
			b.Reset()
		case c == '\\':
			if i++; i == len(pattern) || pattern[i] >= utf8.RuneSelf || wordRune(rune(pattern[i])) { // \n, \p, \1 … are more than texts
				return nil, false
			}
			b.WriteByte(pattern[i])
		case strings.IndexByte(".+*?()[]{}^$", c) >= 0:
			return nil, false
		default:
			b.WriteByte(c)
		}
	}
	words = append(words, b.String())
	for _, w := range words {
		if w == "" {
			return nil, false
		}
	}
	return words, len(words) <= maxAdded && len(pattern) <= maxAddedText
}

// cutWords cuts at words, of which the first in the list counts where several begin.
func cutWords(words []string, behavior string) (cutter, error) {
	m := newTrie()
	for i, w := range words {
		if n, size := m.longest(w); n < 0 || size < len(w) { // of two that are the same the first
			m.add(w, i)
		}
	}
	at := func(s string, i int) (size int) { // of the word at s[i:], or 0
		best := len(words)
		m.each(s[i:], func(n, length int) {
			if n < best {
				best, size = n, length
			}
		})
		return size
	}
	from := func(s string, i int) int { // where a word begins
		for i < len(s) && (!m.first[s[i]] || at(s, i) == 0) {
			i++
		}
		return i
	}
	switch behavior {
	case "Isolated":
		return func(s string, i int) int {
			if n := at(s, i); n > 0 {
				return i + n
			}
			return from(s, i)
		}, nil
	case "MergedWithPrevious":
		return func(s string, i int) int {
			i = from(s, i)
			if i < len(s) {
				i += at(s, i)
			}
			return i
		}, nil
	case "MergedWithNext":
		return func(s string, i int) int {
			return from(s, i+max(at(s, i), 1))
		}, nil
	}
	return nil, fmt.Errorf(`behavior %q: want "Isolated", "MergedWithPrevious" or "MergedWithNext"`, clip(behavior))
}
