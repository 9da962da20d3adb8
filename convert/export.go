package convert

// From a model directory to a GGUF file.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/gguf"
	"criticrm/model"
)

// GGUF is the name of the format.
const GGUF = "gguf"

// Types of the matrices of a GGUF file that is written; vectors are F32, as llama.cpp wants them.
const (
	GGUFF16  = "f16"
	GGUFBF16 = "bf16"
	GGUFQ8   = "q8_0"
	GGUFF32  = "f32"
)

// fileTypes are the numbers that llama.cpp gives to them (general.file_type).
var fileTypes = map[string]struct {
	kind   gguf.Type
	number uint32
}{GGUFF32: {gguf.F32, 0}, GGUFF16: {gguf.F16, 1}, GGUFQ8: {gguf.Q8_0, 7}, GGUFBF16: {gguf.BF16, 32}}

// GGUFTypes lists the types of WriteGGUF.
func GGUFTypes() []string { return []string{GGUFF16, GGUFBF16, GGUFQ8, GGUFF32} }

// WriteGGUF writes the language model of a directory as a GGUF file for llama.cpp, and reads it back: every tensor must have the values
// that were written. A reward head has no place there; the notes say what is left out.
func WriteGGUF(ctx context.Context, dir, path, kind string) (notes []string, err error) {
	t, ok := fileTypes[kind]
	if !ok {
		return nil, fmt.Errorf("convert: got the type %q, want one of %s", kind, strings.Join(GGUFTypes(), ", "))
	}
	config, err := readObject(filepath.Join(dir, model.ConfigFile), maxJSON)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	weights, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	defer weights.Close()
	notes, err = writeGGUF(ctx, dir, path, config, weights, t.kind, t.number)
	if err != nil {
		return nil, fmt.Errorf("convert: %s: %w", dir, err)
	}
	return notes, nil
}

func writeGGUF(ctx context.Context, dir, path string, config *object, weights *checkpoint.ModelDir, kind gguf.Type, number uint32) (notes []string, err error) {
	f, err := familyOf(config)
	if err != nil {
		return nil, err
	}
	embed, ok := weights.Info("model.embed_tokens.weight")
	if !ok || len(embed.Shape) != 2 {
		return nil, fmt.Errorf("tensor \"model.embed_tokens.weight\" is missing, or no matrix")
	}
	like, likeErr := model.LoadConfig(dir)
	w, err := writeConfig(config, like, f, embed.Shape[0])
	if err != nil {
		return nil, err
	}
	if likeErr != nil { // told now, since GGUF's own reasons say more
		return nil, likeErr
	}
	name := filepath.Base(dir)
	if abs, err := filepath.Abs(dir); err == nil {
		name = filepath.Base(abs)
	}
	w.meta = append(gguf.Meta{{Key: "general.architecture", Value: f.arch}, {Key: "general.type", Value: "model"}, {Key: "general.name", Value: name},
		{Key: "general.file_type", Value: number}, {Key: "general.quantization_version", Value: uint32(2)}}, w.meta...)
	if err := w.writeTokenizer(dir, embed.Shape[0]); err != nil {
		return nil, err
	}
	tensors, left, err := f.chosen(&w.shape, weights, config)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, model.HeadFile)); err == nil {
		left = append(left, model.HeadFile)
	}
	if len(left) > 0 {
		notes = append(notes, fmt.Sprintf("left out, since GGUF has no place for it: %s", strings.Join(left, ", ")))
	}
	var placed []gguf.Tensor
	source := map[string]tensor{}
	for _, t := range tensors {
		x := gguf.Tensor{Name: t.gguf, Type: kind, Shape: t.shape}
		if len(t.shape) < 2 {
			x.Type = gguf.F32
		} else if kind == gguf.Q8_0 && t.shape[1]%32 != 0 {
			x.Type = gguf.F16 // as llama.cpp does
			notes = append(notes, fmt.Sprintf("%s is stored as F16: its rows of %d are not whole blocks of 32", t.gguf, t.shape[1]))
		}
		placed, source[t.gguf] = append(placed, x), t
	}
	for _, e := range w.extra {
		placed = append(placed, gguf.Tensor{Name: e.name, Type: gguf.F32, Shape: []int64{int64(len(e.values))}})
	}
	if err := w.check(placed); err != nil {
		return nil, err
	}
	types := map[string]gguf.Type{}
	for _, x := range placed {
		types[x.Name] = x.Type
	}
	content := func(name string) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, e := range w.extra {
			if e.name == name {
				return gguf.Quantize(e.values, gguf.F32)
			}
		}
		t := source[name]
		x, err := weights.ReadF32(t.hf)
		if err != nil {
			return nil, err
		}
		b, err := gguf.Quantize(t.turned(x, true), types[name])
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.hf, err)
		}
		return b, nil
	}
	sums := map[string][sha256.Size]byte{}
	err = gguf.Write(path, w.meta, placed, func(name string) ([]byte, error) {
		b, err := content(name)
		sums[name] = sha256.Sum256(b)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	return notes, readBack(path, sums)
}

// chosen lists the tensors of the directory that the family has, and the names of those that have no place.
func (f *family) chosen(s *shape, weights *checkpoint.ModelDir, config *object) (out []tensor, left []string, err error) {
	known := map[string]bool{}
	tied := f.tied(config)
	for _, t := range f.tensors(s) {
		known[t.hf] = true
		info, ok := weights.Info(t.hf)
		switch {
		case t.change == maybeMissing && (tied || !ok):
			if !tied {
				return nil, nil, fmt.Errorf("tensor %q is missing, and tie_word_embeddings in config.json is not true", t.hf)
			}
			continue
		case !ok && t.bias && !f.needBias:
			continue
		case !ok:
			return nil, nil, fmt.Errorf("tensor %q is missing", t.hf)
		case !slices.Equal(info.Shape, t.shape):
			return nil, nil, fmt.Errorf("tensor %q has the shape %s, config.json implies %s", t.hf, shapeText(info.Shape), shapeText(t.shape))
		}
		out = append(out, t)
	}
	for _, name := range weights.Names() {
		switch {
		case known[name] || strings.HasSuffix(name, "rotary_emb.inv_freq"):
		case name == "score.weight":
			left = append(left, name)
		default:
			return nil, nil, fmt.Errorf("tensor %q has no place in a model of %s", name, f.modelType)
		}
	}
	return out, left, config.err
}

// readBack opens a written file and wants the bytes of every tensor.
func readBack(path string, sums map[string][sha256.Size]byte) error {
	file, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for name, want := range sums {
		b, err := file.ReadRaw(name)
		if err != nil {
			return err
		}
		if sha256.Sum256(b) != want {
			return fmt.Errorf("%s: tensor %q is not read as it was written", path, name)
		}
	}
	return nil
}

// check reads the settings of what is to be written as those of a file are read, and wants the model that config.json describes.
func (w *writing) check(placed []gguf.Tensor) error {
	f, err := findFamily(w.meta)
	if err != nil {
		return err
	}
	r, err := readConfig(w.meta, plan{placed, w.extra}, f)
	if err != nil {
		return err
	}
	is, err := model.ParseConfig(configText(r.config))
	if err != nil {
		return err
	}
	if what := w.like.Differs(is); what != "" {
		return fmt.Errorf("config.json: %s: GGUF has no place for it, and llama.cpp would compute another model", what)
	}
	return nil
}

// plan is a file that is not written yet: its tensors, and the contents of those that are settings.
type plan struct {
	tensors []gguf.Tensor
	extra   []extra
}

func (p plan) Tensors() []gguf.Tensor { return p.tensors }

func (p plan) Tensor(name string) (t gguf.Tensor, ok bool) {
	i := slices.IndexFunc(p.tensors, func(t gguf.Tensor) bool { return t.Name == name })
	if i >= 0 {
		t = p.tensors[i]
	}
	return t, i >= 0
}

func (p plan) ReadF32(name string) ([]float32, error) {
	i := slices.IndexFunc(p.extra, func(e extra) bool { return e.name == name })
	if i < 0 {
		return nil, fmt.Errorf("tensor %q is no setting", name)
	}
	return p.extra[i].values, nil
}
