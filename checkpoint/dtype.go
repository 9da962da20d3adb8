package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// TensorInfo says what a tensor is. DType is the name safetensors uses: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL.
type TensorInfo struct {
	Name  string
	DType string
	Shape []int64
}

// TensorData is a tensor with its content: the elements row-major, each little-endian.
type TensorData struct {
	TensorInfo
	Data []byte
}

const dtypeNames = "F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL"

// dtypeSize gives the bytes of an element, 0 for a dtype this build does not have.
func dtypeSize(dtype string) int64 {
	switch dtype {
	case "F64", "I64":
		return 8
	case "F32", "I32":
		return 4
	case "F16", "BF16", "I16":
		return 2
	case "I8", "U8", "BOOL":
		return 1
	}
	return 0
}

func checkDType(dtype string) error {
	switch dtype {
	case "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4",
		"U16", "U32", "U64", "C64":
		return fmt.Errorf("dtype %s is not supported by this build (supported: %s)", dtype, dtypeNames)
	}
	if dtypeSize(dtype) == 0 {
		return fmt.Errorf("dtype %s is not known", quote(dtype))
	}
	return nil
}

// Bytes gives the size of the tensor's content, or an error for a dtype or shape that has none.
func (t TensorInfo) Bytes() (int64, error) {
	if err := checkDType(t.DType); err != nil {
		return 0, err
	}
	n := uint64(1)
	for i, d := range t.Shape {
		if d < 0 {
			return 0, fmt.Errorf("shape[%d]: got %d, want an integer ≥ 0", i, d)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("shape %s is too large", shapeText(t.Shape))
		}
		n = lo
	}
	hi, lo := bits.Mul64(n, uint64(dtypeSize(t.DType)))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, fmt.Errorf("shape %s is too large", shapeText(t.Shape))
	}
	return int64(lo), nil
}

func shapeText(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ",")
}

// checkName refuses names that no writer of models makes on purpose. Names are keys and never become paths.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("tensor name is empty")
	}
	if len(name) > maxName {
		return fmt.Errorf("tensor name %s has %d bytes, limit %d", quote(name), len(name), maxName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("tensor name %s is not valid UTF-8", quote(name))
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("tensor name %s has a control character", quote(name))
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fmt.Errorf("tensor name %s looks like a path", quote(name))
		}
	}
	return nil
}

// check is all that a tensor must satisfy to be written.
func (t TensorInfo) check() error {
	if err := checkName(t.Name); err != nil {
		return err
	}
	if len(t.Shape) > maxDims {
		return fmt.Errorf("tensor %s has %d dimensions, limit %d", quote(t.Name), len(t.Shape), maxDims)
	}
	if _, err := t.Bytes(); err != nil {
		return fmt.Errorf("tensor %s: %w", quote(t.Name), err)
	}
	return nil
}

// checkData wants as many bytes as type and shape need.
func (t TensorInfo) checkData(data []byte) error {
	if n, err := t.Bytes(); err != nil || n != int64(len(data)) {
		return fmt.Errorf("tensor %s: shape %s of %s needs %d bytes, the data has %d",
			quote(t.Name), shapeText(t.Shape), t.DType, n, len(data))
	}
	return nil
}

// checkTensors checks a list that is to be written.
func checkTensors(tensors []TensorInfo) error {
	if len(tensors) > maxTensors {
		return fmt.Errorf("%d tensors, limit %d", len(tensors), maxTensors)
	}
	seen := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return err
		}
		if seen[t.Name] {
			return fmt.Errorf("tensor %s appears twice", quote(t.Name))
		}
		seen[t.Name] = true
	}
	return nil
}

// inMemory takes a list of tensors apart: what they are, checked, and what gives the content of each.
func inMemory(tensors []TensorData) (infos []TensorInfo, content func(name string) ([]byte, error), err error) {
	data := make(map[string][]byte, len(tensors))
	for _, t := range tensors {
		infos = append(infos, t.TensorInfo)
		data[t.Name] = t.Data
	}
	if err := checkTensors(infos); err != nil {
		return nil, nil, err
	}
	for _, t := range tensors {
		if err := t.checkData(t.Data); err != nil {
			return nil, nil, err
		}
	}
	return infos, func(name string) ([]byte, error) { return data[name], nil }, nil
}

// F32Bytes gives the little-endian bytes of dtype F32.
func F32Bytes(x []float32) []byte {
	b := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return b
}

// BF16Bytes rounds to bfloat16, to nearest with ties to even, and gives the little-endian bytes of dtype BF16.
// Values beyond the largest bfloat16 become infinite; NaN stays NaN.
func BF16Bytes(x []float32) []byte {
	b := make([]byte, 2*len(x))
	for i, v := range x {
		u := math.Float32bits(v)
		if v != v {
			u |= 1 << 22 // quiet: rounding could carry a NaN with low payload bits to infinity
		} else {
			u += 0x7fff + u>>16&1
		}
		binary.LittleEndian.PutUint16(b[2*i:], uint16(u>>16))
	}
	return b
}

// toF32 converts raw elements of a float dtype. ok is false for the others.
func toF32(dst []float32, dtype string, raw []byte) (ok bool) {
	le := binary.LittleEndian
	switch dtype {
	case "F32":
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	case "BF16":
		widenBF16(dst, raw)
	case "F16":
		for i := range dst {
			dst[i] = halfToF32(le.Uint16(raw[2*i:]))
		}
	case "F64":
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	default:
		return false
	}
	return true
}

// halfToF32 widens IEEE binary16; every value is exact.
func halfToF32(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac · 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// toInts converts raw elements of an integer dtype. ok is false for the others.
func toInts(dst []int64, dtype string, raw []byte) (ok bool) {
	le := binary.LittleEndian
	for i := range dst {
		switch dtype {
		case "I64":
			dst[i] = int64(le.Uint64(raw[8*i:]))
		case "I32":
			dst[i] = int64(int32(le.Uint32(raw[4*i:])))
		case "I16":
			dst[i] = int64(int16(le.Uint16(raw[2*i:])))
		case "I8":
			dst[i] = int64(int8(raw[i]))
		case "U8", "BOOL":
			dst[i] = int64(raw[i])
		}
	}
	return dtype[0] != 'F' && dtype != "BF16"
}

// nonFinite counts NaN and infinities and gives the index of the first.
func nonFinite(x []float32) (count, first int) {
	if count = countNonFinite(x); count == 0 {
		return 0, -1
	}
	return count, slices.IndexFunc(x, func(v float32) bool { return math.Float32bits(v)&0x7f800000 == 0x7f800000 })
}
