package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// Load reads a tokenizer.json, or that of a model directory; where there is none it is made of tokenizer.model.
func Load(path string) (*Tokenizer, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	} else if info.IsDir() {
		dir := path
		path = filepath.Join(dir, File)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(filepath.Join(dir, ModelFile)); err != nil {
				return nil, fmt.Errorf("tokenizer: %s: %s is missing, and so is %s", dir, File, ModelFile)
			}
			return loadModel(dir)
		}
	}
	b, err := safefile.Read(path, MaxTokenizerFile)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the content of a tokenizer.json. Its errors begin with "tokenizer.json: ".
func Parse(b []byte) (*Tokenizer, error) {
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

// fileParts are the parts of tokenizer.json that Save writes back as they were.
type fileParts struct {
	truncation, padding, normalizer, preTokenizer, postProcessor, decoder []byte
}

// parse reads and checks a tokenizer.json.
func parse(b []byte) (*Tokenizer, error) {
	t := &Tokenizer{bos: -1}
	var m *modelFile
	p := &t.parts
	err := readJSON(b, MaxTokenizerFile, func(r *strictjson.Reader, key string) (err error) {
		part := map[string]*[]byte{
			"truncation": &p.truncation, "padding": &p.padding, // lengths are the business of the caller
			"normalizer": &p.normalizer, "pre_tokenizer": &p.preTokenizer, "post_processor": &p.postProcessor, "decoder": &p.decoder,
		}[key]
		switch {
		case key == "model":
			m, err = readModel(r)
		case key == "added_tokens":
			err = t.readAdded(r)
		case part != nil:
			*part, err = r.Raw()
		default:
			err = r.Skip() // "version", and what may come later
		}
		return err
	})
	if err == nil && m == nil {
		err = errors.New(`"model" is missing`)
	}
	if err == nil && m.vocab == nil {
		err = errors.New(`model: "vocab" is missing`)
	}
	if err != nil {
		return nil, err
	}
	if t.normalizers, err = readNormalizer(nil, value(p.normalizer)); err != nil {
		return nil, err
	}
	if err := t.setPreTokenizer(value(p.preTokenizer), newClasses()); err != nil {
		return nil, err
	}
	if err := t.setDecoder(value(p.decoder)); err != nil {
		return nil, err
	}
	if err := t.build(m); err != nil {
		return nil, err
	}
	if err := t.setPostProcessor(value(p.postProcessor)); err != nil {
		return nil, err
	}
	return t, nil
}

// readJSON runs read over b, which has to be one JSON object and nothing else.
func readJSON(b []byte, limit int, each func(r *strictjson.Reader, key string) error) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, limit %d", len(b), limit)
	}
	err := strictjson.Read(b, func(r *strictjson.Reader) error {
		return r.Object(func(key string) error { return each(r, key) })
	})
	var je *strictjson.Error
	if errors.As(err, &je) && je.Code == strictjson.Trailing {
		return fmt.Errorf("trailing bytes at byte %d", je.At)
	}
	return err
}

// value is what b says, which was read once before; nil for nothing.
func value(b []byte) (v any) {
	strictjson.Read(b, func(r *strictjson.Reader) (err error) { v, err = r.Value(); return err })
	return v
}

// clip shortens a token for a message.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:60], "") + " …"
	}
	return s
}
