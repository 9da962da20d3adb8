package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// build checks vocabulary, added tokens and merges against each other and makes the tables.
func (t *Tokenizer) build(m *modelFile) error {
	if err := t.number(m.vocab); err != nil {
		return err
	}
	if err := t.spellOut(m); err != nil {
		return err
	}
	if err := t.findAdded(); err != nil {
		return err
	}
	if m.unigram {
		return t.buildUnigram(m)
	}
	return t.buildBPE(m)
}

// number fills tokens, inVocab, isSpec and addID: every id from 0 up has exactly one token.
func (t *Tokenizer) number(vocab map[string]int32) error {
	size := len(vocab)
	t.addID = make(map[string]int32, len(t.added))
	for _, a := range t.added {
		if _, twice := t.addID[a.content]; twice {
			return fmt.Errorf("token %q appears twice", a.content)
		}
		t.addID[a.content] = a.id
		if id, ok := vocab[a.content]; !ok {
			size++
		} else if id != a.id {
			return fmt.Errorf("token %q has id %d in the vocabulary and %d in added_tokens", a.content, id, a.id)
		}
	}
	t.tokens = make([]string, size)
	t.inVocab = make([]bool, size)
	t.isSpec = make([]bool, size)
	put := func(token string, id int32) error {
		switch {
		case int(id) >= size:
			return fmt.Errorf("token %q: id %d, want less than the number of tokens, %d: the ids have a gap", clip(token), id, size)
		case t.tokens[id] != "" && t.tokens[id] != token:
			a, b := min(t.tokens[id], token), max(t.tokens[id], token) // maps have no order, messages do
			return fmt.Errorf("id %d is used by %q and %q", id, clip(a), clip(b))
		}
		t.tokens[id] = token
		return nil
	}
	var errs []error // the least of all, so that the message does not depend on map order
	for token, id := range vocab {
		if err := put(token, id); err != nil {
			errs = append(errs, err)
		} else {
			t.inVocab[id] = true
		}
	}
	for _, a := range t.added {
		if err := put(a.content, a.id); err != nil {
			errs = append(errs, err)
		} else {
			t.isSpec[a.id] = a.special
		}
	}
	var first error
	for _, err := range errs {
		if first == nil || err.Error() < first.Error() {
			first = err
		}
	}
	return first
}

// spellOut fills raw and whole: what each token stands for.
func (t *Tokenizer) spellOut(m *modelFile) error {
	t.raw = make([]string, len(t.tokens))
	t.whole = make(map[string]int32, len(m.vocab))
	for id, token := range t.tokens {
		raw, ok := token, true
		if t.byteLevel {
			raw, ok = unspell(token)
		}
		_, isAdded := t.addID[token]
		switch {
		case isAdded:
			t.raw[id] = token
		case !ok:
			return fmt.Errorf("token %q (id %d) is not byte-level text", clip(token), id)
		default:
			t.raw[id] = raw
		}
		if t.inVocab[id] && ok && !t.isSpec[id] {
			t.whole[raw] = int32(id)
		}
	}
	return nil
}

// buildBPE makes a model of merges: of bytes, or of characters.
func (t *Tokenizer) buildBPE(m *modelFile) error {
	b := &bpe{ignoreMerges: m.ignoreMerges, unkToken: m.unk, unk: -1, fuseUnk: m.fuseUnk, cache: newCache()}
	t.model, t.bpe = b, b
	if m.ignoreMerges {
		b.whole = t.whole
	}
	if !t.byteLevel {
		b.fallback = m.byteFallback
		b.runes = newRuneTable()
	} else if m.byteFallback {
		return fmt.Errorf("model: byte_fallback beside pre_tokenizer ByteLevel is not supported")
	}
	for i := range b.byteID {
		b.byteID[i] = -1
	}
	for raw, id := range t.whole {
		switch {
		case t.byteLevel && len(raw) == 1:
			b.byteID[raw[0]] = id
		case !t.byteLevel && utf8.RuneCountInString(raw) == 1:
			r, _ := utf8.DecodeRuneInString(raw)
			b.runes.set(r, id)
		case !t.byteLevel && b.fallback:
			if byt, ok := byteToken(raw); ok && raw == spellByte(byt) {
				b.byteID[byt] = id
			}
		}
	}
	if err := t.setUnk(m); err != nil {
		return err
	}
	if err := t.setMerges(m); err != nil {
		return err
	}
	b.direct = t.byteLevel && !b.gaps
	if joined := t.joined(); joined != nil {
		t.model = &words{b, joined}
	}
	return nil
}

// setUnk says what becomes of text that has no token: as in the library the unk_token, or nothing.
func (t *Tokenizer) setUnk(m *modelFile) error {
	b := t.bpe
	for c, id := range b.byteID {
		if id >= 0 {
			continue
		}
		// Published vocabularies lack bytes that their training texts never had. One that lacks letters is of another kind.
		if t.byteLevel && (c >= ' ' && c <= '~' || c == '\n' || c == '\t') {
			return fmt.Errorf("byte 0x%02X has no token (%q)", c, string(byteRune(byte(c))))
		}
		b.gaps = true
	}
	if m.unk == "" || !b.gaps {
		return nil
	}
	id, ok := m.vocab[m.unk]
	if !ok {
		return fmt.Errorf("unk_token %q is not in the vocabulary", clip(m.unk))
	}
	b.unk = id
	return nil
}

// setMerges fills the merge table.
func (t *Tokenizer) setMerges(m *modelFile) error {
	t.bpe.pairs = newPairTable(len(m.merges))
	t.bpe.merges = make([]pair, len(m.merges))
	for i, p := range m.merges {
		var ids [3]int32
		for k, token := range []string{p[0], p[1], p[0] + p[1]} {
			id, ok := m.vocab[token]
			if !ok {
				return fmt.Errorf("merges[%d]: %q is not in the vocabulary", i, clip(token))
			}
			if t.isSpec[id] {
				return fmt.Errorf("merges[%d]: %q is a special token", i, clip(token))
			}
			ids[k] = id
		}
		t.bpe.merges[i] = pair{ids[0], ids[1]}
		t.bpe.pairs.set(ids[0], ids[1], i, ids[2])
	}
	return nil
}
