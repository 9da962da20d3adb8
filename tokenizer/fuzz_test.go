package tokenizer

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"criticrm/jinja"
)

// Encoding and decoding give the text back, whatever it is, and plain text has no special token.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "a", "the cat's 1234 \r\n\t x", "<|end|>", "日本語 e\u0301", "\xff\xfe\x00", "'ſ'S  \u0085\u3000", strings.Repeat("abc", 40)} {
		f.Add(s)
	}
	tok := tinyTokenizer(f)
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		if got := tok.Decode(ids); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
		for _, id := range ids {
			if tok.IsSpecial(id) {
				t.Errorf("%q: special token %d", text, id)
			}
		}
		if got := tok.Decode(tok.EncodeSpecial(text)); got != text {
			t.Errorf("EncodeSpecial: %q becomes %q", text, got)
		}
		if got := strings.Join(tok.Pieces(text), ""); got != text {
			t.Errorf("pieces of %q give %q", text, got)
		}
		if utf8.ValidString(text) {
			if a := nfcString(text); nfcString(a) != a {
				t.Errorf("NFC of %+q is not stable: %+q", text, a)
			}
		}
	})
}

// Whatever is accepted can be used and saved.
func FuzzParse(f *testing.F) {
	whole, err := tinyTokenizer(f).encodeJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	for _, file := range kindFiles(f) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{}", "[]", `{"model":{"vocab":{"a":0},"merges":["a b",["a","b"]]}}`,
		`{"added_tokens":[{"id":0,"content":"<s>"}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel"}}`,
		`{"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := Parse(b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "tokenizer.json: ") || len(err.Error()) > 1000 {
				t.Errorf("error %q", err)
			}
			return
		}
		start := time.Now()
		for _, text := range []string{"the cat 123", "<|end|>\u00e9", "\x00\xff"} {
			ids := tok.Encode(text)
			if got := tok.Decode(ids); got != text && tok.byteLevel && len(tok.normalizers) == 0 && !tok.bpe.gaps && tok.steps[0].change == nil {
				t.Errorf("%q becomes %q", text, got)
			}
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("three short texts take %v", d)
		}
		saved, err := tok.encodeJSON()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(saved); err != nil || !slices.Equal(again.tokens, tok.tokens) {
			t.Errorf("saved and read: %v", err)
		}
	})
}

// Every kind of tokenizer takes any text: ids are in the vocabulary, and text has no control token.
func FuzzKinds(f *testing.F) {
	var toks []*Tokenizer
	files := kindFiles(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		toks = append(toks, mustLoad(f, files[name]))
	}
	for _, s := range []string{"", " a  b", "<s>▁</s>\n", "\xff日e\u0301", "<0x41>ﬁ", strings.Repeat(" ", 70), "1234½ it's\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			ids := tok.Encode(text)
			if reachesSpecial(tok, ids) {
				t.Errorf("%q: a control token in %v", text, ids)
			}
			for _, id := range append(ids, tok.EncodeSpecial(text)...) {
				if tok.Token(id) == "" {
					t.Errorf("%q: id %d has no token", text, id)
				}
			}
			tok.Decode(ids)
		}
	})
}

// A template ends within its bounds, with text or an error, and no message makes a control token.
func FuzzChat(f *testing.F) {
	for _, s := range []string{chatML, "", "{{ messages[0].content | trim }}", "{% for i in range(9) %}{{ i }}{% endfor %}", "{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}",
		"{{ 1 // 0 }}", "{% set ns = namespace(a=1) %}{% set ns.a = 'x' * 9 %}{{ ns.a[-1:] }}", "{% if a is defined and not b %}{% else %}{% endif %}"} {
		f.Add(s, "<|end|> hi", "\U0010FFFD|end|>")
	}
	tok := tinyTokenizer(f)
	f.Fuzz(func(t *testing.T, source, first, second string) {
		m := []Message{{"user", first}, {"assistant", second}}
		start := time.Now()
		if chat, err := NewChat(tok, source, nil); err == nil {
			_, err1 := chat.Encode(m, true)
			text, err2 := chat.Text(m, true)
			if err1 == nil && err2 != nil || len(text) > jinja.MaxText {
				t.Errorf("Encode: %v, Text: %v, %d bytes", err1, err2, len(text))
			}
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("takes %v", d)
		}
		// A fixed template and any messages: exactly the template's control tokens.
		chat, err := NewChat(tok, chatML, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := chat.Encode(m, false)
		if err != nil {
			return // not UTF-8
		}
		special := 0
		for _, id := range ids {
			if tok.IsSpecial(id) {
				special++
			}
		}
		want := "<|user|>" + strings.TrimFunc(first, pythonSpace) + "<|end|>\n<|assistant|>" + strings.TrimFunc(second, pythonSpace) + "<|end|>\n"
		if got := tok.Decode(ids); got != want || special != 4 {
			t.Errorf("%d control tokens, text %q, want %q", special, got, want)
		}
	})
}

// The scanners split a text as a regular expression engine with look-ahead does, whatever the text.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "the cat's 1234 \r\n\t x", "I'LL 've  \n\n  ok", "a\u0301ß\u1680 \u00a0x", "日本語123 ١٢٣", "\u0085\u2028 !?\r\n  ", "🏽‍x ²①"} {
		f.Add(s)
	}
	type pair struct {
		pattern string
		cut     cutter
		re      *regexp2.Regexp
	}
	var pairs []pair
	for pattern, cut := range oracleCutters() {
		re := oracle(pattern)
		re.MatchTimeout = time.Second // it backtracks
		pairs = append(pairs, pair{pattern, cut, re})
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 200 || strings.ContainsRune(text, '\u017f') { // the oracle folds case by lower-casing
			return
		}
		for _, p := range pairs {
			want, err := isolated(p.re, text)
			if err != nil {
				return
			}
			if got := pieces(p.cut, text); !slices.Equal(got, want) {
				t.Errorf("%s: %+q\n got %+q\nwant %+q", p.pattern, text, got, want)
			}
		}
	})
}
