//go:build cuda && emu

package cuda_test

import (
	"errors"
	"strings"
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/model"
)

// hog takes the memory that a device has left, down to the smallest piece, and gives the function that frees it.
func hog(d *kernels.Device) func() {
	var taken []kernels.Tensor
	one := func(bytes int) (err error) {
		defer kernels.Recover(&err)
		taken = append(taken, d.Alloc(kernels.F32, bytes/4))
		return nil
	}
	for bytes := 256 << 20; bytes >= 512; bytes /= 2 {
		for one(bytes) == nil {
		}
	}
	return func() {
		for _, t := range taken {
			d.Free(t)
		}
	}
}

func smallDevice(t *testing.T) *kernels.Device {
	t.Helper()
	d, err := cuda.Open(1, cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func small(t *testing.T, d *kernels.Device, o model.Options) (*model.Model, error) {
	return model.New(d, model.Config{VocabSize: 40, HiddenSize: 16, IntermediateSize: 32, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		MaxPositionEmbeddings: 2048, EOSTokenIDs: []int32{4}}, o, 1)
}

func inUse(t *testing.T, d *kernels.Device) int {
	t.Helper()
	s, ok := cuda.StatsOf(d)
	if !ok {
		t.Fatal("no statistics")
	}
	return s.Allocated
}

// A model that does not fit is an error, and leaves nothing behind; one that fits, but whose work does not, can go on with less.
func TestModelOutOfMemory(t *testing.T) {
	d := smallDevice(t)
	defer d.Close()
	before := inUse(t, d)
	_, err := model.New(d, model.Config{VocabSize: 50000, HiddenSize: 512, IntermediateSize: 512, NumHiddenLayers: 1, NumAttentionHeads: 8, NumKeyValueHeads: 8,
		MaxPositionEmbeddings: 64}, model.Options{Train: true}, 1)
	var full kernels.OutOfMemory
	if !errors.As(err, &full) || !strings.Contains(err.Error(), "256.0 MiB") {
		t.Errorf("a large model: %v", err)
	}
	if now := inUse(t, d); now != before {
		t.Errorf("%d bytes are still in use", now-before)
	}
	m, err := small(t, d, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var short, long model.Batch
	short.Open([]int32{1, 2, 3})
	long.Open(make([]int32, 1500))
	for _, b := range []*model.Batch{&short, &long} {
		b.Close()
		b.Row, b.Target = []int32{0, 1}, []int32{2, 3}
	}
	want, _, err := m.Evaluate(&short)
	if err != nil {
		t.Fatal(err)
	}
	free := hog(d)
	if _, _, err := m.Evaluate(&long); !errors.As(err, &full) {
		t.Errorf("a long batch: %v", err)
	}
	free()
	got, _, err := m.Evaluate(&short)
	if err != nil || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the short batch after it: %v, %v, want %v", got, err, want)
	}
	if _, _, err := m.Evaluate(&long); err != nil {
		t.Errorf("the long batch with more memory: %v", err)
	}
	m.Close()
	if now := inUse(t, d); now != before {
		t.Errorf("%d bytes are in use after the end", now-before)
	}
}
