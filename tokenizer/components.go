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

// setPreTokenizer takes a ByteLevel, alone with its own pattern (GPT-2) or as the end of a Sequence of Digits and Splits by known patterns.
func (t *Tokenizer) setPreTokenizer(v any) error {
	if v == nil {
		return nil // reported as missing
	}
	m, typ := typeOf(v)
	list := []any{v}
	if typ == "Sequence" {
		list, _ = m["pretokenizers"].([]any)
	}
	if len(list) == 0 {
		return errors.New("pre_tokenizer: want ByteLevel, or a Sequence that ends with it")
	}
	for i, v := range list {
		m, typ := typeOf(v)
		var cut cutter
		var err error
		switch last := i == len(list)-1; {
		case typ == "Digits" && !last:
			cut, err = digitsCutter(m)
		case typ == "Split" && !last:
			cut, err = splitCutter(m)
		case typ == "ByteLevel" && last:
			cut, err = byteLevelCutter(m, i > 0)
		default:
			err = fmt.Errorf("pre_tokenizer %q is not supported here, want ByteLevel, or Digits or Split and ByteLevel", typ)
		}
		if err != nil {
			return err
		}
		if cut != nil {
			t.cuts = append(t.cuts, cut)
		}
	}
	return nil
}

// digitsCutter is "Digits": each number by itself.
func digitsCutter(m map[string]any) (cutter, error) {
	if m["individual_digits"] != true {
		return nil, errors.New(`pre_tokenizer "Digits": want individual_digits true`)
	}
	return singleNumbers, nil
}

// splitCutter is "Split" by a known pattern.
func splitCutter(m map[string]any) (cutter, error) {
	p, _ := m["pattern"].(map[string]any)
	pattern, ok := p["Regex"].(string)
	if !ok {
		return nil, errors.New(`pre_tokenizer "Split": want a pattern of kind "Regex"`)
	}
	if m["behavior"] != "Isolated" || m["invert"] == true {
		return nil, fmt.Errorf("pre_tokenizer \"Split\": behavior %v, invert %v: want \"Isolated\", false", m["behavior"], m["invert"])
	}
	split, ok := newSplitter(pattern)
	if !ok {
		return nil, fmt.Errorf("pre_tokenizer pattern %q is not one of the known patterns", clip(pattern))
	}
	return split.next, nil
}

// byteLevelCutter is "ByteLevel", with the pattern of GPT-2 unless use_regex is false; behind other steps that is as it is there.
func byteLevelCutter(m map[string]any, behind bool) (cutter, error) {
	switch {
	case m["add_prefix_space"] == true:
		return nil, errors.New(`pre_tokenizer "ByteLevel": add_prefix_space is not supported`)
	case m["use_regex"] != false: // a file that does not say so means true
		split, _ := newSplitter(patternGPT2)
		return split.next, nil
	case !behind:
		return nil, errors.New(`pre_tokenizer "ByteLevel": use_regex false without a "Split" is not supported`)
	}
	return nil, nil
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
