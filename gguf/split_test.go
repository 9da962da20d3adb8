package gguf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/internal/golden"
)

// writeParts writes a model of one tensor a file, and gives the first file.
func writeParts(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, len(names))) }
	for i, name := range names {
		meta := Meta{{splitNumber, uint32(i)}, {splitCount, uint32(len(names))}, {splitTensors, uint32(len(names))}}
		if i == 0 {
			meta = append(Meta{{"general.architecture", "llama"}}, meta...)
		}
		if err := Write(path(i), meta, []Tensor{{Name: name, Shape: []int64{2}}}, func(string) ([]byte, error) { return Quantize([]float32{float32(i), 7}, F32) }); err != nil {
			t.Fatal(err)
		}
	}
	return path(0)
}

// A split model is read as one, each tensor from its file.
func TestSplit(t *testing.T) {
	first := writeParts(t, "a", "b", "c")
	f := open(t, first)
	for i, name := range []string{"a", "b", "c"} {
		if got := read(t, f, name); !slices.Equal(got, []float32{float32(i), 7}) {
			t.Errorf("%s is %v", name, got)
		}
	}
	if len(f.Tensors()) != 3 || f.Meta.Get("general.architecture") != "llama" {
		t.Errorf("got %v, %v", f.Tensors(), f.Meta)
	}
	if d := cmp.Diff(Parts(first), f.Names()); d != "" || len(f.Names()) != 3 {
		t.Error(d)
	}
	for _, one := range []string{"m.gguf", "m-00001-of-00001.gguf", "m-00002-of-00003.gguf", "m-00001-of-00003.txt"} {
		if got := Parts(one); !slices.Equal(got, []string{one}) {
			t.Errorf("%s: parts %v", one, got)
		}
	}
}

// Files that are not of one model are told by name.
func TestBadSplit(t *testing.T) {
	second := func(first string) string { return Parts(first)[1] }
	for want, spoil := range map[string]func(first string) string{
		"part 2 of 3: gguf: ":    func(first string) string { os.Remove(second(first)); return first },
		"give the first of them": second,
		"name does not end in -00001-of-00003.gguf": func(first string) string {
			other := filepath.Join(filepath.Dir(first), "other.gguf")
			os.Rename(first, other)
			return other
		},
		"this is part 3 of 3 by its metadata, want 2 of 3": func(first string) string { os.Rename(Parts(first)[2], second(first)); return first },
		`tensor "a" appears twice`:                         func(string) string { return writeParts(t, "a", "b", "a") },
		"they are not of one model": func(first string) string {
			b, _ := os.ReadFile(first)
			at := strings.Index(string(b), splitTensors) + len(splitTensors) + 4
			b[at] = 9
			os.WriteFile(first, b, 0o644)
			return first
		},
	} {
		if _, err := Open(spoil(writeParts(t, "a", "b", "c"))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What ggml's Python package splits is read as one.
func TestSplitOfPython(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command(golden.Python(t, "numpy", "gguf"), "-c", `
import numpy, sys
from gguf import GGUFWriter
w = GGUFWriter(sys.argv[1] + "/m.gguf", "llama", split_max_tensors=2)
w.add_string("general.name", "split")
for i in range(5):
    w.add_tensor(f"t{i}", numpy.full((2, 3), i, dtype=numpy.float32))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()`, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := open(t, filepath.Join(dir, "m-00001-of-00003.gguf"))
	for i := range 5 {
		if x := read(t, f, fmt.Sprintf("t%d", i)); len(x) != 6 || x[0] != float32(i) || x[5] != float32(i) {
			t.Errorf("t%d is %v", i, x)
		}
	}
	if n := len(f.Tensors()); n != 5 || f.Meta.Get("general.name") != "split" {
		t.Errorf("%d tensors", n)
	}
}
