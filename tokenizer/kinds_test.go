package tokenizer

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"criticrm/internal/golden"
)

// kindFiles are the tokenizers of testdata/golden/kinds, by name.
func kindFiles(t testing.TB) map[string]string {
	t.Helper()
	dir := golden.Repository(t).Dir(golden.Repository(t).Kinds[0])
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d tokenizers, %v: want 30", len(files), err)
	}
	kinds := map[string]string{}
	for _, f := range files {
		kinds[strings.TrimSuffix(filepath.Base(f), ".json")] = f
	}
	return kinds
}

// A small tokenizer of every kind that published models have: ids and texts are those of the Hugging Face library.
func TestKinds(t *testing.T) {
	for name, file := range kindFiles(t) {
		t.Run(name, func(t *testing.T) {
			tok := mustLoad(t, file)
			lines := readLines[goldenString](t, strings.TrimSuffix(file, "json")+"jsonl")
			for i, l := range lines {
				checkStrings(t, i, tok, l)
			}
			if len(lines) < 80 {
				t.Errorf("%d strings, want 80", len(lines))
			}
			saved, err := tok.encodeJSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse(saved)
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range lines {
				checkIDs(t, i, "saved and read, EncodeSpecial", l.Text, again.EncodeSpecial(l.Text), l.IDs)
			}
		})
	}
}

// checkStrings compares what a tokenizer makes of a string with what the library does.
func checkStrings(t *testing.T, i int, tok *Tokenizer, l goldenString) {
	t.Helper()
	checkIDs(t, i, "EncodeSpecial", l.Text, tok.EncodeSpecial(l.Text), l.IDs)
	if !reachesSpecial(tok, l.IDsPlain) && !findsUnk(tok, l.Text) {
		checkIDs(t, i, "Encode", l.Text, tok.Encode(l.Text), l.IDsPlain)
	}
	if ids := tok.Encode(l.Text); reachesSpecial(tok, ids) {
		t.Errorf("%q: Encode gives a special token: %v", l.Text, ids)
	}
	if got := validText(tok.Decode(l.IDs)); got != *l.Decoded {
		t.Errorf("%d: Decode(%v) gives %q, want %q", i, l.IDs, got, *l.Decoded)
	}
	if got := validText(tok.DecodeText(l.IDs)); got != *l.DecodedText {
		t.Errorf("%d: DecodeText(%v) gives %q, want %q", i, l.IDs, got, *l.DecodedText)
	}
}

// findsUnk says whether the library finds <unk> spelled in a text, in its vocabulary of scores or of whole pieces: another exception.
func findsUnk(tok *Tokenizer, text string) bool {
	return strings.Contains(text, "<unk>") && (tok.unigram != nil || tok.bpe.ignoreMerges)
}

// reachesSpecial says whether there is a control token, as the library lets text become one where the model itself knows it, or where it
// is not marked as special. <unk> is what any text may become.
func reachesSpecial(tok *Tokenizer, ids []int32) bool {
	return slices.ContainsFunc(tok.added, func(a addedToken) bool { return a.control() && a.content != "<unk>" && slices.Contains(ids, a.id) })
}

// Every kind of tokenizer takes time in proportion to a text's length, on the worst of them.
func TestKindsLinearTime(t *testing.T) {
	for name, file := range kindFiles(t) {
		tok := mustLoad(t, file)
		for _, unit := range []string{"a", " ", "▁", "\u0301", " \n ", "A1", "<", "日"} {
			start := time.Now()
			tok.EncodeSpecial(strings.Repeat(unit, 128<<10/len(unit)) + "x")
			if d := time.Since(start); d > 3*time.Minute { // some 20 ms; quadratic would be more
				t.Errorf("%s: 128 KiB of %q take %v", name, unit, d)
			}
		}
	}
}

func checkIDs(t *testing.T, i int, what, text string, got, want []int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%d %q: %s\n got %v\nwant %v", i, text, what, got, want)
	}
}

// validText is text as the library gives it, where bytes that are not UTF-8 are U+FFFD: one for what begins a character that is cut
// short, one for any other byte.
func validText(s string) string {
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		for r == utf8.RuneError && n < len(s) && n < 4 && !utf8.RuneStart(s[n]) && !utf8.FullRuneInString(s[:n+1]) { // cut short
			n++
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}
