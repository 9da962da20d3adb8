package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// unigram cuts a piece into the tokens whose scores have the greatest sum (Kudo 2018, arXiv 1804.10959), by Viterbi's algorithm, as the
// Hugging Face library does (unigram/model.rs, encode_optimized): float64, the first of equals stays, and a character without a
// token costs 10 more than the worst token has. It takes time in proportion to the text's length, times the longest token's.
type unigram struct {
	nodes    pairTable // node, byte → node; node 0 is the root
	ends     []int32   // node → the token that ends there, or -1
	scores   []float64 // by id
	ids      map[string]int32
	unk      int32   // -1: none; then every character has a token
	unkScore float64 // of a character without a token
	byteID   [256]int32
	fallback bool // what has no token is spelled in tokens of its bytes
	cache    cache
}

// unkPenalty is what a character without a token costs beyond the worst token.
const unkPenalty = 10

// buildUnigram makes the model. Special tokens have no place in it: text never becomes one.
func (t *Tokenizer) buildUnigram(m *modelFile) error {
	u := &unigram{scores: m.scores, ids: t.whole, unk: m.unkID, fallback: m.byteFallback, cache: newCache()}
	t.model, t.unigram = u, u
	switch {
	case t.byteLevel:
		return errors.New("model type Unigram beside pre_tokenizer ByteLevel is not supported")
	case u.unk < 0: // characters without a token would end the library's program
		return errors.New("model type Unigram without unk_id is not supported")
	case int(u.unk) >= len(m.scores):
		return fmt.Errorf("unk_id %d, but the vocabulary has %d tokens", u.unk, len(m.scores))
	}
	for i := range u.byteID {
		u.byteID[i] = -1
		if id, ok := m.vocab[spellByte(byte(i))]; ok {
			u.byteID[i] = id
		}
	}
	u.setUnkScore()
	tokens := make([]string, 0, len(t.whole))
	for token := range t.whole {
		tokens = append(tokens, token)
	}
	slices.Sort(tokens)
	nodes := 1
	for i, token := range tokens {
		shared := 0
		if i > 0 {
			for shared < min(len(token), len(tokens[i-1])) && token[shared] == tokens[i-1][shared] {
				shared++
			}
		}
		nodes += len(token) - shared
	}
	u.nodes, u.ends = newPairTable(nodes), make([]int32, 1, nodes)
	u.ends[0] = -1
	for _, token := range tokens {
		node := int32(0)
		for i := range len(token) {
			to := u.next(node, token[i])
			if to < 0 {
				to = int32(len(u.ends))
				u.ends = append(u.ends, -1)
				u.nodes.set(node, int32(token[i]), 0, to)
			}
			node = to
		}
		u.ends[node] = t.whole[token]
	}
	return nil
}

func (u *unigram) setUnkScore() { u.unkScore = slices.Min(u.scores) - unkPenalty }

// next gives the node behind a byte, or -1.
func (u *unigram) next(node int32, b byte) int32 { return int32(uint32(u.nodes.get(node, int32(b)))) }

func (u *unigram) appendPiece(dst []int32, piece string) []int32 {
	if len(piece) > cachePiece {
		return u.encode(dst, piece)
	}
	slot := u.cache.slot(piece)
	if hit := slot.Load(); hit != nil && hit.piece == piece {
		return append(dst, hit.ids...)
	}
	n := len(dst)
	dst = u.encode(dst, piece)
	slot.Store(newCached(piece, dst[n:]))
	return dst
}

// bestPath is the best way to the end of a part of a piece.
type bestPath struct {
	score float64
	from  int32 // where its last token begins; -1: there is no way yet
	id    int32
}

func (u *unigram) encode(dst []int32, piece string) []int32 {
	best := make([]bestPath, len(piece)+1)
	for i := range best[1:] {
		best[i+1].from = -1
	}
	for i := 0; i < len(piece); {
		here := best[i].score
		_, n := utf8.DecodeRuneInString(piece[i:])
		one := false // a token is this character
		reach := func(end int, score float64, id int32) {
			if p := &best[end]; p.from < 0 || score > p.score {
				*p = bestPath{score, int32(i), id}
			}
		}
		node := int32(0)
		for k := i; k < len(piece); k++ {
			if node = u.next(node, piece[k]); node < 0 {
				break
			}
			if id := u.ends[node]; id >= 0 {
				reach(k+1, u.scores[id]+here, id)
				one = one || k+1 == i+n
			}
		}
		if !one {
			reach(i+n, u.unkScore+here, u.unk)
		}
		i += n
	}
	start := len(dst)
	for end := len(piece); end > 0; {
		p := best[end]
		from := int(p.from)
		for p.id == u.unk && from > 0 && best[from].id == u.unk { // neighbours without a token are one
			from = int(best[from].from)
		}
		dst = u.appendBackwards(dst, piece[from:end], p.id)
		end = from
	}
	slices.Reverse(dst[start:])
	return dst
}

// appendBackwards appends the ids of a part whose best token is id, the last first.
func (u *unigram) appendBackwards(dst []int32, part string, id int32) []int32 {
	if id != u.unk {
		return append(dst, id)
	}
	if known, ok := u.ids[part]; ok {
		return append(dst, known)
	}
	if u.fallback {
		n := len(dst)
		for i := len(part) - 1; i >= 0 && u.byteID[part[i]] >= 0; i-- {
			dst = append(dst, u.byteID[part[i]])
		}
		if len(dst)-n == len(part) {
			return dst
		}
		dst = dst[:n]
	}
	return append(dst, u.unk)
}
