package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"criticrm/safefile"
)

// GenerationFile has the settings that transformers' generate() reads beside config.json.
const GenerationFile = "generation_config.json"

// GenerationEnds reads the eos_token_id of a directory's generation_config.json, which decides where generate() stops; nil if the file is
// not there or does not say.
func GenerationEnds(dir string, vocab int) ([]int32, error) {
	path := filepath.Join(dir, GenerationFile)
	raw, err := safefile.Read(path, maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
	}
	f := &fields{m: m}
	ends := f.ids("eos_token_id", vocab)
	if f.err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, f.err)
	}
	return ends, nil
}
