package trainer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/safefile"

	"go.yaml.in/yaml/v3"
)

// Field describes one field of Config to a command line: flags are bound in a loop over Fields.
type Field struct {
	Name    string   // the yaml name, with underscores
	Aliases []string // other names
	Help    string   // one line
	Default string   // value of Default, as text
	Free    bool     // may change when a run is resumed
	index   int
}

// Fields lists the fields of Config in order.
func Fields() []Field {
	t, def := reflect.TypeFor[Config](), reflect.ValueOf(Default())
	fields := make([]Field, t.NumField())
	for i := range fields {
		f := t.Field(i)
		fields[i] = Field{Name: f.Tag.Get("yaml"), Help: f.Tag.Get("help"), Default: text(def.Field(i)), Free: f.Tag.Get("resume") == "free", index: i}
		if a := f.Tag.Get("alias"); a != "" {
			fields[i].Aliases = strings.Split(a, ",")
		}
	}
	return fields
}

// Ptr is a pointer to the field in c: a *string, *int, *uint64, *float64 or *bool.
func (f Field) Ptr(c *Config) any { return reflect.ValueOf(c).Elem().Field(f.index).Addr().Interface() }

// Text is the field's value in c as text.
func (f Field) Text(c Config) string { return text(reflect.ValueOf(c).Field(f.index)) }

func text(v reflect.Value) string { return fmt.Sprint(v.Interface()) }

// Canonical gives the field name that name stands for: dashes count as underscores and aliases are understood. The second
// result is false for a name that is not known.
func Canonical(name string) (string, bool) {
	name = strings.ReplaceAll(strings.TrimSpace(name), "-", "_")
	for _, f := range Fields() {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f.Name, true
		}
	}
	return "", false
}

// maxRecipe bounds a recipe, in bytes.
const maxRecipe = 1 << 20

// LoadRecipe reads a recipe over Default. Errors name the file, the line and, for an unknown key, the nearest known one.
// The result is not validated yet: flags may still override it.
func LoadRecipe(path string) (Config, error) {
	c := Default()
	b, err := safefile.Read(path, maxRecipe)
	if err != nil {
		return c, fmt.Errorf("trainer: recipe: %w", err)
	}
	if err := ParseRecipe(b, &c); err != nil {
		return c, fmt.Errorf("trainer: recipe: %s%w", path, err)
	}
	return c, nil
}

// ParseRecipe sets the fields of c that a YAML document names. Its errors begin with ":line: ".
func ParseRecipe(b []byte, c *Config) error {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // an empty recipe is all defaults
	} else if err != nil {
		return fmt.Errorf(": %w", err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return fmt.Errorf(":%d: a recipe is one YAML document, found a second", more.Line)
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf(":%d: want a mapping of names to values", root.Line)
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name, ok := Canonical(key.Value)
		if !ok {
			var names []string
			for _, f := range Fields() {
				names = append(append(names, f.Name), f.Aliases...)
			}
			return fmt.Errorf(":%d: unknown key %q, did you mean %q?", key.Line, key.Value, spell.Nearest(strings.ReplaceAll(key.Value, "-", "_"), names))
		}
		if line, dup := seen[name]; dup {
			return fmt.Errorf(":%d: %s was already set on line %d", key.Line, name, line)
		}
		seen[name] = key.Line
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			return fmt.Errorf(":%d: %s: want one plain value", value.Line, name)
		}
		if !isOfKind(value.Tag, name) { // the library would cut 1.5 to 1 where a whole number is wanted
			return fmt.Errorf(":%d: %s: %q is not a %s", value.Line, name, value.Value, kindOf(name))
		}
		key.Value = name
	}
	plain, err := yaml.Marshal(root) // renamed keys; decoded again so that the library's own strictness applies
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	strict := yaml.NewDecoder(bytes.NewReader(plain))
	strict.KnownFields(true)
	if err := strict.Decode(c); err != nil {
		return typeError(root, err)
	}
	return nil
}

// typeError names the line of the first value that does not fit its field.
func typeError(root *yaml.Node, err error) error {
	for i := 0; i+1 < len(root.Content); i += 2 {
		one := &yaml.Node{Kind: yaml.MappingNode, Content: root.Content[i : i+2]}
		if c := Default(); one.Decode(&c) != nil {
			key, value := root.Content[i], root.Content[i+1]
			return fmt.Errorf(":%d: %s: %q is not a %s", value.Line, key.Value, value.Value, kindOf(key.Value))
		}
	}
	return fmt.Errorf(": %w", err)
}

// isOfKind says whether a value of a YAML type can be the value of a field.
func isOfKind(tag, name string) bool {
	switch kindOf(name) {
	case "text":
		return true
	case "number":
		return tag == "!!int" || tag == "!!float"
	case "truth value (true or false)":
		return tag == "!!bool"
	}
	return tag == "!!int"
}

// kindOf says in words what a field holds.
func kindOf(name string) string {
	var c Config
	for _, f := range Fields() {
		if f.Name == name {
			switch f.Ptr(&c).(type) {
			case *int:
				return "whole number"
			case *uint64:
				return "whole number from 0"
			case *float64:
				return "number"
			case *bool:
				return "truth value (true or false)"
			}
		}
	}
	return "text"
}

// Recipe is the resolved recipe as YAML, every field with its help as a comment. ParseRecipe reads it back.
func (c Config) Recipe() ([]byte, error) {
	root := &yaml.Node{}
	if err := root.Encode(c); err != nil {
		return nil, fmt.Errorf("trainer: recipe: %w", err)
	}
	for i, f := range Fields() {
		root.Content[2*i].HeadComment = f.Help
	}
	b, err := yaml.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("trainer: recipe: %w", err)
	}
	return b, nil
}
