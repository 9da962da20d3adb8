package kernels

/*
#include "kernels.h"

static inline void call_matmul_blocks(const kernel_table *t, kstream *s, const matmul_blocks_args *a) { t->matmul_blocks(s, a); }
static inline void call_matmul_blocks_dx(const kernel_table *t, kstream *s, const matmul_blocks_dx_args *a) { t->matmul_blocks_dx(s, a); }

#cgo noescape call_matmul_blocks
#cgo nocallback call_matmul_blocks
#cgo noescape call_matmul_blocks_dx
#cgo nocallback call_matmul_blocks_dx
*/
import "C"

import (
	"slices"
	"strings"
)

// BlockType is how a weight is stored in ggml's blocks, as GGUF files name and number them.
type BlockType struct {
	Name     string
	Number   int   // ggml's
	Elements int   // of a block, neighbours in a row
	Bytes    int   // of a block
	Scales   []int // bytes in a block at which a binary16 stands
}

// BlockTypes are those that there are products for.
var BlockTypes = []BlockType{
	{"Q4_0", C.K_Q4_0, 32, 18, []int{0}},
	{"Q4_1", C.K_Q4_1, 32, 20, []int{0, 2}},
	{"Q5_0", C.K_Q5_0, 32, 22, []int{0}},
	{"Q5_1", C.K_Q5_1, 32, 24, []int{0, 2}},
	{"Q8_0", C.K_Q8_0, 32, 34, []int{0}},
	{"Q4_K", C.K_Q4_K, 256, 144, []int{0, 2}},
	{"Q5_K", C.K_Q5_K, 256, 176, []int{0, 2}},
	{"Q6_K", C.K_Q6_K, 256, 210, []int{208}},
}

// BlockTypeOf finds a type by its name.
func BlockTypeOf(name string) (t BlockType, ok bool) {
	i := slices.IndexFunc(BlockTypes, func(t BlockType) bool { return t.Name == name })
	if i < 0 {
		return t, false
	}
	return BlockTypes[i], true
}

// BlockTypeNames lists the types for people.
func BlockTypeNames() string {
	var names []string
	for _, t := range BlockTypes {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// Row gives the bytes of a row of so many elements; ok is false where they are not whole blocks.
func (t BlockType) Row(elements int) (bytes int, ok bool) {
	return elements / t.Elements * t.Bytes, elements%t.Elements == 0
}

// Broken finds a block with a scale that is infinite or not a number, as no file of a whole model has; -1: there is none.
func (t BlockType) Broken(b []byte) int {
	for i := 0; i+t.Bytes <= len(b); i += t.Bytes {
		for _, at := range t.Scales {
			if b[i+at+1]&0x7c == 0x7c {
				return i / t.Bytes
			}
		}
	}
	return -1
}

// Blocks is a weight (O, I) in blocks. In float32 its numbers are to the bit those that ggml makes of them (gguf.Dequantize).
type Blocks struct {
	Type BlockType
	Code Tensor // (O, Type.Row(I)) U8
}

// fits says whether w is whole, with i columns.
func (w Blocks) fits(i int) bool {
	bytes, ok := w.Type.Row(i)
	return ok && w.Code.rank == 2 && w.Code.is(U8, w.Code.dim[0], bytes)
}

// MatmulBlocks gives columns [at, at+O) of y (N, C) real: y[:, at:at+O] = x·wᵀ. x (N, I) of y's type; w (O, I).
func (d *Device) MatmulBlocks(y, x Tensor, w Blocks, at int) {
	mustColumns("matmul_blocks", y, x, at, w.Code, w.fits(x.dim[1]))
	a := C.matmul_blocks_args{y: y.ptr, x: x.ptr, code: w.Code.u8(), N: y.n(0), C: y.n(1), O: w.Code.n(0), I: x.n(1), R: w.Code.n(1), at: C.int32_t(at),
		_type: C.kblock(w.Type.Number), dtype: y.dt()}
	C.call_matmul_blocks(d.table, d.stream, &a)
}

// MatmulBlocksDX is dx = dy[:, at:at+O]·w, or dx += …. dx (N, I), dy (N, C) real of one type; w (O, I).
func (d *Device) MatmulBlocksDX(dx, dy Tensor, w Blocks, at int, accumulate bool) {
	mustColumns("matmul_blocks_dx", dy, dx, at, w.Code, w.fits(dx.dim[1]))
	a := C.matmul_blocks_dx_args{dx: dx.ptr, dy: dy.ptr, code: w.Code.u8(), N: dx.n(0), C: dy.n(1), O: w.Code.n(0), I: dx.n(1), R: w.Code.n(1), at: C.int32_t(at),
		_type: C.kblock(w.Type.Number), dtype: dx.dt()}
	if accumulate {
		a.accumulate = 1
	}
	C.call_matmul_blocks_dx(d.table, d.stream, &a)
}
