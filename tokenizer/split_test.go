package tokenizer

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

// alphabetRunes has runes of every class that the patterns tell apart, and the odd ones. U+017F is left
// out: the oracle folds case by lower-casing; TestGoldenStrings has it.
var alphabetRunes = []rune("''''sStTrReEvVmMlLdDaZ09  \t\r\n\n\v\f!?.,-_<|>\u0085\u00a0\u1680\u2003\u2028\u3000\u200b\ufeff" +
	"\u0301\u0345éßΣ日本ーـ²①Ⅷ٣𝟘😀👩🏽‍🚀\u001c\u0000𐐀")

// randomText is short: the oracle backtracks.
func randomText(r *rand.Rand, n int) string {
	s := make([]rune, r.IntN(n+1))
	for i := range s {
		if i > 0 && r.IntN(3) == 0 {
			s[i] = s[i-1] // runs
		} else {
			s[i] = alphabetRunes[r.IntN(len(alphabetRunes))]
		}
	}
	return string(s)
}

// oracle is a pattern in a regular expression engine with look-ahead; it has no possessive quantifiers, which change nothing here.
func oracle(pattern string) *regexp2.Regexp {
	return regexp2.MustCompile(strings.NewReplacer("?+", "?", "++", "+").Replace(pattern), regexp2.None)
}

// oracleCutters are the scanners by pattern, with some of those of a single set.
func oracleCutters() map[string]cutter {
	all := map[string]cutter{}
	for pattern, cut := range patterns() {
		all[pattern] = cut(newClasses())
	}
	for _, pattern := range []string{`\p{N}{1,3}`, `\s?\p{L}+`, `\s?\p{P}+`, "[一-龥ࠀ-一가-퟿]+", "[0-9][0-9][0-9]", "[\r\n]", `[^\s\p{L}]+`, `\p{N}+`, "\\s?[!-/:-~！-／：-～‘-‟　-。]+"} {
		all[pattern] = onePattern(pattern)
	}
	return all
}

// A pattern that is more than a set and how often is none of these.
func TestOnePattern(t *testing.T) {
	for _, pattern := range []string{"", "a", "a+", `\p{Q}+`, `\p{L`, `\pL`, "[a", "[a-", "[b-a]", "[a&&b]", "[[a]]", `[\d]`, `\d+`, `\s*`, `\s?`, `\s?\p{L}`, `\p{L}++`, `\p{L}{2,3}`, `\p{L}{1,}`, `\p{L}{1,x}`,
		`\p{L}{1,0}`, `\p{L}|\p{N}`, `(\p{L})+`, `\p{L}+$`, `[a]?[b]{1,2}`, `\`, `[\`, `[]`} {
		if onePattern(pattern) != nil {
			t.Errorf("%s is taken", pattern)
		}
	}
	if got := pieces(onePattern(`\s+$`), "a \n \n b  c \n"); !slices.Equal(got, []string{"a", " \n ", "\n b  c", " \n"}) {
		t.Errorf("white space at line ends: %q", got)
	}
}

// isolated gives the matches of re in text, and what lies between them.
func isolated(re *regexp2.Regexp, text string) (out []string, err error) {
	runes, at := []rune(text), 0
	m, err := re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = re.FindNextMatch(m) {
		if m.Index > at {
			out = append(out, string(runes[at:m.Index]))
		}
		at = m.Index + m.Length
		out = append(out, m.String())
	}
	if at < len(runes) {
		out = append(out, string(runes[at:]))
	}
	return out, err
}

// The scanners against a regular expression engine with look-ahead.
func TestSplitOracle(t *testing.T) {
	for seed, pattern := range slices.Sorted(maps.Keys(oracleCutters())) {
		cut := oracleCutters()[pattern]
		re := oracle(pattern)
		r := rand.New(rand.NewPCG(1, uint64(seed)))
		const trials = 30_000
		for range trials {
			text := randomText(r, 24)
			want, err := isolated(re, text)
			if err != nil {
				t.Fatal(err)
			}
			if got := pieces(cut, text); !slices.Equal(got, want) {
				t.Fatalf("pattern %d, %q:\n got %q\nwant %q", seed, text, got, want)
			}
		}
		t.Logf("pattern %d: %d strings, all equal", seed, trials)
	}
}

func pieces(cut cutter, s string) []string {
	var c collector
	appendPieces(&c, nil, s, []step{{cut: cut}}, true)
	return c
}

func TestSplitTraps(t *testing.T) {
	chat, qwen, gpt2 := patterns()[patternLlama3](newClasses()), patterns()[patternQwen2](newClasses()), patterns()[patternGPT2](newClasses())
	for _, c := range []struct {
		cut  cutter
		text string
		want []string
	}{
		{chat, "'ſ", []string{"'ſ"}},
		{chat, "'ſx'LLy", []string{"'ſ", "x", "'LL", "y"}},
		{gpt2, "'ſ'S's", []string{"'", "ſ", "'", "S", "'s"}},
		{chat, "1234", []string{"123", "4"}},
		{qwen, "12Ⅷ²", []string{"1", "2", "Ⅷ", "²"}},
		{gpt2, " 1234²", []string{" 1234²"}},
		{chat, "a\u0085b", []string{"a", "\u0085b"}},
		{chat, "a  b", []string{"a", " ", " b"}},
		{chat, "a \n \n  b", []string{"a", " \n \n", " ", " b"}},
		{chat, "a  ", []string{"a", "  "}},
		{chat, "a\u200bb", []string{"a", "\u200bb"}},
		{chat, "e\u0301x", []string{"e", "\u0301x"}},
		{chat, "\xff\xfea\xff", []string{"\xff\xfe", "a", "\xff"}},
	} {
		if got := pieces(c.cut, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

// A million of one character, and eight of the worst mixtures, take time in proportion to their length.
func TestLinearTime(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, unit := range []string{"^", "a", " ", "\n", "\u0301", "e\u0301", " \n ", "'", "1", "\x00", "\xff", "  a"} {
		text := strings.Repeat(unit, 1_000_000/len(unit))
		start := time.Now()
		ids := tok.Encode(text)
		if d := time.Since(start); d > 5*time.Minute { // about 0.3 s; quadratic would be hours
			t.Errorf("%q repeated to 1 MB: %v", unit, d)
		}
		if tok.Decode(ids) != text {
			t.Errorf("%q repeated: decodes to something else", unit)
		}
	}
}

// All merge paths against the definition.
func TestMergeOracle(t *testing.T) {
	tok := tinyTokenizer(t)
	r := rand.New(rand.NewPCG(2, 3))
	letters := "abcabcth e"
	for range 3000 {
		b := make([]byte, 2+r.IntN(120))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		piece := string(b)
		want := naiveMerge(tok, piece)
		if got := tok.bpe.mergeLarge(nil, piece); !slices.Equal(got, want) {
			t.Fatalf("mergeLarge(%q) = %v, want %v", piece, got, want)
		}
		if len(piece) <= smallPiece {
			if got := tok.bpe.mergeSmall(nil, piece); !slices.Equal(got, want) {
				t.Fatalf("mergeSmall(%q) = %v, want %v", piece, got, want)
			}
		}
		for range 2 { // the second comes from the cache
			if got := tok.bpe.appendPiece([]int32{7}, piece); !slices.Equal(got[1:], want) || got[0] != 7 {
				t.Fatalf("appendPiece(%q) = %v, want %v", piece, got, want)
			}
		}
	}
}

// naiveMerge joins, as long as there is one, the leftmost pair of the lowest rank.
func naiveMerge(tok *Tokenizer, piece string) []int32 {
	var ids []int32
	for i := range len(piece) {
		ids = append(ids, tok.bpe.byteID[piece[i]])
	}
	for {
		at, rank := -1, len(tok.bpe.merges)
		for i := 1; i < len(ids); i++ {
			k := slices.Index(tok.bpe.merges, pair{ids[i-1], ids[i]})
			if k >= 0 && k < rank {
				at, rank = i-1, k
			}
		}
		if at < 0 {
			return ids
		}
		raw := tok.raw[ids[at]] + tok.raw[ids[at+1]]
		ids = slices.Replace(ids, at, at+2, tok.whole[raw])
	}
}
