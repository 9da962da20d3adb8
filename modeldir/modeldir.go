// Package modeldir is what a directory of a model holds: its files, and the facts that its rewards depend on beside the weights.
//
// A reward is read behind a prompt, on a scale, at a place, with a chat template. [Facts] names all of that; training writes it to
// critic_rm.json, and [Open] reads it, so that a model is used as it was trained unless somebody insists otherwise. A directory without
// the file, of a plain language model, gets defaults, and [Dir.Notes] says which.
package modeldir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/hub"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/safefile"
	"criticrm/tokenizer"
)

// maxSmall bounds the files beside the weights, in bytes.
const maxSmall = tokenizer.MaxTokenizerFile

// copied are the files that an exported or trained model takes over from the one it comes from.
func copied() []string { return append(tokenizer.Files(), model.GenerationFile) }

// Files lists the files of a model in dir, weights included, in order. Others that lie there are not the model's.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("modeldir: %w", err)
	}
	known := append(copied(), model.ConfigFile, model.HeadFile, model.AdapterConfigFile, checkpoint.IndexFile)
	var files []string
	for _, e := range entries {
		name := e.Name()
		weights := strings.HasPrefix(name, "model") && strings.HasSuffix(name, ".safetensors") || name == model.AdapterFile
		if !weights && !slices.Contains(known, name) {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("modeldir: %s: is not a regular file", filepath.Join(dir, name))
		}
		files = append(files, name)
	}
	return files, nil
}

// otherFiles lists what lies in dir and is not the model's.
func otherFiles(dir string) (other []string, err error) {
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("modeldir: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != FactsFile && !slices.Contains(files, name) && !isOurCard(dir, name) {
			other = append(other, name)
		}
	}
	return other, nil
}

// isWeights tells the large files from the others.
func isWeights(name string) bool { return strings.HasSuffix(name, ".safetensors") }

// hashFile is the sha256 of a file in hexadecimal; of an adapter's settings see hashAdapter.
func hashFile(path string) (string, error) {
	if filepath.Base(path) == model.AdapterConfigFile {
		return hashAdapter(path)
	}
	sum, err := safefile.SHA256(path)
	if err != nil {
		return "", fmt.Errorf("modeldir: %w", err)
	}
	return sum, nil
}

// Copy copies the tokenizer's files and the chat template of a model directory, and what other programs read beside them.
// template, if not empty, is a file that becomes the chat template.
func Copy(from, to, template string) error {
	for _, name := range copied() {
		path := filepath.Join(from, name)
		if name == tokenizer.TemplateFile && template != "" {
			path = template
		}
		b, err := safefile.Read(path, maxSmall)
		if errors.Is(err, fs.ErrNotExist) && path != template {
			continue
		}
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(to, name), b)
		}
		if err != nil {
			return fmt.Errorf("modeldir: copy %s: %w", name, err)
		}
	}
	return nil
}

// StoredAs is the type that most of a model's weights, of an adapter those of its base, are stored in: BF16, or F32 for float32 and float16.
func StoredAs(dir string) (kernels.DType, error) {
	base, err := BaseOf(dir)
	if err != nil {
		return 0, err
	}
	d, err := checkpoint.OpenModelDir(base)
	if err != nil {
		return 0, fmt.Errorf("modeldir: %w", err)
	}
	defer d.Close()
	most, dtype := int64(-1), kernels.F32
	for _, t := range d.Tensors() { // the largest tensor decides
		if n, err := t.Bytes(); err == nil && n > most && t.DType != "U8" { // 4 bits have no say
			most, dtype = n, kernels.F32
			if t.DType == "BF16" {
				dtype = kernels.BF16
			}
		}
	}
	return dtype, nil
}

// Label names the model in records and in the state of a stage: the directory's name and a hash of all that text and rewards depend
// on, so that a run is never continued with another model. It reads every file of the model; one that is not as training wrote it is an
// error.
func (d *Dir) Label() (string, error) {
	abs, err := filepath.Abs(d.Path)
	if err != nil {
		return "", fmt.Errorf("modeldir: %w", err)
	}
	if err := d.check(isWeights); err != nil {
		return "", err
	}
	files, err := Files(abs)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	hash := func(dir string, names []string) error {
		for _, name := range names {
			sum, err := d.sum(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%s %s\n", name, sum)
		}
		return nil
	}
	if err := hash(d.Path, files); err != nil {
		return "", err
	}
	if d.Base != d.Path {
		names, err := baseFiles(d.Base)
		if err == nil {
			err = hash(d.Base, names)
		}
		if err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%s\n", d.settings())
	return hub.Title(abs) + "@" + hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// sum is hashFile of one of the model's files, once.
func (d *Dir) sum(path string) (string, error) {
	if s, ok := d.sums[path]; ok {
		return s, nil
	}
	s, err := hashFile(path)
	if err == nil {
		d.sums[path] = s
	}
	return s, err
}

// check compares the files that which names with what training wrote, or trained from, and wants the others to be there.
func (d *Dir) check(which func(name string) bool) error {
	if d.overridden {
		return nil
	}
	for _, part := range []struct {
		dir    string
		files  map[string]string
		origin string
	}{{d.Path, d.Facts.Files, "as training wrote it"}, {d.Base, d.Facts.Base, "the base that the adapter was trained on"}} {
		for _, name := range slices.Sorted(maps.Keys(part.files)) {
			path := filepath.Join(part.dir, name)
			_, err := os.Stat(path)
			var sum string
			if err == nil && which(name) {
				sum, err = d.sum(path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("modeldir: %s: %s is missing, which %s names", part.dir, name, FactsFile)
			}
			if err != nil {
				return err
			}
			if want := part.files[name]; which(name) && sum != want {
				return fmt.Errorf("modeldir: %s is not %s (sha256 %s, %s says %s): restore it, or insist with override", path, part.origin, short(sum), FactsFile, short(want))
			}
		}
	}
	return nil
}
