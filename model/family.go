package model

// Families: what the models of one model_type have in common. A family is a file with a value of type family, and a line in families.

import (
	"fmt"
	"slices"
	"strings"
)

// family says how a config.json of one model_type is read, and what its layers are made of. Blocks ask their weights and the numbers
// of a layer, never the family.
type family struct {
	name  string // model_type
	class string // of transformers, before ForCausalLM and ForSequenceClassification

	like  Config                            // what transformers' class takes for a key that is left out
	read  func(c *Config, f *fields)        // keys that mean something here alone; nil: none
	write func(c *Config, m map[string]any) // the same keys of a Config that did not come from a file; nil: none
}

// families are all that open.
var families = []*family{&llama, &mistral}

// architecture is the name of a family's class.
func (m *family) architecture(classifier bool) string {
	if classifier {
		return m.class + "ForSequenceClassification"
	}
	return m.class + "ForCausalLM"
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

// readArchitecture finds the family by the class that is named, with which model_type must agree.
func (c *Config) readArchitecture(f *fields) (*family, error) {
	for _, k := range []string{"auto_map", "trust_remote_code"} {
		if v := f.m[k]; v != nil && v != false {
			return nil, fmt.Errorf("%s asks for Python code; this program never runs model code", k)
		}
	}
	list, _ := f.m["architectures"].([]any)
	names := make([]string, len(list))
	for i, v := range list {
		names[i], _ = v.(string)
	}
	var known []string
	var found *family
	for _, m := range families {
		for _, classifier := range []bool{false, true} {
			name := m.architecture(classifier)
			known = append(known, name)
			if len(names) == 1 && names[0] == name {
				found, c.classifier = m, classifier
			}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("architectures %q is not supported (supported: %s)", names, strings.Join(known, ", "))
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
