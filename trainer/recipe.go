package trainer

import (
	"fmt"

	"criticrm/internal/settings"
)

// Field describes one field of Config to a command line: flags are bound in a loop over Fields.
type Field = settings.Field

// Fields lists the fields of Config in order.
func Fields() []Field { return settings.Fields(Default()) }

// Canonical gives the field name that name stands for: dashes count as underscores and aliases are understood. The second
// result is false for a name that is not known.
func Canonical(name string) (string, bool) {
	f, ok := settings.Find(Fields(), name)
	return f.Name, ok
}

// LoadRecipe reads a recipe over Default. Errors name the file, the line and, for an unknown key, the nearest known one.
// The result is not validated yet: flags may still override it.
func LoadRecipe(path string) (Config, error) {
	c := Default()
	if _, err := settings.Load(path, settings.Section{Into: &c}); err != nil {
		return c, fmt.Errorf("trainer: recipe: %w", err)
	}
	return c, nil
}

// ParseRecipe sets the fields of c that a YAML document names. Its errors begin with ":line: ".
func ParseRecipe(b []byte, c *Config) error {
	_, err := settings.Parse(b, settings.Section{Into: c})
	return err
}

// Recipe is the resolved recipe as YAML, every field with its help as a comment. ParseRecipe reads it back.
func (c Config) Recipe() ([]byte, error) {
	b, err := settings.Text(settings.Section{Into: &c})
	if err != nil {
		return nil, fmt.Errorf("trainer: recipe: %w", err)
	}
	return b, nil
}
