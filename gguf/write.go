package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"criticrm/checkpoint/vfs"
)

// Write writes a file of version 3 in one step that survives a power cut. Of tensors, Name, Type and Shape are read; content gives the bytes
// of each when they are written, one by one, so that a model need not fit into memory.
func Write(path string, meta Meta, tensors []Tensor, content func(name string) ([]byte, error)) error {
	head, placed, err := header(meta, tensors)
	if err != nil {
		return fmt.Errorf("gguf: write %s: %w", path, err)
	}
	root, err := vfs.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("gguf: write %s: %w", path, err)
	}
	defer root.Close()
	err = vfs.WriteAtomicFrom(root, filepath.Base(path), func(yield func([]byte, error) bool) {
		if !yield(head, nil) {
			return
		}
		for _, t := range placed {
			data, err := content(t.Name)
			if err == nil && int64(len(data)) != t.bytes {
				err = fmt.Errorf("tensor %s: %d bytes, want %d", quote(t.Name), len(data), t.bytes)
			}
			if !yield(data, err) || !yield(make([]byte, padding(t.bytes)), nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("gguf: write %s: %w", path, err)
	}
	return nil
}

// padding is what brings n bytes to the alignment.
func padding(n int64) int64 { return -n & (defaultAlignment - 1) }

// header is all that stands before the tensors, and the tensors with their places. What cannot be read back is not written.
func header(meta Meta, tensors []Tensor) ([]byte, []Tensor, error) {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), 3)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(meta)))
	for _, p := range meta {
		b = appendText(b, p.Key)
		var err error
		if b, err = appendValue(b, p.Value); err != nil {
			return nil, nil, fmt.Errorf("metadata %s: %w", quote(p.Key), err)
		}
	}
	placed := slices.Clone(tensors)
	at := int64(0)
	for i := range placed {
		t := &placed[i]
		n, ok := t.Type.size(t.Elements())
		if !ok {
			return nil, nil, fmt.Errorf("tensor %s of shape %v cannot be stored as %v", quote(t.Name), t.Shape, t.Type)
		}
		t.offset, t.bytes = at, n
		at += n + padding(n)
		b = appendText(b, t.Name)
		b = le.AppendUint32(b, uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			b = le.AppendUint64(b, uint64(d))
		}
		b = le.AppendUint32(b, uint32(t.Type))
		b = le.AppendUint64(b, uint64(t.offset))
	}
	b = append(b, make([]byte, padding(int64(len(b))))...)
	return b, placed, new(File).readHeader(bytes.NewReader(b), int64(len(b))+at)
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue writes the type of a value and the value.
func appendValue(b []byte, v Value) ([]byte, error) {
	le := binary.LittleEndian
	switch x := v.(type) {
	case uint32:
		return le.AppendUint32(le.AppendUint32(b, typeUint32), x), nil
	case uint64:
		return le.AppendUint64(le.AppendUint32(b, typeUint64), x), nil
	case float32:
		return le.AppendUint32(le.AppendUint32(b, typeFloat32), math.Float32bits(x)), nil
	case bool:
		n := byte(0)
		if x {
			n = 1
		}
		return append(le.AppendUint32(b, typeBool), n), nil
	case string:
		return appendText(le.AppendUint32(b, typeString), x), nil
	case []string:
		b = appendArray(b, typeString, len(x))
		for _, s := range x {
			b = appendText(b, s)
		}
		return b, nil
	case []int32:
		b = appendArray(b, typeInt32, len(x))
		for _, n := range x {
			b = le.AppendUint32(b, uint32(n))
		}
		return b, nil
	case []float32:
		b = appendArray(b, typeFloat32, len(x))
		for _, n := range x {
			b = le.AppendUint32(b, math.Float32bits(n))
		}
		return b, nil
	case []bool:
		b = appendArray(b, typeBool, len(x))
		for _, v := range x {
			n := byte(0)
			if v {
				n = 1
			}
			b = append(b, n)
		}
		return b, nil
	}
	return nil, fmt.Errorf("values of %T are not written", v)
}

func appendArray(b []byte, kind uint32, n int) []byte {
	le := binary.LittleEndian
	return le.AppendUint64(le.AppendUint32(le.AppendUint32(b, typeArray), kind), uint64(n))
}

// Quantize gives the bytes of elements as F32, F16, BF16 or Q8_0, rounded as ggml does: to the nearest, and Q8_0 in blocks of 32 with the
// largest at ±127. What F16 cannot hold is an error.
func Quantize(x []float32, t Type) ([]byte, error) {
	n, ok := t.size(int64(len(x)))
	if !ok {
		return nil, fmt.Errorf("%d elements are not whole blocks of %v", len(x), t)
	}
	b := make([]byte, 0, n)
	le := binary.LittleEndian
	switch t {
	case F32:
		for _, v := range x {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	case BF16:
		for _, v := range x {
			u := math.Float32bits(v)
			b = le.AppendUint16(b, uint16((u+0x7fff+u>>16&1)>>16))
		}
	case F16:
		for i, v := range x {
			h, ok := toHalf(v)
			if !ok {
				return nil, fmt.Errorf("element %d is %v, beyond F16's largest number 65504: take bf16", i, v)
			}
			b = le.AppendUint16(b, h)
		}
	case Q8_0:
		for ; len(x) > 0; x = x[32:] {
			most := float32(0)
			for _, v := range x[:32] {
				most = max(most, max(v, -v))
			}
			d := most / 127
			h, ok := toHalf(d)
			if !ok {
				return nil, fmt.Errorf("an element of %v is beyond what Q8_0 can hold: take bf16", most)
			}
			b = le.AppendUint16(b, h)
			inverse := float32(0)
			if d != 0 {
				inverse = 1 / d
			}
			for _, v := range x[:32] {
				b = append(b, byte(int8(math.Round(float64(float32(v*inverse))))))
			}
		}
	default:
		return nil, fmt.Errorf("%v is not written (F32, F16, BF16, Q8_0 are)", t)
	}
	return b, nil
}

// toHalf rounds to IEEE binary16, to nearest with ties to even; ok is false for what has no finite one.
func toHalf(v float32) (h uint16, ok bool) {
	u := math.Float32bits(v)
	sign, exp, frac := uint16(u>>31)<<15, int(u>>23&255)-127, u&0x7fffff
	if exp < -25 { // below half of the smallest
		return sign, true
	}
	shift, top := 13, uint32(max(exp+14, 0))<<10 // the leading 1 of frac adds 1 to the exponent
	if exp < -14 {
		shift, top = 13-14-exp, 0 // subnormal: a whole number of 2⁻²⁴
	}
	frac |= 1 << 23
	rounded := frac >> shift
	if rest, tie := frac&(1<<shift-1), uint32(1)<<(shift-1); rest > tie || rest == tie && rounded&1 == 1 {
		rounded++
	}
	bits := top + rounded
	return sign | uint16(bits), bits < 31<<10
}
