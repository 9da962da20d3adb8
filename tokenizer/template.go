package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"criticrm/jinja"
)

// spelling is what a template may write: it tells strings that look like control tokens and are none.
type spelling struct {
	words   []string // the added tokens, then the strings that the template writes but the vocabulary lacks
	known   int      // number of words that are added tokens
	control []bool   // the word is one only where the template wrote all of it
	all     *trie    // all words
}

// newSpelling takes the added tokens and what else the template may write.
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
		put(a.content, a.control())
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

// missing gives the first word in t that the template wrote and the vocabulary lacks.
func (s *spelling) missing(t *jinja.Text) (word string, ok bool) {
	if s.known == len(s.words) {
		return "", false
	}
	spans := t.Spans
	for i := 0; i < len(t.S); {
		if !s.all.first[t.S[i]] {
			i++
			continue
		}
		n, end := -1, 0
		spans = spansFrom(spans, i)
		own := ownText(spans, i, len(t.S))
		s.all.each(t.S[i:], func(word, size int) {
			if !s.control[word] || i+size <= own {
				n, end = word, i+size
			}
		})
		if n >= s.known {
			return s.words[n], true
		}
		i = max(end, i+1)
	}
	return "", false
}

// spansFrom leaves out the spans that end before a byte.
func spansFrom(spans []jinja.Span, i int) []jinja.Span {
	for len(spans) > 0 && spans[0].To <= i {
		spans = spans[1:]
	}
	return spans
}

// ownText is where the template's text that goes on at byte i ends; i if that byte is from a message. Spans end behind i.
func ownText(spans []jinja.Span, i, size int) int {
	if len(spans) == 0 {
		return size
	}
	return max(i, spans[0].From)
}

// pickOwn takes added tokens in m; of control tokens only those of which no byte is from a message, as spans say.
func (t *Tokenizer) pickOwn(m *trie, spans []jinja.Span) picker {
	return func(text string, i int) (n, end int) {
		spans = spansFrom(spans, i)
		own := ownText(spans, i, len(text))
		n, end = -1, i
		m.each(text[i:], func(word, size int) {
			if !t.added[word].control() || i+size <= own {
				n, end = word, i+size
			}
		})
		return n, end
	}
}

// normalSpans gives the spans of a part of a text, which begins at a byte, as places in the normalized part. What a normalizer makes of the
// beginning of a text is the beginning of what it makes of the text.
func (t *Tokenizer) normalSpans(spans []jinja.Span, part string, at int, normal string) []jinja.Span {
	var out []jinja.Span
	place := func(i int) int {
		i = min(max(i-at, 0), len(part))
		if normal == part {
			return i
		}
		before, _ := t.normalize(part[:i])
		return min(len(before), len(normal))
	}
	for _, s := range spans {
		if s.To > at && s.From < at+len(part) {
			out = append(out, jinja.Span{From: place(s.From), To: place(s.To), Source: s.Source})
		}
	}
	return out
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
