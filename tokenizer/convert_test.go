package tokenizer

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// Directories with a tokenizer.model and no tokenizer.json: ids and texts are those of the fast tokenizer that transformers makes.
func TestSentencePiece(t *testing.T) {
	root := golden.Repository(t).Dir(golden.Repository(t).SentencePiece[0])
	dirs, err := os.ReadDir(root)
	if err != nil || len(dirs) < 14 {
		t.Fatalf("%d directories, %v: want 14", len(dirs), err)
	}
	for _, d := range dirs {
		t.Run(d.Name(), func(t *testing.T) {
			dir := filepath.Join(root, d.Name())
			tok := mustLoad(t, dir)
			type line struct {
				goldenString
				Begin []string
			}
			lines := readLines[line](t, filepath.Join(dir, "strings.jsonl"))
			begin, has := tok.BOS()
			if want := lines[0].Begin; has != (len(want) == 1) || has && tok.Token(begin) != want[0] {
				t.Errorf("BOS is %d %q, %v, want %q", begin, tok.Token(begin), has, want)
			}
			for i, l := range lines[1:] {
				checkStrings(t, i, tok, l.goldenString)
			}
			if len(lines) < 80 {
				t.Errorf("%d strings, want 80", len(lines))
			}
			if _, err := LoadSpecial(dir, tok); err != nil {
				t.Error(err)
			}
			saveAndCompare(t, tok)
		})
	}
}

// proto is a protobuf message: fields by number, each bytes or a number.
func proto(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := uint64(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = binary.AppendUvarint(b, n<<3|2)
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case float32:
			b = binary.LittleEndian.AppendUint32(binary.AppendUvarint(b, n<<3|5), math.Float32bits(v))
		case int:
			b = binary.AppendUvarint(binary.AppendUvarint(b, n<<3), uint64(v))
		}
	}
	return b
}

// tinyModel is a SentencePiece model of a few pieces, and more fields.
func tinyModel(more ...any) string {
	var b []byte
	for i, p := range []string{"<unk>", "<s>", "</s>", "a", "b", "ab"} {
		b = append(b, proto(1, string(proto(1, p, 2, float32(-i), 3, []int{2, 3, 3, 1, 1, 1}[i])))...)
	}
	return string(append(b, proto(more...)...))
}

// What is wrong with a tokenizer.model, and with what stands beside it, is told by name.
func TestBadSentencePiece(t *testing.T) {
	bpe := tinyModel(2, string(proto(3, 2)))
	for want, files := range map[string]map[string]string{
		"tokenizer.model: not a SentencePiece model, or cut short":                               {ModelFile: "<html>"},
		"tokenizer.model: it is a file of tiktoken, which is not supported: want tokenizer.json": {ModelFile: "IQ== 0\nIg== 1\n"},
		"it has no pieces":                                                        {ModelFile: string(proto(2, ""))},
		"piece 0: not valid UTF-8":                                                {ModelFile: string(proto(1, string(proto(1, "\xff"))))},
		"piece 0: its score is no number":                                         {ModelFile: string(proto(1, string(proto(2, float32(math.Inf(1))))))},
		`piece "a" appears twice`:                                                 {ModelFile: tinyModel(1, string(proto(1, "a")))},
		"model type 3 is not supported":                                           {ModelFile: tinyModel(2, string(proto(3, 3)))},
		"treat_whitespace_as_suffix is not supported":                             {ModelFile: tinyModel(2, string(proto(24, 1)))},
		"unk_id 9, but it has 6 pieces":                                           {ModelFile: tinyModel(2, string(proto(40, 9)))},
		"precompiled_charsmap: cut short":                                         {ModelFile: tinyModel(3, string(proto(2, "abc")))},
		"tokenizer_class \"T5Tokenizer\" is not supported without tokenizer.json": {ModelFile: tinyModel(), ConfigFile: `{"tokenizer_class": "T5Tokenizer"}`},
		"tokenizer_class LlamaTokenizer wants a model of type BPE":                {ModelFile: tinyModel(), ConfigFile: `{"tokenizer_class": "LlamaTokenizerFast"}`},
		`added token "x": got y, want an id and a text`:                           {ModelFile: bpe, AddedFile: `{"x": "y"}`},
		`added token "x": got x, want an id and a text`:                           {ModelFile: bpe, ConfigFile: `{"added_tokens_decoder": {"x": {"content": "y"}}}`},
		`added_tokens_decoder gives the id 3 the name "b", which piece 4 has`:     {ModelFile: bpe, ConfigFile: `{"added_tokens_decoder": {"3": {"content": "b"}}}`},
		"piece 6 has 513 bytes, limit 512":                                        {ModelFile: bpe + tinyPiece(strings.Repeat("x", 513))},
		`token "<|x|>": id 9, want less than the number of tokens`:                {ModelFile: bpe, AddedFile: `{"<|x|>": 9}`},
	} {
		_, err := Load(specialDir(t, files))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for n := range len(bpe) - 1 { // cut anywhere: an error or fewer pieces, never a panic
		if _, err := readSPM([]byte(bpe[:n])); err == nil && n < 10 {
			t.Errorf("the first %d bytes are taken for a model", n)
		}
	}
}

func tinyPiece(text string) string { return string(proto(1, string(proto(1, text)))) }

// Whatever bytes a tokenizer.model has, they are read or refused.
func FuzzSentencePiece(f *testing.F) {
	f.Add([]byte(tinyModel()))
	f.Add([]byte(tinyModel(2, string(proto(3, 2, 35, 1)), 3, string(proto(3, 0, 4, 0)))))
	f.Add([]byte(tinyModel(3, string(proto(2, "\x04\x00\x00\x00\x00\x00\x00\x00x\x00")))))
	f.Add([]byte(tinyModel(1, string(proto(1, "..", 3, 4)))))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ModelFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		tok, err := Load(dir)
		if err != nil {
			return
		}
		for _, text := range []string{"ab  ba", "<s>é\n", "▁\xff"} {
			for _, id := range tok.EncodeSpecial(text) {
				if tok.Token(id) == "" {
					t.Errorf("%q: id %d has no token", text, id)
				}
			}
		}
	})
}
