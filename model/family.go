package model

// Families: what the models of one model_type have in common. A family is a file with a value of type family, and a line in families.

import (
	"fmt"
	"slices"
	"strings"
)

// families are all that open.
var families = []*family{&llama, &smolLM3, &mistral, &ministral, &ministral3, &qwen2, &qwen3, &gemma2, &gemma3, &phi3, &olmo2, &olmo3, &granite}

// family says how a config.json of one model_type is read, and what its layers are made of. Blocks ask their weights and the numbers
// of a layer, never the family.
type family struct {
	name         string   // model_type
	class        string   // of transformers, before ForCausalLM
	classifier   string   // before ForSequenceClassification, where it is another; noClass: transformers has none
	ownsCode     bool     // auto_map may name code of these classes, which is not run
	known        string   // models of it, for docs
	act          string   // the key of the activation, where it is not hidden_act
	like         Config   // what transformers' class takes for a key that is left out
	keys         []string // numbers and flags of its own, see Config.number and Config.switched
	norms        norms
	qkNorm       qkNorm
	qkvBias      bool    // whether attention_bias says so or not
	outBias      bool    // attention_bias is that of the output, too
	fused        bool    // qkv_proj and gate_up_proj, in place of five matrices
	shift        float32 // norms multiply by shift + w
	embedByWidth bool    // embeddings are multiplied by sqrt(hidden_size), in the weights' type

	slides   slides
	window   int                                    // where sliding_window is left out; 0: none
	sliding  func(c *Config, f *fields, i int) bool // which layers have the window, where layer_types is left out; nil: all
	unturned func(c *Config, f *fields)             // reads which layers have no rope

	ropes    map[string]string // rope_types under the names that they have here; nil: all of scalings
	partial  bool              // partial_rotary_factor is read
	growing  bool              // queries beyond the original positions are multiplied by what grows with the position; the ropes must be given
	localKey string            // layers with a window have a rope of their own, whose theta is this key in files before transformers 5; noKey: it has none there
}

const noClass, noKey = "-", "-"

// norms are the names of a layer's norms, "" for none: before and after the attention, before and after the feed-forward part.
type norms struct{ attention, afterAttention, feed, afterFeed string }

var (
	normsBefore = norms{attention: "input_layernorm", feed: "post_attention_layernorm"}
	normsAfter  = norms{afterAttention: "post_attention_layernorm", afterFeed: "post_feedforward_layernorm"}
	normsAround = norms{"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"}
)

// qkNorm says what of the queries and keys is normalised by itself: nothing, a head, or all of them.
type qkNorm int

const (
	noQKNorm qkNorm = iota
	perHead
	wholeRow
)

// slides says which layers have a window.
type slides int

const (
	never       slides = iota
	everywhere         // all, where sliding_window is not null
	byLayer            // as layer_types says
	whereTurned        // the same, where use_sliding_window is true
)

// architecture is the name of a family's class, or "".
func (m *family) architecture(classifier bool) string {
	switch {
	case !classifier:
		return m.class + "ForCausalLM"
	case m.classifier == noClass:
		return ""
	case m.classifier != "":
		return m.classifier + "ForSequenceClassification"
	}
	return m.class + "ForSequenceClassification"
}

// familyOf gives the family of a model_type, or nil.
func familyOf(name string) *family {
	i := slices.IndexFunc(families, func(m *family) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return families[i]
}

func familyNames() string {
	var names []string
	for _, m := range families {
		names = append(names, fmt.Sprintf("%q", m.name))
	}
	return strings.Join(names, ", ")
}

// Architectures are the classes of transformers that open.
func Architectures() (names []string) {
	for _, m := range families {
		for _, classifier := range []bool{false, true} {
			if name := m.architecture(classifier); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// refuseCode refuses models that bring code, except what transformers has classes of its own for and takes those, unless it is told to
// trust the other: Phi's came with code before it had them.
func (m *family) refuseCode(f *fields) error {
	for _, k := range []string{"auto_map", "trust_remote_code"} {
		v := f.get(k)
		if v == nil || v == false {
			continue
		}
		names, ok := v.(map[string]any)
		for _, name := range names {
			_, class, _ := strings.Cut(fmt.Sprint(name), ".")
			ok = ok && m.ownsCode && strings.HasPrefix(class, m.class)
		}
		if !ok {
			return fmt.Errorf("%s asks for Python code; this program never runs model code", k)
		}
	}
	return nil
}

// readArchitecture finds the family by the class that is named, with which model_type must agree.
func (c *Config) readArchitecture(f *fields) (*family, error) {
	list, _ := f.get("architectures").([]any)
	names := make([]string, len(list))
	for i, v := range list {
		names[i], _ = v.(string)
	}
	var found *family
	for _, m := range families {
		for _, classifier := range []bool{false, true} {
			if name := m.architecture(classifier); name != "" && len(names) == 1 && names[0] == name {
				found, c.classifier = m, classifier
			}
		}
	}
	if found == nil {
		if err := (&family{}).refuseCode(f); err != nil {
			return nil, err
		}
	}
	if len(names) == 1 && strings.HasSuffix(names[0], "ForConditionalGeneration") {
		return nil, fmt.Errorf("architectures %q is not supported: it sees more than text (supported: %s; 'criticrm convert' takes the text part out of Mistral3 and Gemma3)", names, strings.Join(Architectures(), ", "))
	}
	if found == nil {
		return nil, fmt.Errorf("architectures %q is not supported (supported: %s)", names, strings.Join(Architectures(), ", "))
	}
	if err := found.refuseCode(f); err != nil {
		return nil, err
	}
	c.ModelType = f.text("model_type")
	if c.ModelType == "" {
		c.ModelType = found.name
	}
	if f.err == nil && c.ModelType != found.name {
		return nil, fmt.Errorf("model_type: got %q, architectures [%q] needs %q", c.ModelType, names[0], found.name)
	}
	return found, f.err
}
