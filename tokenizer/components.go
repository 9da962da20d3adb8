package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What the components of tokenizer.json around the model have in common, and the post-processors. The tables of the kinds that
// are known stand in normalize.go, pretokenize.go and decoder.go; one that is not there is refused by name.

type object = map[string]any

// typeOf gives the object and its "type".
func typeOf(v any) (map[string]any, string) {
	m, _ := v.(map[string]any)
	typ, _ := m["type"].(string)
	return m, typ
}

// listOf is a member that is an array.
func listOf(m map[string]any, key string) ([]any, error) {
	list, ok := m[key].([]any)
	if !ok {
		return nil, fmt.Errorf("Sequence: %s: want an array", key)
	}
	return list, nil
}

// count is a whole number that is not negative.
func count(v any) (int, error) {
	n, _ := v.(json.Number)
	i, err := n.Int64()
	if err != nil || i < 0 || i > maxToken {
		return 0, fmt.Errorf("got %v, want a whole number up to %d", v, maxToken)
	}
	return int(i), nil
}

// oneOf lists the names of a table for a message.
func oneOf[T any](table map[string]T) string {
	names := slices.Sorted(maps.Keys(table))
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// setPostProcessor finds the special token that is put in front of a single text. The rest of a post-processor is not used: a chat
// template writes what is needed.
func (t *Tokenizer) setPostProcessor(v any) error {
	m, typ := typeOf(v)
	switch typ {
	case "ByteLevel": // offsets only
	case "Sequence":
		list, err := listOf(m, "processors")
		for i := 0; err == nil && i < len(list); i++ {
			err = t.setPostProcessor(list[i])
		}
		return err
	case "TemplateProcessing":
		single, _ := m["single"].([]any)
		if len(single) == 0 {
			return nil
		}
		first, _ := single[0].(map[string]any)
		special, _ := first["SpecialToken"].(map[string]any)
		name, _ := special["id"].(string)
		return t.setBOS(name)
	case "BertProcessing", "RobertaProcessing":
		cls, _ := m["cls"].([]any) // a text and an id
		if len(cls) != 2 {
			return fmt.Errorf("post_processor %q: cls: want a token and its id", typ)
		}
		name, _ := cls[0].(string)
		return t.setBOS(name)
	default:
		if v != nil {
			return fmt.Errorf("post_processor %q is not supported, want ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing or a Sequence of them", clip(typ))
		}
	}
	return nil
}

// setBOS makes a token the one in front; "" is none.
func (t *Tokenizer) setBOS(name string) error {
	if name == "" {
		return nil
	}
	id, ok := t.ID(name)
	if !ok {
		return fmt.Errorf("post_processor: token %q is not in the vocabulary", clip(name))
	}
	t.bos = id
	return nil
}
