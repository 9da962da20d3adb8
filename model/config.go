package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"criticrm/kernels"
	"criticrm/safefile"
)

// Config describes a decoder with the names of Hugging Face's config.json. A Config written by hand needs the
// sizes only: [New] fills the rest as [Config.WithDefaults] does.
type Config struct {
	ModelType             string  `json:"model_type"`              // "llama" (the default), or that of another family
	VocabSize             int     `json:"vocab_size"`              // V
	HiddenSize            int     `json:"hidden_size"`             // H
	IntermediateSize      int     `json:"intermediate_size"`       // F
	NumHiddenLayers       int     `json:"num_hidden_layers"`       //
	NumAttentionHeads     int     `json:"num_attention_heads"`     // A
	NumKeyValueHeads      int     `json:"num_key_value_heads"`     // G; 0: as many as query heads
	HeadDim               int     `json:"head_dim"`                // D; 0: hidden_size / num_attention_heads
	MaxPositionEmbeddings int     `json:"max_position_embeddings"` // longest branch; 0: 2048
	RMSNormEps            float64 `json:"rms_norm_eps"`            // 0: 1e-6
	InitializerRange      float64 `json:"initializer_range"`       // standard deviation of New's weights; 0: 0.02
	TieWordEmbeddings     bool    `json:"tie_word_embeddings"`     // the LM head is the embedding
	HiddenAct             string  `json:"hidden_act"`              // "silu" or "gelu_pytorch_tanh"; "": as the family
	AttentionBias         bool    `json:"attention_bias"`          // of the families that read it
	MLPBias               bool    `json:"mlp_bias"`                //
	Layers                []Layer `json:"-"`                       // nil: every layer sees all of its branch, and is turned
	Rope                  Rope    `json:"rope_parameters"`
	LocalRope             *Rope   `json:"-"` // of sliding layers; nil: the same

	EmbeddingMultiplier float64 `json:"embedding_multiplier"`    // embeddings are multiplied by it; 0: 1
	ResidualMultiplier  float64 `json:"residual_multiplier"`     // and what layers add to the residual stream; 0: 1
	AttentionMultiplier float64 `json:"attention_multiplier"`    // and scores; 0: 1/sqrt(query_pre_attn_scalar)
	QueryPreAttnScalar  float64 `json:"query_pre_attn_scalar"`   // 0: head_dim
	AttnLogitSoftcap    float64 `json:"attn_logit_softcapping"`  // scores end at ± it; 0: not
	LogitsScaling       float64 `json:"logits_scaling"`          // logits are divided by it; 0: 1
	FinalLogitSoftcap   float64 `json:"final_logit_softcapping"` // and end at ± this; 0: not

	BOSTokenID  *int32  `json:"bos_token_id"`
	EOSTokenIDs []int32 `json:"eos_token_id"`
	PadTokenID  *int32  `json:"pad_token_id"`

	quantised  bool                         // projections are stored in 4 bits, see readQuantised
	blockTypes map[string]kernels.BlockType // of projections by name, where they are stored in blocks, see readBlockTypes
	classifier bool                         // ForSequenceClassification: no LM head of its own, one label
	raw        json.RawMessage              // the file this was read from, which is kept for saving
	keys       []string                     // of that file, which were looked for
}

// Reads says whether a key of config.json means something to the model's family, so that its value counts.
func (c Config) Reads(key string) bool { return slices.Contains(c.keys, key) }

// ConfigFile is the file of a model directory that describes the model.
const ConfigFile = "config.json"

// LoadConfig reads dir/config.json or, of an adapter, that of its base. What this package cannot compute is refused by name: other architectures,
// activations and position scalings, quantised weights, models that bring code.
func LoadConfig(dir string) (Config, error) {
	if IsAdapter(dir) {
		l, err := ReadAdapter(dir)
		if err != nil {
			return Config{}, err
		}
		dir = l.Base
	}
	for _, name := range []string{AdapterFile, "adapter_model.bin"} {
		if path := filepath.Join(dir, name); exists(path) {
			return Config{}, fmt.Errorf("model: %s: an adapter lies beside the weights, without %s, and they are another model with it: put the file beside it, or remove it", path, AdapterConfigFile)
		}
	}
	path := filepath.Join(dir, ConfigFile)
	raw, err := safefile.Read(path, maxConfigBytes)
	if err != nil {
		return Config{}, fmt.Errorf("model: %w (want the directory of a Hugging Face model)", err)
	}
	c, err := parseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("model: %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the text of a config.json.
func ParseConfig(raw []byte) (Config, error) {
	c, err := parseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("model: config: %w", err)
	}
	return c, nil
}

func parseConfig(raw []byte) (Config, error) {
	m, err := parseObject(raw)
	if err != nil {
		return Config{}, err
	}
	f := &fields{m: m, asked: map[string]bool{}}
	c := Config{raw: slices.Clone(raw)}
	family, err := c.readArchitecture(f)
	if err != nil {
		return Config{}, err
	}
	like := family.like
	c.HiddenSize = f.whole("hidden_size", -1, 1, 1<<20)
	c.NumHiddenLayers = f.whole("num_hidden_layers", -1, 1, 1024)
	c.NumAttentionHeads = f.whole("num_attention_heads", -1, 1, 1024)
	keyHeads := c.NumAttentionHeads
	if like.NumKeyValueHeads > 0 && !f.given("num_key_value_heads") { // null is another thing
		keyHeads = like.NumKeyValueHeads
	}
	c.NumKeyValueHeads = f.whole("num_key_value_heads", int64(keyHeads), 1, 1024)
	c.HeadDim = f.whole("head_dim", int64(like.HeadDim), 1, 1024)
	c.IntermediateSize = f.whole("intermediate_size", -1, 1, 1<<22)
	c.VocabSize = f.whole("vocab_size", -1, 1, 1<<24)
	c.MaxPositionEmbeddings = f.whole("max_position_embeddings", int64(like.MaxPositionEmbeddings), 1, 1<<27)
	setDefault(&like.RMSNormEps, 1e-6)
	c.RMSNormEps = f.positive("rms_norm_eps", like.RMSNormEps)
	c.InitializerRange = f.positive("initializer_range", 0.02)
	c.TieWordEmbeddings = f.flagOr("tie_word_embeddings", like.TieWordEmbeddings)
	c.BOSTokenID = f.id("bos_token_id", c.VocabSize)
	c.EOSTokenIDs = f.ids("eos_token_id", c.VocabSize)
	c.PadTokenID = f.id("pad_token_id", c.VocabSize)
	c.readAct(f, family)
	c.readNumbers(f, family)
	if f.err == nil {
		c.readRopes(f, family)
		c.readLayers(f, family)
	}
	if err := c.refuse(f, family); err != nil {
		return Config{}, err
	}
	c = c.WithDefaults()
	c.keys = slices.Sorted(maps.Keys(f.asked))
	return c, c.check()
}

// refuse names the settings that would change the maths and are not implemented.
func (c *Config) refuse(f *fields, fam *family) error {
	for _, k := range []string{"attention_bias", "mlp_bias"} {
		if f.flag(k) && !slices.Contains(fam.keys, k) && !(k == "attention_bias" && fam.qkvBias) {
			f.fail(k, "got true, but transformers has no such biases for model_type %q", c.ModelType)
		}
	}
	if c.readQuantised(f); f.has("compression_config") {
		f.fail("compression_config", "quantised weights are not supported; use the float32 or bfloat16 model")
	}
	for _, k := range []string{"is_encoder_decoder", "add_cross_attention", "rope_interleaved", "use_bidirectional_attention"} {
		if f.flag(k) {
			f.fail(k, "got true, which is not supported")
		}
	}
	if p := f.object("pruned_heads"); p != nil && len(p.m) > 0 {
		f.fail("pruned_heads", "pruned heads are not supported")
	}
	if c.classifier {
		labels := f.whole("num_labels", 1, 1, 1<<20)
		if l := f.object("id2label"); l != nil && len(l.m) > 0 {
			if f.has("num_labels") && labels != len(l.m) {
				f.fail("num_labels", "got %d, but id2label names %d", labels, len(l.m))
			}
			labels = len(l.m)
		}
		if labels != 1 {
			f.fail("num_labels", "got %d, a reward model has 1", labels)
		}
	}
	return f.err
}

// WithDefaults fills the zero fields that have a default.
func (c Config) WithDefaults() Config {
	if c.ModelType == "" {
		c.ModelType = "llama"
	}
	if c.NumKeyValueHeads == 0 {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	if c.HeadDim == 0 && c.NumAttentionHeads > 0 && c.HiddenSize%c.NumAttentionHeads == 0 {
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if fam := familyOf(c.ModelType); fam != nil {
		setDefault(&c.HiddenAct, fam.like.HiddenAct)
		for _, k := range fam.keys {
			if at := c.number(k); at != nil {
				setDefault(at, c.neutral(k))
			}
		}
	}
	setDefault(&c.HiddenAct, silu)
	setDefault(&c.MaxPositionEmbeddings, 2048)
	setDefault(&c.RMSNormEps, 1e-6)
	setDefault(&c.InitializerRange, 0.02)
	c.Rope = c.Rope.withDefaults()
	if c.LocalRope != nil {
		local := c.LocalRope.withDefaults()
		c.LocalRope = &local
	}
	return c
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate says whether a Config, completed by [Config.WithDefaults], describes a model that this package can run.
func (c Config) Validate() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("model: config: %w", err)
	}
	return nil
}

func (c Config) check() error {
	fam := familyOf(c.ModelType)
	if fam == nil {
		return fmt.Errorf("model_type: got %q, want one of %s", c.ModelType, familyNames())
	}
	for _, s := range []struct {
		name      string
		got, most int
	}{
		{"hidden_size", c.HiddenSize, 1 << 20}, {"num_hidden_layers", c.NumHiddenLayers, 1024},
		{"num_attention_heads", c.NumAttentionHeads, 1024}, {"num_key_value_heads", c.NumKeyValueHeads, 1024},
		{"intermediate_size", c.IntermediateSize, 1 << 22}, {"vocab_size", c.VocabSize, 1 << 24},
		{"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 27},
	} {
		if s.got < 1 || s.got > s.most {
			return fmt.Errorf("%s: got %d, want 1..%d", s.name, s.got, s.most)
		}
	}
	switch {
	case c.HeadDim == 0:
		return fmt.Errorf("num_attention_heads: got %d, hidden_size %d is not a multiple of it and head_dim is not given", c.NumAttentionHeads, c.HiddenSize)
	case c.HeadDim < 2 || c.HeadDim > 1024 || c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim: got %d, want an even number in 2..1024", c.HeadDim)
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return fmt.Errorf("num_key_value_heads: got %d, want a divisor of num_attention_heads (%d)", c.NumKeyValueHeads, c.NumAttentionHeads)
	case !(c.RMSNormEps > 0) || math.IsInf(c.RMSNormEps, 0):
		return fmt.Errorf("rms_norm_eps: got %v, want a finite number above 0", c.RMSNormEps)
	}
	if err := c.checkRopes(fam); err != nil {
		return err
	}
	if err := c.checkNumbers(); err != nil {
		return err
	}
	if err := c.checkLayers(fam); err != nil {
		return err
	}
	for _, id := range c.EOSTokenIDs {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("eos_token_id: got %d, want token ids in 0..%d", id, c.VocabSize-1)
		}
	}
	return nil
}
