package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"criticrm/jinja"
)

// spelling is the set of strings that are control tokens for a template.
type spelling struct {
	words   []string // the added tokens, then the strings that the template writes but the vocabulary lacks
	known   int      // number of words that are added tokens
	control []bool   // the word is one only where the template wrote all of it
	all     *trie    // all words
}

// newSpelling takes the added tokens and what else the template may write. Added tokens that are white space and not special (runs of
// spaces, in some vocabularies) control nothing: they may come from messages too.
func newSpelling(added []addedToken, literals []string) *spelling {
	s := &spelling{all: newTrie()}
	seen := map[string]bool{}
	put := func(w string, control bool) {
		if w == "" || seen[w] {
			return
		}
		seen[w] = true
		s.all.add(w, len(s.words))
		s.words, s.control = append(s.words, w), append(s.control, control)
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

// controlLiterals gives the texts of the form <|name|> in what a template may write.
func controlLiterals(texts []string) []string {
	var out []string
	for _, text := range texts {
		for {
			i := strings.Index(text, "<|")
			if i < 0 {
				break
			}
			text = text[i+2:]
			if k := strings.IndexAny(text, "|<> \t\r\n"); k > 0 && k <= 64 && strings.HasPrefix(text[k:], "|>") {
				out = append(out, "<|"+text[:k]+"|>")
			}
		}
	}
	return out
}

// find gives index, start and end of the leftmost word in t from a byte on, the longest where several start; or -1. No byte of a
// control token is from a message.
func (s *spelling) find(t *jinja.Text, from int) (n, start, end int) {
	spans := t.Spans
	for i := from; i < len(t.S); i++ {
		if !s.all.first[t.S[i]] {
			continue
		}
		for len(spans) > 0 && spans[0].To <= i {
			spans = spans[1:]
		}
		own := len(t.S) // where the template's text ends
		if len(spans) > 0 {
			own = max(i, spans[0].From)
		}
		n := -1
		s.all.each(t.S[i:], func(word, size int) {
			if !s.control[word] || i+size <= own {
				n, end = word, i+size
			}
		})
		if n >= 0 {
			return n, i, end
		}
	}
	return -1, 0, 0
}

// pythonSpace is what Python's strip takes off: U+001C … U+001F too, unlike Go.
func pythonSpace(r rune) bool { return jinja.Space(r) }

// strftime gives a template's strftime_now of a fixed day, nil without one.
func strftime(date any) (func(string) (string, error), error) {
	day, ok := date.(string)
	if !ok {
		return nil, nil
	}
	when, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, fmt.Errorf("date %q: want a day like 2006-01-02", clip(day))
	}
	return func(format string) (string, error) { return jinja.Strftime(when, format) }, nil
}

// templateError says where in a template what is wrong. name is that of its file.
func templateError(name string, err error) error {
	var e *jinja.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", name, err)
	}
	what, hint := "cannot be rendered: ", ""
	switch {
	case e.Forbidden:
		what = ""
	case e.Parse:
		what, hint = "cannot be parsed: ", " (give a simpler one with --chat_template FILE)"
	}
	text := e.Text
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText-4], "") + " …"
	}
	return fmt.Errorf("%s:%d: %s%s%s", name, e.Line, what, text, hint)
}
