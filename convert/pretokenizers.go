package convert

// How texts are cut before merges, by the names that GGUF files have for it ("tokenizer.ggml.pre"): the parts of a tokenizer.json that the
// model's own has. llama.cpp has the same names in llama-vocab.cpp.

import (
	"maps"
	"slices"
)

// Patterns, letter by letter as published tokenizer.json files hold them.
const (
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200k  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	deepSeek3CJK  = `[一-龥぀-ゟ゠-ヿ]+`
	deepSeek3Rest = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)

// pre is how a kind of byte-level tokenizer prepares texts.
type pre struct {
	splits       []any // before ByteLevel; none: ByteLevel cuts by the pattern of GPT-2
	own          bool  // ByteLevel cuts by the pattern of GPT-2 behind the splits, too
	nfc          bool
	ignoreMerges bool // a piece that is a token is that token
	bos          bool // a text begins with the begin-of-text token, unless the file says otherwise
}

func split(pattern string) any {
	return map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}, "behavior": "Isolated", "invert": false}
}

var digits = map[string]any{"type": "Digits", "individual_digits": true}

// pres are the kinds by name.
var pres = func() map[string]pre {
	table := map[string]pre{}
	for _, row := range []struct {
		pre
		names []string
	}{
		{pre{own: true}, []string{"gpt-2", "phi-2", "olmo", "mpt"}},
		{pre{splits: []any{digits}, own: true}, []string{"smollm", "starcoder", "refact", "codeshell"}},
		{pre{splits: []any{split(patternLlama3)}, ignoreMerges: true, bos: true}, []string{"llama-bpe", "llama3", "llama-v3", "falcon3"}},
		{pre{splits: []any{split(patternLlama3)}}, []string{"dbrx", "smaug-bpe"}},
		{pre{splits: []any{split(patternQwen2)}, nfc: true}, []string{"qwen2", "deepseek-r1-qwen"}},
		{pre{splits: []any{split(patternTekken)}, ignoreMerges: true, bos: true}, []string{"tekken", "pixtral"}},
		{pre{splits: []any{split(patternO200k)}}, []string{"gpt-4o", "llama4"}},
		{pre{splits: []any{split(`\p{N}{1,3}`), split(deepSeek3CJK), split(deepSeek3Rest)}}, []string{"deepseek-v3"}},
	} {
		for _, name := range row.names {
			table[name] = row.pre
		}
	}
	return table
}()

// preNames lists the kinds.
func preNames() []string { return slices.Sorted(maps.Keys(pres)) }

// preTokenizer is the part of tokenizer.json.
func (p pre) preTokenizer() any {
	bytes := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": p.own}
	if len(p.splits) == 0 {
		return bytes
	}
	return map[string]any{"type": "Sequence", "pretokenizers": append(slices.Clone(p.splits), bytes)}
}
