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

// setWordStarts finds out where a text without pre-tokenizer can be cut in front of a ▁ without a change of its ids, so that most
// pieces are words, which the cache knows: where no token has the character before it and ▁ side by side, for no merge
// leads across that place.
func (t *Tokenizer) setWordStarts() {
	b := t.bpe
	b.joined = map[rune]bool{wordStart: true}
	for _, p := range b.merges {
		left, right := t.tokens[p.left], t.tokens[p.right]
		for _, token := range []string{left, right} {
			if _, ok := byteToken(token); ok || p.left == b.unk || p.right == b.unk {
				b.joined = nil // tokens that are not spelled as their text: no cuts
				return
			}
		}
		token := left + right
		for i, r := range token {
			if r == wordStart && i > 0 {
				before, _ := utf8.DecodeLastRuneInString(token[:i])
				b.joined[before] = true
			}
		}
	}
	for _, token := range t.tokens { // and no whole that ignore_merges finds
		if b.ignoreMerges && strings.ContainsRune(token, wordStart) {
			b.joined = nil
			return
		}
	}
}

// nextWord gives the end of the part of piece that starts at i and can be encoded by itself.
func (b *bpe) nextWord(piece string, i int) int {
	if b.joined == nil {
		return len(piece)
	}
	const mark = string(wordStart)
	for {
		_, n := utf8.DecodeRuneInString(piece[i:])
		k := strings.Index(piece[i+n:], mark)
		if k < 0 {
			return len(piece)
		}
		i += n + k
		before, n := utf8.DecodeLastRuneInString(piece[:i])
		if known := b.runes.get(before) >= 0 && (before != utf8.RuneError || n > 1); known && !b.joined[before] && b.runes.get(wordStart) >= 0 {
			return i
		}
	}
}
