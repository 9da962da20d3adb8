package tokenizer

// The special tokens of a model directory. Several files name them; they must agree.

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// Files beside tokenizer.json that name special tokens.
const (
	SpecialFile = "special_tokens_map.json"
	AddedFile   = "added_tokens.json"
)

// Special are the special tokens of a model directory by their names (bos_token, eos_token, pad_token, …).
type Special struct {
	Tokens map[string]string // name to text
	From   map[string]string // name to the file that says it
	Notes  []string          // what a person should know
}

// LoadSpecial reads the special tokens that a model directory names as transformers does: tokenizer_config.json, and where that has no
// added_tokens_decoder, as older files have none, also special_tokens_map.json and added_tokens.json. A pad_token that only the padding
// of tokenizer.json names is one, too, and so are the defaults of the class. Files that contradict each other or tokenizer.json are refused.
func LoadSpecial(dir string, t *Tokenizer) (Special, error) {
	s := Special{Tokens: map[string]string{}, From: map[string]string{}}
	config, err := readMembers(dir, ConfigFile)
	if err != nil {
		return s, err
	}
	others, err := readMembers(dir, SpecialFile)
	if err != nil {
		return s, err
	}
	added, err := readMembers(dir, AddedFile)
	if err != nil {
		return s, err
	}
	class, _ := config["tokenizer_class"].(string)
	switch {
	case config["split_special_tokens"] == true:
		return s, fmt.Errorf("tokenizer: %s: split_special_tokens is not supported: what templates write would be no control tokens", filepath.Join(dir, ConfigFile))
	case config["add_prefix_space"] == true && classTokens(class) != nil: // others leave that to tokenizer.json
		return s, fmt.Errorf("tokenizer: %s: add_prefix_space is not supported with tokenizer_class %q, which follows it", filepath.Join(dir, ConfigFile), class)
	}
	for _, f := range []struct {
		name string
		m    map[string]any
	}{{ConfigFile, config}, {SpecialFile, others}} {
		if err := s.add(t, f.name, f.m); err != nil {
			return s, fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, f.name), err)
		}
	}
	decoder, ok := config["added_tokens_decoder"].(map[string]any)
	if ok { // then transformers takes names from the one file only
		for _, name := range slices.Sorted(maps.Keys(s.From)) {
			if s.From[name] == SpecialFile {
				s.Notes = append(s.Notes, fmt.Sprintf("%s: %s is not used, because %s has added_tokens_decoder and does not name it, as in transformers", SpecialFile, name, ConfigFile))
				delete(s.Tokens, name)
				delete(s.From, name)
			}
		}
	}
	if err := s.checkDecoderTokens(t, decoder); err != nil {
		return s, fmt.Errorf("tokenizer: %s: added_tokens_decoder: %w", filepath.Join(dir, ConfigFile), err)
	}
	for _, text := range slices.Sorted(maps.Keys(added)) {
		if err := checkAdded(t, text, fmt.Sprint(added[text])); err != nil {
			return s, fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, AddedFile), err)
		}
	}
	if strings.TrimSuffix(class, "Fast") == "LlamaTokenizer" && !t.byteLevel && len(t.normalizers) > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%s: transformers 5 prepares text as its class LlamaTokenizer does; here %s holds, as in the tokenizers library", ConfigFile, File))
	}
	padding, _ := value(t.parts.padding).(map[string]any)
	if text, ok := padding["pad_token"].(string); ok && s.From["pad_token"] == "" {
		s.Tokens["pad_token"], s.From["pad_token"] = text, File
	}
	for _, name := range classTokens(class) {
		_, said := config[name]
		if _, ok := t.ID(endOfText); ok && !said && s.From[name] == "" {
			s.Tokens[name], s.From[name] = endOfText, ConfigFile+" by default of "+class
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tokens)) {
		if _, ok := s.ID(t, name); !ok && s.Tokens[name] != "" {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: %s %q is no token of %s; nothing here makes one of it", s.From[name], name, clip(s.Tokens[name]), File))
		}
	}
	return s, nil
}

const endOfText = "<|endoftext|>"

// classTokens are the special tokens that a class of transformers takes to be endOfText where no file names them; nil for classes that take
// everything from the files.
func classTokens(class string) []string {
	switch strings.TrimSuffix(class, "Fast") {
	case "GPT2Tokenizer":
		return []string{"bos_token", "eos_token", "unk_token"}
	case "Qwen2Tokenizer":
		return []string{"eos_token", "pad_token", "unk_token"}
	}
	return nil
}

// ID is the id of the special token of that name.
func (s *Special) ID(t *Tokenizer, name string) (int32, bool) {
	text, ok := s.Tokens[name]
	if !ok {
		return 0, false
	}
	return t.ID(text)
}

// add takes the special tokens of a file: strings, or objects with the string as content.
func (s *Special) add(t *Tokenizer, file string, m map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key == "additional_special_tokens" || key == "extra_special_tokens" {
			if err := checkFurther(t, m[key]); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		if !strings.HasSuffix(key, "_token") {
			continue
		}
		text, ok, err := tokenText(m[key])
		if m[key] == nil && s.From[key] != "" { // transformers lets the null win
			return fmt.Errorf("%s: got null, but %s says %q: keep one of them", key, s.From[key], clip(s.Tokens[key]))
		}
		switch was, twice := s.Tokens[key]; {
		case err != nil:
			return fmt.Errorf("%s: %w", key, err)
		case !ok:
		case !twice:
			s.Tokens[key], s.From[key] = text, file
		case was != text:
			return fmt.Errorf("%s: got %q, but %s says %q: keep one of them", key, clip(text), s.From[key], clip(was))
		}
	}
	return nil
}

// checkFurther wants further special tokens, a list or an object by name, to be in tokenizer.json.
func checkFurther(t *Tokenizer, v any) error {
	list, _ := v.([]any)
	byName, _ := v.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[name])
	}
	for _, v := range list {
		text, _, err := tokenText(v)
		if err != nil {
			return err
		}
		if _, ok := t.ID(text); !ok {
			return fmt.Errorf("%q is not in %s, and the model has no place for a new token: add it there, or remove it", clip(text), File)
		}
	}
	return nil
}

// tokenText is the text of a token; a flag or a null names none. What the object says beside the text counts in added_tokens_decoder only.
func tokenText(v any) (text string, ok bool, err error) {
	if m, isMap := v.(map[string]any); isMap {
		if text, ok = m["content"].(string); !ok {
			return "", false, errors.New("want an object with content, a text")
		}
		return text, true, nil
	}
	text, ok = v.(string)
	return text, ok, nil
}

// checkDecoderTokens wants the tokens of added_tokens_decoder, an object from id to token, to be those of tokenizer.json, and notes where
// they are special in one of them only.
func (s *Special) checkDecoderTokens(t *Tokenizer, decoder map[string]any) error {
	for _, id := range slices.Sorted(maps.Keys(decoder)) {
		text, _, err := tokenText(decoder[id])
		if err == nil {
			err = checkAdded(t, text, id)
		}
		if err != nil {
			return err
		}
		m, _ := decoder[id].(map[string]any)
		for i := range t.added {
			a := &t.added[i]
			if a.content != text {
				continue
			}
			flags := a.flags()
			for _, name := range slices.Sorted(maps.Keys(flags)) {
				said, isBool := m[name].(bool)
				same := !isBool || said == *flags[name] || name == "normalized" && (len(t.normalizers) == 0 || t.converted)
				if !same && name != "special" {
					return fmt.Errorf("token %q: %s is %t, but %t in %s: keep one of them", clip(text), name, said, !said, File)
				} else if !same {
					s.Notes = append(s.Notes, fmt.Sprintf("%s: added_tokens_decoder: %q has special %t, but %t in %s, which holds", ConfigFile, clip(text), said, !said, File))
				}
			}
		}
	}
	return nil
}

// checkAdded wants a token to have the id in tokenizer.json that another file says.
func checkAdded(t *Tokenizer, text, id string) error {
	want, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return fmt.Errorf("token %q: got the id %s, want a whole number", clip(text), clip(id))
	}
	switch got, ok := t.ID(text); {
	case !ok:
		return fmt.Errorf("token %q with id %d is not in %s: add it there, or remove it", clip(text), want, File)
	case int64(got) != want:
		return fmt.Errorf("token %q has id %d, but %d in %s: mend the one or the other", clip(text), want, got, File)
	}
	return nil
}

// readMembers reads a JSON object; that of a missing file has no members.
func readMembers(dir, name string) (map[string]any, error) {
	path, m := filepath.Join(dir, name), map[string]any{}
	b, err := safefile.Read(path, MaxConfigFile)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = readJSON(b, MaxConfigFile, func(r *strictjson.Reader, key string) error {
			v, err := r.Value()
			m[key] = v
			return err
		})
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return m, nil
}
