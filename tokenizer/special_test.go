package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// specialDir writes files that name special tokens.
func specialDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A template's bos_token was empty where special_tokens_map.json alone named it: the ids were other ones than transformers'.
func TestSpecialTokensMap(t *testing.T) {
	tok := tinyTokenizer(t)
	pad, _ := tok.ID("<|pad|>")
	end, _ := tok.ID("<|end|>")
	for _, c := range []struct {
		files    map[string]string
		bos, eos string
		notes    int
	}{
		{map[string]string{SpecialFile: `{"bos_token": {"content": "<|pad|>", "lstrip": false}, "eos_token": "<|end|>"}`}, "<|pad|>", "<|end|>", 0},
		{map[string]string{SpecialFile: `{"bos_token": "<|pad|>"}`, ConfigFile: `{"eos_token": "<|end|>", "add_eos_token": false}`}, "<|pad|>", "<|end|>", 0},
		{map[string]string{SpecialFile: `{"bos_token": "<|pad|>"}`, ConfigFile: `{"eos_token": "<|end|>", "bos_token": {"content": "<|pad|>"}}`}, "<|pad|>", "<|end|>", 0},
		// With added_tokens_decoder transformers does not open the file.
		{map[string]string{SpecialFile: `{"bos_token": "<|pad|>"}`, ConfigFile: `{"eos_token": "<|end|>", "added_tokens_decoder": {}}`}, "", "<|end|>", 1},
		{map[string]string{ConfigFile: `{"eos_token": "<|end|>", "unk_token": "<unk>"}`}, "", "<|end|>", 1},
	} {
		dir := specialDir(t, c.files)
		s, err := LoadSpecial(dir, tok)
		if err != nil || s.Tokens["bos_token"] != c.bos || s.Tokens["eos_token"] != c.eos || len(s.Notes) != c.notes {
			t.Errorf("%v: %+v, %v", c.files, s, err)
			continue
		}
		chat, err := LoadChat(specialDir(t, merged(c.files, TemplateFile, "{{ bos_token }}{{ eos_token }}")), tok, ChatOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := []int32{pad, end}
		if c.bos == "" {
			want = want[1:]
		}
		got, err := chat.Encode(nil, false)
		if err != nil || len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != end {
			t.Errorf("%v: ids %v, %v, want %v", c.files, got, err, want)
		}
	}
}

func merged(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Two files that name a token differently, or give it another id, were read in one of them.
func TestSpecialConflicts(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{SpecialFile: `{"bos_token": "<|pad|>"}`, ConfigFile: `{"bos_token": "<|end|>"}`}, SpecialFile + `: bos_token: got "<|pad|>", but tokenizer_config.json says "<|end|>"`},
		{map[string]string{SpecialFile: `{"bos_token": null}`, ConfigFile: `{"bos_token": "<|end|>"}`}, SpecialFile + `: bos_token: got null, but tokenizer_config.json says "<|end|>"`},
		{map[string]string{SpecialFile: `{"additional_special_tokens": ["<|end|>", {"content": "<|new|>"}]}`}, SpecialFile + `: additional_special_tokens: "<|new|>" is not in tokenizer.json`},
		{map[string]string{ConfigFile: `{"extra_special_tokens": ["<|new|>"]}`}, ConfigFile + `: extra_special_tokens: "<|new|>" is not in`},
		{map[string]string{ConfigFile: `{"extra_special_tokens": {"image_token": "<|new|>"}}`}, ConfigFile + `: extra_special_tokens: "<|new|>" is not in`},
		{map[string]string{ConfigFile: `{"added_tokens_decoder": {"999": {"content": "<|new|>"}}}`}, `added_tokens_decoder: token "<|new|>" with id 999 is not in tokenizer.json`},
		{map[string]string{ConfigFile: `{"added_tokens_decoder": {"999": {"content": "<|end|>"}}}`}, `added_tokens_decoder: token "<|end|>" has id 999, but `},
		{map[string]string{ConfigFile: `{"added_tokens_decoder": {"x": {"content": "<|end|>"}}}`}, "want a whole number"},
		{map[string]string{ConfigFile: `{"eos_token": {"lstrip": true}}`}, "eos_token: want an object with content"},
		{map[string]string{ConfigFile: decoderOf(t, tok, `"lstrip": true`)}, `added_tokens_decoder: token "<|end|>": lstrip is true, but false in tokenizer.json`},
		{map[string]string{ConfigFile: decoderOf(t, tok, `"single_word": true`)}, `token "<|end|>": single_word is true`},
		{map[string]string{AddedFile: `{"<|end|>": 999}`}, AddedFile + `: token "<|end|>" has id 999, but `},
		{map[string]string{AddedFile: `{"<|new|>": 7}`}, AddedFile + `: token "<|new|>" with id 7 is not in tokenizer.json`},
		{map[string]string{ConfigFile: `{"split_special_tokens": true}`}, ConfigFile + ": split_special_tokens is not supported"},
		{map[string]string{ConfigFile: `{"add_prefix_space": true, "tokenizer_class": "GPT2TokenizerFast"}`}, ConfigFile + ": add_prefix_space is not supported"},
		{map[string]string{AddedFile: `[]`}, AddedFile},
	} {
		if _, err := LoadSpecial(specialDir(t, c.files), tok); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.files, err, c.want)
		}
	}
}

// decoderOf is a tokenizer_config.json that says something of the token <|end|>.
func decoderOf(t *testing.T, tok *Tokenizer, flag string) string {
	t.Helper()
	id, _ := tok.ID("<|end|>")
	return fmt.Sprintf(`{"added_tokens_decoder": {"%d": {"content": "<|end|>", "normalized": true, %s}}}`, id, flag)
}

// A token that one file marks as special and the other does not is told; one that both do is nothing to tell. Without a normalizer
// it is no matter whether a token is compared with the normalized text.
func TestSpecialFlagNoted(t *testing.T) {
	tok := tinyTokenizer(t)
	for flag, want := range map[string]string{
		`"special": false`: `[tokenizer_config.json: added_tokens_decoder: "<|end|>" has special false, but true in tokenizer.json, which holds]`,
		`"special": true`:  "[]",
	} {
		s, err := LoadSpecial(specialDir(t, map[string]string{ConfigFile: decoderOf(t, tok, flag)}), tok)
		if err != nil || fmt.Sprint(s.Notes) != want {
			t.Errorf("%s: notes %v, %v, want %s", flag, s.Notes, err, want)
		}
	}
}

// Classes of transformers have special tokens that no file names; what a file says, be it null, comes first.
func TestClassDefaults(t *testing.T) {
	dir := golden.Repository(t).Dir("tokenizer_chatml")
	tok := mustLoad(t, dir)
	for config, want := range map[string]string{
		`{"tokenizer_class": "GPT2TokenizerFast"}`:                                            "map[bos_token:<|endoftext|> eos_token:<|endoftext|> unk_token:<|endoftext|>]",
		`{"tokenizer_class": "Qwen2Tokenizer", "pad_token": null, "eos_token": "<|im_end|>"}`: "map[eos_token:<|im_end|> unk_token:<|endoftext|>]",
		`{"tokenizer_class": "PreTrainedTokenizerFast"}`:                                      "map[]",
	} {
		s, err := LoadSpecial(specialDir(t, map[string]string{ConfigFile: config}), tok)
		if err != nil || fmt.Sprint(s.Tokens) != want {
			t.Errorf("%s: %v, %v, want %s", config, s.Tokens, err, want)
		}
	}
}

// An added token of white space is not found in white space that the one before it has taken: ids of the library.
func TestAddedWhiteSpace(t *testing.T) {
	const file = `{"version":"1.0","truncation":null,"padding":null,"added_tokens":[
		{"id":4,"content":" ","single_word":false,"lstrip":true,"rstrip":%v,"normalized":false,"special":false},
		{"id":5,"content":"A","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":false}],
		"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
		"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0],["a",-1],["b",-1],["▁",-2]]}}`
	for _, c := range []struct {
		rstrip bool
		text   string
		want   []int32
	}{{true, "   ", []int32{4}}, {true, "a  b", []int32{1, 4, 2}}, {true, "a\n  \nb", []int32{1, 4, 2}}, {false, "A b", []int32{5, 2}}, {false, "a  b", []int32{1, 4, 4, 2}}} {
		path := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(path, []byte(fmt.Sprintf(file, c.rstrip)), 0o600); err != nil {
			t.Fatal(err)
		}
		tok := mustLoad(t, path)
		if got := tok.EncodeSpecial(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q, rstrip %v: %v, want %v", c.text, c.rstrip, got, c.want)
		}
	}
}
