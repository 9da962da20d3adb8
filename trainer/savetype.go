package trainer

// The type of the final model's weights.

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

// What save_dtype says.
const (
	SaveTrained = "trained"
	SaveBase    = "base"
	SaveF32     = "float32"
	SaveBF16    = "bfloat16"
)

// withBase says where the model comes from, for save_dtype base.
func withBase(dir string) Option { return func(o *options) { o.base = dir } }

// saveType is the type of the final model's weights.
func (r *run) saveType() (kernels.DType, error) {
	switch r.c.SaveDType {
	case SaveF32:
		return kernels.F32, nil
	case SaveBF16:
		return kernels.BF16, nil
	case SaveBase:
		if r.base == "" {
			return 0, errors.New("trainer: config: save_dtype: base needs a run from files: take float32 or bfloat16")
		}
		return typeOf(r.base)
	}
	return r.m.DType(), nil
}

// typeOf is the type that most of a model directory's weights have.
func typeOf(dir string) (kernels.DType, error) {
	d, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	bytes, most := map[string]int64{}, ""
	for _, t := range d.Tensors() {
		n, _ := t.Bytes() // checked when it was opened
		bytes[t.DType] += n
		if bytes[t.DType] > bytes[most] {
			most = t.DType
		}
	}
	switch most {
	case "F32":
		return kernels.F32, nil
	case "BF16":
		return kernels.BF16, nil
	}
	return 0, fmt.Errorf("trainer: config: save_dtype: base: the weights of %s are %s, which is not written: take float32 or bfloat16", dir, most)
}

// rounded wants the weights of a written model to be those in memory, rounded to bfloat16, but for the reward head's.
func (r *run) rounded(dir string) error {
	d, err := checkpoint.OpenModelDir(dir)
	if err != nil {
		return fmt.Errorf("the written model cannot be read: %w", err)
	}
	defer d.Close()
	var was []float32
	for _, p := range r.m.Params() {
		read, round := d.ReadF32, func(x float32) float32 { return kernels.F32FromBF16(kernels.BF16FromF32(x)) }
		if p.Kind == model.Head {
			head, err := checkpoint.OpenSafetensors(filepath.Join(dir, model.HeadFile))
			if err != nil {
				return err
			}
			defer head.Close()
			read, round = head.ReadF32, func(x float32) float32 { return x }
		}
		is, err := read(p.Name)
		if err != nil {
			return err
		}
		was = slices.Grow(was[:0], p.W.Len())[:p.W.Len()]
		r.m.Dev.Download(was, p.W.View(p.W.Len()))
		if err := r.m.Dev.Sync(); err != nil {
			return err
		}
		if len(is) != len(was) {
			return fmt.Errorf("%s does not hold the model: %s has %d elements, in memory %d", dir, p.Name, len(is), len(was))
		}
		for i, x := range was {
			if math.Float32bits(is[i]) != math.Float32bits(round(x)) {
				return fmt.Errorf("%s does not hold the model: element %d of %s is %v, in memory %v", dir, i, p.Name, is[i], x)
			}
		}
	}
	return nil
}
