package tokenizer

import (
	"fmt"
	"strings"
)

// A look at a chat template before the template engine sees it: what would overflow the engine's
// stack, what is not allowed, and which control tokens the text writes.

// templateScan is what scanTemplate found.
type templateScan struct {
	literals []string // text of the form <|name|>, which the template may write
}

// scanTemplate walks over the source. Errors begin with ":line: ".
func scanTemplate(src string) (*templateScan, error) {
	s := &templateScan{}
	if len(src) > MaxTemplate {
		return nil, fmt.Errorf(": %d bytes, limit %d", len(src), MaxTemplate)
	}
	for i := 0; i < len(src); {
		k := strings.IndexByte(src[i:], '{')
		if k < 0 || i+k+1 >= len(src) {
			s.text(src[i:])
			break
		}
		s.text(src[i : i+k])
		i += k
		switch src[i+1] {
		case '#':
			end := strings.Index(src[i+2:], "#}")
			if end < 0 {
				return s, nil // the engine's own error is as good
			}
			i += 2 + end + 2
		case '{', '%':
			end, word, err := s.tag(src, i)
			if err != nil {
				return nil, fmt.Errorf(":%d: %w", 1+strings.Count(src[:end], "\n"), err)
			}
			if i = end; word == "raw" {
				if k := strings.Index(src[i:], "endraw"); k >= 0 {
					s.text(src[i : i+k])
					i += k
				}
			}
		default:
			i++
		}
	}
	return s, nil
}

// text notes the control tokens in text that the template writes.
func (s *templateScan) text(text string) {
	for {
		i := strings.Index(text, "<|")
		if i < 0 {
			return
		}
		text = text[i+2:]
		if k := strings.IndexAny(text, "|<> \t\r\n"); k > 0 && k <= 64 && strings.HasPrefix(text[k:], "|>") {
			s.literals = append(s.literals, "<|"+text[:k]+"|>")
		}
	}
}

// tag walks over the tag at i and gives its end and its first word.
func (s *templateScan) tag(src string, i int) (end int, word string, err error) {
	start, quoted := i, 0 // quoted: bytes in string literals
	statement := src[i+1] == '%'
	closing := "}}"
	if statement {
		closing = "%}"
	}
	depth := 0
	for i += 2; i < len(src); {
		c := src[i]
		switch {
		case depth == 0 && strings.HasPrefix(src[i:], closing):
			return i + 2, word, nil
		case c == '\'' || c == '"':
			n := stringLiteral(src[i:])
			s.text(src[i : i+n])
			i += n
			quoted += n
		case c == '(' || c == '[' || c == '{':
			if depth++; depth > maxBrackets {
				return i, word, fmt.Errorf("brackets nest deeper than %d", maxBrackets)
			}
			i++
		case c == ')' || c == ']' || c == '}':
			depth = max(0, depth-1)
			i++
		case wordByte(c):
			n := 1
			for i+n < len(src) && wordByte(src[i+n]) {
				n++
			}
			w := src[i : i+n]
			if err := checkWord(w, statement && word == ""); err != nil {
				return i, word, err
			}
			if word == "" {
				word = w
			}
			i += n
		default:
			i++
		}
		if i-start-quoted > maxTag {
			return start, word, fmt.Errorf("a tag is longer than %d bytes", maxTag)
		}
	}
	return len(src), word, nil
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// stringLiteral gives the length of the literal at the start of s, quotes included.
func stringLiteral(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}

// checkWord refuses what no chat template needs. first: the word names a statement.
func checkWord(w string, first bool) error {
	switch {
	case first && (w == "include" || w == "extends" || w == "import" || w == "from"):
		return fmt.Errorf("{%% %s %%} is not allowed: a chat template cannot load files", w)
	case first && (w == "block" || w == "autoescape" || w == "trans"):
		return fmt.Errorf("{%% %s %%} is not supported in a chat template", w)
	case strings.HasPrefix(w, "__"):
		return fmt.Errorf("cannot be rendered: %q is not allowed", w)
	}
	return nil
}
