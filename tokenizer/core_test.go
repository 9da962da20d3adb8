package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"criticrm/internal/golden"
)

func readLines[T any](t testing.TB, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		var v T
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func mustLoad(t testing.TB, path string) *Tokenizer {
	t.Helper()
	tok, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type goldenString struct {
	Kind        string
	Text        string
	IDs         []int32
	IDsPlain    []int32  `json:"ids_plain"`    // nil: as IDs
	Decoded     *string  `json:"decoded"`      // nil: Text
	DecodedText *string  `json:"decoded_text"` // without special tokens, if there are any
	Pieces      []string `json:"pieces"`
}

// The ids, pieces and decoded texts of the Hugging Face library, exactly.
func TestGoldenStrings(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Tokenizers {
			t.Run(name, func(t *testing.T) {
				lines := readLines[goldenString](t, filepath.Join(set.Dir(name), "strings.jsonl"))
				testStrings(t, mustLoad(t, set.Dir(name)), lines)
			})
		}
	})
}

func testStrings(t *testing.T, tok *Tokenizer, lines []goldenString) {
	pieces := 0
	for i, l := range lines {
		if got := tok.EncodeSpecial(l.Text); !slices.Equal(got, l.IDs) {
			t.Errorf("%d (%s) %.80q: EncodeSpecial\n got %v\nwant %v", i, l.Kind, l.Text, got, l.IDs)
		}
		plain := l.IDsPlain
		if plain == nil {
			plain = l.IDs
		}
		if got := tok.Encode(l.Text); !slices.Equal(got, plain) {
			t.Errorf("%d (%s) %.80q: Encode\n got %v\nwant %v", i, l.Kind, l.Text, got, plain)
		}
		decoded := l.Text
		if l.Decoded != nil {
			decoded = *l.Decoded
		}
		if got := tok.Decode(l.IDs); got != decoded {
			t.Errorf("%d (%s): Decode gives %.80q, want %.80q", i, l.Kind, got, decoded)
		}
		if l.DecodedText != nil {
			if got := tok.DecodeText(l.IDs); got != *l.DecodedText {
				t.Errorf("%d (%s): DecodeText gives %.80q, want %.80q", i, l.Kind, got, *l.DecodedText)
			}
		}
		if l.Pieces != nil {
			pieces++
			if got := tok.Pieces(l.Text); !slices.Equal(got, l.Pieces) {
				t.Errorf("%d (%s) %.80q: Pieces\n got %q\nwant %q", i, l.Kind, l.Text, got, l.Pieces)
			}
		}
	}
	if len(lines) < 250 || pieces < len(lines)*3/4 {
		t.Errorf("%d strings, %d with pieces: want 250 and most of them", len(lines), pieces)
	}
}

// What a tokenizer.json says beside its merges.
func TestGoldenTokenizer(t *testing.T) {
	set := golden.Repository(t)
	tok := mustLoad(t, set.Dir("tokenizer_llama3"))
	const bos, end, size = 494, 498, 499
	if id, ok := tok.BOS(); !ok || id != bos || tok.Token(id) != "<|begin_of_text|>" {
		t.Errorf("BOS is %d, %v", id, ok)
	}
	if id, ok := tok.ID("Ġthe"); !ok || tok.Decode([]int32{id}) != " the" || tok.Token(id) != "Ġthe" {
		t.Errorf(`ID("Ġthe") = %d, %v`, id, ok)
	}
	if tok.VocabSize() != size || !tok.IsSpecial(end) || tok.IsSpecial(0) || tok.IsSpecial(-1) || tok.IsSpecial(size) {
		t.Errorf("VocabSize %d, or IsSpecial", tok.VocabSize())
	}
	if got := tok.DecodeText([]int32{bos, 64, end, size, -1}); got != "a" {
		t.Errorf("DecodeText gives %q", got)
	}
	if id, ok := mustLoad(t, set.Dir("tokenizer_chatml")).BOS(); ok {
		t.Errorf("BOS %d without a post-processor that puts one in front", id)
	}
}

// demoTokenizer is the one of the demo's base model.
var demoTokenizer = filepath.Join("..", "demo", "base", "tokenizer.json")

func TestDemoTokenizer(t *testing.T) {
	tok := mustLoad(t, demoTokenizer)
	if id, ok := tok.ID("<|end|>"); !ok || id != 4 {
		t.Errorf("<|end|> is %d, %v", id, ok)
	}
	if _, ok := tok.BOS(); ok {
		t.Error("no post-processor, but BOS")
	}
	text := "<|user|>There are 12 boxes.<|end|>"
	ids := tok.EncodeSpecial(text)
	if ids[0] != 1 || ids[len(ids)-1] != 4 || tok.Decode(ids) != text {
		t.Errorf("EncodeSpecial gives %v", ids)
	}
	for _, id := range tok.Encode(text) {
		if tok.IsSpecial(id) {
			t.Errorf("Encode gives special token %d", id)
		}
	}
	saveAndCompare(t, tok)
}

// saveAndCompare saves tok, loads it again and wants the same tokenizer and the same file.
func saveAndCompare(t *testing.T, tok *Tokenizer) {
	t.Helper()
	const sample = "It's  12345 ½\r\n\n\tÉté 日本 e\u0301!?"
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, path)
	if !slices.Equal(tok.tokens, again.tokens) || tok.bpe != nil && !slices.Equal(tok.bpe.merges, again.bpe.merges) ||
		!slices.Equal(tok.isSpec, again.isSpec) || !slices.Equal(tok.Pieces(sample), again.Pieces(sample)) ||
		tok.bos != again.bos || tok.bpe != nil && tok.bpe.ignoreMerges != again.bpe.ignoreMerges {
		t.Error("the saved tokenizer differs")
	}
	a, _ := os.ReadFile(path)
	if err := again.Save(path); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(a) != string(b) {
		t.Error("saving again gives other bytes")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".tokenizer-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// A file, read and saved, is the same file, byte for byte.
func TestSaveKeepsFile(t *testing.T) {
	check := func(t *testing.T, path string) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := mustLoad(t, path).encodeJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != strings.TrimSpace(string(want)) {
			t.Errorf("%s: saved file differs", path)
		}
	}
	check(t, demoTokenizer)
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Tokenizers {
			check(t, filepath.Join(set.Dir(name), "tokenizer.json"))
		}
	})
}

// One tokenizer and one chat in many goroutines (run with -race).
func TestConcurrentUse(t *testing.T) {
	tok := tinyTokenizer(t)
	chat := mustChat(t, chatML, map[string]any{"list": []any{1}})
	m := []Message{{"user", "the cat <|end|> sat"}}
	want, wantChat := tok.Encode(trainTexts[0]), must(chat.Encode(m, true))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				tok.Encode(trainTexts[i%len(trainTexts)])
				if !slices.Equal(tok.Encode(trainTexts[0]), want) || !slices.Equal(must(chat.Encode(m, true)), wantChat) {
					t.Error("the ids differ")
					return
				}
			}
		})
	}
	wg.Wait()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
