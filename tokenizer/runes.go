package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Byte-pair encoding of characters, as converted SentencePiece models have it: merging starts from the tokens of single characters;
// what has none is spelled in the tokens of its bytes, or is unknown.

const wordStart = '▁' // what SentencePiece makes of spaces

// runeTable maps characters to ids.
type runeTable struct {
	low  [0x10000]int32 // id + 1
	high map[rune]int32
}

func newRuneTable() *runeTable { return &runeTable{high: map[rune]int32{}} }

func (t *runeTable) set(r rune, id int32) {
	if r < 0x10000 {
		t.low[r] = id + 1
	} else {
		t.high[r] = id + 1
	}
}

// get gives an id, or -1.
func (t *runeTable) get(r rune) int32 {
	if r < 0x10000 {
		return t.low[r] - 1
	}
	return t.high[r] - 1
}

// spellByte is the token of a byte as SentencePiece names it.
func spellByte(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// runeSymbols appends the ids of a piece's characters, which merging starts from.
func (b *bpe) runeSymbols(dst []int32, piece string) []int32 {
	pending := false // an unknown token, not appended yet
	for i := 0; i < len(piece); {
		r, n := utf8.DecodeRuneInString(piece[i:])
		id := b.runes.get(r)
		if r == utf8.RuneError && n == 1 {
			id = -1
		}
		switch {
		case id >= 0:
			if pending {
				dst, pending = append(dst, b.unk), false
			}
			dst = append(dst, id)
		case b.fallback && b.spelled(piece[i:i+n]): // in front of what is pending: the library's order
			for k := range n {
				dst = append(dst, b.byteID[piece[i+k]])
			}
		case b.unk >= 0:
			if pending && !b.fuseUnk {
				dst = append(dst, b.unk)
			}
			pending = true
		}
		i += n
	}
	if pending {
		dst = append(dst, b.unk)
	}
	return dst
}

// spelled says whether all bytes of s have tokens.
func (b *bpe) spelled(s string) bool {
	for i := range len(s) {
		if b.byteID[s[i]] < 0 {
			return false
		}
	}
	return true
}

// words is a model of characters whose pieces are cut in front of a ▁ where that changes no ids: most texts of such tokenizers are one
// piece, and words are what the cache knows.
type words struct {
	*bpe
	joined map[rune]bool // characters behind which a ▁ does not start anew
}

// joined gives the characters that some token has in front of a ▁: behind all others no merge leads across that place. It is nil where
// that is not the whole truth.
func (t *Tokenizer) joined() map[rune]bool {
	b := t.bpe
	if b.runes == nil || b.ignoreMerges || b.runes.get(wordStart) < 0 { // a whole piece may be a token; ▁ may be unknown
		return nil
	}
	joined := map[rune]bool{wordStart: true}
	for _, p := range b.merges {
		for _, id := range []int32{p.left, p.right} {
			if _, ok := byteToken(t.tokens[id]); ok || id == b.unk { // it stands for other text than its own
				return nil
			}
		}
		token := t.tokens[p.left] + t.tokens[p.right]
		for i, r := range token {
			if r == wordStart && i > 0 {
				before, _ := utf8.DecodeLastRuneInString(token[:i])
				joined[before] = true
			}
		}
	}
	return joined
}

func (w *words) appendPiece(dst []int32, piece string) []int32 {
	for i := 0; i < len(piece); {
		j := w.next(piece, i)
		dst = w.bpe.appendPiece(dst, piece[i:j])
		i = j
	}
	return dst
}

// next gives the end of the part of piece that starts at i and can be encoded by itself. Unknown characters may be one token together.
func (w *words) next(piece string, i int) int {
	const mark = string(wordStart)
	for {
		_, n := utf8.DecodeRuneInString(piece[i:])
		k := strings.Index(piece[i+n:], mark)
		if k < 0 {
			return len(piece)
		}
		i += n + k
		before, n := utf8.DecodeLastRuneInString(piece[:i])
		if known := w.runes.get(before) >= 0 && (before != utf8.RuneError || n > 1); known && !w.joined[before] {
			return i
		}
	}
}
