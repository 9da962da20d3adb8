package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"criticrm/gguf"
)

// A model in two files makes the directory that one file makes; the name in the cache changes with any of the files.
func TestSplit(t *testing.T) {
	whole := toGGUF(t, directory(t, "llama"), GGUFF16)
	f, err := gguf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir, tensors := t.TempDir(), f.Tensors()
	halves := [][]gguf.Tensor{tensors[:len(tensors)/2], tensors[len(tensors)/2:]}
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("m-%05d-of-00002.gguf", i+1)) }
	for i, half := range halves {
		meta := gguf.Meta{{Key: "split.no", Value: uint32(i)}, {Key: "split.count", Value: uint32(2)}, {Key: "split.tensors.count", Value: uint32(len(tensors))}}
		if i == 0 {
			meta = append(f.Meta[:len(f.Meta):len(f.Meta)], meta...)
		}
		if err := gguf.Write(path(i), meta, half, f.ReadRaw); err != nil {
			t.Fatal(err)
		}
	}
	cache := t.TempDir()
	lines := func(string) {}
	one, err := cached(t.Context(), whole, cache, lines)
	if err != nil {
		t.Fatal(err)
	}
	two, err := cached(t.Context(), path(0), cache, lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"model.safetensors", "tokenizer.json", "generation_config.json"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(two, name)); err != nil || string(a) != string(b) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
	b, err := os.ReadFile(path(1))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path(1), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := cached(t.Context(), path(0), cache, lines); err != nil || again == two {
		t.Errorf("another second file has the same directory: %s, %v", again, err)
	}
}
