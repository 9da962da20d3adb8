package convert

// From a GGUF file's metadata to config.json, as transformers writes it for the family, with the rope settings in the spelling that all
// its versions read.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/gguf"
)

// setting is a number that both sides hold.
type setting struct {
	gguf, hf string // without the architecture's name
	whole    bool
	required bool
}

// common are the settings of all families.
var common = []setting{
	{"block_count", "num_hidden_layers", true, true},
	{"context_length", "max_position_embeddings", true, true},
	{"embedding_length", "hidden_size", true, true},
	{"feed_forward_length", "intermediate_size", true, true},
	{"attention.head_count", "num_attention_heads", true, true},
	{"attention.head_count_kv", "num_key_value_heads", true, false},
	{"attention.layer_norm_rms_epsilon", "rms_norm_eps", false, true},
	{"rope.freq_base", "rope_theta", false, false},
}

var graniteSettings = []setting{
	{"embedding_scale", "embedding_multiplier", false, true},
	{"residual_scale", "residual_multiplier", false, true},
	{"attention.scale", "attention_multiplier", false, true},
	{"logit_scale", "logits_scaling", false, true},
}

var gemma2Settings = []setting{
	{"attn_logit_softcapping", "attn_logit_softcapping", false, true},
	{"final_logit_softcapping", "final_logit_softcapping", false, true},
	{"attention.sliding_window", "sliding_window", true, true},
}

var gemma3Settings = []setting{
	{"final_logit_softcapping", "final_logit_softcapping", false, false},
	{"attention.sliding_window", "sliding_window", true, true},
}

// What settings may be; package model has its own limits, these keep arithmetic from overflowing.
const (
	maxWhole  = 1 << 27
	maxLayers = 1024
	maxWidth  = 1 << 24
)

// tensors are those of a file, or of one that is to be written.
type tensors interface {
	Tensor(name string) (t gguf.Tensor, ok bool)
	Tensors() []gguf.Tensor
	ReadF32(name string) ([]float32, error)
}

// reading makes a config.json of a file's metadata.
type reading struct {
	gguf.Fields
	file   tensors
	family *family
	shape  shape
	config map[string]any
	notes  []string
}

func (r *reading) key(name string) string { return r.family.arch + "." + name }

func (r *reading) fail(format string, a ...any) {
	if r.Err == nil {
		r.Err = fmt.Errorf(format, a...)
	}
}

// shortest writes a float32 with as few digits as it needs, as a float64 that prints so: 1e-05 and not 9.999999747378752e-06.
func shortest(x float64) float {
	if v, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64); err == nil && float64(float32(x)) == x {
		return float(v)
	}
	return float(x)
}

// float is a number that JSON shows to be no whole one, which transformers tells apart.
type float float64

// MarshalJSON writes 10 as 10.0.
func (x float) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(float64(x))
	if !bytes.ContainsAny(b, ".e") {
		b = append(b, ".0"...)
	}
	return b, err
}

// findFamily chooses the family of a file.
func findFamily(meta gguf.Meta) (*family, error) {
	m := &gguf.Fields{Meta: meta}
	arch := m.Text("general.architecture")
	if m.Err != nil {
		return nil, m.Err
	}
	if kind := m.Text("general.type"); kind != "" && kind != "model" {
		return nil, fmt.Errorf("metadata \"general.type\": this file holds no model, but %q", kind)
	}
	var known []string
	windows := m.Has(arch + ".attention.sliding_window")
	for _, f := range families {
		if f.arch == arch && (arch != "llama" || windows == (f.modelType == "mistral")) {
			return f, nil
		}
		if !slices.Contains(known, f.arch) {
			known = append(known, f.arch)
		}
	}
	return nil, fmt.Errorf("metadata \"general.architecture\": %q is not supported (supported: %q)", arch, known)
}

// readConfig reads the settings of a file. The tokens that config.json names are added later.
func readConfig(meta gguf.Meta, file tensors, f *family) (*reading, error) {
	r := &reading{Fields: gguf.Fields{Meta: meta}, file: file, family: f, config: map[string]any{}}
	for _, name := range []string{"attention.head_count", "attention.head_count_kv", "feed_forward_length"} {
		r.Uniform(r.key(name))
	}
	r.config["model_type"] = f.modelType
	r.config["architectures"] = []string{f.class + "ForCausalLM"}
	for _, s := range append(slices.Clone(common), f.settings...) {
		r.setting(s)
	}
	r.dimensions()
	for name, what := range map[string]string{"expert_count": "a mixture of experts", "attention.max_alibi_bias": "ALiBi", "attention.clamp_kqv": "clamped queries and keys",
		"use_parallel_residual": "parallel residuals", "attention.output_scale": "scaled attention", "attention.temperature_length": "attention whose temperature grows with the position"} {
		if v := r.Get(r.key(name)); v != nil && v != false && fmt.Sprint(v) != "0" {
			r.fail("metadata %q: %s is not supported", r.key(name), what)
		}
	}
	r.config["initializer_range"] = 0.02
	r.config["use_cache"] = true
	r.config["attention_dropout"] = float(0)
	if _, ok := file.Tensor("output.weight"); ok {
		r.config["tie_word_embeddings"] = false
	} else {
		r.config["tie_word_embeddings"] = true
	}
	if r.Err == nil {
		r.readRope()
		f.read(r)
	}
	return r, r.Err
}

func (r *reading) setting(s setting) {
	key, def := r.key(s.gguf), int64(0)
	switch {
	case !s.required && !r.Has(key):
		return
	case s.whole:
		if s.required {
			def = -1
		}
		r.config[s.hf] = r.WholeOf(key, 0, def, 1, maxWhole)
	default:
		x := r.Number(key, 0, s.required)
		if !(x > 0) || math.IsInf(x, 0) {
			r.fail("metadata %q: got %v, want a number above 0", key, x)
		}
		r.config[s.hf] = shortest(x)
	}
}

// dimensions reads the shape and writes what config.json has of it.
func (r *reading) dimensions() {
	whole := func(key string) int64 { n, _ := r.config[key].(int64); return n }
	s := &r.shape
	s.layers, s.hidden, s.inner = whole("num_hidden_layers"), whole("hidden_size"), whole("intermediate_size")
	s.heads, s.keyHeads = whole("num_attention_heads"), whole("num_key_value_heads")
	if s.keyHeads == 0 {
		s.keyHeads = s.heads
	}
	if r.Err != nil {
		return
	}
	if s.layers > maxLayers || s.hidden > maxWidth || s.inner > maxWidth || s.heads > maxLayers || s.keyHeads > maxLayers {
		r.fail("the metadata describes no model: %d layers of width %d and %d with %d heads", s.layers, s.hidden, s.inner, s.heads)
		return
	}
	s.head = r.Whole(r.key("attention.key_length"), s.hidden/s.heads, 2, 1<<16)
	if v := r.Whole(r.key("attention.value_length"), s.head, 1, 1<<16); v != s.head {
		r.fail("metadata %q: values of %d and keys of %d channels are not supported", r.key("attention.value_length"), v, s.head)
	}
	if s.head%2 != 0 {
		r.fail("heads have %d channels, want an even number", s.head)
	}
	r.config["num_key_value_heads"], r.config["head_dim"] = s.keyHeads, s.head
	r.config["rope_theta"] = shortest(r.Number(r.key("rope.freq_base"), 10000, false))
	embed, ok := r.file.Tensor("token_embd.weight")
	if !ok || len(embed.Shape) != 2 {
		r.fail("tensor \"token_embd.weight\" is missing, or no matrix")
		return
	}
	s.vocab = embed.Shape[0]
	r.config["vocab_size"] = s.vocab
}

// layerTypes writes which layers see a window only: all but every n-th, where the file does not say it.
func (r *reading) layerTypes(n int64) {
	if n = r.Whole(r.key("attention.sliding_window_pattern"), n, 1, maxLayers); r.Err != nil {
		return
	}
	types := make([]string, r.shape.layers)
	for i := range types {
		types[i] = "sliding_attention"
		if int64(i+1)%n == 0 {
			types[i] = "full_attention"
		}
	}
	r.config["layer_types"] = types
}

func readLlama(r *reading) {
	r.config["hidden_act"], r.config["attention_bias"], r.config["mlp_bias"] = "silu", false, false
	if r.family.modelType == "mistral" {
		delete(r.config, "attention_bias")
		delete(r.config, "mlp_bias")
		r.config["sliding_window"] = r.Whole(r.key("attention.sliding_window"), -1, 1, maxWhole)
	}
}

// readSmolLM3: every fourth layer has no rope; llama.cpp has that number in its code.
func readSmolLM3(r *reading) {
	readLlama(r)
	rope := make([]int, r.shape.layers)
	for i := range rope {
		if (i+1)%smolLM3Interval != 0 {
			rope[i] = 1
		}
	}
	r.config["no_rope_layers"], r.config["no_rope_layer_interval"], r.config["use_sliding_window"], r.config["sliding_window"] = rope, smolLM3Interval, false, nil
}

const smolLM3Interval = 4

func readQwen(r *reading) {
	r.config["hidden_act"], r.config["use_sliding_window"], r.config["sliding_window"] = "silu", false, nil
	if r.family.modelType == "qwen3" {
		r.config["attention_bias"] = false
	}
	if r.Has(r.key("attention.sliding_window")) {
		r.fail("metadata %q: windows of %s are not supported", r.key("attention.sliding_window"), r.family.arch)
	}
}

// Gemma's attention is scaled by 1/√head size, but in the 27B models by 1/√(width / heads), which llama.cpp, too, knows by the layers.
func (r *reading) gemma(layersOf27B int64) {
	r.config["hidden_activation"], r.config["attention_bias"] = "gelu_pytorch_tanh", false
	r.config["query_pre_attn_scalar"] = r.shape.head
	if r.shape.layers == layersOf27B {
		r.config["query_pre_attn_scalar"] = r.shape.hidden / r.shape.heads
	}
}

const (
	gemma2Layers27B = 46
	gemma3Layers27B = 62
)

func readGemma2(r *reading) {
	r.gemma(gemma2Layers27B)
	r.config["hidden_act"] = "gelu_pytorch_tanh"
	r.layerTypes(2)
}

func readGemma3(r *reading) {
	r.gemma(gemma3Layers27B)
	r.config["attn_logit_softcapping"] = nil
	if !r.Has(r.key("final_logit_softcapping")) {
		r.config["final_logit_softcapping"] = nil
	}
	r.config["rope_local_base_freq"] = shortest(r.Number(r.key("rope.freq_base_swa"), 10000, false))
	r.layerTypes(6)
}

func readPhi3(r *reading) {
	r.config["hidden_act"], r.config["sliding_window"] = "silu", nil
	if w := r.Whole(r.key("attention.sliding_window"), 0, 0, maxWhole); w > 0 {
		r.config["sliding_window"] = w
	}
	delete(r.config, "head_dim")
	if r.shape.head*r.shape.heads != r.shape.hidden {
		r.fail("phi3 with heads of %d channels, %d of them in a width of %d, is not supported", r.shape.head, r.shape.heads, r.shape.hidden)
	}
	r.config["resid_pdrop"], r.config["embd_pdrop"] = float(0), float(0)
	original := r.Whole(r.key("rope.scaling.original_context_length"), r.config["max_position_embeddings"].(int64), 1, maxWhole)
	r.config["original_max_position_embeddings"] = original
}

func readOlmo2(r *reading) {
	r.config["hidden_act"], r.config["attention_bias"] = "silu", false
	delete(r.config, "head_dim")
	if r.shape.head*r.shape.heads != r.shape.hidden {
		r.fail("olmo2 with heads of %d channels, %d of them in a width of %d, is not supported", r.shape.head, r.shape.heads, r.shape.hidden)
	}
	if r.Has(r.key("attention.sliding_window")) {
		r.fail("metadata %q: windows, as in OLMo 3, are not supported", r.key("attention.sliding_window"))
	}
}

// tellUnread notes what the file says and nothing here has looked for, unless it changes nothing: it may be a setting on which numbers depend.
func (r *reading) tellUnread() {
	arch := r.family.arch + "."
	for _, p := range append(r.Unread(arch), r.Unread("tokenizer.")...) {
		switch name := strings.TrimPrefix(p.Key, arch); {
		case name == "vocab_size", name == "rope.scaling.finetuned", name == "attention.causal" && p.Value == true:
		case name == "tokenizer.ggml.pre", strings.HasSuffix(name, "_token_id"), name == "tokenizer.huggingface.json": // of SentencePiece's way; tokens that no text is given
		case strings.HasPrefix(name, "tokenizer.ggml.add_") && p.Value == false:
		default:
			r.notes = append(r.notes, fmt.Sprintf("warning: nothing here reads metadata %q (%.60s)", p.Key, fmt.Sprint(p.Value)))
		}
	}
}

// configText is a JSON file for people.
func configText(config map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(config); err != nil {
		panic("convert: a configuration is numbers and strings")
	}
	return b.Bytes()
}
