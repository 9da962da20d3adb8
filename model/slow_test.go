package model

import (
	"strings"
	"testing"

	"criticrm/kernels"
)

// The fault: a model with heads of 80 or 96 numbers ran many times slower on a GPU without a word.
func TestSlow(t *testing.T) {
	c := Config{HiddenSize: 64, IntermediateSize: 128, VocabSize: 320, HeadDim: 64}
	for _, test := range []struct {
		name   string
		change func(*Config)
		typ    kernels.DType
		want   string // "" for nothing
	}{
		{"as it should be", func(*Config) {}, kernels.BF16, ""},
		{"float32", func(*Config) {}, kernels.F32, "attention in float32"},
		{"heads of 72", func(c *Config) { c.HeadDim = 72 }, kernels.BF16, "heads of 72"},
		{"heads of 96", func(c *Config) { c.HeadDim = 96 }, kernels.BF16, ""},
		{"heads of 256", func(c *Config) { c.HeadDim = 256 }, kernels.BF16, "the gradient of attention"},
		{"an odd vocabulary", func(c *Config) { c.VocabSize = 321 }, kernels.BF16, "vocab_size 321"},
	} {
		changed := c
		test.change(&changed)
		got := strings.Join(slow(changed, test.typ), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if lines := (&Model{Config: Config{HeadDim: 72}, Dev: dev}).Slow(); lines != nil {
		t.Errorf("on the CPU: %q", lines)
	}
}
