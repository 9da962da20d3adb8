// Package convert makes model directories of models in other forms, and GGUF files of model directories.
//
// [Convert] takes a GGUF file, or a directory whose reward head lies where other trainers put it, and writes a Hugging Face directory that the other packages open. [Dir]
// does so once for a GGUF file that is given in place of a directory. [WriteGGUF] is the way back. Names and
// settings of each family of models stand in one table for both ways (families.go).
package convert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"criticrm/checkpoint"
	"criticrm/gguf"
)

// Types of the weights that are written.
const (
	BF16 = "BF16"
	F32  = "F32"
)

// shardBytes is the size of a weight file from which on a model is split.
const shardBytes = 5 << 30

// Options say how a model is converted.
type Options struct {
	DType         string // of a GGUF file's weights, BF16 or F32; "": BF16, unless it would round most of the source's numbers
	KeepQuantized bool   // of a GGUF file: leave the projections in the blocks that they are stored in, see model.BlocksMethod

	DropBias bool // leave out the bias of a reward head: all rewards are lower by one number
	DropHead bool // leave out a reward head that has another form than one that is trained here

	BaseConfig string // config.json of the model that a CLoud model was made of
}

// noHeads refuses what is said of reward heads, for models that are read without one.
func (o Options) noHeads() error {
	switch {
	case o.DropBias:
		return errors.New("leave out drop_bias")
	case o.DropHead:
		return errors.New("leave out drop_head")
	case o.BaseConfig != "":
		return errors.New("leave out base_config")
	}
	return nil
}

// Report is what was converted.
type Report struct {
	What       string // the source
	DType      string
	Parameters int64
	Notes      []string // what a person should know
}

// Convert writes the model at from, a GGUF file or a directory, as a new directory. It is whole or not there.
func Convert(ctx context.Context, from, to string, o Options) (*Report, error) {
	if o.DType != "" && o.DType != BF16 && o.DType != F32 {
		return nil, fmt.Errorf("convert: got the type %q, want %s or %s", o.DType, BF16, F32)
	}
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("convert: %s is not empty: choose another directory", to)
	}
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return nil, fmt.Errorf("convert: %w", err)
	case info.IsDir() && o.KeepQuantized:
		return nil, fmt.Errorf("convert: %s is a directory: only GGUF files have weights in blocks (keep_quantized)", from)
	case info.IsDir():
		return fromDir(ctx, from, to, o)
	}
	if err := o.noHeads(); err != nil {
		return nil, fmt.Errorf("convert: %s is a GGUF file, which has no reward head: %w", from, err)
	}
	return fromGGUF(ctx, from, to, o)
}

// IsGGUF says whether a path is a file that wants to be a GGUF file, by its first bytes or by its name.
func IsGGUF(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (strings.HasSuffix(strings.ToLower(path), ".gguf") || gguf.Is(path))
}

// textFile is a file beside the weights.
type textFile struct {
	name string
	text []byte
}

func writeFiles(dir string, files []textFile) error {
	for _, f := range files {
		if err := checkpoint.WriteFileAtomic(filepath.Join(dir, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}
