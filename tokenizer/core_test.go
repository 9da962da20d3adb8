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
)

// shared gives a path in the folder of golden files, and skips the test where there is none.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("CRITICRM_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("golden files not found (set CRITICRM_SHARED): %v", err)
	}
	return path
}

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
	Kind     string
	Text     string
	IDs      []int32
	IDsPlain []int32  `json:"ids_plain"`
	Pieces   []string `json:"pieces"`
}

// The ids and pieces of the Hugging Face library for 400 strings, exactly.
func TestGoldenStrings(t *testing.T) {
	dir := shared(t, "golden/tokenizer_llama3")
	tok := mustLoad(t, dir)
	lines := readLines[goldenString](t, filepath.Join(dir, "strings.jsonl"))
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
		if got := tok.Decode(l.IDs); got != l.Text {
			t.Errorf("%d (%s): Decode gives %.80q, want %.80q", i, l.Kind, got, l.Text)
		}
		if l.Pieces != nil {
			pieces++
			if got := tok.Pieces(l.Text); !slices.Equal(got, l.Pieces) {
				t.Errorf("%d (%s) %.80q: Pieces\n got %q\nwant %q", i, l.Kind, l.Text, got, l.Pieces)
			}
		}
	}
	if len(lines) != 400 || pieces < 300 {
		t.Errorf("%d strings, %d with pieces: want 400 and most of them", len(lines), pieces)
	}
	if bos, ok := tok.BOS(); !ok || tok.Token(bos) != "<|begin_of_text|>" {
		t.Errorf("BOS is %d, %v", bos, ok)
	}
	if id, ok := tok.ID("Ġthe"); !ok || tok.Decode([]int32{id}) != " the" || tok.Token(id) != "Ġthe" {
		t.Errorf(`ID("Ġthe") = %d, %v`, id, ok)
	}
	if tok.VocabSize() != 2016 || !tok.IsSpecial(2013) || tok.IsSpecial(0) || tok.IsSpecial(-1) || tok.IsSpecial(2016) {
		t.Errorf("VocabSize %d, or IsSpecial", tok.VocabSize())
	}
	if got := tok.DecodeText([]int32{2008, 64, 2013, 9999, -1}); got != "a" {
		t.Errorf("DecodeText gives %q", got)
	}
}

func TestDemoTokenizer(t *testing.T) {
	tok := mustLoad(t, shared(t, "demo/base/tokenizer.json"))
	if id, ok := tok.ID("<|end|>"); !ok || id != 4 || tok.VocabSize() != 483 {
		t.Errorf("<|end|> is %d, vocabulary %d", id, tok.VocabSize())
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
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	again := mustLoad(t, path)
	if !slices.Equal(tok.tokens, again.tokens) || !slices.Equal(tok.bpe.merges, again.bpe.merges) ||
		!slices.Equal(tok.isSpec, again.isSpec) || tok.split.pattern != again.split.pattern ||
		tok.bos != again.bos || tok.nfc != again.nfc || tok.bpe.ignoreMerges != again.bpe.ignoreMerges {
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

// A file of the library, read and saved, is the same file, byte for byte.
func TestSaveKeepsFile(t *testing.T) {
	for _, name := range []string{"golden/tokenizer_llama3/tokenizer.json", "demo/base/tokenizer.json"} {
		path := shared(t, name)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := mustLoad(t, path).encodeJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != strings.TrimSpace(string(want)) {
			t.Errorf("%s: saved file differs", name)
		}
	}
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
