package checkpoint

// Safetensors read twice: by this package, and by a few lines over encoding/json that share nothing with it.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plainTensor is a tensor as its file has it.
type plainTensor struct {
	DType   string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`
}

// bits of an element, of the types that both readers know.
var plainBits = map[string]uint64{"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8}

// readPlain is the format as its description has it: 8 bytes of length, JSON, and tensors that cover what follows without holes.
func readPlain(b []byte) (tensors map[string]plainTensor, meta map[string]string, data []byte, err error) {
	bad := errors.New("no safetensors")
	if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)-8) {
		return nil, nil, nil, bad
	}
	text := b[8 : 8+binary.LittleEndian.Uint64(b)]
	data = b[8+len(text):]
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, nil, nil, err
	}
	tensors = map[string]plainTensor{}
	var order []plainTensor
	for name, r := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(r, &meta); err != nil {
				return nil, nil, nil, err
			}
			continue
		}
		var x plainTensor
		if err := json.Unmarshal(r, &x); err != nil || len(x.Offsets) != 2 || x.Shape == nil || plainBits[x.DType] == 0 {
			return nil, nil, nil, bad
		}
		size := plainBits[x.DType] / 8
		for _, n := range x.Shape {
			if n > 1<<20 || size > 1<<40 {
				return nil, nil, nil, bad
			}
			size *= n
		}
		if x.Offsets[0] > x.Offsets[1] || x.Offsets[1] > uint64(len(data)) || x.Offsets[1]-x.Offsets[0] != size {
			return nil, nil, nil, bad
		}
		tensors[name] = x
		order = append(order, x)
	}
	slices.SortFunc(order, func(a, b plainTensor) int { return slices.Compare(a.Offsets, b.Offsets) })
	at := uint64(0)
	for _, x := range order {
		if x.Offsets[0] != at {
			return nil, nil, nil, bad
		}
		at = x.Offsets[1]
	}
	if at != uint64(len(data)) {
		return nil, nil, nil, bad
	}
	return tensors, meta, data, nil
}

// FuzzSafetensorsDiff: what this package accepts the other reader accepts too, with the same names, types, shapes, bytes and metadata; and
// what the other one accepts, written anew in the plainest way, is accepted here.
func FuzzSafetensorsDiff(f *testing.F) {
	parts, _ := safetensorsParts([]TensorData{floats("a", 1, 2), floats("b"), {TensorInfo{"c", "U8", []int64{2, 2}}, []byte{1, 2, 3, 4}}}, map[string]string{"format": "pt"})
	f.Add(bytes.Join(parts, nil))
	for _, header := range []string{`{}`, `{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}   `, `{"a":{"shape":[0,7],"dtype":"F64","data_offsets":[0,0]},"\u0062":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`,
		`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, `{"a":{"DTYPE":"U8","shape":[1],"data_offsets":[0,1]}}`,
		`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1e0]}}`, `{"__metadata__":{"k":"v"},"x":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}`} {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		f.Add(append(append(b, header...), 7))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "x.safetensors")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		want, meta, data, plainErr := readPlain(b)
		got, err := OpenSafetensors(path)
		if err == nil {
			defer got.Close()
			for _, x := range got.Tensors() {
				if plainBits[x.DType] == 0 || slices.ContainsFunc(x.Shape, func(n int64) bool { return n > 1<<20 }) {
					return // the other reader does not know it
				}
			}
			if plainErr != nil {
				t.Fatalf("accepted; the other reader: %v", plainErr)
			}
			if len(got.Names()) != len(want) || !maps.Equal(got.Metadata(), meta) && len(got.Metadata())+len(meta) > 0 {
				t.Fatalf("%v %v, want %v %v", got.Names(), got.Metadata(), want, meta)
			}
			for _, s := range got.h.tensors {
				w := want[s.Name]
				var shape []uint64
				for _, n := range s.Shape {
					shape = append(shape, uint64(n))
				}
				have := b[got.h.data+s.begin : got.h.data+s.end]
				if s.DType != w.DType || !slices.Equal(shape, w.Shape) || !bytes.Equal(have, data[w.Offsets[0]:w.Offsets[1]]) {
					t.Fatalf("%s: %s %v, want %s %v, or other bytes", s.Name, s.DType, s.Shape, w.DType, w.Shape)
				}
			}
		}
		if plainErr != nil || slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return checkName(name) != nil }) {
			return
		}
		all := map[string]any{}
		if len(meta) > 0 {
			all["__metadata__"] = meta
		}
		for name, x := range want {
			all[name] = x
		}
		header, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		plain := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), append(header, data...)...)
		if err := os.WriteFile(path, plain, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := OpenSafetensors(path)
		if err != nil && !strings.Contains(err.Error(), "limit") {
			t.Fatalf("%s is refused: %v", header, err)
		}
		if err == nil {
			again.Close()
		}
	})
}
