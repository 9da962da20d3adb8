package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Message text must not become a control token, and a template may do anything with it: trim it, cut
// it, join it with its own text. So strings in messages that spell a control token, or could be a part
// of one together with the template's text around them, are broken up with a mark before rendering.
// The mark is a private-use character that occurs nowhere else. After rendering, what still spells
// a control token was written by the template; the marks are taken out of the text between.

// spelling is the set of strings that are control tokens for a template.
type spelling struct {
	words  []string // the added tokens, then the strings that the template writes but the vocabulary lacks
	known  int      // number of words that are added tokens
	all    *trie    // all words
	marked *trie    // all words that are marked in messages
	plain  map[rune]int
	heads  [256][]wordPart // last byte of a proper prefix → the prefixes
	tails  [256][]wordPart // first byte of a proper suffix → the suffixes
}

// wordPart is words[word][:at] or words[word][at:].
type wordPart struct{ word, at int32 }

// newSpelling takes the added tokens and what else the template may write. Added tokens that are white
// space and not special (runs of spaces, in some vocabularies) control nothing and are not marked.
func newSpelling(added []addedToken, literals []string) *spelling {
	s := &spelling{all: newTrie(), marked: newTrie(), plain: map[rune]int{}}
	seen := map[string]bool{}
	put := func(w string, mark bool) {
		if w == "" || seen[w] {
			return
		}
		seen[w] = true
		n := len(s.words)
		s.words = append(s.words, w)
		s.all.add(w, n)
		if !mark {
			return
		}
		s.marked.add(w, n)
		if r, k := utf8.DecodeRuneInString(w); k == len(w) {
			s.plain[r] = len(s.plain)
		}
		for i := 1; i < len(w); i++ {
			p := wordPart{int32(n), int32(i)}
			s.heads[w[i-1]] = append(s.heads[w[i-1]], p)
			s.tails[w[i]] = append(s.tails[w[i]], p)
		}
	}
	for _, a := range added {
		put(a.content, a.special || strings.TrimFunc(a.content, pythonSpace) != "")
	}
	s.known = len(s.words)
	for _, w := range literals {
		put(w, true)
	}
	return s
}

// begins says whether text could be the end, or the middle, of a word.
func (s *spelling) begins(text string) bool {
	if text == "" {
		return false
	}
	for _, p := range s.tails[text[0]] {
		tail := s.words[p.word][p.at:]
		if strings.HasPrefix(text, tail) || strings.HasPrefix(tail, text) {
			return true
		}
	}
	return false
}

// ends says whether text ends in the beginning of a word.
func (s *spelling) ends(text string) bool {
	if text == "" {
		return false
	}
	for _, p := range s.heads[text[len(text)-1]] {
		if strings.HasSuffix(text, s.words[p.word][:p.at]) {
			return true
		}
	}
	return false
}

// marker marks the texts of one rendering.
type marker struct {
	*spelling
	mark  string   // breaks a word up
	stand []string // stands for the word of one rune with that number in plain
	undo  *strings.Replacer
}

// newMarker chooses marks that occur in none of texts.
func (s *spelling) newMarker(texts []string) (*marker, error) {
	need := 1 + len(s.plain)
	used := map[rune]bool{}
	for _, t := range texts {
		if strings.IndexByte(t, 0xF4) < 0 { // the first byte of U+100000 … U+10FFFF
			continue
		}
		for _, r := range t {
			if r >= 0x100000 {
				used[r] = true
			}
		}
	}
	free := make([]string, 0, need)
	for r := rune(0x10FFFD); r >= 0x100000 && len(free) < need; r-- {
		if !used[r] {
			free = append(free, string(r))
		}
	}
	if len(free) < need {
		return nil, fmt.Errorf("the messages use all private-use characters from U+100000 to U+10FFFD: none is left to mark text with")
	}
	m := &marker{spelling: s, mark: free[0], stand: free[1:]}
	pairs := []string{m.mark, ""}
	for r, n := range s.plain {
		pairs = append(pairs, m.stand[n], string(r))
	}
	m.undo = strings.NewReplacer(pairs...)
	return m, nil
}

// text marks one message text, which is UTF-8. undo gives it back byte for byte.
func (m *marker) text(text string) string {
	core := strings.TrimFunc(text, pythonSpace)
	from := strings.Index(text, core)
	to := from + len(core)
	begins, ends := m.begins(core), m.ends(core)
	if n, _, _ := m.marked.find(text); n < 0 && !begins && !ends {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 16)
	for i := 0; i < len(text); {
		if i == from && begins {
			b.WriteString(m.mark)
		}
		r, k := utf8.DecodeRuneInString(text[i:])
		if n, ok := m.plain[r]; ok {
			b.WriteString(m.stand[n])
		} else {
			b.WriteString(text[i : i+k])
			if n, _ := m.marked.longest(text[i:]); n >= 0 {
				b.WriteString(m.mark)
			}
		}
		if i += k; i == to && ends {
			b.WriteString(m.mark)
		}
	}
	return b.String()
}
