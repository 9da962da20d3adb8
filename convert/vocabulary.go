package convert

// The tokenizer of a model directory as metadata of a GGUF file: the way back of tokenizer.go.

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"criticrm/gguf"
	"criticrm/model"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// writeTokenizer adds the tokens of a directory to the metadata. rows is how many the model has embeddings for.
func (w *writing) writeTokenizer(dir string, rows int64) error {
	file, err := readObject(filepath.Join(dir, tokenizer.File), tokenizer.MaxTokenizerFile)
	if err != nil {
		return err
	}
	tok, err := tokenizer.Load(dir) // checks it; what it refuses is not written
	if err != nil {
		return err
	}
	special, err := tokenizer.LoadSpecial(dir, tok)
	if err != nil {
		return err
	}
	chat, err := tokenizer.LoadChat(dir, tok, tokenizer.ChatOptions{})
	if err != nil && !errors.Is(err, tokenizer.ErrNoTemplate) {
		return err
	}
	v, kind, prefix, err := readVocabulary(file, tok, rows)
	if err == nil {
		err = file.err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, tokenizer.File), err)
	}
	add := func(name string, value gguf.Value) {
		w.meta = append(w.meta, gguf.Pair{Key: "tokenizer." + name, Value: value})
	}
	types := make([]int32, len(v.kinds))
	for i, k := range v.kinds {
		types[i] = int32(k)
	}
	if v.spm {
		add("ggml.model", "llama")
		add("ggml.pre", "default")
		add("ggml.add_space_prefix", prefix)
	} else {
		add("ggml.model", "gpt2")
		add("ggml.pre", kind)
	}
	add("ggml.tokens", v.tokens)
	add("ggml.token_type", types)
	if v.spm {
		add("ggml.scores", v.scores)
	} else {
		add("ggml.merges", v.merges)
	}
	for _, names := range [][2]string{{"bos", "bos_token"}, {"eos", "eos_token"}, {"unknown", "unk_token"}, {"padding", "pad_token"}} {
		if id, ok := special.ID(tok, names[1]); ok {
			add("ggml."+names[0]+"_token_id", uint32(id))
		}
	}
	w.addEnds(dir, tok, &special, add)
	bos, eos := around(file)
	add("ggml.add_bos_token", bos)
	add("ggml.add_eos_token", eos)
	if chat != nil {
		add("chat_template", chat.Source())
	}
	return w.config.err
}

// addEnds names an end of text beside eos_token: GGUF has a place for one.
func (w *writing) addEnds(dir string, tok *tokenizer.Tokenizer, special *tokenizer.Special, add func(string, gguf.Value)) {
	eos, hasEOS := special.ID(tok, "eos_token")
	ends := w.config.idsOf("eos_token_id")
	if g, err := readObject(filepath.Join(dir, model.GenerationFile), maxJSON); err == nil {
		ends = append(g.idsOf("eos_token_id"), ends...)
	}
	for _, id := range ends {
		switch {
		case !hasEOS:
			add("ggml.eos_token_id", uint32(id))
			eos, hasEOS = int32(id), true
		case id != int64(eos):
			add("ggml.eot_token_id", uint32(id))
			return
		}
	}
}

// readVocabulary reads tokenizer.json: the tokens, the name of how texts are cut, and whether a text gets a space in front.
func readVocabulary(file *object, tok *tokenizer.Tokenizer, rows int64) (v *vocab, kind string, prefix bool, err error) {
	m := file.object("model")
	if m == nil {
		return nil, "", false, errors.New("\"model\" is missing")
	}
	v = &vocab{spm: m.flag("byte_fallback")}
	if v.spm {
		prefix, err = spacePrefix(file.m["normalizer"], file.m["pre_tokenizer"])
	} else {
		kind, err = preOf(file.m["pre_tokenizer"], m.flag("ignore_merges"))
	}
	if err != nil {
		return nil, "", false, err
	}
	n := tok.VocabSize()
	if int64(n) > rows {
		return nil, "", false, fmt.Errorf("%d tokens, but embeddings of %d", n, rows)
	}
	unk := m.text("unk_token")
	for id := range int32(n) {
		t := tok.Token(id)
		v.tokens = append(v.tokens, t)
		k := int64(tokenNormal)
		switch {
		case tok.IsSpecial(id):
			k = tokenControl
		case v.spm && len(t) == 6 && t[:3] == "<0x" && t[5] == '>':
			k = tokenByte
		}
		if v.spm && unk != "" && t == unk {
			k = tokenUnknown
		}
		v.kinds = append(v.kinds, k)
	}
	for _, a := range file.list("added_tokens") {
		a, _ := a.(map[string]any)
		if id, ok := tok.ID(fmt.Sprint(a["content"])); ok && a["special"] != true {
			v.kinds[id] = tokenUser
		}
	}
	for id := int64(n); id < rows; id++ {
		v.tokens, v.kinds = append(v.tokens, fmt.Sprintf("[PAD%d]", id)), append(v.kinds, tokenUnused)
	}
	if v.merges, err = mergesOf(m); err == nil && v.spm {
		err = v.scoresOfMerges()
	}
	return v, kind, prefix, err
}

// mergesOf reads the merges as strings, each two tokens with a space between.
func mergesOf(o *object) ([]string, error) {
	var merges []string
	for i, m := range o.list("merges") {
		switch x := m.(type) {
		case string:
			merges = append(merges, x)
		case []any:
			if len(x) != 2 {
				return nil, fmt.Errorf("merges[%d] has %d tokens, want 2", i, len(x))
			}
			merges = append(merges, fmt.Sprintf("%v %v", x[0], x[1]))
		}
	}
	return merges, nil
}

// scoresOfMerges gives each token the score that has SentencePiece merge as the merges say: minus the place of the first that makes it. It is
// an error where no scores do.
func (v *vocab) scoresOfMerges() error {
	rank := map[string]int{}
	last := ""
	for i, m := range v.merges {
		whole := joined(m)
		if _, twice := rank[whole]; !twice {
			rank[whole] = i
		} else if last != whole {
			return fmt.Errorf("merge %d makes %q, as an earlier one does: such an order cannot be written as scores", i, whole)
		}
		last = whole
	}
	v.scores = make([]float32, len(v.tokens))
	for id, t := range v.tokens {
		v.scores[id] = -float32(len(v.merges))
		if i, ok := rank[t]; ok {
			v.scores[id] = -float32(i)
		}
		if v.kinds[id] != tokenNormal {
			v.scores[id] = -1000
		}
	}
	if n := len(v.mergesOfScores()); n != len(v.merges) {
		return fmt.Errorf("%d merges, but scores would make %d of these tokens", len(v.merges), n)
	}
	if len(v.merges) > 1<<24 {
		return fmt.Errorf("%d merges cannot be told apart as scores", len(v.merges))
	}
	return nil
}

func joined(merge string) string {
	for i := range merge {
		if merge[i] == ' ' {
			return merge[:i] + merge[i+1:]
		}
	}
	return merge
}

// preOf finds the name of a byte-level pre_tokenizer.
func preOf(part any, ignoreMerges bool) (string, error) {
	text := string(jsonText(normal(part)))
	for _, name := range []string{"gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "tekken", "gpt-4o", "deepseek-v3"} {
		if p := pres[name]; p.ignoreMerges == ignoreMerges && string(jsonText(normal(again(p.preTokenizer())))) == text {
			return name, nil
		}
	}
	return "", fmt.Errorf("pre_tokenizer, with ignore_merges %v: llama.cpp has no name for this one: %.200s", ignoreMerges, text)
}

// again is a value as it is after it was written and read.
func again(v any) (out any) {
	if err := strictjson.Read(jsonText(v), func(r *strictjson.Reader) (err error) { out, err = r.Value(); return err }); err != nil {
		panic("convert: JSON of our own cannot be read")
	}
	return out
}

// normal brings the spellings of one pre_tokenizer to one: a sequence of parts, with what is left out put in, and without what changes nothing.
func normal(part any) any {
	m, _ := part.(map[string]any)
	list := []any{part}
	if m["type"] == "Sequence" {
		list, _ = m["pretokenizers"].([]any)
	}
	var out []any
	for _, p := range list {
		m, _ := p.(map[string]any)
		if m["type"] == "ByteLevel" {
			p = map[string]any{"type": "ByteLevel", "add_prefix_space": m["add_prefix_space"] == true, "use_regex": m["use_regex"] != false}
		}
		out = append(out, p)
	}
	return out
}

// spacePrefix says whether SentencePiece's way of a tokenizer.json puts a space in front of a text.
func spacePrefix(normalizer, pre any) (bool, error) {
	kinds := func(v any, of string) (types []string) {
		m, _ := v.(map[string]any)
		list, ok := m[of].([]any)
		if !ok {
			list = []any{v}
		}
		for _, v := range list {
			if m, ok := v.(map[string]any); ok {
				types = append(types, fmt.Sprint(m["type"]))
			}
		}
		return types
	}
	n, p := kinds(normalizer, "normalizers"), kinds(pre, "pretokenizers")
	switch m, _ := pre.(map[string]any); {
	case len(p) == 0 && slices.Equal(n, []string{"Prepend", "Replace"}):
		return true, nil
	case (len(p) == 0 || slices.Equal(p, []string{"Split"})) && slices.Equal(n, []string{"Replace"}):
		return false, nil
	case len(n) == 0 && slices.Equal(p, []string{"Metaspace"}) && m["split"] == false:
		return m["prepend_scheme"] != "never", nil
	}
	return false, fmt.Errorf("normalizer %v and pre_tokenizer %v cannot be written as GGUF", n, p)
}

// around says whether the post_processor puts begin- and end-of-text around a text.
func around(file *object) (bos, eos bool) {
	list := []any{file.m["post_processor"]}
	if m, ok := list[0].(map[string]any); ok && m["type"] == "Sequence" {
		list, _ = m["processors"].([]any)
	}
	for _, p := range list {
		m, _ := p.(map[string]any)
		single, _ := m["single"].([]any)
		if len(single) < 2 {
			continue
		}
		isSpecial := func(v any) bool { m, _ := v.(map[string]any); return m["SpecialToken"] != nil }
		return isSpecial(single[0]), isSpecial(single[len(single)-1])
	}
	return false, false
}
