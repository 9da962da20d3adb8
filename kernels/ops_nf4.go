package kernels

/*
#include "kernels.h"

static const float nf4_values[16] = NF4_VALUES;
static inline float nf4_value(int i) { return nf4_values[i]; }

static inline void call_matmul_nf4(const kernel_table *t, kstream *s, const matmul_nf4_args *a) { t->matmul_nf4(s, a); }
static inline void call_matmul_nf4_dx(const kernel_table *t, kstream *s, const matmul_nf4_dx_args *a) { t->matmul_nf4_dx(s, a); }

#cgo noescape call_matmul_nf4
#cgo nocallback call_matmul_nf4
#cgo noescape call_matmul_nf4_dx
#cgo nocallback call_matmul_nf4_dx
*/
import "C"

// Sizes of NF4's blocks: how many neighbours of a row share a maximum, and how many maxima share a scale.
const (
	NF4Block  = 64
	NF4Scales = 256
)

// NF4Values gives the numbers that the 16 codes stand for, in units of a block's maximum; they rise.
func NF4Values() (v [16]float32) {
	for i := range v {
		v[i] = float32(C.nf4_value(C.int(i)))
	}
	return v
}

// NF4 is a weight (O, I) of 4 bits in bitsandbytes' layout, as kernels.h explains it; I is a multiple of NF4Block.
type NF4 struct {
	Code   Tensor  // (O, I/2) U8
	Absmax Tensor  // (O, I/NF4Block) U8
	Scale  Tensor  // (at least O·I/NF4Block/NF4Scales) f32
	Map    Tensor  // (256) f32
	Offset float32 // of the maxima
}

func (t Tensor) u8() *C.uint8_t { return (*C.uint8_t)(t.ptr) }

// fits says whether w is whole, with I columns.
func (w NF4) fits(i int) bool {
	if w.Code.rank != 2 {
		return false
	}
	o, blocks := w.Code.dim[0], i/NF4Block
	return i%NF4Block == 0 && w.Code.is(U8, o, i/2) && w.Absmax.is(U8, o, blocks) && w.Scale.rank == 1 && w.Scale.typ == F32 && w.Map.is(F32, 256) &&
		w.Scale.dim[0] >= (o*blocks+NF4Scales-1)/NF4Scales
}

// mustColumns checks a product of columns [at, at+O) of y (N, C) and x (N, I), or of their gradients, with a packed weight that fits x, whose code has O rows.
func mustColumns(op string, y, x Tensor, at int, code Tensor, fits bool) {
	what := ""
	switch {
	case !y.real(2):
		what = "y is not (N, C) real"
	case !x.real(2) || x.typ != y.typ || x.dim[0] != y.dim[0]:
		what = "x is not (N, I) of y's type"
	case !fits:
		what = "w is not (O, I) in whole blocks"
	case !within(at, code.dim[0], y.dim[1]):
		what = "the columns are not within those of y"
	default:
		return
	}
	panic("kernels: " + op + ": " + what)
}

// MatmulNF4 gives columns [at, at+O) of y (N, C) real: y[:, at:at+O] = x·wᵀ. x (N, I) of y's type; w (O, I).
func (d *Device) MatmulNF4(y, x Tensor, w NF4, at int) {
	mustColumns("matmul_nf4", y, x, at, w.Code, w.fits(x.dim[1]))
	a := C.matmul_nf4_args{y: y.ptr, x: x.ptr, code: w.Code.u8(), absmax: w.Absmax.u8(), scale: w.Scale.f32(), _map: w.Map.f32(), offset: C.float(w.Offset),
		N: y.n(0), C: y.n(1), O: w.Code.n(0), B: w.Absmax.n(1), S: w.Scale.n(0), at: C.int32_t(at), dtype: y.dt()}
	C.call_matmul_nf4(d.table, d.stream, &a)
}

// MatmulNF4DX is dx = dy[:, at:at+O]·w, or dx += …. dx (N, I), dy (N, C) real of one type; w (O, I).
func (d *Device) MatmulNF4DX(dx, dy Tensor, w NF4, at int, accumulate bool) {
	mustColumns("matmul_nf4_dx", dy, dx, at, w.Code, w.fits(dx.dim[1]))
	a := C.matmul_nf4_dx_args{dx: dx.ptr, dy: dy.ptr, code: w.Code.u8(), absmax: w.Absmax.u8(), scale: w.Scale.f32(), _map: w.Map.f32(), offset: C.float(w.Offset),
		N: dx.n(0), C: dy.n(1), O: w.Code.n(0), B: w.Absmax.n(1), S: w.Scale.n(0), at: C.int32_t(at), dtype: dx.dt()}
	if accumulate {
		a.accumulate = 1
	}
	C.call_matmul_nf4_dx(d.table, d.stream, &a)
}
