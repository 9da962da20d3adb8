package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"criticrm/strictjson"
)

// Added tokens are cut out of a text before anything else, as the Hugging Face library does (added_vocabulary.rs): first those
// that are compared with the text as it is, then, in what lies between, those that are compared with the normalized text.

// addedToken is one entry of "added_tokens".
type addedToken struct {
	id         int32
	content    string
	singleWord bool // only where no word goes on before or behind it
	lstrip     bool // takes the white space in front of it
	rstrip     bool // takes the white space behind it
	normalized bool // compared with the normalized text
	special    bool
}

// control says whether text of a user must not become the token: all special ones, and of the others those that are spelled as
// templates spell whose turn it is; some published files (DeepSeek's) do not mark these. The rest, <think> and <tool_call>
// among them, are vocabulary as any other.
func (a *addedToken) control() bool {
	if a.special {
		return true
	}
	for _, m := range [][2]string{{"<|", "|>"}, {"<｜", "｜>"}} {
		if strings.HasPrefix(a.content, m[0]) && strings.HasSuffix(a.content, m[1]) {
			return true
		}
	}
	return false
}

// flags are the properties of the token by the names that files give them.
func (a *addedToken) flags() map[string]*bool {
	return map[string]*bool{"single_word": &a.singleWord, "lstrip": &a.lstrip, "rstrip": &a.rstrip, "normalized": &a.normalized, "special": &a.special}
}

// readAdded reads "added_tokens".
func (t *Tokenizer) readAdded(r *strictjson.Reader) error {
	text := 0
	return r.Array(func(i int) error {
		if i >= maxAdded {
			return fmt.Errorf("more than %d added tokens", maxAdded)
		}
		v, err := r.Value()
		if err != nil {
			return err
		}
		m, _ := v.(map[string]any)
		content, _ := m["content"].(string)
		lit, _ := m["id"].(json.Number)
		id, err := lit.Int64()
		switch {
		case content == "" || err != nil:
			return fmt.Errorf("added_tokens[%d]: want an id and a content", i)
		case len(content) > maxToken:
			return fmt.Errorf("token %q has %d bytes, limit %d", clip(content), len(content), maxToken)
		case id < 0 || id >= maxVocab:
			return fmt.Errorf("token %q: id %d, want 0 to %d", clip(content), id, maxVocab-1)
		}
		if text += len(content); text > maxAddedText {
			return fmt.Errorf("added tokens have more than %d bytes of text", maxAddedText)
		}
		a := addedToken{id: int32(id), content: content}
		for name, flag := range a.flags() {
			on, isBool := m[name].(bool)
			if *flag = on; m[name] != nil && !isBool {
				return fmt.Errorf("added token %q: %s: want true or false", clip(content), name)
			}
		}
		t.added = append(t.added, a)
		return nil
	})
}

// findAdded makes the tries that find added tokens. The normalizer is known by now.
func (t *Tokenizer) findAdded() error {
	t.match, t.matchNormal = newTrie(), newTrie()
	seen, text := map[string]string{}, 0
	for i := range t.added {
		a := &t.added[i]
		t.open = t.open || !a.control()
		if !a.normalized {
			t.match.add(a.content, i)
			continue
		}
		content, _ := t.normalize(a.content)
		if text += len(content); text > maxAddedText {
			return fmt.Errorf("added tokens have more than %d bytes of normalized text", maxAddedText)
		}
		switch twin, twice := seen[content]; {
		case content == "":
			return fmt.Errorf("added token %q: nothing is left when it is normalized", clip(a.content))
		case twice:
			return fmt.Errorf("added tokens %q and %q are the same when they are normalized", clip(twin), clip(a.content))
		}
		seen[content] = a.content
		t.matchNormal.add(content, i)
		t.raw[a.id] = content // the library decodes it so
	}
	return nil
}

// picker says what stands at text[i:]: the index of an added token and its end; or -1 and where to look on, i for the next byte.
// It is asked at growing places.
type picker func(text string, i int) (n, end int)

// pickAny takes every added token in m.
func pickAny(m *trie) picker {
	return func(text string, i int) (int, int) {
		n, size := m.longest(text[i:])
		return n, i + max(size, 0)
	}
}

// pickOpen takes those that are no control tokens. A control token is text, as a whole: it is not searched for others.
func (t *Tokenizer) pickOpen(m *trie) picker {
	return func(text string, i int) (int, int) {
		n, size := m.longest(text[i:])
		if n >= 0 && t.added[n].control() {
			n = -1
		}
		return n, i + max(size, 0)
	}
}

// cutAdded cuts text at the added tokens that pick takes. plain gets what lies between them, token the tokens, in order.
func (t *Tokenizer) cutAdded(text string, m *trie, pick picker, plain func(from, to int), token func(n int)) {
	from := 0
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		n, end := pick(text, i)
		start := i
		if i = max(end, i+1); n < 0 {
			continue
		}
		a := &t.added[n]
		if a.singleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if a.lstrip {
			start = max(len(strings.TrimRightFunc(text[:start], unicode.IsSpace)), from)
		}
		if a.rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if start >= end { // white space that the token before has taken already
			continue
		}
		if from < start {
			plain(from, start)
		}
		token(n)
		from = end
	}
	if from < len(text) {
		plain(from, len(text))
	}
}

func endsWithWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && wordRune(r)
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && wordRune(r)
}

// wordRune is \w of Unicode TR 18.
func wordRune(r rune) bool {
	return unicode.Is(uni().words, r)
}
