package tokenizer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"criticrm/internal/golden"
)

// library is a tokenizer of the Hugging Face library, which answers lists of texts.
type library struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// openLibrary opens a tokenizer.json, or a directory as transformers opens it.
func openLibrary(t testing.TB, file string) *library {
	t.Helper()
	modules := []string{"tokenizers"}
	if filepath.Ext(file) != ".json" {
		modules = append(modules, "transformers", "sentencepiece", "google.protobuf")
	}
	cmd := exec.Command(golden.Python(t, modules...), "-B", filepath.Join(golden.Repository(t).Root, "kinds.py"), file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &library{in, bufio.NewReader(out)}
}

// ask gives ids and, with decode, their texts. With plain, special tokens in the texts are text.
func (l *library) ask(t testing.TB, texts []string, plain, decode bool) (ids [][]int32, decoded []string) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(json.NewEncoder(l.in).Encode(map[string]any{"texts": texts, "plain": plain, "decode": decode}))
	var size int32
	check(binary.Read(l.out, binary.LittleEndian, &size))
	all := make([]int32, size)
	check(binary.Read(l.out, binary.LittleEndian, all))
	for len(all) > 0 {
		n := 1 + all[0]
		ids, all = append(ids, all[1:n]), all[n:]
	}
	line, err := l.out.ReadBytes('\n')
	check(err)
	check(json.Unmarshal(line, &decoded))
	return ids, decoded
}

// wideRunes is how many runes wideRune goes through: planes 0 to 3, where Unicode's characters are, and what tags and selectors have of 14.
const wideRunes = 4<<16 + 4<<8

// wideRune is the rune of a number, or U+FFFD; numbers in a row are far apart.
func wideRune(n int) rune {
	n = n * 100_003 % wideRunes
	if n >= 4<<16 {
		n += 14<<16 - 4<<16
	}
	return rune(n)
}

// wideText is made of characters of every kind, words, and the tokenizer's own tokens, with a rune somewhere; one in 500 is long.
func wideText(r *rand.Rand, tok *Tokenizer, some rune) string {
	var b strings.Builder
	parts := 1 + r.IntN(1+r.IntN(7))
	at := r.IntN(parts)
	if r.IntN(500) == 0 {
		parts = 300
	}
	for i := range parts {
		if i == at {
			b.WriteString(strings.Repeat(string(some), 1+r.IntN(5)/4))
		}
		switch r.IntN(9) {
		case 0, 1:
			b.WriteString(randomText(r, 8))
		case 2:
			b.WriteString(strings.Repeat(string(alphabetRunes[r.IntN(len(alphabetRunes))]), 1+r.IntN(9)))
		case 3, 4:
			words := strings.Fields("the a critic It's WE'LL score: 1234567 naïve Größe слово 日本語 답 x=y+1; </b> ﬁ ① e\u0301 ▁ ▁▁ <0x41> Yesterday word old ...")
			b.WriteString(words[r.IntN(len(words))] + []string{" ", "", "\n", "  "}[r.IntN(4)])
		case 5:
			b.WriteString(tok.Token(int32(r.IntN(tok.VocabSize()))))
		case 6:
			if n := len(tok.added); n > 0 {
				b.WriteString(tok.added[r.IntN(n)].content)
			}
		case 7:
			b.WriteString(nfcRuneText(r))
		case 8:
			for range r.IntN(6) {
				b.WriteRune(graphemeRunes[r.IntN(len(graphemeRunes))])
			}
		}
	}
	return b.String()
}

// graphemeRunes has characters of each kind that graphemes are made of, and some that charsmaps take.
var graphemeRunes = []rune("ßﬁ①éee\u0301\u0301\u0327\u0915\u094d\u0937\u093f\u0903\u0995\u09cd\u200d\u200d❤❤🏽🇦🇧가각\u1100\u1161\u11a8\u0600\u0d4e\u200b\u200c\r\n\U00016d63\U00016d67\ufe0f\u20e3")

func nfcRuneText(r *rand.Rand) string {
	s := make([]rune, r.IntN(5))
	for i := range s {
		s[i] = nfcRunes[r.IntN(len(nfcRunes))]
	}
	return string(s)
}

// wide compares a tokenizer with the library.
type wide struct {
	tok *Tokenizer
	lib *library

	strings, plain, decoded, passed int // compared; of them Encode, and Decode, too; and those that Encode takes otherwise on purpose
}

// differs says how what we make of a text differs from what the library does: "" where it does not.
func (w *wide) differs(text string, plain bool, want []int32, decoded *string) string {
	encode := w.tok.EncodeSpecial
	if plain {
		encode = w.tok.Encode
	}
	ids := encode(text)
	if !slices.Equal(ids, want) {
		return fmt.Sprintf("got %v %s\nwant %v %s", ids, spelled(w.tok, ids), want, spelled(w.tok, want))
	}
	if decoded != nil {
		if got := validText(w.tok.Decode(ids)); got != *decoded {
			return fmt.Sprintf("Decode(%v) gives %q, want %q", ids, got, *decoded)
		}
	}
	return ""
}

// compare wants the library's ids of texts, and with decode their texts. What differs is shown in the shortest form found.
func (w *wide) compare(t *testing.T, texts []string, plain, decode bool) {
	t.Helper()
	bad := 0
	w.each(t, texts, plain, decode, func(text, what string) bool {
		text, what = w.shortest(t, text, what, plain, decode)
		t.Errorf("%q (%+q), plain %v:\n%s", text, text, plain, what)
		bad++
		return bad < 6
	})
	if bad > 0 {
		t.FailNow()
	}
}

// each gives every text that differs to found, until that says no.
func (w *wide) each(t *testing.T, texts []string, plain, decode bool, found func(text, what string) bool) {
	t.Helper()
	want, decoded := w.lib.ask(t, texts, plain, decode)
	for i, text := range texts {
		if plain && (reachesSpecial(w.tok, want[i]) || findsUnk(w.tok, text)) {
			w.passed++
			continue
		}
		w.strings++
		var back *string
		if decode {
			back = &decoded[i]
			w.decoded++
		}
		if plain {
			w.plain++
		}
		if what := w.differs(text, plain, want[i], back); what != "" && !found(text, what) {
			return
		}
	}
}

// shortest cuts runes out of a text as long as it differs.
func (w *wide) shortest(t *testing.T, text, what string, plain, decode bool) (string, string) {
	t.Helper()
	for {
		runes := []rune(text)
		var shorter []string
		for n := len(runes) / 2; n > 0; n /= 2 {
			for at := 0; at+n <= len(runes); at += n {
				shorter = append(shorter, string(slices.Concat(runes[:at], runes[at+n:])))
			}
		}
		was := text
		if len(shorter) > 0 {
			w.each(t, shorter, plain, decode, func(s, how string) bool { text, what = s, how; return false })
		}
		if text == was {
			return text, what
		}
	}
}

func (w *wide) String() string {
	return fmt.Sprintf("%d strings, all equal; %d of them with control tokens as text, beside %d where the library reads one of them all the same; %d decoded", w.strings, w.plain, w.passed, w.decoded)
}

// wideFiles are all tokenizers of testdata/golden, by name.
func wideFiles(t *testing.T) (names []string, files map[string]string) {
	files = kindFiles(t)
	set := golden.Repository(t)
	for _, name := range set.Tokenizers {
		files[name] = filepath.Join(set.Dir(name), "tokenizer.json")
	}
	models, err := filepath.Glob(filepath.Join(set.Dir(set.SentencePiece[0]), "*", ModelFile))
	if err != nil || len(models) < 14 {
		t.Fatalf("%d directories, %v: want 14", len(models), err)
	}
	for _, m := range models {
		files["spm_"+filepath.Base(filepath.Dir(m))] = filepath.Dir(m)
	}
	return slices.Sorted(maps.Keys(files)), files
}

// wideCount is what CRITICRM_WIDE says, or def.
func wideCount(t *testing.T, def int) int {
	if n := os.Getenv("CRITICRM_WIDE"); n != "" {
		var err error
		if def, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	return def
}

// Against the library itself: 4000 generated strings of each tokenizer, or as many as CRITICRM_WIDE says (`make tokenizers`: a million).
func TestKindsWide(t *testing.T) {
	count := wideCount(t, 4000)
	names, files := wideFiles(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			w, start := &wide{tok: mustLoad(t, files[name]), lib: openLibrary(t, files[name])}, time.Now()
			r := rand.New(rand.NewPCG(uint64(count), 77))
			for batch, made := 0, 0; w.strings < count; batch++ {
				texts := make([]string, min(2000, count-w.strings))
				for i := range texts {
					texts[i] = wideText(r, w.tok, wideRune(made+i))
				}
				made += len(texts)
				w.compare(t, texts, batch%4 == 1, batch%3 == 0)
			}
			t.Logf("%v (%.0f s)", w, time.Since(start).Seconds())
		})
	}
}

// Against the library itself: all text of the data sets, each line by itself. It takes minutes, so only where CRITICRM_WIDE is set.
func TestKindsData(t *testing.T) {
	if os.Getenv("CRITICRM_WIDE") == "" {
		t.Skip("only where CRITICRM_WIDE is set")
	}
	texts, size := dataTexts(t)
	names, files := wideFiles(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			w := &wide{tok: mustLoad(t, files[name]), lib: openLibrary(t, files[name])}
			for some := range slices.Chunk(texts, 200) {
				w.compare(t, some, false, true)
			}
			t.Logf("%d bytes, %v", size, w)
		})
	}
}

// dataTexts are the rows of the shared data sets, as text, and how many bytes they have.
func dataTexts(t *testing.T) (texts []string, size int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(golden.Shared(t, "data"), "data", "*.jsonl"))
	for _, file := range files {
		b, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr)
		text := strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(strings.ToValidUTF8(string(b), ""))
		size += len(text)
		texts = append(texts, slices.DeleteFunc(strings.SplitAfter(text, "\"}\n"), func(s string) bool { return s == "" })...)
	}
	if err != nil || len(texts) == 0 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	return texts, size
}

func spelled(tok *Tokenizer, ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%q ", tok.Token(id))
	}
	return b.String()
}
