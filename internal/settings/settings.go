// Package settings is the one table behind a recipe's keys and a command's flags: the fields of a struct, by their tags.
//
// A field's name is its yaml tag; the alias tag lists other names that are understood, comma by comma; the help tag is one line; the tag
// resume:"free" marks what may change between a run and its continuation; the tag same lists words of others for a value,
// as "adamw_torch=adamw,…"; the tag group names the part of the help that begins with the field; the tag common:"true" puts it into the
// short help; list:"true" that of a text that a recipe may write as a list. Fields are strings, ints, uint64s, float64s and bools; those of
// a struct with the tag yaml:",inline" are the outer struct's own.
package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Field is one setting of a struct.
type Field struct {
	Name    string            // the yaml name, with underscores
	Aliases []string          // other names
	Help    string            // one line
	Default string            // its value in the struct that Fields was given, as text
	Free    bool              // may change when a run is resumed
	Same    map[string]string // words of others for a value
	Group   string            // part of the help
	Common  bool              // in the short help
	List    bool              // a recipe may write it as a list of texts, too; they are joined by commas
	index   []int
}

// Fields lists the settings of a struct, or of what a pointer points to, in order.
func Fields(def any) []Field { return fields(reflect.Indirect(reflect.ValueOf(def)), nil) }

func fields(v reflect.Value, at []int) (list []Field) {
	t := v.Type()
	for i := range t.NumField() {
		f, index := t.Field(i), append(slices.Clone(at), i)
		name := f.Tag.Get("yaml")
		if name == ",inline" {
			list = append(list, fields(v.Field(i), index)...)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		field := Field{Name: name, Help: f.Tag.Get("help"), Default: fmt.Sprint(v.Field(i).Interface()), Free: f.Tag.Get("resume") == "free", index: index,
			Group: f.Tag.Get("group"), Common: f.Tag.Get("common") == "true", List: f.Tag.Get("list") == "true"}
		if field.Group == "" && len(list) > 0 {
			field.Group = list[len(list)-1].Group
		}
		for _, pair := range strings.Split(f.Tag.Get("same"), ",") {
			if word, means, ok := strings.Cut(pair, "="); ok {
				if field.Same == nil {
					field.Same = map[string]string{}
				}
				field.Same[word] = means
			}
		}
		if a := f.Tag.Get("alias"); a != "" {
			field.Aliases = strings.Split(a, ",")
		}
		list = append(list, field)
	}
	return list
}

// Means writes a word of others for the field's value, in its field of the struct that c points to, as ours.
func (f Field) Means(c any) {
	if p, ok := f.Ptr(c).(*string); ok {
		if means, ok := f.Same[*p]; ok {
			*p = means
		}
	}
}

// Ptr is a pointer to the field in the struct that c points to: a *string, *int, *uint64, *float64 or *bool.
func (f Field) Ptr(c any) any {
	return reflect.ValueOf(c).Elem().FieldByIndex(f.index).Addr().Interface()
}

// Text is the field's value in a struct as text.
func (f Field) Text(c any) string {
	return fmt.Sprint(reflect.Indirect(reflect.ValueOf(c)).FieldByIndex(f.index).Interface())
}

// Assign copies the field from the struct that src points to into the one that dst points to.
func (f Field) Assign(dst, src any) {
	reflect.ValueOf(dst).Elem().FieldByIndex(f.index).Set(reflect.ValueOf(src).Elem().FieldByIndex(f.index))
}

// Find is the field that a name stands for: dashes count as underscores and aliases are understood.
func Find(list []Field, name string) (Field, bool) {
	name = Canonical(name)
	for _, f := range list {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f, true
		}
	}
	return Field{}, false
}

// Canonical writes a name as tags do.
func Canonical(name string) string { return strings.ReplaceAll(strings.TrimSpace(name), "-", "_") }

// Names are all names that Find knows.
func Names(list []Field) (names []string) {
	for _, f := range list {
		names = append(append(names, f.Name), f.Aliases...)
	}
	return names
}
