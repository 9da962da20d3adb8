package settings

// Recipes: YAML documents over the tables.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/safefile"

	"go.yaml.in/yaml/v3"
)

// Section is a part of a recipe: a mapping under a name, or the document itself under "".
type Section struct {
	Name string
	Into any               // pointer to the struct of its settings
	Not  map[string]string // settings of the struct that are none of the section's, and who decides on them instead
}

// Foreign is implemented by a struct of settings that understands keys of other programs, which are no settings of its own.
type Foreign interface {
	// Foreign says whether a key is one of them; err tells why its value cannot be had here, and what can.
	Foreign(name, value string) (known bool, err error)
	// ForeignNames are the keys that Foreign knows; those of switches are true.
	ForeignNames() map[string]bool
}

// foreign asks a struct of settings about a key that is none of its own.
func foreign(into any, name, value string) (known bool, err error) {
	if f, ok := into.(Foreign); ok {
		return f.Foreign(Canonical(name), value)
	}
	return false, nil
}

// Fields are the settings of the section.
func (s Section) Fields() []Field {
	return slices.DeleteFunc(Fields(s.Into), func(f Field) bool { return s.Not[f.Name] != "" })
}

// Key is how messages and Parse's result call a field of a section.
func (s Section) Key(name string) string {
	if s.Name == "" {
		return name
	}
	return s.Name + "." + name
}

// maxRecipe bounds a recipe, in bytes.
const maxRecipe = 1 << 20

// Load reads a recipe file into its sections; see Parse.
func Load(path string, sections ...Section) (map[string]int, error) {
	b, err := safefile.Read(path, maxRecipe)
	if err != nil {
		return nil, err
	}
	set, err := Parse(b, sections...)
	if err != nil {
		err = fmt.Errorf("%s%w", path, err)
	}
	return set, err
}

// Parse sets the fields that a YAML document names, and gives their lines by "name" or "section.name". Its errors begin with ":line: " and
// give, for an unknown key, the nearest known one.
func Parse(b []byte, sections ...Section) (map[string]int, error) {
	set := map[string]int{}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return set, nil // an empty recipe is all defaults
	} else if err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf(":%d: a recipe is one YAML document, found a second", more.Line)
	}
	top := slices.IndexFunc(sections, func(s Section) bool { return s.Name == "" })
	p := &parser{sections: sections, set: set}
	return set, p.mapping(doc.Content[0], sections[top])
}

type parser struct {
	sections []Section
	set      map[string]int
}

// mapping reads the keys of one section.
func (p *parser) mapping(node *yaml.Node, s Section) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf(":%d: %swant a mapping of names to values", node.Line, strings.TrimPrefix(s.Name+": ", ": "))
	}
	list, opened := s.Fields(), map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		f, known := Find(list, key.Value)
		if inner, ok := p.section(key.Value); ok && s.Name == "" && (!known || value.Kind == yaml.MappingNode) {
			if line, dup := opened[inner.Name]; dup {
				return fmt.Errorf(":%d: %s was already set on line %d", key.Line, inner.Name, line)
			}
			opened[inner.Name] = key.Line
			if err := p.mapping(value, inner); err != nil {
				return err
			}
			continue
		}
		if !known {
			if ok, err := foreign(s.Into, key.Value, value.Value); err != nil {
				return fmt.Errorf(":%d: %w", key.Line, err)
			} else if ok {
				continue
			}
			return p.unknown(key, value, s)
		}
		if value.Kind == yaml.MappingNode && len(p.sections) == 1 { // "train" may be a file, too
			return noSections(key)
		}
		name := s.Key(f.Name)
		if line, dup := p.set[name]; dup {
			return fmt.Errorf(":%d: %s was already set on line %d", key.Line, name, line)
		}
		p.set[name] = key.Line
		if f.List {
			joinList(value)
		}
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			return fmt.Errorf(":%d: %s: want one plain value", value.Line, name)
		}
		ptr := f.Ptr(s.Into)
		kind, tags := kindOf(ptr)
		if tags != nil && !slices.Contains(tags, value.Tag) || value.Decode(ptr) != nil { // the library would cut 1.5 to 1 where a whole number is wanted
			return fmt.Errorf(":%d: %s: %q is not a %s", value.Line, name, value.Value, kind)
		}
		f.Means(s.Into)
	}
	return nil
}

// joinList makes one text of a list of plain values.
func joinList(value *yaml.Node) {
	var words []string
	for _, v := range value.Content {
		if v.Kind != yaml.ScalarNode {
			return
		}
		words = append(words, v.Value)
	}
	if value.Kind == yaml.SequenceNode {
		*value = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.Join(words, ","), Line: value.Line, Column: value.Column}
	}
}

func (p *parser) section(name string) (Section, bool) {
	for _, s := range p.sections {
		if s.Name == Canonical(name) && s.Name != "" {
			return s, true
		}
	}
	return Section{}, false
}

// unknown names the section that knows a key, else the nearest key of this one.
func (p *parser) unknown(key, value *yaml.Node, s Section) error {
	if f, ok := Find(Fields(s.Into), key.Value); ok {
		return fmt.Errorf(":%d: %s is not set here: %s decides", key.Line, s.Key(f.Name), s.Not[f.Name])
	}
	if value.Kind == yaml.MappingNode && len(p.sections) == 1 {
		return noSections(key)
	}
	names := Names(s.Fields())
	for _, other := range p.sections {
		if s.Name == "" && other.Name != "" {
			names = append(names, other.Name)
		}
		f, ok := Find(Fields(other.Into), key.Value)
		if by := other.Not[f.Name]; ok && by != "" {
			if s.Name == "" {
				return fmt.Errorf(":%d: %q is a setting of %s, on which %s decides: leave it out", key.Line, key.Value, other.Name, by)
			}
			continue
		}
		if ok && s.Name == "" {
			return fmt.Errorf(":%d: %q is a setting of %s: write it below \"%s:\" as %s", key.Line, key.Value, other.Name, other.Name, f.Name)
		} else if ok && other.Name == "" {
			return fmt.Errorf(":%d: %s: %q stands for all stages: write it at the top, outside of \"%s:\"", key.Line, s.Name, key.Value, s.Name)
		}
	}
	return fmt.Errorf(":%d: unknown key %q%s", key.Line, s.Key(key.Value), s.hint(key.Value, names))
}

func noSections(key *yaml.Node) error {
	return fmt.Errorf(":%d: %q is a section, and the recipe of one stage has none: if this is the recipe of a whole run, give it to 'criticrm run', else write its settings at the top", key.Line, key.Value)
}

// hint names the nearest of the section's names, if one is near.
func (s Section) hint(name string, names []string) string {
	if near := spell.Nearest(Canonical(name), names); near != "" {
		return fmt.Sprintf(", did you mean %q?", s.Key(near))
	}
	return ""
}

// kindOf says in words what a field holds, and which YAML values it takes; nil: any plain one.
func kindOf(ptr any) (words string, tags []string) {
	switch ptr.(type) {
	case *int:
		return "whole number", []string{"!!int"}
	case *uint64:
		return "whole number from 0", []string{"!!int"}
	case *float64:
		return "number", []string{"!!int", "!!float"}
	case *bool:
		return "truth value (true or false)", []string{"!!bool"}
	}
	return "text", nil
}

// Text is a recipe of the sections as YAML, every field with its help as a comment. Parse reads it back.
func Text(sections ...Section) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range sections {
		at := root
		if s.Name != "" {
			at = &yaml.Node{Kind: yaml.MappingNode}
			root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s.Name}, at)
		}
		for _, f := range s.Fields() {
			value := &yaml.Node{}
			if err := value.Encode(f.Ptr(s.Into)); err != nil {
				return nil, err
			}
			at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Name, HeadComment: f.Help}, value)
		}
	}
	return yaml.Marshal(root)
}
