package convert

// From config.json to the metadata of a GGUF file: the way back of config.go.

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/gguf"
	"criticrm/model"
)

// writing makes metadata of a config.json.
type writing struct {
	config *object
	like   model.Config // what the file says, with the defaults of transformers' class; the zero value where it does not open
	family *family
	shape  shape
	meta   gguf.Meta
	extra  []extra // tensors that are settings
	local  float64 // base of the rope of layers with a window; 0: the same
	err    error
}

// extra is a tensor that is a setting.
type extra struct {
	name   string
	values []float32
}

func (w *writing) fail(format string, a ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("config.json: "+format, a...)
	}
}

func (w *writing) add(name string, v gguf.Value) {
	w.meta = append(w.meta, gguf.Pair{Key: w.family.arch + "." + name, Value: v})
}

// familyOf chooses the family of a config.json.
func familyOf(config *object) (*family, error) {
	var class string
	if list := config.list("architectures"); len(list) == 1 {
		class, _ = list[0].(string)
	}
	if config.err != nil {
		return nil, config.err
	}
	var known []string
	for _, f := range families {
		if class == f.class+"ForCausalLM" {
			if kind := config.text("model_type"); kind != "" && kind != f.modelType {
				return nil, fmt.Errorf("config.json: model_type: got %q, %s needs %q", kind, class, f.modelType)
			}
			return f, config.err
		}
		known = append(known, f.class+"ForCausalLM")
	}
	return nil, fmt.Errorf("config.json: architectures [%q] cannot be written as GGUF (those that can: %s)", class, strings.Join(known, ", "))
}

// writeConfig makes the metadata of a model, but for its tokens.
func writeConfig(config *object, like model.Config, f *family, vocab int64) (*writing, error) {
	w := &writing{config: config, like: like, family: f}
	if config.has("quantization_config") {
		w.fail("quantization_config is not supported: take the model with plain weights (of one from 'convert --keep_quantized', 'export --format causal-lm' makes it)")
	}
	for _, k := range []string{"compression_config", "auto_map"} {
		if config.has(k) {
			w.fail("%s is not supported", k)
		}
	}
	for _, k := range []string{"attention_bias", "mlp_bias", "use_bidirectional_attention", "rope_interleaved"} {
		if config.flag(k) {
			w.fail("%s: true is not supported", k)
		}
	}
	w.canonicalRope()
	for _, s := range append(slices.Clone(common), f.settings...) {
		w.setting(s)
	}
	w.dimensions(vocab)
	if w.err == nil {
		w.err = config.err
	}
	if w.err == nil {
		w.writeRope()
		f.write(w)
	}
	if w.err == nil {
		w.err = config.err
	}
	return w, w.err
}

// tied says whether the LM head is the embedding, with transformers' default for the family.
func (f *family) tied(config *object) bool {
	if config.has("tie_word_embeddings") {
		return config.flag("tie_word_embeddings")
	}
	return strings.HasPrefix(f.modelType, "gemma") || f.modelType == "smollm3"
}

func (w *writing) setting(s setting) {
	switch {
	case s.whole && s.required:
		w.add(s.gguf, uint32(w.config.whole(s.hf, -1, maxWhole)))
	case s.whole && w.config.has(s.hf):
		w.add(s.gguf, uint32(w.config.whole(s.hf, 0, maxWhole)))
	case !s.whole && (s.required || w.config.has(s.hf)):
		def := 0.0
		if s.required {
			def = math.NaN()
		}
		x := w.config.number(s.hf, def)
		if w.config.err == nil && !(x > 0) {
			w.fail("%s: got %v, want a number above 0", s.hf, x)
		}
		w.add(s.gguf, float32(x))
	}
}

func (w *writing) dimensions(vocab int64) {
	c, s := w.config, &w.shape
	s.layers, s.hidden, s.inner = c.whole("num_hidden_layers", -1, maxLayers), c.whole("hidden_size", -1, maxWidth), c.whole("intermediate_size", -1, maxWidth)
	s.heads = c.whole("num_attention_heads", -1, maxLayers)
	s.keyHeads = c.whole("num_key_value_heads", s.heads, maxLayers)
	if c.err != nil {
		return
	}
	if s.heads == 0 || s.keyHeads == 0 || s.layers == 0 {
		w.fail("a model without heads or layers")
		return
	}
	def := s.hidden / s.heads
	if strings.HasPrefix(w.family.modelType, "gemma") {
		def = 256 // transformers' default
	} else if w.family.modelType == "qwen3" {
		def = 128
	}
	s.head = c.whole("head_dim", def, 1<<16)
	if s.head < 2 || s.head%2 != 0 {
		w.fail("head_dim: got %d, want an even number", s.head)
		return
	}
	s.vocab = vocab
	if n := c.whole("vocab_size", vocab, maxWhole); n != vocab {
		w.fail("vocab_size: got %d, the embedding has %d rows", n, vocab)
	}
	w.add("attention.key_length", uint32(s.head))
	w.add("attention.value_length", uint32(s.head))
	w.add("vocab_size", uint32(vocab))
}

func (w *writing) want(key, value string) {
	if got := w.config.text(key); got != "" && got != value {
		w.fail("%s: got %q, want %q", key, got, value)
	}
}

// window writes a sliding window that cuts.
func (w *writing) window() {
	if l := w.like.Layers; len(l) > 0 && l[0].Window > 0 {
		w.add("attention.sliding_window", uint32(l[0].Window))
	}
}

func writeLlama(w *writing) {
	w.want("hidden_act", "silu")
	if w.family.modelType == "mistral" {
		w.window()
	}
}

func writeSmolLM3(w *writing) {
	writeLlama(w)
	if w.config.flag("use_sliding_window") {
		w.fail("use_sliding_window: windows are not supported in smollm3")
	}
	for i, v := range w.config.list("no_rope_layers") {
		if on := fmt.Sprint(v) == "1"; on != ((i+1)%smolLM3Interval != 0) {
			w.fail("no_rope_layers: GGUF knows only that every %dth layer has no rope", smolLM3Interval)
		}
	}
}

func writeQwen(w *writing) {
	w.want("hidden_act", "silu")
	if w.config.flag("use_sliding_window") {
		w.fail("use_sliding_window: windows are not supported in %s", w.family.arch)
	}
}

// windows wants the layers that see everything to be every n-th, which is in llama.cpp's code.
func (w *writing) windows(n int) {
	for i, v := range w.config.list("layer_types") {
		want := "sliding_attention"
		if (i+1)%n == 0 {
			want = "full_attention"
		}
		if v != want {
			w.fail("layer_types: layer %d is %v, GGUF knows only that every %dth layer of %s sees everything", i, v, n, w.family.arch)
		}
	}
}

func (w *writing) gemma(layersOf27B int64) {
	w.want("hidden_activation", "gelu_pytorch_tanh")
	want := w.shape.head
	if w.shape.layers == layersOf27B {
		want = w.shape.hidden / w.shape.heads
	}
	if n := w.config.number("query_pre_attn_scalar", 256); n != float64(want) {
		w.fail("query_pre_attn_scalar: got %v, GGUF knows only %d for this shape", n, want)
	}
}

func writeGemma2(w *writing) {
	w.gemma(gemma2Layers27B)
	if !w.family.tied(w.config) {
		w.fail("tie_word_embeddings: false: GGUF has no LM head for gemma2, whose embedding is it")
	}
	w.windows(2)
}

func writeGemma3(w *writing) {
	w.gemma(gemma3Layers27B)
	w.windows(6)
	for _, k := range []string{"attn_logit_softcapping", "final_logit_softcapping"} {
		if w.config.has(k) {
			w.fail("%s is not supported in gemma3", k)
		}
	}
	w.add("rope.freq_base_swa", float32(w.local))
}

func writePhi3(w *writing) {
	w.want("hidden_act", "silu")
	w.add("attention.sliding_window", uint32(w.config.whole("sliding_window", 0, 1<<30))) // 0: none; llama.cpp wants the key
	if w.shape.head*w.shape.heads != w.shape.hidden {
		w.fail("head_dim: heads of %d channels, %d of them in a width of %d", w.shape.head, w.shape.heads, w.shape.hidden)
	}
}

func writeOlmo2(w *writing) { w.want("hidden_act", "silu") }

// canonicalRope brings both spellings of the rope settings, and that of Gemma 3 with one for each kind of layer, to rope_theta and rope_scaling. A
// base that is left out is transformers' for the family, where llama.cpp would take 10000.
func (w *writing) canonicalRope() {
	c := w.config
	defer func() {
		if theta := w.like.Rope.Theta; !c.has("rope_theta") && theta > 0 {
			c.m["rope_theta"] = json.Number(strconv.FormatFloat(theta, 'g', -1, 64))
		}
		if local := w.like.LocalRope; w.local == 0 && local != nil {
			w.local = local.Theta
		}
	}()
	r := c.object("rope_parameters")
	if r == nil {
		w.local = c.number("rope_local_base_freq", 0)
		return
	}
	if full := r.object("full_attention"); full != nil {
		if sliding := r.object("sliding_attention"); sliding != nil {
			w.local = sliding.number("rope_theta", 0)
			if kind := sliding.text("rope_type"); kind != "" && kind != "default" {
				w.fail("rope_parameters.sliding_attention: rope_type %q is not supported", kind)
			}
		}
		r = full
	}
	if theta := r.m["rope_theta"]; theta != nil {
		c.m["rope_theta"] = theta
	}
	if kind := r.text("rope_type"); kind != "" && kind != "default" {
		c.m["rope_scaling"] = r.m
	}
	if p := r.m["partial_rotary_factor"]; p != nil {
		c.m["partial_rotary_factor"] = p
	}
}

// writeRope writes what readRope reads.
func (w *writing) writeRope() {
	rotary := w.shape.head
	if p := w.config.number("partial_rotary_factor", 1); p != 1 {
		rotary = int64(math.Round(p * float64(w.shape.head)))
		if w.family.modelType != "phi3" || rotary < 2 || rotary > w.shape.head || rotary%2 != 0 {
			w.fail("partial_rotary_factor: %v of %d channels is not supported", p, w.shape.head)
			return
		}
	}
	w.add("rope.dimension_count", uint32(rotary))
	s := w.config.object("rope_scaling")
	if s == nil {
		return
	}
	kind := s.text("rope_type")
	if kind == "" {
		kind = s.text("type")
	}
	theta := w.config.number("rope_theta", 10000)
	original := s.whole("original_max_position_embeddings", w.config.whole("original_max_position_embeddings", 0, maxWhole), maxWhole)
	switch kind {
	case "", "default":
	case "linear":
		w.add("rope.scaling.type", "linear")
		w.add("rope.scaling.factor", float32(s.number("factor", math.NaN())))
	case "yarn":
		w.add("rope.scaling.type", "yarn")
		w.add("rope.scaling.factor", float32(s.number("factor", math.NaN())))
		if original == 0 {
			original = w.config.whole("max_position_embeddings", -1, maxWhole)
		}
		w.add("rope.scaling.original_context_length", uint32(original))
		for _, k := range []string{"mscale", "mscale_all_dim", "truncate"} {
			if s.has(k) {
				w.fail("rope_scaling.%s is not supported", k)
			}
		}
		if s.has("attention_factor") {
			w.add("rope.scaling.attn_factor", float32(s.number("attention_factor", 0)/yarnFactor(s.number("factor", 1))))
		}
		for _, k := range yarnSettings {
			if s.has(k[1]) {
				w.add("rope.scaling."+k[0], float32(s.number(k[1], 0)))
			}
		}
	case "llama3":
		l := llama3{s.number("factor", math.NaN()), s.number("low_freq_factor", math.NaN()), s.number("high_freq_factor", math.NaN()), float64(original)}
		if original == 0 || !(l.factor >= 1) || !(l.high > l.low) || !(l.low > 0) {
			w.fail("rope_scaling: llama3 with %+v is not supported", l)
			return
		}
		w.add("rope.scaling.original_context_length", uint32(original)) // which the factors do not tell
		w.extra = append(w.extra, extra{ropeFactors, l.divisors(theta, rotary)})
	case "longrope", "su":
		for name, list := range map[string][]float32{ropeFactorsLong: s.numbers("long_factor"), ropeFactorsShort: s.numbers("short_factor")} {
			if int64(len(list)) != rotary/2 {
				w.fail("rope_scaling: %d factors, want %d", len(list), rotary/2)
			}
			w.extra = append(w.extra, extra{name, list})
		}
		slices.SortFunc(w.extra, func(a, b extra) int { return strings.Compare(a.name, b.name) })
		if original == 0 {
			w.fail("original_max_position_embeddings: missing, longrope needs it")
			return
		}
		w.add("rope.scaling.original_context_length", uint32(original))
		scale := float64(w.config.whole("max_position_embeddings", -1, maxWhole)) / float64(original)
		if s.has("factor") {
			scale = s.number("factor", 1)
		}
		if scale > 1 || s.has("attention_factor") {
			w.add("rope.scaling.attn_factor", float32(s.number("attention_factor", longFactor(scale, original))))
		}
	default:
		w.fail("rope_scaling: rope_type %q is not supported", kind)
	}
}

// idsOf gives one id or a list of them; none for null and -1.
func (o *object) idsOf(key string) (ids []int64) {
	list, ok := o.m[key].([]any)
	if !ok && o.m[key] != nil {
		list = []any{o.m[key]}
	}
	for _, v := range list {
		n, ok := v.(json.Number)
		id, err := n.Int64()
		if !ok || err != nil || id > math.MaxInt32 {
			o.fail(key, "got %.40v, want token ids", v)
			return nil
		}
		if id >= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}
