package report

// Recipes and facts as flat lists of names and values, in the order of the file.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"criticrm/measure"
	"criticrm/safefile"
	"criticrm/strictjson"

	"go.yaml.in/yaml/v3"
)

// setting is a value with its place in the file, as filter.rule.
type setting struct{ name, value string }

// maxSettings bounds a recipe or a file of facts, in bytes.
const maxSettings = 1 << 20

// readRecipe reads the recipe that is shown; a missing one is noted.
func (r *run) readRecipe(dir, name string) error {
	if !exists(dir, name) {
		r.left("%s is missing: no recipe", name)
		return nil
	}
	b, err := safefile.Read(filepath.Join(dir, name), maxSettings)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	r.from = name
	if r.recipe, err = yamlSettings(b); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	return nil
}

// settle decides how records are measured: as the options say, else as the recipe does.
func (r *run) settle() error {
	r.eval = measure.DefaultEvalOptions()
	for _, s := range r.recipe {
		var err error
		switch s.name {
		case "eval.draws":
			r.eval.Draws, err = strconv.Atoi(s.value)
		case "eval.level":
			r.eval.Level, err = strconv.ParseFloat(s.value, 64)
		case "eval.eval_seed":
			r.eval.Seed, err = strconv.ParseUint(s.value, 10, 64)
		case "eval.curve":
			r.eval.Samples, err = numbers(s.value)
		case "eval.category":
			r.o.Category = cmp.Or(r.o.Category, s.value)
		}
		if err != nil {
			return fmt.Errorf("report: %s: %s: %w", r.from, s.name, err)
		}
	}
	r.eval.Draws, r.eval.Level = cmp.Or(r.o.Draws, r.eval.Draws), cmp.Or(r.o.Level, r.eval.Level)
	if r.o.Seed != nil {
		r.eval.Seed = *r.o.Seed
	}
	if r.o.Curve != nil {
		r.eval.Samples = r.o.Curve
	}
	return nil
}

// numbers reads "1, 2, 4"; nothing is nil.
func numbers(text string) (list []int, err error) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// yamlSettings flattens a YAML document.
func yamlSettings(b []byte) (list []setting, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	if root := doc.Content[0]; root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want a mapping of names to values", root.Line)
	}
	var walk func(name string, n *yaml.Node)
	walk = func(name string, n *yaml.Node) {
		switch {
		case n.Kind == yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(join(name, n.Content[i].Value), n.Content[i+1])
			}
		case n.Kind == yaml.SequenceNode && !nested(n):
			var values []string
			for _, e := range n.Content {
				values = append(values, e.Value)
			}
			list = append(list, setting{name, strings.Join(values, ", ")})
		case n.Kind == yaml.SequenceNode:
			for i, e := range n.Content {
				walk(join(name, fmt.Sprint(i+1)), e)
			}
		default: // a name that stands for another node is shown as it is written, and not followed
			list = append(list, setting{name, n.Value})
		}
	}
	walk("", doc.Content[0])
	return list, nil
}

func nested(n *yaml.Node) bool {
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode {
			return true
		}
	}
	return false
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "." + b
}

// readJSONSettings flattens a file with one JSON object.
func readJSONSettings(dir, name string) ([]setting, error) {
	b, err := safefile.Read(filepath.Join(dir, name), maxSettings)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	list, err := jsonSettings("", b)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	return list, nil
}

// jsonSettings flattens a JSON value.
func jsonSettings(name string, b []byte) (list []setting, err error) {
	var walk func(name string, r *strictjson.Reader) error
	walk = func(name string, r *strictjson.Reader) error {
		switch r.Kind() {
		case "object":
			return r.Object(func(key string) error { return walk(join(name, key), r) })
		case "array":
			return r.Array(func(i int) error { return walk(join(name, fmt.Sprint(i+1)), r) })
		case "string":
			s, err := r.String()
			list = append(list, setting{name, s})
			return err
		}
		raw, err := r.Raw()
		list = append(list, setting{name, string(raw)})
		return err
	}
	err = strictjson.Read(b, func(r *strictjson.Reader) error { return walk(name, r) })
	return list, err
}

// settingsTable shows settings, at most maxShown of them.
func settingsTable(caption string, list []setting) *Table {
	t := &Table{Caption: caption, Head: []string{"name", "value"}, Words: true}
	for i, s := range list {
		if i == maxShown {
			t.Note = fmt.Sprintf("The first %d of %d.", maxShown, len(list))
			break
		}
		t.Rows = append(t.Rows, words(shorten(s.name, 200), shorten(s.value, 400)))
	}
	return t
}

// maxShown bounds the rows of a table.
const maxShown = 400

// shorten cuts a text to n characters and says how many are left out.
func shorten(text string, n int) string {
	r := []rune(text)
	if len(r) <= n {
		return text
	}
	return fmt.Sprintf("%s … (%d more characters)", string(r[:n]), len(r)-n)
}
