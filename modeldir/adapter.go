package modeldir

// A directory that holds an adapter: its base is another directory, and decides as much.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"criticrm/model"
	"criticrm/safefile"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// BaseOf is the directory of a model's weights and config.json: the base of an adapter, and of every other model its own.
func BaseOf(dir string) (string, error) {
	if !model.IsAdapter(dir) {
		return dir, nil
	}
	l, err := model.ReadAdapter(dir)
	if err != nil {
		return "", err
	}
	return l.Base, nil
}

// TextsOf is where a model's tokenizer and chat template are: an adapter that brings none has its base's.
func TextsOf(dir, base string) string {
	for _, name := range []string{tokenizer.File, tokenizer.ModelFile} {
		if exists(filepath.Join(dir, name)) {
			return dir
		}
	}
	return base
}

// baseFiles are the files of a base that an adapter depends on.
func baseFiles(base string) (names []string, err error) {
	files, err := Files(base)
	for _, name := range files {
		if isWeights(name) && name != model.HeadFile || name == model.ConfigFile {
			names = append(names, name)
		}
	}
	return names, err
}

// hashAdapter is the sha256 of what an adapter_config.json says, but for where the base lies: a base may move, and is known by its own files' hashes.
func hashAdapter(path string) (string, error) {
	b, err := safefile.Read(path, maxFacts)
	if err != nil {
		return "", fmt.Errorf("modeldir: %w", err)
	}
	var m map[string]any
	err = strictjson.Read(b, func(r *strictjson.Reader) (err error) { m, err = r.Map(); return err })
	if err == nil {
		delete(m, "base_model_name_or_path")
		b, err = json.Marshal(m) // keys in order
	}
	if err != nil {
		return "", fmt.Errorf("modeldir: %s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
