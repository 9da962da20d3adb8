package kernels

import (
	"fmt"
	"slices"
	"unsafe"
)

// DType is the type of a tensor's elements.
type DType int32

// Element types. Activations and weights are F32 or BF16; statistics, losses, gradients of parameters and rewards are
// always F32; indices are I32; keys of random streams are U64; codes of moments are U8.
const (
	F32 DType = iota
	BF16
	I32
	U64
	U8
)

// Size is the size of an element in bytes.
func (t DType) Size() int { return [...]int{4, 2, 4, 8, 1}[t] }

func (t DType) String() string {
	return [...]string{"float32", "bfloat16", "int32", "uint64", "uint8"}[t]
}

// Tensor is a dense row-major array in a device's memory. It is a plain value: copying it copies the reference. Views
// share the memory; only the tensor that Alloc gave may be freed.
type Tensor struct {
	ptr  unsafe.Pointer
	typ  DType
	rank int
	dim  [4]int
}

// Type is the type of the elements.
func (t Tensor) Type() DType { return t.typ }

// Shape is the extent of each dimension.
func (t Tensor) Shape() []int { return append([]int(nil), t.dim[:t.rank]...) }

// Dim is the extent of dimension i.
func (t Tensor) Dim(i int) int { return t.dim[:t.rank][i] }

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.dim[:t.rank] {
		n *= d
	}
	return n
}

// Bytes is the size of the tensor in bytes.
func (t Tensor) Bytes() int { return t.Len() * t.typ.Size() }

// IsNil says whether the tensor is the zero Tensor, which stands for an argument that is left out.
func (t Tensor) IsNil() bool { return t.ptr == nil }

// Pointer is where the tensor lies, for a library that works on the device's memory. It knows nothing of ops that are queued: [Device.Sync]
// comes first.
func (t Tensor) Pointer() unsafe.Pointer { return t.ptr }

// Rows is the view of rows [lo, hi) of the first dimension.
func (t Tensor) Rows(lo, hi int) Tensor {
	if t.rank == 0 || lo < 0 || hi < lo || hi > t.dim[0] {
		panic(fmt.Sprintf("kernels: rows [%d, %d) of a tensor of shape %v", lo, hi, t.Shape()))
	}
	if t.dim[0] > 0 {
		t.ptr = unsafe.Add(t.ptr, lo*(t.Len()/t.dim[0])*t.typ.Size())
	}
	t.dim[0] = hi - lo
	return t
}

// View is the same memory with another shape of as many or fewer elements, from the first on.
func (t Tensor) View(shape ...int) Tensor {
	v := Tensor{ptr: t.ptr, typ: t.typ, rank: len(shape)}
	copy(v.dim[:], shape)
	if len(shape) > len(v.dim) || v.Len() > t.Len() {
		panic(fmt.Sprintf("kernels: view %v of a tensor of shape %v", slices.Clone(shape), t.Shape())) // shape itself stays on the stack
	}
	return v
}

// Join is t and u as one tensor of rank 1, if u lies where t ends and is of its type, or if both are nil.
func (t Tensor) Join(u Tensor) (Tensor, bool) {
	if t.IsNil() && u.IsNil() {
		return t, true
	}
	if t.IsNil() || u.IsNil() || t.typ != u.typ || unsafe.Add(t.ptr, t.Bytes()) != u.ptr {
		return Tensor{}, false
	}
	n := t.Len() + u.Len()
	t.rank, t.dim = 1, [len(t.dim)]int{n}
	return t, true
}

// As is the same memory, read as elements of another type of the same size.
func (t Tensor) As(typ DType) Tensor {
	if typ.Size() != t.typ.Size() {
		panic(fmt.Sprintf("kernels: %v elements as %v", t.typ, typ))
	}
	t.typ = typ
	return t
}

// BF16FromF32 rounds to the nearest bfloat16, ties to even; NaN stays NaN.
func BF16FromF32(x float32) uint16 {
	b := *(*uint32)(unsafe.Pointer(&x))
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// F32FromBF16 is exact.
func F32FromBF16(x uint16) float32 {
	b := uint32(x) << 16
	return *(*float32)(unsafe.Pointer(&b))
}
