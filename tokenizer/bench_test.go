package tokenizer

import (
	"path/filepath"
	"strings"
	"testing"
)

// benchTokenizer gives a tokenizer and about 1 MB of the golden strings.
func benchTokenizer(b *testing.B) (*Tokenizer, string) {
	dir := shared(b, "golden/tokenizer_llama3")
	tok := mustLoad(b, dir)
	var text strings.Builder
	for _, l := range readLines[goldenString](b, filepath.Join(dir, "strings.jsonl")) {
		if l.Kind == "text" || l.Kind == "code" || l.Kind == "mixture" {
			text.WriteString(l.Text + "\n")
		}
	}
	return tok, strings.Repeat(text.String(), 1+(1<<20)/text.Len())
}

func BenchmarkEncode(b *testing.B) {
	tok, text := benchTokenizer(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var ids []int32
	for b.Loop() {
		ids = tok.AppendEncode(ids[:0], text)
	}
	b.ReportMetric(float64(len(text))/float64(len(ids)), "bytes/token")
}

// BenchmarkEncodeNoCache is the merge alone: what a text costs whose words are all new.
func BenchmarkEncodeNoCache(b *testing.B) {
	tok, text := benchTokenizer(b)
	b.SetBytes(int64(len(text)))
	var ids []int32
	for b.Loop() {
		ids = ids[:0]
		for i := 0; i < len(text); {
			j := tok.split.next(text, i)
			ids = tok.bpe.merge(ids, text[i:j])
			i = j
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	tok, text := benchTokenizer(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for i := 0; i < len(text); {
			i = tok.split.next(text, i)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok, text := benchTokenizer(b)
	ids := tok.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Decode(ids)
	}
}

func BenchmarkChat(b *testing.B) {
	chat := mustChat(b, chatML, nil)
	m := []Message{{"user", strings.Repeat("What is 12 + 30? ", 60)}, {"assistant", strings.Repeat("It is 42. ", 60)}}
	b.SetBytes(int64(len(m[0].Content) + len(m[1].Content)))
	for b.Loop() {
		if _, err := chat.Encode(m, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	path := shared(b, "golden/tokenizer_llama3")
	for b.Loop() {
		mustLoad(b, path)
	}
}
