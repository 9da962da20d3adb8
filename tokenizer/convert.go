package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"criticrm/safefile"
)

// ModelFile is a SentencePiece model, which older directories have in the place of a tokenizer.json.
const ModelFile = "tokenizer.model"

// loadModel makes a tokenizer of a directory's tokenizer.model, with the ids of the fast tokenizer that transformers 5 makes of it: what
// class tokenizer_config.json names decides how text is prepared, as there.
func loadModel(dir string) (*Tokenizer, error) {
	fail := func(err error) (*Tokenizer, error) {
		return nil, fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, ModelFile), err)
	}
	b, err := safefile.Read(filepath.Join(dir, ModelFile), MaxTokenizerFile)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if tiktoken.Match(b) {
		return fail(fmt.Errorf("it is a file of tiktoken, which is not supported: want %s", File))
	}
	m, err := readSPM(b)
	if err != nil {
		return fail(err)
	}
	var files [4]object
	for i, name := range []string{ConfigFile, SpecialFile, AddedFile, "config.json"} {
		if files[i], err = readMembers(dir, name); err != nil {
			return nil, err
		}
	}
	c := &conversion{spm: m, config: files[0]}
	modelType, _ := files[3]["model_type"].(string)
	if err := c.class(modelType); err != nil {
		return fail(err)
	}
	if err := c.addTokens(files[1], files[2]); err != nil {
		return fail(err)
	}
	text, err := c.json()
	if err != nil {
		return fail(err)
	}
	t, err := parse(text)
	if err != nil {
		return fail(err)
	}
	if t.converted = true; t.unigram != nil {
		for i, p := range m.pieces {
			t.unigram.scores[i] = float64(p.score)
		}
		t.unigram.setUnkScore()
	}
	return t, nil
}

var tiktoken = regexp.MustCompile(`^[A-Za-z0-9+/]+=* \d+\n`)

// conversion is a tokenizer.json in the making.
type conversion struct {
	*spm
	config   object // tokenizer_config.json
	vocab    map[string]int
	added    []addedToken
	unkToken any
	byRank   bool // merges are ranked by the ids of what they make, not by scores
	ignore   bool
	fallback bool
	defaults map[string]string // special tokens that the class has where no file names them
	// unnormalized: added tokens are compared with the text as it is.
	unnormalized bool

	normalizer, preTokenizer, decoder any
}

// class prepares what depends on the class of transformers that the directory is opened with.
func (c *conversion) class(modelType string) error {
	c.vocab = make(map[string]int, len(c.pieces))
	for i, p := range c.pieces {
		if _, twice := c.vocab[p.text]; twice {
			return fmt.Errorf("piece %q appears twice", clip(p.text))
		}
		c.vocab[p.text] = i
	}
	name, _ := c.config["tokenizer_class"].(string)
	name = strings.TrimSuffix(name, "Fast")
	if name == "" && strings.HasPrefix(modelType, "gemma") {
		name = "GemmaTokenizer"
	}
	mistral := slices.Contains([]string{"mistral", "mistral3", "mixtral", "ministral", "ministral3"}, modelType)
	switch {
	case name == "LlamaTokenizer" && !mistral:
		c.llama()
	case name == "GemmaTokenizer":
		c.gemma()
	case slices.Contains([]string{"", "LlamaTokenizer", "PreTrainedTokenizer", "TokenizersBackend"}, name):
		return c.generic()
	default:
		return fmt.Errorf("tokenizer_class %q is not supported without tokenizer.json", clip(name))
	}
	if c.modelType != spmBPE {
		return fmt.Errorf("tokenizer_class %s wants a model of type BPE", name)
	}
	return nil
}

// flag is a member of tokenizer_config.json, or what it is without one.
func (c *conversion) flag(name string, without bool) bool {
	if v, ok := c.config[name].(bool); ok {
		return v
	}
	return without
}

func kind(typ string, members ...any) object {
	o := object{"type": typ}
	for i := 0; i < len(members); i += 2 {
		o[members[i].(string)] = members[i+1]
	}
	return o
}

func replacing(patternKind, pattern, content string) object {
	return kind("Replace", "pattern", object{patternKind: pattern}, "content", content)
}

// scheme is when a Metaspace puts a space in front.
func (c *conversion) scheme(prefix, legacy bool) string {
	switch {
	case !prefix:
		return "never"
	case legacy:
		return "always"
	}
	return "first"
}

func (c *conversion) metaspace(scheme string) object {
	return kind("Metaspace", "replacement", string(wordStart), "prepend_scheme", scheme, "split", false)
}

// decoders is the decoder: visible spaces become spaces, bytes text, and one space in front is taken off where one was put there.
func (c *conversion) decoders(prefix, fused bool) object {
	list := []any{replacing("String", string(wordStart), " ")}
	if c.fallback {
		list = append(list, kind("ByteFallback"))
	}
	if fused {
		list = append(list, kind("Fuse"))
	}
	if prefix {
		list = append(list, kind("Strip", "content", " ", "start", 1, "stop", 0))
	}
	return kind("Sequence", "decoders", list)
}

// llama is LlamaTokenizer.
func (c *conversion) llama() {
	c.defaults = map[string]string{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": ""}
	prefix := c.flag("add_prefix_space", true)
	c.byRank, c.fallback = true, true
	c.preTokenizer = c.metaspace(c.scheme(prefix, c.flag("legacy", false)))
	c.decoder = c.decoders(prefix, true)
	c.addWords(true)
}

// gemma is GemmaTokenizer.
func (c *conversion) gemma() {
	c.defaults = map[string]string{"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "mask_token": "<mask>"}
	c.byRank, c.fallback, c.unkToken = true, true, "<unk>"
	c.normalizer = replacing("String", " ", string(wordStart))
	c.preTokenizer = kind("Split", "pattern", object{"String": " "}, "behavior", "MergedWithPrevious", "invert", false)
	c.decoder = c.decoders(false, true)
	c.addWords(true)
}

// generic is TokenizersBackend, which follows the model's own settings.
func (c *conversion) generic() error {
	c.defaults = map[string]string{"unk_token": c.unk, "bos_token": "", "eos_token": "", "pad_token": ""}
	if c.bosID >= 0 {
		c.defaults["bos_token"] = cmp.Or(c.bos, "<s>")
	}
	if c.eosID >= 0 {
		c.defaults["eos_token"] = cmp.Or(c.eos, "</s>")
	}
	c.fallback, c.unkToken, c.unnormalized = c.byteFallback, c.unk, c.dummyPrefix
	if err := c.rename(); err != nil {
		return err
	}
	legacy := c.flag("legacy", true)
	var before []any
	if len(c.charsmap) > 0 {
		before = append(before, kind("Precompiled", "precompiled_charsmap", c.charsmap)) // bytes are base64 in JSON
	}
	if c.trims {
		before = append(before, replacing("Regex", `\A +| +\z`, ""), replacing("Regex", ` {2,}`, " "))
	}
	if c.escapes {
		before = append(before, replacing("String", " ", string(wordStart)))
	}
	if c.dummyPrefix && legacy {
		before = append(before, replacing("Regex", `\A▁`, "▁▁"))
	}
	c.normalizer = kind("Sequence", "normalizers", before)
	var steps []any
	if c.dummyPrefix {
		steps = append(steps, c.metaspace(c.scheme(true, legacy)))
	}
	var words []string
	for _, p := range c.pieces {
		if p.kind == spmUserWord {
			words = append(words, p.text)
		}
	}
	slices.SortStableFunc(words, func(a, b string) int { return utf8.RuneCountInString(b) - utf8.RuneCountInString(a) })
	for i, w := range words {
		words[i] = quote(w)
	}
	if len(words) > 0 {
		steps = append(steps, kind("Split", "pattern", object{"Regex": strings.Join(words, "|")}, "behavior", "Isolated", "invert", false))
		c.ignore = c.modelType == spmBPE
	}
	if len(steps) > 0 {
		c.preTokenizer = kind("Sequence", "pretokenizers", steps)
	}
	c.decoder = c.decoders(c.dummyPrefix, c.dummyPrefix || c.byteFallback)
	c.addWords(false)
	return nil
}

// quote spells a text as a pattern.
func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && !wordRune(r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// rename gives pieces the names that added_tokens_decoder has for their ids.
func (c *conversion) rename() error {
	decoder, _ := c.config["added_tokens_decoder"].(object)
	for _, key := range slices.Sorted(maps.Keys(decoder)) {
		id, err := strconv.Atoi(key)
		text, ok, _ := tokenText(decoder[key])
		if err != nil || !ok || id < 0 || id >= len(c.pieces) || c.pieces[id].text == text {
			continue
		}
		if at, taken := c.vocab[text]; taken {
			return fmt.Errorf("added_tokens_decoder gives the id %d the name %q, which piece %d has", id, clip(text), at)
		}
		delete(c.vocab, c.pieces[id].text)
		c.pieces[id].text = text
		c.vocab[text] = id
	}
	return nil
}

// addWords adds control pieces as special tokens and, with user, pieces that a user defined.
func (c *conversion) addWords(user bool) {
	for i, p := range c.pieces {
		if p.kind == spmControl || user && p.kind == spmUserWord {
			c.added = append(c.added, addedToken{id: int32(i), content: p.text, special: p.kind == spmControl})
		}
	}
}

// addTokens adds what other files name: added_tokens_decoder of tokenizer_config.json or, as older directories have it,
// added_tokens.json; and the special tokens. Those that are no pieces are left for LoadSpecial to tell.
func (c *conversion) addTokens(special, added object) error {
	names := map[string]bool{}
	for key, text := range c.defaults {
		for _, file := range []object{special, c.config} {
			if said, ok, _ := tokenText(file[key]); ok {
				text = said
			}
		}
		names[text] = text != ""
	}
	decoder, has := c.config["added_tokens_decoder"].(object)
	if has {
		added = decoder
	}
	for _, key := range slices.Sorted(maps.Keys(added)) {
		a := addedToken{content: key, special: names[key], normalized: !names[key]}
		number := added[key]
		if has {
			m, _ := number.(object)
			a.content, _ = m["content"].(string)
			for name, flag := range a.flags() {
				*flag, _ = m[name].(bool)
			}
			number = json.Number(key)
		}
		lit, _ := number.(json.Number)
		id, err := strconv.ParseInt(string(lit), 10, 32)
		if err != nil || a.content == "" {
			return fmt.Errorf("added token %q: got %v, want an id and a text", clip(key), number)
		}
		if a.id = int32(id); c.unnormalized {
			a.normalized = false
		}
		if i := c.place(a.content); i >= 0 {
			c.added[i] = a
		} else {
			c.added = append(c.added, a)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(names)) {
		id, ok := c.vocab[text]
		switch i := c.place(text); {
		case !ok || !names[text]:
		case i < 0:
			c.added = append(c.added, addedToken{id: int32(id), content: text, special: true})
		default:
			c.added[i].special = true
		}
	}
	return nil
}

// place is where a text is among the added tokens, or -1.
func (c *conversion) place(text string) int {
	return slices.IndexFunc(c.added, func(a addedToken) bool { return a.content == text })
}

// json is the tokenizer.json.
func (c *conversion) json() ([]byte, error) {
	added := make([]object, len(c.added))
	for i, a := range c.added {
		added[i] = object{"id": a.id, "content": a.content}
		for name, flag := range a.flags() {
			added[i][name] = *flag
		}
	}
	file := object{"version": "1.0", "added_tokens": added, "normalizer": c.normalizer, "pre_tokenizer": c.preTokenizer, "decoder": c.decoder}
	if bos, _, _ := tokenText(c.config["bos_token"]); c.flag("add_bos_token", false) {
		if bos == "" {
			bos = c.defaults["bos_token"]
		}
		file["post_processor"] = kind("TemplateProcessing", "single", []any{object{"SpecialToken": object{"id": bos, "type_id": 0}}, object{"Sequence": object{"id": "A", "type_id": 0}}})
	}
	if c.modelType == spmUnigram {
		scores := make([][2]any, len(c.pieces))
		for i, p := range c.pieces {
			scores[i] = [2]any{p.text, float64(p.score)}
		}
		file["model"] = kind("Unigram", "unk_id", c.unkID, "vocab", scores, "byte_fallback", c.fallback)
	} else {
		merges, err := c.merges()
		if err != nil {
			return nil, err
		}
		file["model"] = kind("BPE", "vocab", c.vocab, "merges", merges, "unk_token", c.unkToken, "fuse_unk", true, "byte_fallback", c.fallback, "ignore_merges", c.ignore)
	}
	return json.Marshal(file)
}

// merges gives the merges that lead to each piece, from every two pieces that make it up.
func (c *conversion) merges() ([][2]string, error) {
	const longest = 512 // bytes of a piece
	type merge struct {
		left, right string
		id          int
		score       float32
	}
	normal := func(text string) bool {
		id, ok := c.vocab[text]
		return ok && (c.byRank || c.pieces[id].kind == spmNormal)
	}
	var list []merge
	for id, p := range c.pieces {
		if len(p.text) > longest {
			return nil, fmt.Errorf("piece %d has %d bytes, limit %d", id, len(p.text), longest)
		}
		if !normal(p.text) || p.kind == spmControl || p.kind == spmUnknown { // text never becomes a control token
			continue
		}
		for i := range p.text {
			if i > 0 && normal(p.text[:i]) && normal(p.text[i:]) {
				list = append(list, merge{p.text[:i], p.text[i:], id, p.score})
			}
		}
		if len(list) > maxMerges {
			return nil, fmt.Errorf("more than %d merges", maxMerges)
		}
	}
	slices.SortStableFunc(list, func(a, b merge) int {
		if c.byRank {
			return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(utf8.RuneCountInString(a.left), utf8.RuneCountInString(b.left)))
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id), cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
	})
	merges := make([][2]string, len(list))
	for i, m := range list {
		merges[i] = [2]string{m.left, m.right}
	}
	return merges, nil
}
