package model

// A reward head with a hidden layer, CLoud's: reward = w·tanh(W·x + b) + c. It is read and not trained: what is trained here has a linear head.

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/kernels"
)

// DeepHead are the names, in [HeadFile], of the tensors of a reward head with a hidden layer: W (H, H), b (H), w (1, H) and c (1). The first
// tells such a head from a linear one.
var DeepHead = [...]string{"dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"}

// deepHead is such a head; w is the model's score.
type deepHead struct {
	dense   kernels.Tensor // (H, H) of the model's type
	bias, c kernels.Tensor // (H), (1) f32
	hidden  kernels.Tensor // (n, H) f32
}

var errDeepHead = errors.New("its reward head has a hidden layer (CLoud's), which is read and not trained or written: " +
	"'criticrm convert --drop_head' of the model that it was made of leaves the one that writes critiques, for a head of its own")

func (s source) deep() bool { return s.head != nil && s.head.Has(DeepHead[0]) }

// checkDeep wants the tensors of such a head and no others.
func (s source) checkDeep(hidden int, dir string) error {
	n := int64(hidden)
	for i, shape := range [...][]int64{{n, n}, {n}, {1, n}, {1}} {
		if info, ok := s.head.Info(DeepHead[i]); !ok || !slices.Equal(info.Shape, shape) {
			return fmt.Errorf("%s: want a tensor %q of shape %v", filepath.Join(dir, HeadFile), DeepHead[i], shape)
		}
	}
	for _, name := range s.head.Names() {
		if !slices.Contains(DeepHead[:], name) {
			return fmt.Errorf("%s: a reward head with a hidden layer has no tensor %q", filepath.Join(dir, HeadFile), name)
		}
	}
	return nil
}

// readDeep reads the head of a file that checkDeep has passed.
func (m *Model) readDeep(f *checkpoint.SafetensorsFile) (err error) {
	defer kernels.Recover(&err)
	m.deep = &deepHead{dense: m.Dev.AllocZero(m.opt.DType, m.HiddenSize*m.HiddenSize).View(m.HiddenSize, m.HiddenSize),
		bias: m.Dev.AllocZero(kernels.F32, m.HiddenSize), c: m.Dev.AllocZero(kernels.F32, 1)}
	for i, to := range [...]kernels.Tensor{m.deep.dense, m.deep.bias, m.score.W, m.deep.c} {
		x, err := f.ReadF32(DeepHead[i])
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		m.Dev.Upload(to.View(to.Len()), x)
	}
	return nil
}

// rewards gives the rewards (L) f32 of rows (L) of f (n, H), what the last norm has left.
func (m *Model) rewards(out, f, rows kernels.Tensor) {
	h := m.deep
	if h == nil {
		m.Dev.RewardHead(out, f, rows, m.score.W)
		return
	}
	m.fit(&h.hidden, kernels.F32, f.Dim(0), m.HiddenSize)
	m.Dev.Matmul(h.hidden, f, h.dense, none)
	m.Dev.AddBias(h.hidden, h.bias)
	m.Dev.SoftCap(h.hidden, 1, 1)
	m.Dev.RewardHead(out, h.hidden, rows, m.score.W)
	m.Dev.AddBias(out.View(out.Len(), 1), h.c)
}
