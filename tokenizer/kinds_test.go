package tokenizer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

// python is a Python that has the Hugging Face library, or the test is skipped.
func python(t testing.TB) string {
	t.Helper()
	name := os.Getenv("CRITICRM_PYTHON")
	if name == "" {
		name = filepath.Join(golden.Repository(t).Root, "..", "..", "build", "golden", "bin", "python")
	}
	if err := exec.Command(name, "-c", "import tokenizers").Run(); err != nil {
		t.Skipf("only with tokenizers ('make golden' installs it, or CRITICRM_PYTHON names a Python that has it): %v", err)
	}
	return name
}

// library is a tokenizer of the Hugging Face library, which answers lists of texts.
type library struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func openLibrary(t testing.TB, file string) *library {
	t.Helper()
	cmd := exec.Command(python(t), "-B", filepath.Join(golden.Repository(t).Root, "kinds.py"), file)
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

// wideText is made of characters of every kind, words, and the tokenizer's own tokens.
func wideText(r *rand.Rand, tok *Tokenizer) string {
	var b strings.Builder
	for range 1 + r.IntN(1+r.IntN(7)) {
		switch r.IntN(8) {
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
		}
	}
	return b.String()
}

func nfcRuneText(r *rand.Rand) string {
	s := make([]rune, r.IntN(5))
	for i := range s {
		s[i] = nfcRunes[r.IntN(len(nfcRunes))]
	}
	return string(s)
}

// compareKind wants the library's ids of texts, and with decode their texts.
func compareKind(t *testing.T, tok *Tokenizer, lib *library, texts []string, plain, decode bool) {
	t.Helper()
	want, decoded := lib.ask(t, texts, plain, decode)
	encode := tok.EncodeSpecial
	if plain {
		encode = tok.Encode
	}
	bad := 0
	for i, text := range texts {
		ids := encode(text)
		switch {
		case plain && (reachesSpecial(tok, want[i]) || findsUnk(tok, text)):
			continue
		case !slices.Equal(ids, want[i]):
			t.Errorf("%q, plain %v:\n got %v %s\nwant %v %s", text, plain, ids, spelled(tok, ids), want[i], spelled(tok, want[i]))
		case decode && validText(tok.Decode(ids)) != decoded[i]:
			t.Errorf("Decode(%v) gives %q, want %q", ids, validText(tok.Decode(ids)), decoded[i])
		default:
			continue
		}
		if bad++; bad > 5 {
			t.FailNow()
		}
	}
}

// Against the library itself: 4000 generated strings of each kind, or as many as CRITICRM_WIDE says.
func TestKindsWide(t *testing.T) {
	count := 4000
	if n := os.Getenv("CRITICRM_WIDE"); n != "" {
		var err error
		if count, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range kindFiles(t) {
		t.Run(name, func(t *testing.T) {
			tok, lib := mustLoad(t, file), openLibrary(t, file)
			r := rand.New(rand.NewPCG(uint64(count), 77))
			for done := 0; done < count; {
				texts := make([]string, min(2000, count-done))
				for i := range texts {
					texts[i] = wideText(r, tok)
				}
				compareKind(t, tok, lib, texts, done%8000 == 6000, done%6000 == 0)
				done += len(texts)
			}
			t.Logf("%d strings, all equal", count)
		})
	}
}

// Against the library itself: all text of the data sets, each line by itself. It takes minutes, so only where CRITICRM_WIDE is set.
func TestKindsData(t *testing.T) {
	if os.Getenv("CRITICRM_WIDE") == "" {
		t.Skip("only where CRITICRM_WIDE is set")
	}
	var texts []string
	files, err := filepath.Glob(filepath.Join(golden.Shared(t, "data"), "data", "*.jsonl"))
	for _, file := range files {
		b, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr)
		text := strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(strings.ToValidUTF8(string(b), ""))
		texts = append(texts, slices.DeleteFunc(strings.SplitAfter(text, "\"}\n"), func(s string) bool { return s == "" })...)
	}
	if err != nil || len(texts) == 0 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	for name, file := range kindFiles(t) {
		t.Run(name, func(t *testing.T) {
			tok, lib := mustLoad(t, file), openLibrary(t, file)
			size := 0
			for some := range slices.Chunk(texts, 200) {
				compareKind(t, tok, lib, some, false, true)
				size += len(strings.Join(some, ""))
			}
			t.Logf("%d texts of %d bytes, all equal", len(texts), size)
		})
	}
}

func spelled(tok *Tokenizer, ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%q ", tok.Token(id))
	}
	return b.String()
}
