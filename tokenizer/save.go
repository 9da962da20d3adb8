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

	b = append(b, `,"model":{"type":"BPE","dropout":null,"unk_token":`...)
	if t.bpe.unkToken == "" {
		b = append(b, "null"...)
	} else {
		b = appendJSONString(b, t.bpe.unkToken)
	}
	b = append(b, `,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":`...)
	b = strconv.AppendBool(b, t.bpe.fuseUnk)
	b = append(b, `,"byte_fallback":false,"ignore_merges":`...)
	b = strconv.AppendBool(b, t.bpe.ignoreMerges)
	b = append(b, `,"vocab":{`...)
	n, behind := 0, t.firstBehind()
	for id, token := range t.tokens {
		// An added token is in the vocabulary too if a new tokenizer was trained with it (the library's
		// habit for ids below the alphabet's); those behind the vocabulary are not.
		if _, isAdded := t.addID[token]; isAdded && id >= behind {
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
	b = append(b, `]}}`...)
	var out bytes.Buffer
	err := json.Indent(&out, b, "", "  ")
	return out.Bytes(), err
}

// firstBehind is the first id behind the vocabulary proper: all from there on are added tokens.
func (t *Tokenizer) firstBehind() int {
	n := len(t.tokens)
	for n > 0 {
		if _, isAdded := t.addID[t.tokens[n-1]]; !isAdded {
			break
		}
		n--
	}
	return n
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
		b = fmt.Appendf(b, `,"single_word":false,"lstrip":false,"rstrip":false,"normalized":%t,"special":%t}`, a.normalized, a.special)
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
