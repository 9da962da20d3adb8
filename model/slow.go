package model

import (
	"fmt"
	"slices"

	"criticrm/kernels"
)

// Slow says which ops of the model run on plain kernels of its device, one line each: they are right, but many times slower than those
// that use tensor cores, which nobody would see otherwise. The sizes are those that attention.cu and matmul.cu ask for.
func (m *Model) Slow() []string {
	if m.Dev.Name() != "cuda" {
		return nil
	}
	return slow(m.Config, m.opt.DType)
}

func slow(c Config, t kernels.DType) (lines []string) {
	const plain = "runs on plain kernels of the GPU, many times slower than on its tensor cores"
	switch {
	case t != kernels.BF16:
		lines = append(lines, "attention in float32 "+plain+": use --bf16 where its precision will do")
	case c.HeadDim == 256:
		lines = append(lines, "the gradient of attention with heads of 256 numbers "+plain+" where blocks have less than 129 KiB of shared memory (GeForce and its like)")
	case !slices.Contains([]int{64, 80, 96, 128}, c.HeadDim):
		lines = append(lines, fmt.Sprintf("attention with heads of %d numbers %s: it has kernels for 64, 80, 96, 128 and 256", c.HeadDim, plain))
	}
	for _, s := range []struct {
		name string
		n    int
	}{{"hidden_size", c.HiddenSize}, {"intermediate_size", c.IntermediateSize}, {"vocab_size", c.VocabSize}} {
		if t == kernels.BF16 && s.n%2 != 0 {
			lines = append(lines, fmt.Sprintf("products over %s %d, an odd number, may be refused by cuBLASLt in bfloat16; what it refuses %s", s.name, s.n, plain))
		}
	}
	return lines
}
