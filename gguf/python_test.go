package gguf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"criticrm/internal/golden"
)

// theirs is what ggml's Python package reads of a file: its metadata, and a hash of each tensor's elements.
const theirs = `
import hashlib, json, sys, numpy
from gguf import GGUFReader, dequantize
r = GGUFReader(sys.argv[1])
json.dump({"meta": {k: f.contents() for k, f in r.fields.items() if not k.startswith("GGUF.")},
           "tensors": {t.name: [[int(n) for n in reversed(t.shape)], hashlib.sha256(dequantize(t.data, t.tensor_type).astype("<f4").tobytes()).hexdigest()] for t in r.tensors}}, sys.stdout)
`

// A file of ours with thousands of random blocks of every type is read by the Python package as by us, to the bit.
func TestAgainstPython(t *testing.T) {
	python := golden.Python(t, "numpy", "gguf")
	rng := rand.New(rand.NewPCG(1, 2))
	var tensors []Tensor
	data := map[string][]byte{}
	for _, kind := range []Type{F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, Q2_K, Q3_K, IQ4_NL, IQ4_XS, MXFP4} {
		k := kinds[kind]
		x := Tensor{Name: kind.String(), Type: kind, Shape: []int64{40, 4 * 256}}
		n, _ := kind.size(x.Elements())
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		for ; n > 0; n -= k.bytes { // scales and numbers that are finite
			finite(b[n-k.bytes:n], kind)
		}
		tensors, data[x.Name] = append(tensors, x), b
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	meta := Meta{{"general.architecture", "llama"}, {"n", uint32(7)}, {"texts", []string{"a", "ä"}}, {"on", true}, {"x", float32(0.5)}}
	if err := Write(path, meta, tensors, func(name string) ([]byte, error) { return data[name], nil }); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", theirs, path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Meta    map[string]any
		Tensors map[string][]any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"general.architecture": "llama", "n": 7., "texts": []any{"a", "ä"}, "on": true, "x": 0.5}
	if d := cmp.Diff(want, got.Meta); d != "" {
		t.Error(d)
	}
	f := open(t, path)
	for _, x := range tensors {
		h := sha256.New()
		if err := binary.Write(h, binary.LittleEndian, read(t, f, x.Name)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]any{[]any{40., 1024.}, hex.EncodeToString(h.Sum(nil))}, got.Tensors[x.Name]); d != "" {
			t.Errorf("%s: %s", x.Name, d)
		}
	}
}

// finite clears a bit of every exponent of a block that is all ones.
func finite(b []byte, kind Type) {
	halves := map[Type][]int{F16: {0}, Q4_0: {0}, Q4_1: {0, 2}, Q5_0: {0}, Q5_1: {0, 2}, Q8_0: {0}, Q4_K: {0, 2}, Q5_K: {0, 2}, Q6_K: {208}, Q2_K: {80, 82}, Q3_K: {108}, IQ4_NL: {0}, IQ4_XS: {0}}
	for _, at := range halves[kind] {
		b[at+1] &^= 0x40
	}
	if kind == MXFP4 {
		b[0] &^= 0x10 // twelve times the largest scales is infinite
	}
	if kind == F32 || kind == BF16 {
		b[len(b)-1] &^= 0x40
	}
}
