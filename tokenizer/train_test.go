package tokenizer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var trainTexts = []string{
	"the cat sat on the mat, the other cat sat there\n", "abcabc abc abcabcabc bcabca cab", "There's a number: 12345, 678.",
	"A critique says what is right, what is wrong and why; a reward says how much. Both are read from the same weights.\n",
	"for i := 0; i < 100; i++ {\n\t\tfor j := 0; j < 100; j++ {\n\t\t\tsum += a[i] * b[j]\n", "She had 12 apples, gave away 5 and had 7 left.",
	"naïve café 日本語 日本", "aaaa aaaaa aaaaaaaa", "the theme of the thesis <|end|> the end",
}

var tinySpecial = []string{"<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"}

// tinyTokenizer is a tokenizer that needs no file.
func tinyTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := Train(slices.Values(trainTexts), TrainConfig{VocabSize: 340, Special: tinySpecial, Pattern: "llama3"})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTrain(t *testing.T) {
	for _, pattern := range []string{"llama3", "qwen2", "gpt2"} {
		c := TrainConfig{VocabSize: 310, Special: tinySpecial, Pattern: pattern}
		tok, err := Train(slices.Values(trainTexts), c)
		if err != nil {
			t.Fatal(err)
		}
		if tok.VocabSize() != 310 || tok.Token(0) != "<|pad|>" || tok.Token(4) != "!" || tok.Token(3) != "<|end|>" {
			t.Errorf("%s: %d tokens, first %q %q", pattern, tok.VocabSize(), tok.Token(0), tok.Token(4))
		}
		for i, s := range tinySpecial {
			if id, ok := tok.ID(s); !ok || int(id) != i || !tok.IsSpecial(id) {
				t.Errorf("%s: %s is %d, %v", pattern, s, id, ok)
			}
		}
		for _, text := range trainTexts {
			if got := tok.Decode(tok.Encode(text)); got != text {
				t.Errorf("%s: %q becomes %q", pattern, text, got)
			}
		}
		saveAndCompare(t, tok)

		a, _ := tok.encodeJSON()
		reversed := slices.Clone(trainTexts)
		slices.Reverse(reversed)
		again, err := Train(slices.Values(reversed), c)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := again.encodeJSON(); !bytes.Equal(a, b) {
			t.Errorf("%s: the order of the texts changes the vocabulary", pattern)
		}
	}
}

// The merges against recounting everything in each round.
func TestTrainOracle(t *testing.T) {
	tok := tinyTokenizer(t)
	split := patterns()[patternLlama3](newClasses())
	var words [][]int32
	for _, text := range trainTexts {
		for _, part := range strings.Split(text, "<|end|>") {
			for _, p := range pieces(split, part) {
				var ids []int32
				for i := range len(p) {
					ids = append(ids, tok.bpe.byteID[p[i]])
				}
				words = append(words, ids)
			}
		}
	}
	for k, got := range tok.bpe.merges {
		counts := map[pair]int{}
		for _, w := range words {
			for i := 1; i < len(w); i++ {
				counts[pair{w[i-1], w[i]}]++
			}
		}
		var best pair
		n := 0
		for p, c := range counts {
			if c > n || c == n && (p.left < best.left || p.left == best.left && p.right < best.right) {
				best, n = p, c
			}
		}
		if got != best {
			t.Fatalf("merge %d is %q %q, want %q %q (%d times)", k, tok.Token(got.left), tok.Token(got.right),
				tok.Token(best.left), tok.Token(best.right), n)
		}
		id := int32(len(tinySpecial) + 256 + k)
		for i, w := range words {
			var out []int32
			for j := 0; j < len(w); j++ {
				if j+1 < len(w) && (pair{w[j], w[j+1]}) == best {
					out = append(out, id)
					j++
				} else {
					out = append(out, w[j])
				}
			}
			words[i] = out
		}
	}
	if len(tok.bpe.merges) < 30 {
		t.Errorf("only %d merges", len(tok.bpe.merges))
	}
}

func TestTrainStops(t *testing.T) {
	tok, err := Train(slices.Values([]string{"ab ab cd"}), TrainConfig{VocabSize: 1000, Pattern: "gpt2"})
	if err != nil || tok.VocabSize() != 256+1 || tok.Token(256) != "ab" {
		t.Errorf("%d tokens, %v: want the bytes and \"ab\"", tok.VocabSize(), err)
	}
	if tok, err = Train(slices.Values([]string(nil)), TrainConfig{VocabSize: 256, Pattern: "qwen2"}); err != nil || tok.VocabSize() != 256 {
		t.Errorf("no texts: %v", err)
	}
	for want, c := range map[string]TrainConfig{
		`pattern "x": want llama3, qwen2 or gpt2`:   {VocabSize: 300, Pattern: "x"},
		"vocabulary of 256: want 257 to 1048576":    {VocabSize: 256, Special: []string{"<s>"}, Pattern: "gpt2"},
		`token "<s>" appears twice`:                 {VocabSize: 300, Special: []string{"<s>", "<s>"}, Pattern: "gpt2"},
		`added_tokens[0]: want an id and a content`: {VocabSize: 300, Special: []string{""}, Pattern: "gpt2"},
		`token "a" appears twice`:                   {VocabSize: 300, Special: []string{"a"}, Pattern: "gpt2"},
	} {
		if _, err := Train(slices.Values([]string{"x"}), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func ExampleTrain() {
	texts := []string{"low lower lowest", "new newer newest", "low new"}
	tok, err := Train(slices.Values(texts), TrainConfig{VocabSize: 266, Special: []string{"<|end|>"}, Pattern: "llama3"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tok.Encode("lowest<|end|>")
	for _, id := range ids {
		fmt.Printf("%s ", tok.Token(id))
	}
	fmt.Println(tok.Decode(ids))
	// Output: low est < | e n d | > lowest<|end|>
}
