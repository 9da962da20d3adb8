package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/checkpoint"
	"criticrm/gguf"
	"criticrm/internal/golden"
	"criticrm/tokenizer"
)

// rows is more than the golden tokenizers have tokens: rows of embeddings without a token are usual.
const rows = 512

// tiny are models of all families, as config.json has them, with every setting that GGUF can hold.
var tiny = map[string]string{
	"llama":       `"hidden_act":"silu","rope_theta":500.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64},"tie_word_embeddings":true`,
	"llama/3.1":   `"hidden_act":"silu","head_dim":64,"rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}`,
	"llama/other": `"hidden_act":"silu","head_dim":64,"rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":16.0,"low_freq_factor":1.0,"high_freq_factor":2.5,"original_max_position_embeddings":3000}`,
	"llama/yarn":  `"hidden_act":"silu","rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":128,"beta_fast":16.0,"attention_factor":1.25}`,
	"llama/5":     `"hidden_act":"silu","rope_parameters":{"rope_type":"linear","factor":2.0,"rope_theta":1000.0}`,
	"mistral":     `"hidden_act":"silu","sliding_window":32,"rope_theta":1000000.0`,
	"smollm3":     `"hidden_act":"silu","no_rope_layers":[1,1,1,0,1,1,1],"no_rope_layer_interval":4,"tie_word_embeddings":false`,
	"granite":     `"hidden_act":"silu","embedding_multiplier":12.0,"residual_multiplier":0.22,"attention_multiplier":0.0625,"logits_scaling":8.0`,
	"qwen2":       `"hidden_act":"silu","use_sliding_window":false,"sliding_window":null`,
	"qwen3":       `"hidden_act":"silu","head_dim":32`,
	"gemma2":      `"hidden_activation":"gelu_pytorch_tanh","head_dim":16,"query_pre_attn_scalar":16,"sliding_window":16,"attn_logit_softcapping":50.0,"final_logit_softcapping":30.0,"tie_word_embeddings":true`,
	"gemma3_text": `"hidden_activation":"gelu_pytorch_tanh","head_dim":16,"query_pre_attn_scalar":16,"sliding_window":16,"rope_theta":1000000.0,"rope_local_base_freq":5000.0,"rope_scaling":{"rope_type":"linear","factor":8.0},"tie_word_embeddings":true`,
	"phi3":        `"hidden_act":"silu","sliding_window":48,"original_max_position_embeddings":64,"partial_rotary_factor":0.5,"rope_scaling":{"type":"longrope","rope_type":"longrope","short_factor":[1.0,1.25],"long_factor":[1.5,4.0]}`,
	"olmo2":       `"hidden_act":"silu"`,
}

// directory writes the model of that name with random weights.
func directory(t testing.TB, name string) string { return directoryOf(t, name, 48) }

// directoryOf has feed-forward layers of so many channels.
func directoryOf(t testing.TB, name string, inner int64) string {
	t.Helper()
	kind, _, _ := strings.Cut(name, "/")
	f := families[slices.IndexFunc(families, func(f *family) bool { return f.modelType == kind })]
	s := shape{vocab: rows, hidden: 32, layers: 7, heads: 4, keyHeads: 2, head: 8, inner: inner}
	for _, n := range []int64{16, 32, 64} {
		if strings.Contains(tiny[name], fmt.Sprintf(`"head_dim":%d`, n)) {
			s.head = n
		}
	}
	config := fmt.Sprintf(`{"architectures":[%q],"model_type":%q,"vocab_size":%d,"hidden_size":%d,"intermediate_size":%d,"num_hidden_layers":%d,"num_attention_heads":%d,"num_key_value_heads":%d,
		"max_position_embeddings":256,"rms_norm_eps":1e-05,"eos_token_id":488,%s}`, f.class+"ForCausalLM", kind, s.vocab, s.hidden, s.inner, s.layers, s.heads, s.keyHeads, tiny[name])
	rng := rand.New(rand.NewPCG(1, uint64(len(name))))
	var tensors []checkpoint.TensorData
	for _, x := range f.tensors(&s) {
		if x.change == maybeMissing && strings.Contains(config, `"tie_word_embeddings":true`) {
			continue
		}
		n := int64(1)
		for _, d := range x.shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		tensors = append(tensors, checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: x.hf, DType: "F32", Shape: x.shape}, Data: checkpoint.F32Bytes(values)})
	}
	dir := t.TempDir()
	if err := checkpoint.WriteModelDir(dir, tensors, 0); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.json"), config)
	copyTokenizer(t, golden.Repository(t).Dir("tokenizer_chatml"), dir)
	return dir
}

func copyTokenizer(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range tokenizer.Files() {
		if b, err := os.ReadFile(filepath.Join(from, name)); err == nil {
			write(t, filepath.Join(to, name), string(b))
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// toGGUF writes a directory as a file.
func toGGUF(t testing.TB, dir, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if _, err := WriteGGUF(t.Context(), dir, path, kind); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model of every family comes back from GGUF as it was: weights to the bit, and every setting.
func TestThereAndBack(t *testing.T) {
	for name := range tiny {
		t.Run(name, func(t *testing.T) {
			dir := directory(t, name)
			path := toGGUF(t, dir, GGUFF32)
			back := filepath.Join(t.TempDir(), "back")
			rep, err := Convert(t.Context(), path, back, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if rep.DType != F32 {
				t.Errorf("float32 matrices were stored as %s", rep.DType)
			}
			sameWeights(t, dir, back)
			was, is := readJSON(t, filepath.Join(dir, "config.json")), readJSON(t, filepath.Join(back, "config.json"))
			if r, ok := was["rope_parameters"].(map[string]any); ok { // the newer spelling
				was["rope_theta"] = r["rope_theta"]
				delete(r, "rope_theta")
				was["rope_scaling"] = r
				delete(was, "rope_parameters")
			}
			for key, v := range was {
				if d := cmp.Diff(v, is[key]); d != "" {
					t.Errorf("config.json: %s: %s", key, d)
				}
			}
		})
	}
}

func readJSON(t *testing.T, path string) (m map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameWeights wants the same tensors. Norms that GGUF holds as 1 + w are the same if 1 + w is, which is what they are used as.
func sameWeights(t *testing.T, a, b string) {
	t.Helper()
	x, err := checkpoint.OpenModelDir(a)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := checkpoint.OpenModelDir(b)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	names := x.Names()
	slices.Sort(names)
	others := y.Names()
	slices.Sort(others)
	if d := cmp.Diff(names, others); d != "" {
		t.Fatal(d)
	}
	for _, name := range names {
		was, err := x.ReadF32(name)
		if err != nil {
			t.Fatal(err)
		}
		is, err := y.ReadF32(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range was {
			if math.Float32bits(was[i]) != math.Float32bits(is[i]) && (!strings.Contains(name, "norm") || 1+was[i] != 1+is[i]) {
				t.Errorf("%s: element %d is %v, was %v", name, i, is[i], was[i])
				break
			}
		}
	}
}

// The rows of a head alternate between its halves in GGUF files of Llama: written out.
func TestInterleave(t *testing.T) {
	plain := []float32{0, 1, 2, 3, 4, 5, 6, 7} // two heads of four rows of one
	mixed := []float32{0, 2, 1, 3, 4, 6, 5, 7}
	if d := cmp.Diff(mixed, interleave(plain, 2, 4, true)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(plain, interleave(mixed, 2, 4, false)); d != "" {
		t.Error(d)
	}
	path := toGGUF(t, directory(t, "llama"), GGUFF32)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	norm := tensor{change: plusOne}
	if x := norm.turned([]float32{0.5}, true); x[0] != 1.5 {
		t.Errorf("a norm of 0.5 is %v in a GGUF file, want 1.5", x[0])
	}
}

// A tokenizer comes back from GGUF with the same ids for every golden string, special tokens included, and the same chats.
func TestTokenizerThereAndBack(t *testing.T) {
	for _, name := range golden.Repository(t).Tokenizers {
		t.Run(name, func(t *testing.T) {
			from := golden.Repository(t).Dir(name)
			dir := directory(t, "qwen3")
			for _, f := range tokenizer.Files() {
				os.Remove(filepath.Join(dir, f))
			}
			copyTokenizer(t, from, dir)
			back := filepath.Join(t.TempDir(), "back")
			if _, err := Convert(t.Context(), toGGUF(t, dir, GGUFF16), back, Options{}); err != nil {
				t.Fatal(err)
			}
			was, err := tokenizer.Load(from)
			if err != nil {
				t.Fatal(err)
			}
			is, err := tokenizer.Load(back)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(from, "strings.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for line := range strings.Lines(string(b)) {
				var s struct{ Text string }
				if err := json.Unmarshal([]byte(line), &s); err != nil {
					t.Fatal(err)
				}
				n++
				if !slices.Equal(was.Encode(s.Text), is.Encode(s.Text)) || !slices.Equal(was.EncodeSpecial(s.Text), is.EncodeSpecial(s.Text)) {
					t.Errorf("%q has other ids", s.Text)
				}
			}
			if n < 200 {
				t.Errorf("%d strings", n)
			}
			bos, ok := was.BOS()
			if bos2, ok2 := is.BOS(); bos != bos2 || ok != ok2 {
				t.Errorf("begin of text %d %v, was %d %v", bos2, ok2, bos, ok)
			}
			chat := []tokenizer.Message{{Role: "user", Content: "a question"}, {Role: "assistant", Content: "an answer"}}
			var ids [2][]int32
			for i, d := range []string{from, back} {
				tok := []*tokenizer.Tokenizer{was, is}[i]
				c, err := tokenizer.LoadChat(d, tok, tokenizer.ChatOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if ids[i], err = c.Encode(chat, true); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(ids[0], ids[1]); d != "" {
				t.Error(d)
			}
		})
	}
}

// spm is the metadata of a SentencePiece tokenizer: pieces with scores, bytes, a token that people may type.
func spm() gguf.Meta {
	tokens := []string{"<unk>", "<s>", "</s>", "<note>"}
	kinds := []int32{tokenUnknown, tokenControl, tokenControl, tokenUser}
	scores := []float32{0, 0, 0, 0}
	for b := range 256 {
		tokens, kinds, scores = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(kinds, tokenByte), append(scores, 0)
	}
	for i, t := range []string{"ab", "▁a", "abc", "bc", "▁ab", "▁", "a", "b", "c"} {
		tokens, kinds, scores = append(tokens, t), append(kinds, tokenNormal), append(scores, -float32(i))
	}
	return gguf.Meta{{Key: "tokenizer.ggml.model", Value: "llama"}, {Key: "tokenizer.ggml.tokens", Value: tokens}, {Key: "tokenizer.ggml.token_type", Value: kinds},
		{Key: "tokenizer.ggml.scores", Value: scores}, {Key: "tokenizer.ggml.bos_token_id", Value: uint32(1)}, {Key: "tokenizer.ggml.eos_token_id", Value: uint32(2)}}
}

// changed writes a GGUF file again with other metadata: values that replace, nil to remove.
func changed(t *testing.T, path string, values gguf.Meta, without ...string) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	meta := slices.DeleteFunc(slices.Clone(f.Meta), func(p gguf.Pair) bool {
		return values.Get(p.Key) != nil || slices.ContainsFunc(without, func(w string) bool { return strings.HasPrefix(p.Key, w) })
	})
	out := filepath.Join(t.TempDir(), "changed.gguf")
	if err := gguf.Write(out, append(meta, values...), f.Tensors(), f.ReadRaw); err != nil {
		t.Fatal(err)
	}
	return out
}

// SentencePiece's tokens become a tokenizer.json of byte fallback, whose merges are those that the scores say, best first.
func TestSentencePiece(t *testing.T) {
	path := changed(t, toGGUF(t, directory(t, "llama"), GGUFF16), spm(), "tokenizer.")
	for _, prefix := range []bool{true, false} {
		back := filepath.Join(t.TempDir(), "back")
		p := changed(t, path, gguf.Meta{{Key: "tokenizer.ggml.add_space_prefix", Value: prefix}})
		if _, err := Convert(t.Context(), p, back, Options{}); err != nil {
			t.Fatal(err)
		}
		file := readJSON(t, filepath.Join(back, tokenizer.File))
		model := file["model"].(map[string]any)
		want := []any{[]any{"a", "b"}, []any{"▁", "a"}, []any{"ab", "c"}, []any{"a", "bc"}, []any{"b", "c"}, []any{"▁a", "b"}, []any{"▁", "ab"}}
		if d := cmp.Diff(want, model["merges"]); d != "" {
			t.Error(d)
		}
		if model["byte_fallback"] != true || model["fuse_unk"] != true || model["unk_token"] != "<unk>" {
			t.Errorf("model: %v %v %v", model["byte_fallback"], model["fuse_unk"], model["unk_token"])
		}
		kind := file["normalizer"].(map[string]any)["type"]
		if want := map[bool]string{true: "Sequence", false: "Replace"}[prefix]; kind != want {
			t.Errorf("normalizer %v, want %v", kind, want)
		}
		single := file["post_processor"].(map[string]any)["single"].([]any)
		if len(single) != 2 || single[0].(map[string]any)["SpecialToken"] == nil {
			t.Errorf("no begin of text: %v", single)
		}
		// And as scores again: the same merges.
		tokens := &vocab{spm: true}
		for i := range 4 + 256 + 9 {
			tokens.tokens, tokens.kinds = append(tokens.tokens, spm().Get("tokenizer.ggml.tokens").([]string)[i]), append(tokens.kinds, int64(spm().Get("tokenizer.ggml.token_type").([]int32)[i]))
		}
		for _, m := range want {
			tokens.merges = append(tokens.merges, fmt.Sprintf("%v %v", m.([]any)[0], m.([]any)[1]))
		}
		if err := tokens.scoresOfMerges(); err != nil {
			t.Fatal(err)
		}
		var again []any
		for _, m := range tokens.mergesOfScores() {
			again = append(again, []any{m[0], m[1]})
		}
		if d := cmp.Diff(want, again); d != "" {
			t.Error(d)
		}
		tokens.merges = tokens.merges[1:]
		if tokens.scoresOfMerges() == nil {
			t.Error("merges that no scores give were written as scores")
		}
	}
}

// What cannot be converted is refused by name, and nothing is left.
func TestBadGGUF(t *testing.T) {
	llama := toGGUF(t, directory(t, "llama"), GGUFF16)
	qwen := toGGUF(t, directory(t, "qwen2"), GGUFF16)
	one := func(path, key string, v gguf.Value) string { return changed(t, path, gguf.Meta{{Key: key, Value: v}}) }
	for want, path := range map[string]string{
		`"general.architecture": "mamba" is not supported`:           one(llama, "general.architecture", "mamba"),
		`this file holds no model, but "adapter"`:                    one(llama, "general.type", "adapter"),
		`this is the first of 3 files of a model, but its name`:      one(llama, "split.count", uint32(3)),
		`metadata "llama.block_count": missing`:                      changed(t, llama, nil, "llama.block_count"),
		`"llama.block_count": got 0`:                                 one(llama, "llama.block_count", uint32(0)),
		`tensor "blk.7.attn_norm.weight" is missing`:                 one(llama, "llama.block_count", uint32(8)),
		`tensor "blk.6.attn_norm.weight" has no place`:               one(llama, "llama.block_count", uint32(6)),
		`tensor "blk.0.attn_k.weight" has the shape [16,32], the m`:  one(llama, "llama.attention.head_count_kv", uint32(4)),
		`"llama.attention.layer_norm_rms_epsilon": got 0`:            one(llama, "llama.attention.layer_norm_rms_epsilon", float32(0)),
		`a mixture of experts is not supported`:                      one(llama, "llama.expert_count", uint32(8)),
		`"llama.attention.value_length": values of 16 and keys of 8`: one(llama, "llama.attention.value_length", uint32(16)),
		`"llama.rope.dimension_count": 4 of 8 channels turn`:         one(llama, "llama.rope.dimension_count", uint32(4)),
		`"rope_freqs.weight" holds factors that no setting`:          one(llama, "llama.rope.freq_base", float32(600)),
		`there are factors as tensors: they contradict`:              changed(t, llama, gguf.Meta{{Key: "llama.rope.scaling.type", Value: "yarn"}, {Key: "llama.rope.scaling.factor", Value: float32(2)}}),
		`"qwen2.rope.scaling.type": got "spiral"`:                    one(qwen, "qwen2.rope.scaling.type", "spiral"),
		`"qwen2.attention.sliding_window": windows of qwen2`:         one(qwen, "qwen2.attention.sliding_window", uint32(8)),
		`"tokenizer.ggml.model": "t5" is not supported`:              one(llama, "tokenizer.ggml.model", "t5"),
		`the file has no tokenizer`:                                  changed(t, llama, nil, "tokenizer."),
		`"tokenizer.ggml.pre": "default" does not say`:               one(llama, "tokenizer.ggml.pre", "default"),
		`there are 999 tokens, and embeddings of 512`:                one(llama, "tokenizer.ggml.tokens", slices.Repeat([]string{"a"}, 999)),
		`there are 512 tokens, 3 types`:                              one(llama, "tokenizer.ggml.token_type", []int32{1, 1, 1}),
		`merge 0 is "abc", want two tokens`:                          one(llama, "tokenizer.ggml.merges", []string{"abc"}),
		`eos_token_id": got 4096, but there are`:                     one(llama, "tokenizer.ggml.eos_token_id", uint32(4096)),
		`add_bos_token" is true, but no`:                             one(llama, "tokenizer.ggml.add_bos_token", true),
		`"tokenizer.chat_template": got uint32, want a string`:       one(llama, "tokenizer.chat_template", uint32(1)),
	} {
		to := filepath.Join(t.TempDir(), "out")
		_, err := Convert(t.Context(), path, to, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if left, _ := filepath.Glob(to + "*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", want, left)
		}
	}
	if _, err := Convert(t.Context(), llama, t.TempDir(), Options{DType: "F64"}); err == nil {
		t.Error("F64 was taken")
	}
	full := t.TempDir()
	write(t, filepath.Join(full, "x"), "")
	if _, err := Convert(t.Context(), llama, full, Options{}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
}

// What GGUF cannot hold is refused by name, and no file is left.
func TestBadExport(t *testing.T) {
	for want, change := range map[string]struct{ name, old, new string }{
		`["BertForCausalLM"] cannot be written`:               {"qwen2", "Qwen2ForCausalLM", "BertForCausalLM"},
		`model_type: got "bert"`:                              {"qwen2", `"model_type":"qwen2"`, `"model_type":"bert"`},
		`quantization_config is not supported`:                {"qwen2", `"hidden_act":"silu"`, `"quantization_config":{"a":1}`},
		`attention_bias: true is not supported`:               {"llama/5", `"hidden_act":"silu"`, `"attention_bias":true`},
		`hidden_act: got "gelu", want "silu"`:                 {"qwen2", `"silu"`, `"gelu"`},
		`use_sliding_window: windows are not`:                 {"qwen2", `"use_sliding_window":false`, `"use_sliding_window":true`},
		`no_rope_layers: GGUF knows only`:                     {"smollm3", `[1,1,1,0`, `[1,1,0,1`},
		`query_pre_attn_scalar: got 24, GGUF knows only 16`:   {"gemma2", `"query_pre_attn_scalar":16`, `"query_pre_attn_scalar":24`},
		`tie_word_embeddings: false: GGUF has no LM head`:     {"gemma2", `"tie_word_embeddings":true`, `"tie_word_embeddings":false`},
		`vocab_size: got 77, the embedding has 512 rows`:      {"qwen2", `"vocab_size":512`, `"vocab_size":77`},
		`hidden_size: missing`:                                {"qwen2", `"hidden_size":32,`, ``},
		`"model.layers.6.input_layernorm.weight" has no plac`: {"qwen2", `"num_hidden_layers":7`, `"num_hidden_layers":6`},
		`"model.layers.7.input_layernorm.weight" is missing`:  {"qwen2", `"num_hidden_layers":7`, `"num_hidden_layers":8`},
		`rope_scaling: rope_type "dynamic" is not supported`:  {"llama/5", `"linear"`, `"dynamic"`},
		`rope_scaling.factor: missing`:                        {"llama/5", `"factor":2.0,`, ``},
		`has the shape [16,32], config.json implies [32,32]`:  {"qwen2", `"num_key_value_heads":2`, `"num_key_value_heads":4`},
	} {
		dir := directory(t, change.name)
		b, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), change.old, change.new, 1)
		if text == string(b) {
			t.Fatalf("%s: nothing was changed", want)
		}
		write(t, filepath.Join(dir, "config.json"), text)
		path := filepath.Join(t.TempDir(), "out.gguf")
		if _, err := WriteGGUF(t.Context(), dir, path, GGUFF16); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if exists, _ := filepath.Glob(path + "*"); len(exists) > 0 {
			t.Errorf("%s: left behind: %v", want, exists)
		}
	}
	if _, err := WriteGGUF(t.Context(), directory(t, "qwen2"), filepath.Join(t.TempDir(), "x"), "q4_0"); err == nil || !strings.Contains(err.Error(), "want one of f16, bf16, q8_0, f32") {
		t.Errorf("got %v", err)
	}
}

// Quantised matrices are stored as bfloat16, vectors stay exact, and the report says what the file had.
func TestStoredAs(t *testing.T) {
	dir := directory(t, "qwen3")
	for kind, want := range map[string][2]string{GGUFQ8: {"GGUF, qwen3, Q8_0, F16", BF16}, GGUFBF16: {"GGUF, qwen3, BF16", BF16}, GGUFF16: {"GGUF, qwen3, F16", F32}} {
		rep, err := Convert(t.Context(), toGGUF(t, dir, kind), filepath.Join(t.TempDir(), "back"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if rep.What != want[0] || rep.DType != want[1] {
			t.Errorf("%s: got %q as %s, want %v", kind, rep.What, rep.DType, want)
		}
	}
}

// Whatever a GGUF file's header says, its conversion is planned or refused.
func FuzzPlan(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"llama", "gemma3_text"} {
		b, err := os.ReadFile(toGGUF(f, directory(f, name), GGUFQ8))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "x.gguf")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := gguf.Open(path)
		if err != nil {
			return
		}
		defer file.Close()
		fam, err := findFamily(file.Meta)
		if err != nil {
			return
		}
		r, err := readConfig(file.Meta, file, fam)
		if err != nil {
			return
		}
		if _, err := r.tensors(); err != nil {
			return
		}
		if _, err := readTokenizer(r); err == nil {
			configText(r.config)
		}
	})
}
