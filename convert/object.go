package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// maxJSON bounds the JSON files of a directory, in bytes. A tokenizer.json may be larger.
const maxJSON = 4 << 20

// object reads typed values out of a JSON object and keeps the first error. A null counts as absent.
type object struct {
	m   map[string]any
	at  string  // before names in errors
	up  *object // that it stands in, which keeps the error
	err error
}

// readObject reads a file that is a JSON object; one that is missing is an error.
func readObject(path string, limit int64) (*object, error) {
	b, err := safefile.Read(path, limit)
	if err != nil {
		return nil, err
	}
	o := &object{at: filepath.Base(path) + ": "}
	err = strictjson.Read(b, func(r *strictjson.Reader) (err error) {
		if k := r.Kind(); k != "object" && k != "nothing" {
			return fmt.Errorf("got %s, want an object", k)
		}
		o.m, err = r.Map()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

func (o *object) fail(key, format string, a ...any) {
	at := o.at
	for o.up != nil {
		o = o.up
	}
	if o.err == nil {
		o.err = fmt.Errorf("%s%s: "+format, append([]any{at, key}, a...)...)
	}
}

func (o *object) has(key string) bool { return o != nil && o.m[key] != nil }

// number reads a finite number; def where it is absent, and NaN as def makes it required.
func (o *object) number(key string, def float64) float64 {
	v := o.m[key]
	if v == nil {
		if math.IsNaN(def) {
			o.fail(key, "missing")
		}
		return def
	}
	n, ok := v.(json.Number)
	x, err := n.Float64()
	if !ok || err != nil {
		o.fail(key, "got %.40v, want a number", v)
	}
	return x
}

// whole reads an integer in [1, hi]; def where it is absent, and a negative def makes it required.
func (o *object) whole(key string, def, hi int64) int64 {
	v := o.m[key]
	if v == nil {
		if def < 0 {
			o.fail(key, "missing")
		}
		return def
	}
	n, ok := v.(json.Number)
	x, err := n.Int64()
	if !ok || err != nil || x < 0 || x > hi {
		o.fail(key, "got %.40v, want a whole number up to %d", v, hi)
	}
	return x
}

func (o *object) text(key string) string {
	v := o.m[key]
	s, ok := v.(string)
	if v != nil && !ok {
		o.fail(key, "got %.40v, want a string", v)
	}
	return s
}

func (o *object) flag(key string) bool {
	v := o.m[key]
	b, ok := v.(bool)
	if v != nil && !ok {
		o.fail(key, "got %.40v, want true or false", v)
	}
	return b
}

// object gives a nested object, or nil where it is absent.
func (o *object) object(key string) *object {
	v := o.m[key]
	m, ok := v.(map[string]any)
	if !ok {
		if v != nil {
			o.fail(key, "got %.40v, want an object", v)
		}
		return nil
	}
	return &object{m: m, at: o.at + key + ".", up: o}
}

// list gives an array, or nil where it is absent.
func (o *object) list(key string) []any {
	v := o.m[key]
	l, ok := v.([]any)
	if v != nil && !ok {
		o.fail(key, "got %.40v, want an array", v)
	}
	return l
}

// numbers reads an array of numbers.
func (o *object) numbers(key string) []float32 {
	var out []float32
	for i, v := range o.list(key) {
		n, _ := v.(json.Number)
		x, err := n.Float64()
		if err != nil {
			o.fail(key, "element %d is %.40v, want a number", i, v)
			return nil
		}
		out = append(out, float32(x))
	}
	return out
}
