package convert

// The tokenizer of a GGUF file as the files of a model directory.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/model"
	"criticrm/tokenizer"
)

// Kinds of tokens, with ggml's numbers.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenUser    = 4
	tokenUnused  = 5
	tokenByte    = 6
)

// vocab is a file's tokens.
type vocab struct {
	tokens []string
	kinds  []int64
	scores []float32
	merges []string
	spm    bool // SentencePiece's way: scores, spaces as ▁, and bytes as <0x41>; else byte-level BPE
	pre    pre
}

// isAdded says whether a token is found in a text before anything else.
func (v *vocab) isAdded(id int) bool {
	return v.kinds[id] == tokenControl || v.kinds[id] == tokenUser || v.spm && v.kinds[id] == tokenUnknown
}

// readTokenizer makes the files beside the weights, and names the tokens in config.json.
func readTokenizer(r *reading) ([]textFile, error) {
	v := r.vocab()
	ids := map[string]int{}
	for _, name := range []string{"bos", "eos", "eot", "eom", "unknown", "padding"} {
		if id := r.Whole("tokenizer.ggml."+name+"_token_id", v.defaultID(name), -1, 1<<32); id >= 0 && id < 1<<31 { // some files say "none" as -1 or 2³²-1
			if id >= int64(len(v.tokens)) {
				r.fail("metadata \"tokenizer.ggml.%s_token_id\": got %d, but there are %d tokens", name, id, len(v.tokens))
			}
			ids[name] = int(id)
		}
	}
	bos := r.Flag("tokenizer.ggml.add_bos_token", v.spm || v.pre.bos)
	eos := r.Flag("tokenizer.ggml.add_eos_token", false)
	for name, add := range map[string]bool{"bos": bos, "eos": eos} {
		if _, ok := ids[name]; add && !ok {
			r.fail("metadata \"tokenizer.ggml.add_%s_token\" is true, but no \"tokenizer.ggml.%s_token_id\" says which", name, name)
		}
	}
	if r.Flag("tokenizer.ggml.remove_extra_whitespaces", false) {
		r.fail("metadata \"tokenizer.ggml.remove_extra_whitespaces\": true is not supported")
	}
	template := r.Text("tokenizer.chat_template")
	if more := r.Texts("tokenizer.chat_templates"); len(more) > 0 {
		r.notes = append(r.notes, fmt.Sprintf("further chat templates are left out: %s", strings.Join(more, ", ")))
	}
	if r.Err != nil {
		return nil, r.Err
	}
	text, err := v.json(r, ids, bos, eos)
	if err != nil {
		return nil, err
	}
	if len(text) > tokenizer.MaxTokenizerFile {
		return nil, fmt.Errorf("its tokenizer.json has %d bytes, limit %d", len(text), tokenizer.MaxTokenizerFile)
	}
	// A text ends with any of these.
	ends := []int{}
	for _, name := range []string{"eos", "eot", "eom"} {
		if id, ok := ids[name]; ok && !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	special := map[string]any{}
	names := map[string]any{"add_bos_token": bos, "add_eos_token": eos, "clean_up_tokenization_spaces": false, "tokenizer_class": "PreTrainedTokenizerFast",
		"model_max_length": r.config["max_position_embeddings"]}
	for _, t := range [][3]string{{"bos", "bos_token", "bos_token_id"}, {"eos", "eos_token", "eos_token_id"}, {"padding", "pad_token", "pad_token_id"}, {"unknown", "unk_token", ""}} {
		id, ok := ids[t[0]]
		if ok {
			names[t[1]] = v.tokens[id]
		}
		switch {
		case t[2] == "":
		case !ok:
			special[t[2]] = nil
		case t[0] == "eos" && len(ends) > 1:
			special[t[2]] = ends
		default:
			special[t[2]] = id
		}
	}
	for key, id := range special {
		r.config[key] = id
	}
	if template != "" {
		names["chat_template"] = template
	} else {
		r.notes = append(r.notes, "the file has no chat template: give one with --chat_template where it is asked for")
	}
	return []textFile{{tokenizer.File, text}, {tokenizer.ConfigFile, configText(names)}, {model.GenerationFile, configText(special)}}, nil
}

// defaultID is the token that llama.cpp takes where a file does not say it; -1: none.
func (v *vocab) defaultID(name string) int64 {
	if id, ok := map[string]int64{"unknown": 0, "bos": 1, "eos": 2}[name]; ok && v.spm {
		return id
	}
	return 1 << 31
}

// vocab reads the tokens.
func (r *reading) vocab() *vocab {
	v := &vocab{tokens: r.Texts("tokenizer.ggml.tokens"), kinds: r.Integers("tokenizer.ggml.token_type"), scores: r.Numbers("tokenizer.ggml.scores"), merges: r.Texts("tokenizer.ggml.merges")}
	switch kind := r.Text("tokenizer.ggml.model"); kind {
	case "llama":
		v.spm = true
	case "gpt2":
		name, ok := r.Text("tokenizer.ggml.pre"), false
		if v.pre, ok = pres[name]; !ok {
			r.fail("metadata \"tokenizer.ggml.pre\": %q does not say how texts are cut, or in a way that is not known here (known: %s)", name, strings.Join(preNames(), ", "))
		}
	case "", "no_vocab", "none":
		r.fail("the file has no tokenizer: take the model's own directory, or another GGUF file of it")
	default:
		r.fail("metadata \"tokenizer.ggml.model\": %q is not supported, want \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece BPE)", kind)
	}
	n := len(v.tokens)
	switch {
	case r.Err != nil:
	case n == 0 || int64(n) > r.shape.vocab:
		r.fail("there are %d tokens, and embeddings of %d", n, r.shape.vocab)
	case v.kinds == nil && !v.spm:
		v.kinds = slices.Repeat([]int64{tokenNormal}, n)
	case len(v.kinds) != n || v.spm && len(v.scores) != n:
		r.fail("there are %d tokens, %d types and %d scores of them", n, len(v.kinds), len(v.scores))
	case !v.spm && v.merges == nil:
		r.fail("metadata \"tokenizer.ggml.merges\": missing")
	}
	if r.Err != nil {
		return &vocab{}
	}
	// Rows of the embedding without a token are filled up when a GGUF file is made.
	for n > 0 && v.kinds[n-1] == tokenUnused && v.tokens[n-1] == fmt.Sprintf("[PAD%d]", n-1) {
		n--
	}
	v.tokens, v.kinds = v.tokens[:n], v.kinds[:n]
	for id, t := range v.tokens {
		if t == "" || !utf8.ValidString(t) {
			r.fail("token %d is %.40q: the file is damaged", id, t)
			break
		}
	}
	return v
}

// json is tokenizer.json.
func (v *vocab) json(r *reading, ids map[string]int, bos, eos bool) ([]byte, error) {
	merges, err := v.pairs()
	if err != nil {
		return nil, err
	}
	behind := len(v.tokens) // tokens from here on are added ones only, which the vocabulary need not have
	for behind > 0 && v.isAdded(behind-1) {
		behind--
	}
	var b bytes.Buffer
	b.WriteString(`{"version":"1.0","truncation":null,"padding":null,"added_tokens":[`)
	first := true
	for id, t := range v.tokens {
		if !v.isAdded(id) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(&b, `{"id":%d,"content":%s,"single_word":false,"lstrip":false,"rstrip":%t,"normalized":false,"special":%t}`,
			id, jsonText(t), v.takesSpaces(r, id), v.kinds[id] != tokenUser)
	}
	b.WriteByte(']')
	normalizer, pre, decoder := v.components(r)
	for _, part := range []struct {
		key   string
		value any
	}{{"normalizer", normalizer}, {"pre_tokenizer", pre}, {"post_processor", v.postProcessor(ids, bos, eos)}, {"decoder", decoder}} {
		fmt.Fprintf(&b, `,%q:%s`, part.key, jsonText(part.value))
	}
	var unk any
	if id, ok := ids["unknown"]; ok && v.spm {
		unk = v.tokens[id]
	}
	fmt.Fprintf(&b, `,"model":{"type":"BPE","dropout":null,"unk_token":%s,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":%t,"byte_fallback":%t,"ignore_merges":%t,"vocab":{`,
		jsonText(unk), v.spm, v.spm, v.pre.ignoreMerges)
	for id, t := range v.tokens {
		if id >= behind && !v.spm {
			break
		}
		if id > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s:%d`, jsonText(t), id)
	}
	b.WriteString(`},"merges":[`)
	for i, p := range merges {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `[%s,%s]`, jsonText(p[0]), jsonText(p[1]))
	}
	b.WriteString("]}}\n")
	return b.Bytes(), nil
}

// pairs are the merges.
func (v *vocab) pairs() ([][2]string, error) {
	if v.spm {
		return v.mergesOfScores(), nil
	}
	pairs := make([][2]string, len(v.merges))
	for i, m := range v.merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, fmt.Errorf("metadata \"tokenizer.ggml.merges\": merge %d is %.80q, want two tokens with a space between", i, m)
		}
		pairs[i] = [2]string{left, right}
	}
	return pairs, nil
}

// mergesOfScores lists the pairs that SentencePiece would merge, best score first, as transformers does for such files (generate_merges).
func (v *vocab) mergesOfScores() [][2]string {
	ids := make(map[string]int, len(v.tokens))
	for id, t := range v.tokens {
		if v.kinds[id] == tokenNormal {
			ids[t] = id
		}
	}
	type merge struct {
		left, right int
		cut         int // bytes of the left part
		id          int // of the whole
	}
	var list []merge
	for id, t := range v.tokens {
		if v.kinds[id] != tokenNormal {
			continue
		}
		for cut := range t {
			left, ok := ids[t[:cut]]
			right, ok2 := ids[t[cut:]]
			if cut > 0 && ok && ok2 {
				list = append(list, merge{left, right, cut, id})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b merge) int {
		if x, y := v.scores[a.id], v.scores[b.id]; x != y {
			if x > y {
				return -1
			}
			return 1
		}
		if d := utf8.RuneCountInString(v.tokens[b.left]) - utf8.RuneCountInString(v.tokens[a.left]); d != 0 {
			return d
		}
		return utf8.RuneCountInString(v.tokens[b.right]) - utf8.RuneCountInString(v.tokens[a.right])
	})
	pairs := make([][2]string, len(list))
	for i, m := range list {
		pairs[i] = [2]string{v.tokens[m.left], v.tokens[m.right]}
	}
	return pairs
}

// takesSpaces says whether white space behind an added token belongs to it: GGUF does not hold that. Phi 3 has it, as llama.cpp knows, too.
func (v *vocab) takesSpaces(r *reading, id int) bool {
	return v.spm && r.family.modelType == "phi3" && v.kinds[id] == tokenControl && !slices.Contains([]string{"<unk>", "<s>", "<|endoftext|>"}, v.tokens[id])
}

// components are normalizer, pre_tokenizer and decoder.
func (v *vocab) components(r *reading) (normalizer, pre, decoder any) {
	type object = map[string]any
	if !v.spm {
		if v.pre.nfc {
			normalizer = object{"type": "NFC"}
		}
		return normalizer, v.pre.preTokenizer(), object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}
	}
	spaces := object{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}
	back := []any{object{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "}, object{"type": "ByteFallback"}, object{"type": "Fuse"}}
	normalizer = spaces
	if r.Flag("tokenizer.ggml.add_space_prefix", true) {
		normalizer = object{"type": "Sequence", "normalizers": []any{object{"type": "Prepend", "prepend": "▁"}, spaces}}
		back = append(back, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	return normalizer, nil, object{"type": "Sequence", "decoders": back}
}

// postProcessor puts begin- and end-of-text around a text.
func (v *vocab) postProcessor(ids map[string]int, bos, eos bool) any {
	type object = map[string]any
	special := object{}
	token := func(name string, kind int) any {
		t := v.tokens[ids[name]]
		special[t] = object{"id": t, "ids": []int{ids[name]}, "tokens": []string{t}}
		return object{"SpecialToken": object{"id": t, "type_id": kind}}
	}
	around := func(letter string, kind int) (list []any) {
		if bos {
			list = append(list, token("bos", kind))
		}
		list = append(list, object{"Sequence": object{"id": letter, "type_id": kind}})
		if eos {
			list = append(list, token("eos", kind))
		}
		return list
	}
	if !bos && !eos {
		return nil
	}
	return object{"type": "TemplateProcessing", "single": around("A", 0), "pair": append(around("A", 0), around("B", 1)...), "special_tokens": special}
}

// jsonText is a value as JSON, with no more escapes than needed.
func jsonText(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("convert: a value has no JSON form")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
