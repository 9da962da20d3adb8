package convert

// From a GGUF file to a model directory.

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/gguf"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
)

// fromGGUF converts a file.
func fromGGUF(ctx context.Context, from, to string, o Options) (*Report, error) {
	file, err := gguf.Open(from)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rep, err := importGGUF(ctx, file, to, o)
	if err != nil {
		return nil, fmt.Errorf("convert: %s: %w", from, err)
	}
	return rep, nil
}

func importGGUF(ctx context.Context, file *gguf.File, to string, o Options) (*Report, error) {
	f, err := findFamily(file.Meta)
	if err != nil {
		return nil, err
	}
	r, err := readConfig(file.Meta, file, f)
	if err != nil {
		return nil, err
	}
	tensors, err := r.tensors()
	if err != nil {
		return nil, err
	}
	tok, err := readTokenizer(r)
	if err != nil {
		return nil, err
	}
	r.tellUnread()
	dtype := o.DType
	if dtype == "" {
		dtype = storedAs(file)
	}
	r.config["torch_dtype"] = map[string]string{BF16: "bfloat16", F32: "float32"}[dtype]
	sum, err := hash(file.Names())
	if err != nil {
		return nil, err
	}
	r.config["_name_or_path"] = fmt.Sprintf("%s (sha256 %s)", filepath.Base(file.Path), sum) // which a model that is trained from it keeps
	rep := &Report{What: fmt.Sprintf("GGUF, %s, %s", f.arch, quantisations(file)), DType: dtype, Notes: r.notes}
	var infos []checkpoint.TensorInfo
	byName := map[string]tensor{}
	blocks, types := map[string]kernels.BlockType{}, map[string]string{} // of projections that stay as they are
	for _, t := range tensors {
		info := checkpoint.TensorInfo{Name: t.hf, DType: dtype, Shape: t.shape}
		if t.isProjection() && o.KeepQuantized {
			stored, _ := file.Tensor(t.gguf)
			block, ok := kernels.BlockTypeOf(stored.Type.String())
			if !ok {
				return nil, fmt.Errorf("tensor %q is %v: projections are kept in blocks of %s; leave out keep_quantized", t.gguf, stored.Type, kernels.BlockTypeNames())
			}
			row, _ := block.Row(int(t.shape[1]))
			info.DType, info.Shape = "U8", []int64{t.shape[0], int64(row)}
			blocks[t.hf], types[t.hf] = block, block.Name
		}
		infos = append(infos, info)
		byName[t.hf] = t
		n := int64(1)
		for _, d := range t.shape {
			n *= d
		}
		rep.Parameters += n
	}
	if o.KeepQuantized {
		r.config["quantization_config"] = map[string]any{"quant_method": model.BlocksMethod, "tensors": types}
		rep.DType += ", projections in their blocks"
	}
	content := func(name string) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := byName[name]
		if block, ok := blocks[name]; ok {
			b, err := file.ReadRaw(t.gguf)
			if err != nil {
				return nil, err
			}
			if at := block.Broken(b); at >= 0 {
				return nil, fmt.Errorf("tensor %q: the scale of block %d is infinite or not a number: the file is damaged, or of a model that broke in training", t.gguf, at)
			}
			if t.change == interleaved {
				b = interleave(b, t.heads, t.shape[0]/t.heads, false)
			}
			return b, nil
		}
		x, err := file.ReadF32(t.gguf)
		if err != nil {
			return nil, err
		}
		return encode(t.turned(x, false), dtype, name)
	}
	return rep, modeldir.Publish(to, func(dir string) error {
		if err := checkpoint.WriteModelDirFrom(dir, infos, content, shardBytes); err != nil {
			return err
		}
		if err := writeFiles(dir, append(tok, textFile{model.ConfigFile, configText(r.config)})); err != nil {
			return err
		}
		return writeManifest(dir, file.Path, sum, dtype)
	})
}

// tensors lists the tensors of the file that the family has, in their shapes, and refuses others.
func (r *reading) tensors() ([]tensor, error) {
	known := map[string]bool{}
	var out []tensor
	for _, t := range r.family.tensors(&r.shape) {
		known[t.gguf] = true
		x, ok := r.file.Tensor(t.gguf)
		switch {
		case !ok && (t.change == maybeMissing || t.bias && !r.family.needBias):
			continue
		case !ok:
			return nil, fmt.Errorf("tensor %q is missing, which a model of %s with %d layers has", t.gguf, r.family.arch, r.shape.layers)
		case !slices.Equal(x.Shape, t.shape):
			return nil, fmt.Errorf("tensor %q has the shape %s, the metadata implies %s", t.gguf, shapeText(x.Shape), shapeText(t.shape))
		}
		out = append(out, t)
	}
	for _, x := range r.file.Tensors() {
		if !known[x.Name] && !isSetting(x.Name) && !strings.HasSuffix(x.Name, ".attn_rot_embd.weight") { // computed, of old files
			return nil, fmt.Errorf("tensor %q has no place in a model of %s with %d layers", x.Name, r.family.arch, r.shape.layers)
		}
	}
	return out, nil
}

// storedAs chooses the type of the weights: bfloat16, which most models were published in, unless most of the file's numbers are F32 or F16,
// which it would round.
func storedAs(file *gguf.File) string {
	if types := matrixTypes(file); len(types) > 0 && (types[0] == gguf.F32 || types[0] == gguf.F16) {
		return F32
	}
	return BF16
}

// quantisations lists the types of a file's matrices.
func quantisations(file *gguf.File) string {
	var names []string
	for _, t := range matrixTypes(file) {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// matrixTypes lists the types of a file's matrices, those of the most elements first.
func matrixTypes(file *gguf.File) (types []gguf.Type) {
	count := map[gguf.Type]int64{}
	for _, t := range file.Tensors() {
		if len(t.Shape) < 2 {
			continue
		}
		if count[t.Type] == 0 {
			types = append(types, t.Type)
		}
		count[t.Type] += t.Elements()
	}
	slices.SortStableFunc(types, func(a, b gguf.Type) int { return int(min(max(count[b]-count[a], -1), 1)) })
	return types
}

// encode gives the bytes of a tensor.
func encode(x []float32, dtype, name string) ([]byte, error) {
	if dtype == F32 {
		return checkpoint.F32Bytes(x), nil
	}
	b := checkpoint.BF16Bytes(x)
	for i, v := range x {
		if b[2*i+1]&0x7f == 0x7f && b[2*i]&0x80 == 0x80 { // the exponent is all ones
			return nil, fmt.Errorf("tensor %q: element %d is %v, beyond bfloat16's largest number: take %s", name, i, v, F32)
		}
	}
	return b, nil
}
