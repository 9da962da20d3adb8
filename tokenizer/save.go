package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"criticrm/checkpoint/vfs"
)

// Save writes the tokenizer as tokenizer.json, in the form of the Hugging Face library: vocabulary in
// id order, merges as pairs. The file appears complete or not at all.
func (t *Tokenizer) Save(path string) error {
	b, err := t.encodeJSON()
	if err != nil {
		return fmt.Errorf("tokenizer: save %s: %w", path, err)
	}
	root, err := vfs.OpenRoot(filepath.Dir(path))
	if err == nil {
		err = errors.Join(vfs.WriteAtomic(root, filepath.Base(path), b), root.Close())
	}
	if err != nil {
		return fmt.Errorf("tokenizer: save %s: %w", path, err)
	}
	return nil
}

// encodeJSON gives the content of tokenizer.json.
func (t *Tokenizer) encodeJSON() ([]byte, error) {
	b := []byte(`{"version":"1.0"`)
	part := func(key string, raw []byte) {
		if len(raw) == 0 {
			raw = []byte("null")
		}
		b = append(append(append(append(b, `,"`...), key...), `":`...), raw...)
	}
	part("truncation", t.parts.truncation)
	part("padding", t.parts.padding)
	part("added_tokens", t.addedJSON())
	part("normalizer", t.parts.normalizer)
	part("pre_tokenizer", t.parts.preTokenizer)
	part("post_processor", t.parts.postProcessor)
	part("decoder", t.parts.decoder)

	b = append(b, `,"model":`...)
	if t.unigram != nil {
		b = t.appendUnigram(b)
	} else {
		b = t.appendBPE(b)
	}
	b = append(b, '}')
	var out bytes.Buffer
	err := json.Indent(&out, b, "", "  ")
	return out.Bytes(), err
}

// appendBPE appends a model of merges.
func (t *Tokenizer) appendBPE(b []byte) []byte {
	unk := []byte("null")
	if t.bpe.unkToken != "" {
		unk = appendJSONString(nil, t.bpe.unkToken)
	}
	b = fmt.Appendf(b, `{"type":"BPE","dropout":null,"unk_token":%s,"continuing_subword_prefix":null,"end_of_word_suffix":null,`, unk)
	b = fmt.Appendf(b, `"fuse_unk":%t,"byte_fallback":%t,"ignore_merges":%t,"vocab":{`, t.bpe.fuseUnk, t.bpe.fallback, t.bpe.ignoreMerges)
	n := 0
	for id, token := range t.tokens {
		if !t.inVocab[id] {
			continue
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendJSONString(b, token)
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(id), 10)
	}
	b = append(b, `},"merges":[`...)
	for i, p := range t.bpe.merges {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, '['), t.tokens[p.left])
		b = appendJSONString(append(b, ','), t.tokens[p.right])
		b = append(b, ']')
	}
	return append(b, `]}`...)
}

// appendUnigram appends a model of scores.
func (t *Tokenizer) appendUnigram(b []byte) []byte {
	b = fmt.Appendf(b, `{"type":"Unigram","unk_id":%d,"vocab":[`, t.unigram.unk)
	for id, score := range t.unigram.scores {
		if id > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, '['), t.tokens[id])
		b = append(append(append(b, ','), spellScore(score)...), ']')
	}
	return fmt.Appendf(b, `],"byte_fallback":%t}`, t.unigram.fallback)
}

// spellScore spells a score so that serdeFloat reads the same, if any number of digits does.
func spellScore(score float64) string {
	short := strconv.FormatFloat(score, 'g', -1, 64)
	for lit, digits := short, 16; digits <= 19; digits++ {
		if serdeFloat(lit) == score {
			return lit
		}
		lit = strconv.FormatFloat(score, 'e', digits, 64)
	}
	return short
}

func (t *Tokenizer) addedJSON() []byte {
	added := slices.Clone(t.added)
	slices.SortFunc(added, func(a, b addedToken) int { return int(a.id) - int(b.id) })
	b := []byte{'['}
	for i, a := range added {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"id":%d,"content":`, a.id)
		b = appendJSONString(b, a.content)
		b = fmt.Appendf(b, `,"single_word":%t,"lstrip":%t,"rstrip":%t,"normalized":%t,"special":%t}`, a.singleWord, a.lstrip, a.rstrip, a.normalized, a.special)
	}
	return append(b, ']')
}

// appendJSONString quotes s, which is UTF-8, with no more escapes than needed.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
