package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// Load reads a tokenizer.json, or the one in a model directory.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	} else if info.IsDir() {
		dir := path
		path = filepath.Join(dir, File)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(filepath.Join(dir, "tokenizer.model")); err == nil {
				return nil, fmt.Errorf("tokenizer: %s: tokenizer.json is missing; tokenizer.model (SentencePiece) is not supported", dir)
			}
			return nil, fmt.Errorf("tokenizer: %s: tokenizer.json is missing", dir)
		}
	}
	b, err := safefile.Read(path, MaxTokenizerFile)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the content of a tokenizer.json. Its errors begin with "tokenizer.json: ".
func Parse(b []byte) (*Tokenizer, error) {
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

// fileParts are the parts of tokenizer.json that Save writes back as they were.
type fileParts struct {
	truncation, padding, normalizer, preTokenizer, postProcessor, decoder []byte
}

// model is the "model" object before it is checked.
type model struct {
	typ          string
	vocab        map[string]int32
	merges       [][2]string
	ignoreMerges bool
	unk          string // "": bytes without a token are left out
	fuseUnk      bool   // neighbours without a token are one unk
}

// parse reads and checks a tokenizer.json.
func parse(b []byte) (*Tokenizer, error) {
	t := &Tokenizer{bos: -1}
	var m *model
	err := readJSON(b, MaxTokenizerFile, func(r *strictjson.Reader, key string) (err error) {
		part := map[string]struct {
			raw   *[]byte
			check func(any) error
		}{
			"truncation":     {&t.parts.truncation, nil}, // length is the business of the caller
			"padding":        {&t.parts.padding, nil},
			"normalizer":     {&t.parts.normalizer, t.setNormalizer},
			"pre_tokenizer":  {&t.parts.preTokenizer, t.setPreTokenizer},
			"post_processor": {&t.parts.postProcessor, nil},
			"decoder":        {&t.parts.decoder, checkDecoder},
		}[key]
		switch {
		case key == "model":
			m, err = readModel(r)
		case key == "added_tokens":
			err = t.readAdded(r)
		case part.raw != nil:
			*part.raw, err = r.Raw()
			if err == nil && part.check != nil {
				err = part.check(value(*part.raw))
			}
		default:
			err = r.Skip() // "version", and what may come later
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, errors.New(`"model" is missing`)
	case len(t.cuts) == 0:
		return nil, errors.New(`pre_tokenizer is missing: want ByteLevel, or Split and ByteLevel`)
	}
	if err := t.build(m); err != nil {
		return nil, err
	}
	t.setBOS(value(t.parts.postProcessor))
	return t, nil
}

// readJSON runs read over b, which has to be one JSON object and nothing else.
func readJSON(b []byte, limit int, each func(r *strictjson.Reader, key string) error) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, limit %d", len(b), limit)
	}
	err := strictjson.Read(b, func(r *strictjson.Reader) error {
		return r.Object(func(key string) error { return each(r, key) })
	})
	var je *strictjson.Error
	if errors.As(err, &je) && je.Code == strictjson.Trailing {
		return fmt.Errorf("trailing bytes at byte %d", je.At)
	}
	return err
}

// value is what b says, which was read once before; nil for nothing.
func value(b []byte) (v any) {
	strictjson.Read(b, func(r *strictjson.Reader) (err error) { v, err = r.Value(); return err })
	return v
}

// readModel reads the "model" object.
func readModel(r *strictjson.Reader) (*model, error) {
	m := &model{typ: "BPE"} // files of old versions have no type
	err := r.Object(func(key string) (err error) {
		switch key {
		case "type":
			m.typ, err = r.String()
			if err == nil && m.typ != "BPE" {
				err = fmt.Errorf("model type %q is not supported, want \"BPE\"", m.typ)
			}
		case "vocab":
			if r.Kind() == "array" {
				return errors.New(`model type "Unigram" is not supported, want "BPE"`)
			}
			m.vocab, err = readVocab(r)
		case "merges":
			m.merges, err = readMerges(r)
		case "ignore_merges":
			m.ignoreMerges, err = r.Bool()
		case "unk_token":
			if r.Kind() == "null" {
				return r.Skip()
			}
			m.unk, err = r.String()
		case "fuse_unk":
			m.fuseUnk, err = r.Bool()
		default:
			var v any
			v, err = r.Value()
			n, _ := v.(json.Number)
			x, notNumber := n.Float64()
			if off := v == nil || v == false || v == "" || notNumber == nil && x == 0; err == nil && !off {
				err = fmt.Errorf("model: %s is not supported", key)
			}
		}
		return err
	})
	return m, err
}

func readVocab(r *strictjson.Reader) (map[string]int32, error) {
	vocab := map[string]int32{}
	err := r.Entries(func(token string) error {
		if len(vocab) >= maxVocab {
			return fmt.Errorf("vocabulary has more than %d tokens", maxVocab)
		}
		lit, err := r.Number()
		if err != nil {
			return err
		}
		id, err := strconv.ParseInt(string(lit), 10, 64)
		switch _, twice := vocab[token]; {
		case err != nil:
			return fmt.Errorf("token %q: got %s, want an integer", clip(token), clip(string(lit)))
		case twice:
			return fmt.Errorf("token %q appears twice", clip(token))
		case token == "":
			return errors.New("a token is empty")
		case len(token) > maxToken:
			return fmt.Errorf("token %q has %d bytes, limit %d", clip(token), len(token), maxToken)
		case id < 0 || id >= maxVocab:
			return fmt.Errorf("token %q: id %d, want 0 to %d", clip(token), id, maxVocab-1)
		}
		vocab[token] = int32(id)
		return nil
	})
	return vocab, err
}

// readMerges reads pairs ["a", "b"] or, as older files have them, strings "a b".
func readMerges(r *strictjson.Reader) ([][2]string, error) {
	var merges [][2]string
	err := r.Array(func(i int) error {
		if i >= maxMerges {
			return fmt.Errorf("more than %d merges", maxMerges)
		}
		var p [2]string
		if r.Kind() == "string" {
			s, err := r.String()
			if err != nil {
				return err
			}
			var ok bool
			if p[0], p[1], ok = strings.Cut(s, " "); !ok || strings.Contains(p[1], " ") {
				return fmt.Errorf("merges[%d]: %q is not two tokens with a space between", i, clip(s))
			}
			merges = append(merges, p)
			return nil
		}
		n := 0
		err := r.Array(func(k int) (err error) {
			n++
			if k > 1 {
				return fmt.Errorf("merges[%d]: more than two tokens", i)
			}
			p[k], err = r.String()
			return err
		})
		if err == nil && n != 2 {
			err = fmt.Errorf("merges[%d]: %d tokens, want two", i, n)
		}
		merges = append(merges, p)
		return err
	})
	return merges, err
}

// tokenFlags change how text around an added token is read.
var tokenFlags = []string{"lstrip", "rstrip", "single_word"}

// readAdded reads "added_tokens".
func (t *Tokenizer) readAdded(r *strictjson.Reader) error {
	text := 0
	return r.Array(func(i int) error {
		if i >= maxAdded {
			return fmt.Errorf("more than %d added tokens", maxAdded)
		}
		v, err := r.Value()
		if err != nil {
			return err
		}
		m, _ := v.(map[string]any)
		content, _ := m["content"].(string)
		lit, _ := m["id"].(json.Number)
		id, err := lit.Int64()
		switch {
		case content == "" || err != nil:
			return fmt.Errorf("added_tokens[%d]: want an id and a content", i)
		case len(content) > maxToken:
			return fmt.Errorf("token %q has %d bytes, limit %d", clip(content), len(content), maxToken)
		case id < 0 || id >= maxVocab:
			return fmt.Errorf("token %q: id %d, want 0 to %d", clip(content), id, maxVocab-1)
		}
		if text += len(content); text > maxAddedText {
			return fmt.Errorf("added tokens have more than %d bytes of text", maxAddedText)
		}
		for _, flag := range tokenFlags {
			if on, _ := m[flag].(bool); on {
				return fmt.Errorf("added token %q: %s is not supported", content, flag)
			}
		}
		a := addedToken{id: int32(id), content: content}
		a.special, _ = m["special"].(bool)
		a.normalized, _ = m["normalized"].(bool)
		t.added = append(t.added, a)
		return nil
	})
}

// build checks vocabulary, added tokens and merges against each other and makes the tables.
func (t *Tokenizer) build(m *model) error {
	if err := t.number(m.vocab); err != nil {
		return err
	}
	t.raw = make([]string, len(t.tokens))
	t.whole = make(map[string]int32, len(m.vocab))
	for i := range t.bpe.byteID {
		t.bpe.byteID[i] = -1
	}
	for id, token := range t.tokens {
		_, inVocab := m.vocab[token]
		_, isAdded := t.addID[token]
		raw, ok := unspell(token)
		switch {
		case isAdded:
			t.raw[id] = token
		case !ok:
			return fmt.Errorf("token %q (id %d) is not byte-level text", clip(token), id)
		default:
			t.raw[id] = raw
		}
		if inVocab && ok && !t.isSpec[id] {
			t.whole[raw] = int32(id)
			if len(raw) == 1 {
				t.bpe.byteID[raw[0]] = int32(id)
			}
		}
	}
	if err := t.setUnk(m); err != nil {
		return err
	}
	t.bpe.ignoreMerges = m.ignoreMerges
	if m.ignoreMerges {
		t.bpe.whole = t.whole
	}
	t.bpe.seed = maphash.MakeSeed() // places in the cache only; no id depends on it
	t.bpe.cache = make([]atomic.Pointer[cached], cacheSlots)
	return t.setMerges(m)
}

// setUnk says what becomes of bytes that have no token: as in the library an unk_token, or nothing.
func (t *Tokenizer) setUnk(m *model) error {
	t.bpe.unkToken, t.bpe.unk, t.bpe.fuseUnk = m.unk, -1, m.fuseUnk
	for b, id := range t.bpe.byteID {
		if id >= 0 {
			continue
		}
		// Published vocabularies lack bytes that their training texts never had. One that lacks letters is of another kind.
		if b >= ' ' && b <= '~' || b == '\n' || b == '\t' {
			return fmt.Errorf("byte 0x%02X has no token (%q)", b, string(byteRune(byte(b))))
		}
		t.bpe.gaps = true
	}
	if m.unk == "" || !t.bpe.gaps {
		return nil
	}
	id, ok := m.vocab[m.unk]
	if !ok {
		return fmt.Errorf("unk_token %q is not in the vocabulary", clip(m.unk))
	}
	t.bpe.unk = id
	return nil
}

// number fills tokens, isSpec, addID and match: every id from 0 up has exactly one token.
func (t *Tokenizer) number(vocab map[string]int32) error {
	size := len(vocab)
	t.addID = make(map[string]int32, len(t.added))
	t.match = newTrie()
	for i, a := range t.added {
		if _, twice := t.addID[a.content]; twice {
			return fmt.Errorf("token %q appears twice", a.content)
		}
		t.addID[a.content] = a.id
		t.match.add(a.content, i)
		if id, ok := vocab[a.content]; !ok {
			size++
		} else if id != a.id {
			return fmt.Errorf("token %q has id %d in the vocabulary and %d in added_tokens", a.content, id, a.id)
		}
	}
	t.tokens = make([]string, size)
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

// setMerges fills the merge table.
func (t *Tokenizer) setMerges(m *model) error {
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

// clip shortens a token for a message.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:60], "") + " …"
	}
	return s
}
