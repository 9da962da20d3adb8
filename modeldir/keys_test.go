package modeldir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/model"
	"criticrm/tokenizer"
)

// baseDir copies the demo's base model without its weights, with values put into its files; a nil value takes a key away.
func baseDir(t *testing.T, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(copied(), model.ConfigFile) {
		b, err := os.ReadFile(filepath.Join("../demo/base", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	for _, e := range edits {
		e.apply(t, dir)
	}
	return dir
}

type edit struct{ file, key, value string } // JSON; "": without the key

// Settings of Hugging Face's files were dropped without a word. Every key that is known is edited here: it is seen, refused by name,
// or changes nothing; any other is told.
func TestEveryKey(t *testing.T) {
	const c, g, k, s = model.ConfigFile, model.GenerationFile, tokenizer.ConfigFile, tokenizer.SpecialFile
	cases := []struct {
		edit
		want string // in the error
		seen string // by show, else
		show func(*Dir) any
	}{
		{edit{c, "architectures", `["MistralForCausalLM"]`}, `model_type: got "llama", architectures ["MistralForCausalLM"] needs "mistral"`, "", nil},
		{edit{c, "architectures", `["GemmaForCausalLM"]`}, `architectures ["GemmaForCausalLM"] is not supported`, "", nil},
		{edit{c, "model_type", `"mistral"`}, "model_type", "", nil},
		{edit{c, "model_type", ""}, "", "llama", func(d *Dir) any { return d.Config.ModelType }},
		{edit{c, "auto_map", `{"AutoModel": "x.py"}`}, "auto_map asks for Python code", "", nil},
		{edit{c, "trust_remote_code", `true`}, "trust_remote_code asks for Python code", "", nil},
		{edit{c, "hidden_size", `256`}, "", "256", func(d *Dir) any { return d.Config.HiddenSize }},
		{edit{c, "num_hidden_layers", `2`}, "", "2", func(d *Dir) any { return d.Config.NumHiddenLayers }},
		{edit{c, "num_attention_heads", `8`}, "", "8", func(d *Dir) any { return d.Config.NumAttentionHeads }},
		{edit{c, "num_attention_heads", `3`}, "num_key_value_heads: got 2, want a divisor", "", nil},
		{edit{c, "num_key_value_heads", `1`}, "", "1", func(d *Dir) any { return d.Config.NumKeyValueHeads }},
		{edit{c, "num_key_value_heads", ``}, "", "4", func(d *Dir) any { return d.Config.NumKeyValueHeads }},
		{edit{c, "head_dim", `16`}, "", "16", func(d *Dir) any { return d.Config.HeadDim }},
		{edit{c, "head_dim", `null`}, "", "32", func(d *Dir) any { return d.Config.HeadDim }},
		{edit{c, "intermediate_size", `77`}, "", "77", func(d *Dir) any { return d.Config.IntermediateSize }},
		{edit{c, "vocab_size", `600`}, "", "600", func(d *Dir) any { return d.Config.VocabSize }},
		{edit{c, "vocab_size", `542`}, "tokenizer.json has ids up to 542, but vocab_size in config.json is 542", "", nil},
		{edit{c, "max_position_embeddings", `99`}, "", "99", func(d *Dir) any { return d.Config.MaxPositionEmbeddings }},
		{edit{c, "rms_norm_eps", `0.5`}, "", "0.5", func(d *Dir) any { return d.Config.RMSNormEps }},
		{edit{c, "initializer_range", `0.5`}, "", "0.5", func(d *Dir) any { return d.Config.InitializerRange }},
		{edit{c, "tie_word_embeddings", `false`}, "", "false", func(d *Dir) any { return d.Config.TieWordEmbeddings }},
		{edit{c, "bos_token_id", `3`}, "", "3", func(d *Dir) any { return *d.Config.BOSTokenID }},
		{edit{c, "eos_token_id", `[0, 5]`}, "", "[0 5 4]", func(d *Dir) any { return d.EndTokens }},
		{edit{c, "eos_token_id", ``}, "", "[4]", func(d *Dir) any { return d.EndTokens }},
		{edit{c, "eos_token_id", `null`}, "", "[4]", func(d *Dir) any { return d.EndTokens }},
		{edit{c, "eos_token_id", `576`}, "eos_token_id: got 576, want token ids in 0..575", "", nil},
		{edit{c, "pad_token_id", `7`}, "", "7", func(d *Dir) any { return *d.Config.PadTokenID }},
		{edit{c, "rope_theta", `500`}, "", "500", func(d *Dir) any { return d.Config.Rope.Theta }},
		{edit{c, "rope_scaling", `{"rope_type": "proportional", "factor": 2}`}, `rope_type: got "proportional"`, "", nil},
		{edit{c, "rope_scaling", `{"rope_type": "yarn", "factor": 2}`}, "", "2", func(d *Dir) any { return d.Config.Rope.Factor }},
		{edit{c, "rope_scaling", `{"factor": 2}`}, "rope_scaling.factor: given without a rope_type", "", nil},
		{edit{c, "rope_scaling", `{"rope_type": "llama3", "factor": 2, "low_freq_factor": 1, "high_freq_factor": 4}`}, "", "512", func(d *Dir) any { return d.Config.Rope.OriginalPosition }},
		{edit{c, "rope_parameters", `{"rope_type": "default", "rope_theta": 20000}`}, "rope_theta: got 10000, but rope_parameters.rope_theta is 20000", "", nil},
		{edit{c, "original_max_position_embeddings", `8`}, "", "0", func(d *Dir) any { return d.Config.Rope.OriginalPosition }},
		{edit{c, "partial_rotary_factor", `0.5`}, "partial_rotary_factor: got 0.5", "", nil},
		{edit{c, "rope_interleaved", `true`}, "rope_interleaved", "", nil},
		{edit{c, "attention_bias", `true`}, "", "true", func(d *Dir) any { return d.Config.AttentionBias }},
		{edit{c, "mlp_bias", `true`}, "", "true", func(d *Dir) any { return d.Config.MLPBias }},
		{edit{c, "hidden_act", `"gelu"`}, `hidden_act: got "gelu"`, "", nil},
		{edit{c, "quantization_config", `{"bits": 4}`}, "quantization_config", "", nil},
		{edit{c, "compression_config", `{"bits": 4}`}, "compression_config", "", nil},
		{edit{c, "sliding_window", `511`}, "sliding_window: got 511", "", nil},
		{edit{c, "layer_types", `["full_attention", "sliding_attention", "full_attention"]`}, "layer_types: got sliding_attention for layer 1, but there is no window", "", nil},
		{edit{c, "is_encoder_decoder", `true`}, "is_encoder_decoder", "", nil},
		{edit{c, "add_cross_attention", `true`}, "add_cross_attention", "", nil},
		{edit{c, "use_bidirectional_attention", `true`}, "use_bidirectional_attention", "", nil},
		{edit{c, "pruned_heads", `{"0": [1]}`}, "pruned_heads", "", nil},
		{edit{c, "num_labels", `2`}, "", "llama", func(d *Dir) any { return d.Config.ModelType }}, // of a causal model; a classifier's are in model's tests
		{edit{c, "id2label", `{"0": "a", "1": "b"}`}, "", "llama", func(d *Dir) any { return d.Config.ModelType }},

		{edit{g, "eos_token_id", `0`}, "", "[0 4]", func(d *Dir) any { return d.EndTokens }}, // in place of config.json's, beside the tokenizer's
		{edit{g, "eos_token_id", `[0, 4]`}, "", "[0 4]", func(d *Dir) any { return d.EndTokens }},
		{edit{g, "eos_token_id", `null`}, "", "[4]", func(d *Dir) any { return d.EndTokens }},
		{edit{g, "eos_token_id", `[576]`}, "generation_config.json: eos_token_id: got 576", "", nil},

		{edit{k, "auto_map", `{"AutoTokenizer": ["x.py", null]}`}, "auto_map asks for Python code", "", nil},
		{edit{k, "trust_remote_code", `true`}, "trust_remote_code asks for Python code", "", nil},
		{edit{k, "chat_template", `"x"`}, "", "true", func(d *Dir) any { return d.Chat != nil }}, // chat_template.jinja comes first; tokenizer's tests know more
		{edit{k, "eos_token", `"<|meta|>"`}, "", "[4 5]", func(d *Dir) any { return d.EndTokens }},
		{edit{k, "additional_special_tokens", `["<|new|>"]`}, `additional_special_tokens: "<|new|>" is not in tokenizer.json`, "", nil},
		{edit{k, "extra_special_tokens", `["<|new|>"]`}, `extra_special_tokens: "<|new|>" is not in tokenizer.json`, "", nil},
		{edit{k, "split_special_tokens", `true`}, "split_special_tokens is not supported", "", nil},
		{edit{k, "add_prefix_space", `true`}, "", "[4]", func(d *Dir) any { return d.EndTokens }}, // of a class that does not follow it; tokenizer's tests have the others
		{edit{k, "tokenizer_class", `"Qwen2Tokenizer"`}, "", "map[bos_token:<|user|> eos_token:<|end|> pad_token:<|pad|>]", func(d *Dir) any { return d.Special.Tokens }},
		{edit{k, "added_tokens_decoder", `{"4": {"content": "<|meta|>"}}`}, `added_tokens_decoder: token "<|meta|>" has id 4, but 5 in tokenizer.json`, "", nil},

		{edit{s, "eos_token", `"<|meta|>"`}, `eos_token: got "<|meta|>", but tokenizer_config.json says "<|end|>"`, "", nil},
		{edit{s, "additional_special_tokens", `["<|new|>"]`}, "additional_special_tokens", "", nil},
		{edit{s, "extra_special_tokens", `["<|new|>"]`}, "extra_special_tokens", "", nil},
	}
	for _, file := range []string{k, s} {
		for _, name := range []string{"bos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token", "eos_token"} {
			e := edit{file, name, `{"lstrip": true}`}
			cases = append(cases, cases[0])
			last := &cases[len(cases)-1]
			last.edit, last.want = e, name+": want an object with content"
		}
	}
	tried := map[[2]string]bool{}
	for _, x := range cases {
		tried[[2]string{x.file, x.key}] = true
		dir := baseDir(t, x.edit)
		d, err := Open(dir, Given{})
		switch {
		case x.want != "":
			if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), filepath.Base(dir)) {
				t.Errorf("%v: error %v, want %q", x.edit, err, x.want)
			}
		case err != nil:
			t.Errorf("%v: %v", x.edit, err)
		case fmt.Sprint(x.show(d)) != x.seen:
			t.Errorf("%v: seen as %v, want %s", x.edit, x.show(d), x.seen)
		}
	}
	for file, keys := range knownKeys() {
		for key, n := range keys {
			if n.why == read {
				if !tried[[2]string{file, key}] {
					t.Errorf("%s: %s is said to be read, and nothing here tries it", file, key)
				}
				continue
			}
			good := append(slices.Clone(n.values), "null")
			if n.values == nil {
				good = append(good, `7`, `"x"`, `{"a": [1]}`)
			}
			for _, value := range good {
				wantNotes(t, edit{file, key, value}, 0)
			}
			if n.values != nil {
				wantNotes(t, edit{file, key, `7`}, 1)
			}
		}
		wantNotes(t, edit{file, "no_such_key", `7`}, 1)
	}
	wantNotes(t, edit{c, "logits_scaling", `8.0`}, 1)
	wantNotes(t, edit{g, "stop_strings", `["x"]`}, 1)
}

// wantNotes wants as many notes on keys that nothing reads.
func wantNotes(t *testing.T, e edit, want int) {
	t.Helper()
	notes, err := UnreadKeys(baseDir(t, e))
	if err != nil || len(notes) != want {
		t.Errorf("%v: %q, %v, want %d notes", e, notes, err, want)
	}
	for _, n := range notes {
		if !strings.Contains(n, e.file) || !strings.Contains(n, fmt.Sprintf("%q", e.key)) {
			t.Errorf("%v: %q names neither file nor key", e, n)
		}
	}
}

// What the repository's own directories say is all known.
func TestNoNotesOnOurs(t *testing.T) {
	files, err := filepath.Glob("../testdata/golden/*/*config.json")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "../demo/base/config.json") {
		dir := filepath.Dir(file)
		if strings.Contains(dir, "seeing_") { // nothing reads what they say of images
			continue
		}
		if notes, err := UnreadKeys(dir); err != nil || len(notes) > 0 {
			t.Errorf("%s: %q, %v", dir, notes, err)
		}
	}
}

// A run went on to its limit where only generation_config.json named the token that the template writes.
func TestEnds(t *testing.T) {
	const c, g, k, s = model.ConfigFile, model.GenerationFile, tokenizer.ConfigFile, tokenizer.SpecialFile
	for _, x := range []struct {
		edits []edit
		want  string
	}{
		{nil, "[{4 [config.json tokenizer_config.json]}]"},
		{[]edit{{c, "eos_token_id", "0"}, {g, "eos_token_id", "[0, 4]"}}, "[{0 [generation_config.json]} {4 [generation_config.json tokenizer_config.json]}]"},
		{[]edit{{c, "eos_token_id", "0"}, {k, "eos_token", ""}, {s, "eos_token", `"<|end|>"`}}, "[{0 [config.json]} {4 [special_tokens_map.json]}]"},
		{[]edit{{c, "eos_token_id", ""}}, "[{4 [tokenizer_config.json]}]"},
		{[]edit{{c, "eos_token_id", "null"}, {k, "eos_token", `"<|none|>"`}}, "[]"},
	} {
		dir := baseDir(t, x.edits...)
		d, err := Open(dir, Given{})
		if err != nil {
			t.Fatal(err)
		}
		ends, err := Ends(dir, d.Config, d.Tok, d.Special)
		if err != nil || fmt.Sprint(ends) != x.want {
			t.Errorf("%v: %v, %v, want %s", x.edits, ends, err, x.want)
		}
	}
}

// A model that was trained when config.json alone was read keeps its end tokens; another change of them is an error.
func TestEndsOfTraining(t *testing.T) {
	for _, x := range []struct {
		trained []int32
		want    string // of the end tokens, or in the error
	}{
		{[]int32{0, 4}, "[0 4]"},
		{[]int32{0}, "[0]"},
		{[]int32{5}, "was trained with the end tokens [5], config.json, tokenizer_config.json gives [0 4]"},
	} {
		dir := baseDir(t, edit{model.ConfigFile, "eos_token_id", "0"})
		f := facts()
		f.EndTokens, f.ChatTemplate = x.trained, ""
		if err := f.Write(dir); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir, Given{})
		if err != nil {
			if !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v: %v", x.trained, err)
			}
		} else if fmt.Sprint(d.EndTokens) != x.want {
			t.Errorf("%v: %v", x.trained, d.EndTokens)
		}
		if use := (&Dir{EndTokens: x.trained}).Use(false); !slices.Equal(use.EndTokens, x.trained) {
			t.Errorf("what is trained from it has %v", use.EndTokens)
		}
	}
}
