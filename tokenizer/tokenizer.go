package tokenizer

import "strings"

// Tokenizer turns text into ids and back. Make one with Load, Parse or Train.
type Tokenizer struct {
	tokens  []string         // id → spelling in tokenizer.json ("Ġthe", "▁the", "<|eot_id|>")
	raw     []string         // id → the text or bytes it stands for (" the", "▁the", "<|eot_id|>")
	whole   map[string]int32 // raw → id, without the special tokens
	inVocab []bool           // id → it is in the model's vocabulary
	added   []addedToken     // in the order of the file
	addID   map[string]int32 // content → id of the added tokens
	isSpec  []bool           // id → special

	match, matchNormal *trie // the added tokens that are compared with the text, and with the normalized text; values are indices of added
	open               bool  // some added tokens are no control tokens
	normalizers        []normalizer
	steps              []step // the pre-tokenizer
	byteLevel          bool   // the model sees bytes
	model              pieceModel
	bpe                *bpe      // the model, or nil
	unigram            *unigram  // the model, or nil
	decoders           []decoder // not of byte-level tokenizers
	bos                int32     // what the post-processor puts in front, or -1
	converted          bool      // made of a tokenizer.model
	parts              fileParts
}

// pieceModel appends the ids of a piece, which is not empty.
type pieceModel interface {
	appendPiece(dst []int32, piece string) []int32
}

// Encode gives the ids of text. Control tokens spelled in text are plain text (special tokens, and what is spelled as <|name|>), and
// nothing is put in front (see BOS). Any string is accepted; bytes that are not UTF-8 are kept as they are by a byte-level
// tokenizer, except that one with NFC normalizes the text first.
func (t *Tokenizer) Encode(text string) []int32 { return t.AppendEncode(nil, text) }

// AppendEncode appends the ids of text to dst, as Encode gives them.
func (t *Tokenizer) AppendEncode(dst []int32, text string) []int32 {
	if dst == nil && len(text) > 0 {
		dst = make([]int32, 0, len(text)/3+4)
	}
	if !t.open {
		normal, starts := t.normalize(text)
		return appendPieces(t.model, dst, normal, t.steps, starts)
	}
	return t.appendAdded(dst, text, t.pickOpen(t.match), func(string, int, string) picker { return t.pickOpen(t.matchNormal) })
}

// EncodeSpecial is Encode where added tokens spelled in text are those tokens. For text that the
// program or a template wrote, never for text of a user.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	return t.appendAdded(nil, text, pickAny(t.match), func(string, int, string) picker { return pickAny(t.matchNormal) })
}

// appendAdded appends the ids of text, of which pick takes added tokens, and pickNormal in what lies between: it is made for a part of
// text, the place where that begins, and the part normalized.
func (t *Tokenizer) appendAdded(dst []int32, text string, pick picker, pickNormal func(part string, at int, normal string) picker) []int32 {
	token := func(n int) { dst = append(dst, t.added[n].id) }
	t.cutAdded(text, t.match, pick, func(from, to int) {
		normal, starts := t.normalize(text[from:to])
		starts = starts && from == 0
		if t.matchNormal.empty() {
			dst = appendPieces(t.model, dst, normal, t.steps, starts)
			return
		}
		t.cutAdded(normal, t.matchNormal, pickNormal(text[from:to], from, normal), func(i, j int) {
			dst = appendPieces(t.model, dst, normal[i:j], t.steps, starts && i == 0)
		}, token)
	}, token)
	return dst
}

// Decode gives the text of ids, special tokens spelled out. Ids outside the vocabulary are left out. Of a byte-level tokenizer it is
// byte for byte what was encoded; of others what their decoder makes of it, which takes off the space that encoding puts
// in front, and writes U+FFFD for bytes that are not UTF-8.
func (t *Tokenizer) Decode(ids []int32) string { return t.decode(ids, true) }

// DecodeText is Decode without the special tokens.
func (t *Tokenizer) DecodeText(ids []int32) string { return t.decode(ids, false) }

func (t *Tokenizer) decode(ids []int32, special bool) string {
	counts := func(id int32) bool {
		return id >= 0 && int(id) < len(t.raw) && (special || !t.isSpec[id])
	}
	if t.byteLevel {
		var b strings.Builder
		for _, id := range ids {
			if counts(id) {
				b.WriteString(t.raw[id])
			}
		}
		return b.String()
	}
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		if counts(id) {
			texts = append(texts, t.raw[id])
		}
	}
	if len(t.decoders) == 0 {
		return strings.Join(texts, " ")
	}
	for _, d := range t.decoders {
		texts = d(texts)
	}
	return strings.Join(texts, "")
}

// ID gives the id of a token as tokenizer.json spells it ("Ġthe", "▁the", "<|eot_id|>").
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.addID[token]; ok {
		return id, true
	}
	if t.byteLevel {
		var ok bool
		if token, ok = unspell(token); !ok {
			return 0, false
		}
	}
	id, ok := t.whole[token]
	return id, ok
}

// Token gives the spelling of id in tokenizer.json, "" outside the vocabulary.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// VocabSize is the number of tokens, added ones included: ids are 0 … VocabSize-1.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// IsSpecial says whether id is a token marked as special.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.isSpec) && t.isSpec[id]
}

// BOS is the token that the post-processor of tokenizer.json puts in front of a text, if it has one.
// Encode does not add it.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// Pieces gives what normalizer and pre-tokenizer make of text: the parts that the model never looks across.
func (t *Tokenizer) Pieces(text string) []string {
	pieces := collector{}
	normal, starts := t.normalize(text)
	appendPieces(&pieces, nil, normal, t.steps, starts)
	return pieces
}

// collector is a model that keeps the pieces.
type collector []string

func (c *collector) appendPiece(dst []int32, piece string) []int32 {
	*c = append(*c, piece)
	return dst
}
