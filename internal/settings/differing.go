package settings

import (
	"path/filepath"
	"reflect"
	"strings"
)

// Differing lists, as "name: value" or "section.name: value", the settings of the section on which a result depends and that are others than in
// def, which has the section's type. Of paths it has the last names, so that the list can be shown to others.
func (s Section) Differing(def any) (lines []string) {
	if reflect.Indirect(reflect.ValueOf(def)).Type() != reflect.Indirect(reflect.ValueOf(s.Into)).Type() {
		panic("settings: defaults of another struct")
	}
	for _, f := range s.Fields() {
		value := f.Text(s.Into)
		if f.Free || value == f.Text(def) {
			continue
		}
		words := strings.Split(value, ",")
		for i, word := range words {
			if strings.Contains(word, "/") {
				words[i] = filepath.Base(word)
			}
		}
		lines = append(lines, s.Key(f.Name)+": "+strings.Join(words, ","))
	}
	return lines
}
