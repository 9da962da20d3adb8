package tokenizer

import (
	"errors"
	"fmt"
)

// The components of tokenizer.json around the model. What is not listed here is refused by name.

// typeOf gives the object and its "type".
func typeOf(v any) (map[string]any, string) {
	m, _ := v.(map[string]any)
	typ, _ := m["type"].(string)
	return m, typ
}

// setNormalizer takes null, NFC, or a Sequence of at most that.
func (t *Tokenizer) setNormalizer(v any) error {
	m, typ := typeOf(v)
	switch {
	case v == nil:
		return nil
	case typ == "NFC":
		t.nfc = true
		return nil
	case typ == "Sequence":
		list, _ := m["normalizers"].([]any)
		for _, v := range list {
			if err := t.setNormalizer(v); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("normalizer %q is not supported, want NFC or none", typ)
}

// setPreTokenizer takes ByteLevel with its own pattern (GPT-2), or a Sequence of a Split by a known
// pattern and a ByteLevel without one.
func (t *Tokenizer) setPreTokenizer(v any) error {
	m, typ := typeOf(v)
	list := []any{v}
	if typ == "Sequence" {
		list, _ = m["pretokenizers"].([]any)
	}
	pattern, bytes := "", false
	for i, v := range list {
		m, typ := typeOf(v)
		switch {
		case v == nil:
			return nil // reported as missing
		case typ == "Split" && i == 0:
			p, ok := m["pattern"].(map[string]any)
			if pattern, ok = p["Regex"].(string); !ok {
				return errors.New(`pre_tokenizer "Split": want a pattern of kind "Regex"`)
			}
			if m["behavior"] != "Isolated" || m["invert"] == true {
				return fmt.Errorf("pre_tokenizer \"Split\": behavior %v, invert %v: want \"Isolated\", false", m["behavior"], m["invert"])
			}
		case typ == "ByteLevel" && i == len(list)-1 && !bytes:
			bytes = true
			if m["add_prefix_space"] == true {
				return errors.New(`pre_tokenizer "ByteLevel": add_prefix_space is not supported`)
			}
			own := m["use_regex"] != false // a file that does not say so means true
			if own && pattern != "" {
				return errors.New(`pre_tokenizer "ByteLevel": use_regex after a "Split" is not supported`)
			}
			if own {
				pattern = patternGPT2
			}
		default:
			return fmt.Errorf("pre_tokenizer %q is not supported here, want ByteLevel, or Split and ByteLevel", typ)
		}
	}
	if !bytes || pattern == "" {
		return errors.New("pre_tokenizer: want ByteLevel, or Split and ByteLevel")
	}
	var ok bool
	if t.split, ok = newSplitter(pattern); !ok {
		t.split.pattern = ""
		return fmt.Errorf("pre_tokenizer pattern %q is not one of the known patterns", clip(pattern))
	}
	return nil
}

// checkDecoder takes ByteLevel, or nothing: ids are decoded byte by byte in any case.
func checkDecoder(v any) error {
	if _, typ := typeOf(v); v != nil && typ != "ByteLevel" {
		return fmt.Errorf("decoder %q is not supported, want ByteLevel", typ)
	}
	return nil
}

// setBOS finds the special token that a TemplateProcessing puts in front of a single text. The rest of
// the post-processor is not used: a chat template writes what is needed.
func (t *Tokenizer) setBOS(v any) {
	m, typ := typeOf(v)
	switch typ {
	case "Sequence":
		list, _ := m["processors"].([]any)
		for _, v := range list {
			t.setBOS(v)
		}
	case "TemplateProcessing":
		single, _ := m["single"].([]any)
		if len(single) == 0 {
			return
		}
		first, _ := single[0].(map[string]any)
		special, _ := first["SpecialToken"].(map[string]any)
		name, _ := special["id"].(string)
		if id, ok := t.addID[name]; ok {
			t.bos = id
		}
	}
}
