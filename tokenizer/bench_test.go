package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// benchTokenizer gives a tokenizer and 4 MB of conversations in English.
func benchTokenizer(b *testing.B) (*Tokenizer, string) {
	dir := golden.Shared(b, "golden/tokenizer_llama3", "data/hh_harmless_test.jsonl")
	tok := mustLoad(b, filepath.Join(dir, "golden/tokenizer_llama3"))
	text, err := os.ReadFile(filepath.Join(dir, "data/hh_harmless_test.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	s := strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(string(text))
	return tok, s[:min(len(s), 4<<20)]
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
			j := tok.steps[0].cut(text, i)
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
			i = tok.steps[0].cut(text, i)
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

// A template in the manner of Llama 3, with three messages.
func BenchmarkChatLlama3(b *testing.B) {
	source := "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|user|>' + message['role'] + '<|pad|>\n\n' + " +
		"message['content'] | trim + '<|end|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|user|>assistant<|pad|>\n\n' }}{% endif %}"
	chat := mustChat(b, source, map[string]any{"bos_token": "<|pad|>"})
	m := []Message{{"system", "You judge answers."}, {"user", strings.Repeat("What is 12 + 30? ", 20)}, {"assistant", strings.Repeat("It is 42. ", 20)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chat.Text(m, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(golden.Shared(b, "golden/tokenizer_llama3"), "golden/tokenizer_llama3")
	for b.Loop() {
		mustLoad(b, path)
	}
}

// BenchmarkSizes shows that time grows with a text's length and no faster, also where the pre-tokenizer cuts nothing.
func BenchmarkSizes(b *testing.B) {
	files := kindFiles(b)
	for _, name := range []string{"qwen3", "deepseek3", "llama2", "gemma", "unigram_bytes"} {
		tok := mustLoad(b, files[name])
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
			for unit, text := range map[string]string{"words": "the critic reads a careful answer, 12 of 30. ", "one": "a"} {
				text = strings.Repeat(text, size/len(text))
				b.Run(fmt.Sprintf("%s/%s/%d", name, unit, size), func(b *testing.B) {
					b.SetBytes(int64(len(text)))
					var ids []int32
					for b.Loop() {
						ids = tok.AppendEncode(ids[:0], text)
					}
				})
			}
		}
	}
}
