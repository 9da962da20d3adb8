package tokenizer

import "strings"

// Tokenizer is a byte-level BPE tokenizer. Make one with Load, Parse or Train.
type Tokenizer struct {
	tokens []string         // id → spelling in tokenizer.json ("Ġthe", "<|eot_id|>")
	raw    []string         // id → the bytes it stands for (" the", "<|eot_id|>")
	whole  map[string]int32 // bytes → id, without the special tokens
	added  []addedToken     // in the order of the file
	addID  map[string]int32 // content → id of the added tokens
	isSpec []bool           // id → special

	bpe   bpe
	cuts  []cutter // the pre-tokenizer: each cuts the pieces of the one before
	match *trie    // the added tokens, pattern index = index into added
	nfc   bool     // NFC before splitting
	bos   int32    // what the post-processor puts in front, or -1
	parts fileParts
}

// addedToken is one entry of "added_tokens".
type addedToken struct {
	id         int32
	content    string
	special    bool
	normalized bool
}

// Encode gives the ids of text. Special tokens spelled in text are plain text, and nothing is
// put in front (see BOS). Any string is accepted; bytes that are not UTF-8 are kept as they are,
// except that a tokenizer with NFC normalizes the text first.
func (t *Tokenizer) Encode(text string) []int32 { return t.AppendEncode(nil, text) }

// AppendEncode appends the ids of text to dst, as Encode gives them.
func (t *Tokenizer) AppendEncode(dst []int32, text string) []int32 {
	if t.nfc {
		text = nfcString(text)
	}
	if dst == nil && len(text) > 0 {
		dst = make([]int32, 0, len(text)/3+4)
	}
	return t.appendPieces(dst, text, t.cuts)
}

// appendPieces appends the ids of text, which is cut by cuts.
func (t *Tokenizer) appendPieces(dst []int32, text string, cuts []cutter) []int32 {
	for i := 0; i < len(text); {
		j := cuts[0](text, i)
		if len(cuts) == 1 {
			dst = t.bpe.appendPiece(dst, text[i:j])
		} else {
			dst = t.appendPieces(dst, text[i:j], cuts[1:])
		}
		i = j
	}
	return dst
}

// EncodeSpecial is Encode where added tokens spelled in text are those tokens. For text that the
// program or a template wrote, never for text of a user.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	var dst []int32
	for {
		n, i, j := t.match.find(text)
		if n < 0 {
			return t.AppendEncode(dst, text)
		}
		dst = append(t.AppendEncode(dst, text[:i]), t.added[n].id)
		text = text[j:]
	}
}

// Decode gives the text of ids, special tokens spelled out. Ids outside the vocabulary are left out.
func (t *Tokenizer) Decode(ids []int32) string { return t.decode(ids, true) }

// DecodeText is Decode without the special tokens.
func (t *Tokenizer) DecodeText(ids []int32) string { return t.decode(ids, false) }

func (t *Tokenizer) decode(ids []int32, special bool) string {
	var b strings.Builder
	for _, id := range ids {
		if id >= 0 && int(id) < len(t.raw) && (special || !t.isSpec[id]) {
			b.WriteString(t.raw[id])
		}
	}
	return b.String()
}

// ID gives the id of a token as tokenizer.json spells it ("Ġthe", "<|eot_id|>").
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.addID[token]; ok {
		return id, true
	}
	raw, ok := unspell(token)
	if !ok {
		return 0, false
	}
	id, ok := t.whole[raw]
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

// Pieces gives what the pre-tokenizer makes of text: the parts that BPE never merges across.
func (t *Tokenizer) Pieces(text string) []string {
	if t.nfc {
		text = nfcString(text)
	}
	pieces := []string{text}
	for _, cut := range t.cuts {
		var parts []string
		for _, p := range pieces {
			parts = appendCuts(parts, p, cut)
		}
		pieces = parts
	}
	return pieces
}
