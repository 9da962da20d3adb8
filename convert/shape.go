package convert

import (
	"fmt"
	"slices"
	"strings"
)

// shape is the dimensions of a model.
type shape struct {
	vocab, hidden, layers, heads, keyHeads, head, inner int64
}

// of gives a dimension.
func (s *shape) of(n size) int64 {
	switch n {
	case vocabulary:
		return s.vocab
	case width:
		return s.hidden
	case queries:
		return s.heads * s.head
	case keys:
		return s.keyHeads * s.head
	case headSize:
		return s.head
	case inner:
		return s.inner
	case fusedQKV:
		return (s.heads + 2*s.keyHeads) * s.head
	case fusedGateUp:
		return 2 * s.inner
	}
	return 0
}

// tensor is a tensor of a model under both names.
type tensor struct {
	gguf, hf string
	shape    []int64
	change   change
	heads    int64 // whose rows are interleaved
	bias     bool
}

// tensors lists the tensors that a model of the family has, biases included where the family may have them.
func (f *family) tensors(s *shape) []tensor {
	var list []tensor
	add := func(p part, layer int64) {
		t := tensor{gguf: p.gguf, hf: p.hf, shape: []int64{s.of(p.rows)}, change: p.change}
		if p.cols != none {
			t.shape = append(t.shape, s.of(p.cols))
		} else {
			t.change = f.norm
		}
		if p.change == interleaved {
			t.heads = s.of(p.rows) / s.head
		}
		if layer >= 0 {
			t.gguf, t.hf = fmt.Sprintf("blk.%d.%s", layer, p.gguf), fmt.Sprintf("model.layers.%d.%s", layer, p.hf)
		}
		bias := t
		t.gguf, t.hf = t.gguf+".weight", t.hf+".weight"
		list = append(list, t)
		if layer >= 0 && slices.Contains(f.biases, p.gguf) {
			bias.gguf, bias.hf, bias.shape, bias.bias = bias.gguf+".bias", bias.hf+".bias", t.shape[:1], true
			list = append(list, bias)
		}
	}
	for _, p := range top {
		add(p, -1)
	}
	for layer := range s.layers {
		for _, p := range f.layer {
			add(p, layer)
		}
	}
	return list
}

// turned takes what GGUF holds to what transformers holds, in place where that can be; back is the other way.
func (t *tensor) turned(x []float32, back bool) []float32 {
	switch t.change {
	case plusOne:
		for i := range x {
			if back {
				x[i]++
			} else {
				x[i]--
			}
		}
	case interleaved:
		return interleave(x, t.heads, t.shape[0]/t.heads, back)
	}
	return x
}

// isProjection says whether the tensor is a matrix of a layer.
func (t *tensor) isProjection() bool {
	return len(t.shape) == 2 && strings.HasPrefix(t.hf, "model.layers.")
}

// interleave brings the rows of each head, which alternate between its first and its second half, into their order; back undoes it.
func interleave[T any](x []T, heads, size int64, back bool) []T {
	row := int64(len(x)) / (heads * size)
	out := make([]T, len(x))
	for h := range heads {
		for i := range size {
			mixed := h*size + i
			plain := h*size + i%2*(size/2) + i/2
			from, to := mixed, plain
			if back {
				from, to = plain, mixed
			}
			copy(out[to*row:(to+1)*row], x[from*row:(from+1)*row])
		}
	}
	return out
}

// shapeText is a shape for an error.
func shapeText(shape []int64) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ",") }
