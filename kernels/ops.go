package kernels

/*
#include "kernels.h"

#define X(op) static inline void call_##op(const kernel_table *t, kstream *s, const op##_args *a) { t->op(s, a); }
KERNEL_OPS(X)
#undef X

#cgo noescape call_embed
#cgo nocallback call_embed
#cgo noescape call_embed_backward
#cgo nocallback call_embed_backward
#cgo noescape call_gather
#cgo nocallback call_gather
#cgo noescape call_gather_backward
#cgo nocallback call_gather_backward
#cgo noescape call_rmsnorm
#cgo nocallback call_rmsnorm
#cgo noescape call_rmsnorm_backward
#cgo nocallback call_rmsnorm_backward
#cgo noescape call_slice_norm
#cgo nocallback call_slice_norm
#cgo noescape call_slice_norm_backward
#cgo nocallback call_slice_norm_backward
#cgo noescape call_rope
#cgo nocallback call_rope
#cgo noescape call_rope_backward
#cgo nocallback call_rope_backward
#cgo noescape call_matmul
#cgo nocallback call_matmul
#cgo noescape call_matmul_dx
#cgo nocallback call_matmul_dx
#cgo noescape call_matmul_dw
#cgo nocallback call_matmul_dw
#cgo noescape call_add_bias
#cgo nocallback call_add_bias
#cgo noescape call_add_bias_backward
#cgo nocallback call_add_bias_backward
#cgo noescape call_lora
#cgo nocallback call_lora
#cgo noescape call_lora_backward
#cgo nocallback call_lora_backward
#cgo noescape call_swiglu
#cgo nocallback call_swiglu
#cgo noescape call_swiglu_backward
#cgo nocallback call_swiglu_backward
#cgo noescape call_geglu
#cgo nocallback call_geglu
#cgo noescape call_geglu_backward
#cgo nocallback call_geglu_backward
#cgo noescape call_scale
#cgo nocallback call_scale
#cgo noescape call_attention
#cgo nocallback call_attention
#cgo noescape call_attention_backward
#cgo nocallback call_attention_backward
#cgo noescape call_kv_store
#cgo nocallback call_kv_store
#cgo noescape call_kv_load
#cgo nocallback call_kv_load
#cgo noescape call_attention_decode
#cgo nocallback call_attention_decode
*/
import "C"

// The methods below are the ops of kernels.h, in its order and with its names of dimensions. They check the arguments in the
// order of the signature and panic with a constant sentence.

func (t Tensor) is(typ DType, shape ...int) bool {
	if t.ptr == nil || t.typ != typ || t.rank != len(shape) {
		return false
	}
	for i, n := range shape {
		if t.dim[i] != n {
			return false
		}
	}
	return true
}

func (t Tensor) real(rank int) bool {
	return t.ptr != nil && t.rank == rank && (t.typ == F32 || t.typ == BF16)
}

func (t Tensor) f32() *C.float   { return (*C.float)(t.ptr) }
func (t Tensor) i32() *C.int32_t { return (*C.int32_t)(t.ptr) }
func (t Tensor) n(i int) C.int32_t {
	if t.dim[i] > 1<<31-1 {
		panic("kernels: a dimension is over 2³¹-1")
	}
	return C.int32_t(t.dim[i])
}
func (t Tensor) dt() C.kdtype { return C.kdtype(t.typ) }

// Embed looks token embeddings up: out[n] = table[id[n]]. out (N, H), table (V, H) real; id (N).
func (d *Device) Embed(out, table, id Tensor) {
	must(out.real(2), "kernels: embed: out is not (N, H) real")
	must(table.real(2) && table.is(out.typ, table.dim[0], out.dim[1]), "kernels: embed: table is not (V, H) of out's type")
	must(id.is(I32, out.dim[0]), "kernels: embed: id is not (N) int32")
	a := C.embed_args{out: out.ptr, table: table.ptr, id: id.i32(), N: out.n(0), H: out.n(1), V: table.n(0), dtype: out.dt()}
	C.call_embed(d.table, d.stream, &a)
}

// EmbedBackward adds dout to the rows of dtable: dtable[row[u]] += Σ dout[src[j]], j in [ptr[u], ptr[u+1]).
// dtable (V, H) f32; dout (N, H) real; row (U), ptr (U+1), src (N).
func (d *Device) EmbedBackward(dtable, dout, row, ptr, src Tensor) {
	must(dtable.rank == 2 && dtable.is(F32, dtable.dim[0], dtable.dim[1]), "kernels: embed_backward: dtable is not (V, H) f32")
	must(dout.real(2) && dout.dim[1] == dtable.dim[1], "kernels: embed_backward: dout is not (N, H) real")
	must(row.rank == 1 && row.is(I32, row.dim[0]), "kernels: embed_backward: row is not (U) int32")
	must(ptr.is(I32, row.dim[0]+1), "kernels: embed_backward: ptr is not (U+1) int32")
	must(src.is(I32, dout.dim[0]), "kernels: embed_backward: src is not (N) int32")
	a := C.embed_backward_args{dtable: dtable.f32(), dout: dout.ptr, row: row.i32(), ptr: ptr.i32(), src: src.i32(),
		N: dout.n(0), H: dout.n(1), V: dtable.n(0), U: row.n(0), dtype: dout.dt()}
	C.call_embed_backward(d.table, d.stream, &a)
}

// Gather compacts rows: out[r] = x[row[r]]. out (R, H), x (N, H) real; row (R), repeats allowed.
func (d *Device) Gather(out, x, row Tensor) {
	must(out.real(2), "kernels: gather: out is not (R, H) real")
	must(x.real(2) && x.is(out.typ, x.dim[0], out.dim[1]), "kernels: gather: x is not (N, H) of out's type")
	must(row.is(I32, out.dim[0]), "kernels: gather: row is not (R) int32")
	a := C.gather_args{out: out.ptr, x: x.ptr, row: row.i32(), R: out.n(0), N: x.n(0), H: out.n(1), dtype: out.dt()}
	C.call_gather(d.table, d.stream, &a)
}

// GatherBackward scatters: dx[n] = Σ dout[src[j]], j in [ptr[n], ptr[n+1]). dx (N, H), dout (R, H) real; ptr (N+1), src (R).
func (d *Device) GatherBackward(dx, dout, ptr, src Tensor) {
	must(dx.real(2), "kernels: gather_backward: dx is not (N, H) real")
	must(dout.real(2) && dout.is(dx.typ, dout.dim[0], dx.dim[1]), "kernels: gather_backward: dout is not (R, H) of dx's type")
	must(ptr.is(I32, dx.dim[0]+1), "kernels: gather_backward: ptr is not (N+1) int32")
	must(src.is(I32, dout.dim[0]), "kernels: gather_backward: src is not (R) int32")
	a := C.gather_backward_args{dx: dx.ptr, dout: dout.ptr, ptr: ptr.i32(), src: src.i32(), R: dout.n(0), N: dx.n(0), H: dx.n(1), dtype: dx.dt()}
	C.call_gather_backward(d.table, d.stream, &a)
}

// RMSNorm normalises sum = x + res: out = sum·rstd·(shift + w). out, sum, x, res (N, H) real; rstd (N) f32; w (H) real.
// res and sum are both the zero Tensor where there is no residual to add.
func (d *Device) RMSNorm(out, sum, rstd, x, res, w Tensor, eps, shift float32) {
	must(out.real(2), "kernels: rmsnorm: out is not (N, H) real")
	must(sum.IsNil() == res.IsNil(), "kernels: rmsnorm: sum and res come together")
	must(sum.IsNil() || sum.is(out.typ, out.dim[0], out.dim[1]), "kernels: rmsnorm: sum is not as out")
	must(rstd.is(F32, out.dim[0]), "kernels: rmsnorm: rstd is not (N) f32")
	must(x.is(out.typ, out.dim[0], out.dim[1]), "kernels: rmsnorm: x is not as out")
	must(res.IsNil() || res.is(out.typ, out.dim[0], out.dim[1]), "kernels: rmsnorm: res is not as out")
	must(w.is(out.typ, out.dim[1]), "kernels: rmsnorm: w is not (H) of out's type")
	a := C.rmsnorm_args{out: out.ptr, sum: sum.ptr, rstd: rstd.f32(), x: x.ptr, res: res.ptr, w: w.ptr, eps: C.float(eps), shift: C.float(shift),
		N: out.n(0), H: out.n(1), dtype: out.dt()}
	C.call_rmsnorm(d.table, d.stream, &a)
}

// RMSNormBackward adds to dx (N, H) real and dw (H) f32, and gives the forward's out (N, H) once more; x is the forward's sum (N, H), dout as dx,
// w (H), rstd (N); shift as the forward's.
func (d *Device) RMSNormBackward(dx, dw, out, dout, x, w, rstd Tensor, shift float32) {
	must(dx.real(2), "kernels: rmsnorm_backward: dx is not (N, H) real")
	must(dw.is(F32, dx.dim[1]), "kernels: rmsnorm_backward: dw is not (H) f32")
	must(out.is(dx.typ, dx.dim[0], dx.dim[1]), "kernels: rmsnorm_backward: out is not as dx")
	must(dout.is(dx.typ, dx.dim[0], dx.dim[1]), "kernels: rmsnorm_backward: dout is not as dx")
	must(x.is(dx.typ, dx.dim[0], dx.dim[1]), "kernels: rmsnorm_backward: x is not as dx")
	must(w.is(dx.typ, dx.dim[1]), "kernels: rmsnorm_backward: w is not (H) of dx's type")
	must(rstd.is(F32, dx.dim[0]), "kernels: rmsnorm_backward: rstd is not (N) f32")
	a := C.rmsnorm_backward_args{dx: dx.ptr, dw: dw.f32(), out: out.ptr, dout: dout.ptr, x: x.ptr, w: w.ptr, rstd: rstd.f32(), shift: C.float(shift),
		N: dx.n(0), H: dx.n(1), dtype: dx.dt()}
	C.call_rmsnorm_backward(d.table, d.stream, &a)
}

// SliceNorm is RMSNorm of parts of each row of y (N, C) real, in place: groups neighbouring parts as wide as w (width), from column offset
// on, each becomes part·rstd·(shift + w). The parts as they were go to x (N, groups, width) of y's type, and rstd (N, groups) f32 beside
// them; both are the zero Tensor where there is no backward.
func (d *Device) SliceNorm(y, x, rstd, w Tensor, groups, offset int, eps, shift float32) {
	must(y.real(2), "kernels: slice_norm: y is not (N, C) real")
	must(w.real(1) && w.typ == y.typ, "kernels: slice_norm: w is not (width) of y's type")
	must(x.IsNil() == rstd.IsNil(), "kernels: slice_norm: x and rstd come together")
	must(x.IsNil() || x.is(y.typ, y.dim[0], groups, w.dim[0]), "kernels: slice_norm: x is not (N, groups, width) of y's type")
	must(rstd.IsNil() || rstd.is(F32, y.dim[0], groups), "kernels: slice_norm: rstd is not (N, groups) f32")
	must(groups >= 0 && offset >= 0 && offset+groups*w.dim[0] <= y.dim[1], "kernels: slice_norm: the parts are not within the columns of y")
	a := C.slice_norm_args{y: y.ptr, x: x.ptr, rstd: rstd.f32(), w: w.ptr, eps: C.float(eps), shift: C.float(shift),
		N: y.n(0), C: y.n(1), groups: C.int32_t(groups), width: w.n(0), offset: C.int32_t(offset), dtype: y.dt()}
	C.call_slice_norm(d.table, d.stream, &a)
}

// SliceNormBackward turns the gradient in the parts of dx (N, C) real into that of what they were, and adds to dw (width) f32; x (N, groups, width)
// and rstd (N, groups) are what the forward has kept, w (width), offset and shift are its own.
func (d *Device) SliceNormBackward(dx, dw, x, w, rstd Tensor, offset int, shift float32) {
	must(dx.real(2), "kernels: slice_norm_backward: dx is not (N, C) real")
	must(w.real(1) && w.typ == dx.typ, "kernels: slice_norm_backward: w is not (width) of dx's type")
	must(dw.is(F32, w.dim[0]), "kernels: slice_norm_backward: dw is not (width) f32")
	must(x.real(3) && x.is(dx.typ, dx.dim[0], x.dim[1], w.dim[0]), "kernels: slice_norm_backward: x is not (N, groups, width) of dx's type")
	must(rstd.is(F32, dx.dim[0], x.dim[1]), "kernels: slice_norm_backward: rstd is not (N, groups) f32")
	must(offset >= 0 && offset+x.dim[1]*w.dim[0] <= dx.dim[1], "kernels: slice_norm_backward: the parts are not within the columns of dx")
	a := C.slice_norm_backward_args{dx: dx.ptr, dw: dw.f32(), x: x.ptr, w: w.ptr, rstd: rstd.f32(), shift: C.float(shift),
		N: dx.n(0), C: dx.n(1), groups: x.n(1), width: w.n(0), offset: C.int32_t(offset), dtype: dx.dt()}
	C.call_slice_norm_backward(d.table, d.stream, &a)
}

// heads checks qkv (N, A+2G, D) and gives A.
func heads(qkv Tensor, groups int) int {
	must(qkv.real(3) && qkv.dim[2]%2 == 0, "kernels: qkv is not (N, A+2G, D) real with even D")
	a := qkv.dim[1] - 2*groups
	must(groups > 0 && a > 0 && a%groups == 0, "kernels: qkv: key heads do not divide the query heads")
	return a
}

func ropeArgs(qkv, table, pos Tensor, groups int) C.rope_args {
	a := heads(qkv, groups)
	must(table.rank == 2 && table.typ == F32 && table.dim[1]%2 == 0 && table.dim[1] <= qkv.dim[2], "kernels: rope: table is not (T, R) f32 with even R of at most D")
	must(pos.is(I32, qkv.dim[0]), "kernels: rope: pos is not (N) int32")
	return C.rope_args{qkv: qkv.ptr, table: table.f32(), pos: pos.i32(), N: qkv.n(0), A: C.int32_t(a), G: C.int32_t(groups),
		D: qkv.n(2), R: table.n(1), T: table.n(0), dtype: qkv.dt()}
}

// RoPE turns queries and keys of qkv (N, A+2G, D) in place by their positions pos (N), the first R channels of a head;
// table (T, R) holds cos and sin.
func (d *Device) RoPE(qkv, table, pos Tensor, groups int) {
	a := ropeArgs(qkv, table, pos, groups)
	C.call_rope(d.table, d.stream, &a)
}

// RoPEBackward turns the gradient dqkv (N, A+2G, D) back, in place.
func (d *Device) RoPEBackward(dqkv, table, pos Tensor, groups int) {
	a := ropeArgs(dqkv, table, pos, groups)
	C.call_rope_backward(d.table, d.stream, &a)
}

// Matmul is y = x·wᵀ (+ add). y (N, O) as x or f32; x (N, I), w (O, I) real; add as y (it may be y) or the zero Tensor.
func (d *Device) Matmul(y, x, w, add Tensor) {
	must(y.real(2) && (y.typ == F32 || y.typ == x.typ), "kernels: matmul: y is not (N, O) of x's type or f32")
	must(x.real(2) && x.dim[0] == y.dim[0], "kernels: matmul: x is not (N, I) real")
	must(w.is(x.typ, y.dim[1], x.dim[1]), "kernels: matmul: w is not (O, I) of x's type")
	must(add.IsNil() || add.is(y.typ, y.dim[0], y.dim[1]), "kernels: matmul: add is not as y")
	a := C.matmul_args{y: y.ptr, x: x.ptr, w: w.ptr, add: add.ptr, N: y.n(0), O: y.n(1), I: x.n(1), dtype: x.dt()}
	if y.typ == F32 {
		a.y_f32 = 1
	}
	C.call_matmul(d.table, d.stream, &a)
}

// MatmulDX is dx = dy·w, or dx += dy·w. dx (N, I), dy (N, O), w (O, I) real.
func (d *Device) MatmulDX(dx, dy, w Tensor, accumulate bool) {
	must(dx.real(2), "kernels: matmul_dx: dx is not (N, I) real")
	must(dy.real(2) && dy.is(dx.typ, dx.dim[0], dy.dim[1]), "kernels: matmul_dx: dy is not (N, O) of dx's type")
	must(w.is(dx.typ, dy.dim[1], dx.dim[1]), "kernels: matmul_dx: w is not (O, I) of dx's type")
	a := C.matmul_dx_args{dx: dx.ptr, dy: dy.ptr, w: w.ptr, N: dx.n(0), O: dy.n(1), I: dx.n(1), dtype: dx.dt()}
	if accumulate {
		a.accumulate = 1
	}
	C.call_matmul_dx(d.table, d.stream, &a)
}

// MatmulDW is dw += dyᵀ·x. dw (O, I) f32; dy (N, O), x (N, I) real.
func (d *Device) MatmulDW(dw, dy, x Tensor) {
	must(dw.rank == 2 && dw.is(F32, dw.dim[0], dw.dim[1]), "kernels: matmul_dw: dw is not (O, I) f32")
	must(dy.real(2) && dy.dim[1] == dw.dim[0], "kernels: matmul_dw: dy is not (N, O) real")
	must(x.is(dy.typ, dy.dim[0], dw.dim[1]), "kernels: matmul_dw: x is not (N, I) of dy's type")
	a := C.matmul_dw_args{dw: dw.f32(), dy: dy.ptr, x: x.ptr, N: dy.n(0), O: dw.n(0), I: dw.n(1), dtype: dy.dt()}
	C.call_matmul_dw(d.table, d.stream, &a)
}

// AddBias is y += b for each row of y. y (N, O), b (O) real.
func (d *Device) AddBias(y, b Tensor) {
	must(y.real(2), "kernels: add_bias: y is not (N, O) real")
	must(b.is(y.typ, y.dim[1]), "kernels: add_bias: b is not (O) of y's type")
	a := C.add_bias_args{y: y.ptr, b: b.ptr, N: y.n(0), O: y.n(1), dtype: y.dt()}
	C.call_add_bias(d.table, d.stream, &a)
}

// AddBiasBackward adds the rows of dy (N, O) real to db (O) f32.
func (d *Device) AddBiasBackward(db, dy Tensor) {
	must(dy.real(2), "kernels: add_bias_backward: dy is not (N, O) real")
	must(db.is(F32, dy.dim[1]), "kernels: add_bias_backward: db is not (O) f32")
	a := C.add_bias_backward_args{db: db.f32(), dy: dy.ptr, N: dy.n(0), O: dy.n(1), dtype: dy.dt()}
	C.call_add_bias_backward(d.table, d.stream, &a)
}

// LoRA adds the low-rank part of a projection to some columns of y (N, C) real: y[:, at:at+O] += t[:, from:from+R]·bᵀ. t (N, P), b (O, R)
// of y's type.
func (d *Device) LoRA(y, t, b Tensor, at, from int) {
	must(y.real(2), "kernels: lora: y is not (N, C) real")
	must(t.real(2) && t.is(y.typ, y.dim[0], t.dim[1]), "kernels: lora: t is not (N, P) of y's type")
	must(b.real(2) && b.typ == y.typ, "kernels: lora: b is not (O, R) of y's type")
	must(within(at, b.dim[0], y.dim[1]) && within(from, b.dim[1], t.dim[1]), "kernels: lora: the columns are not within those of y and t")
	a := C.lora_args{y: y.ptr, t: t.ptr, b: b.ptr, N: y.n(0), C: y.n(1), P: t.n(1), O: b.n(0), R: b.n(1), at: C.int32_t(at), from: C.int32_t(from), dtype: y.dt()}
	C.call_lora(d.table, d.stream, &a)
}

// LoRABackward is LoRA's: dt[:, from:from+R] = dy[:, at:at+O]·b, and db += dy[:, at:at+O]ᵀ·t[:, from:from+R]. dt (N, P) real, db (O, R)
// f32; dy (N, C), t as dt, b (O, R) of dt's type.
func (d *Device) LoRABackward(dt, db, dy, t, b Tensor, at, from int) {
	must(dt.real(2), "kernels: lora_backward: dt is not (N, P) real")
	must(b.real(2) && b.typ == dt.typ, "kernels: lora_backward: b is not (O, R) of dt's type")
	must(db.is(F32, b.dim[0], b.dim[1]), "kernels: lora_backward: db is not (O, R) f32")
	must(dy.real(2) && dy.is(dt.typ, dt.dim[0], dy.dim[1]), "kernels: lora_backward: dy is not (N, C) of dt's type")
	must(t.is(dt.typ, dt.dim[0], dt.dim[1]), "kernels: lora_backward: t is not as dt")
	must(within(at, b.dim[0], dy.dim[1]) && within(from, b.dim[1], t.dim[1]), "kernels: lora_backward: the columns are not within those of dy and t")
	a := C.lora_backward_args{dt: dt.ptr, db: db.f32(), dy: dy.ptr, t: t.ptr, b: b.ptr,
		N: dt.n(0), C: dy.n(1), P: dt.n(1), O: b.n(0), R: b.n(1), at: C.int32_t(at), from: C.int32_t(from), dtype: dt.dt()}
	C.call_lora_backward(d.table, d.stream, &a)
}

// within says whether n columns from column at on are among cols.
func within(at, n, cols int) bool { return at >= 0 && at+n <= cols }

func gatedArgs(h, gu Tensor) C.swiglu_args {
	must(h.real(2), "kernels: swiglu or geglu: h is not (N, F) real")
	must(gu.is(h.typ, h.dim[0], 2*h.dim[1]), "kernels: swiglu or geglu: gu is not (N, 2F) of h's type")
	return C.swiglu_args{h: h.ptr, gu: gu.ptr, N: h.n(0), F: h.n(1), dtype: h.dt()}
}

func gatedBackwardArgs(dgu, h, dh, gu Tensor) C.swiglu_backward_args {
	must(dgu.real(2), "kernels: swiglu_backward or geglu_backward: dgu is not (N, 2F) real")
	must(h.is(dgu.typ, dgu.dim[0], dgu.dim[1]/2), "kernels: swiglu_backward or geglu_backward: h is not (N, F) of dgu's type")
	must(dh.real(2) && dh.typ == dgu.typ && dh.dim[0] == dgu.dim[0] && 2*dh.dim[1] == dgu.dim[1], "kernels: swiglu_backward or geglu_backward: dh is not (N, F) of dgu's type")
	must(gu.is(dgu.typ, dgu.dim[0], dgu.dim[1]), "kernels: swiglu_backward or geglu_backward: gu is not as dgu")
	return C.swiglu_backward_args{dgu: dgu.ptr, h: h.ptr, dh: dh.ptr, gu: gu.ptr, N: dh.n(0), F: dh.n(1), dtype: dh.dt()}
}

// SwiGLU is h = silu(gate)·up. h (N, F), gu (N, 2F) real: gate, then up.
func (d *Device) SwiGLU(h, gu Tensor) {
	a := gatedArgs(h, gu)
	C.call_swiglu(d.table, d.stream, &a)
}

// SwiGLUBackward gives dgu (N, 2F), and the forward's h (N, F) once more, from dh (N, F) and the forward's gu (N, 2F), all real.
func (d *Device) SwiGLUBackward(dgu, h, dh, gu Tensor) {
	a := gatedBackwardArgs(dgu, h, dh, gu)
	C.call_swiglu_backward(d.table, d.stream, &a)
}

// GeGLU is h = gelu(gate)·up, with the tanh form of GELU; as SwiGLU otherwise.
func (d *Device) GeGLU(h, gu Tensor) {
	a := gatedArgs(h, gu)
	C.call_geglu(d.table, d.stream, &a)
}

// GeGLUBackward is to GeGLU what SwiGLUBackward is to SwiGLU.
func (d *Device) GeGLUBackward(dgu, h, dh, gu Tensor) {
	a := gatedBackwardArgs(dgu, h, dh, gu)
	C.call_geglu_backward(d.table, d.stream, &a)
}

// Scale is x *= s, each element of x real of any shape.
func (d *Device) Scale(x Tensor, s float32) {
	must(x.ptr != nil && (x.typ == F32 || x.typ == BF16), "kernels: scale: x is not real")
	a := C.scale_args{x: x.ptr, s: C.float(s), n: C.int64_t(x.Len()), dtype: x.dt()}
	C.call_scale(d.table, d.stream, &a)
}

// Attention over a packed forest. out (N, A, D), qkv (N, A+2G, D) real; lse (N, A) f32.
func (d *Device) Attention(out, lse, qkv Tensor, see Sight, by Scores) {
	must(out.real(3), "kernels: attention: out is not (N, A, D) real")
	must(lse.is(F32, out.dim[0], out.dim[1]), "kernels: attention: lse is not (N, A) f32")
	g := keyHeads(qkv, out)
	must(see.ofTokens(out.dim[0]), "kernels: attention: end or pos is not (N) int32")
	must(see.areTiles(out.dim[0]), "kernels: attention: tiles are not end's (T) int32")
	must(by.fine(), "kernels: attention: window, scale or cap is out of range")
	a := C.attention_args{out: out.ptr, lse: lse.f32(), qkv: qkv.ptr, end: see.End.i32(), pos: see.Pos.i32(), tiles: see.Tiles.i32(),
		N: out.n(0), A: out.n(1), G: g, D: out.n(2), T: see.Tiles.n(0),
		window: C.int32_t(by.Window), scale: C.float(by.Scale), cap: C.float(by.Cap), dtype: out.dt()}
	C.call_attention(d.table, d.stream, &a)
}

// keyHeads checks qkv (N, A+2G, D) against out (N, A, D) and gives G.
func keyHeads(qkv, out Tensor) C.int32_t {
	g := (qkv.dim[1] - out.dim[1]) / 2
	must(heads(qkv, g) == out.dim[1] && qkv.typ == out.typ && qkv.dim[0] == out.dim[0] && qkv.dim[2] == out.dim[2],
		"kernels: attention: qkv is not (N, A+2G, D) of out's type")
	return C.int32_t(g)
}

// AttentionBackward gives dqkv (N, A+2G, D) from dout, out (N, A, D), lse (N, A), qkv (N, A+2G, D) and what Attention was given;
// delta (N, A) f32 is scratch.
func (d *Device) AttentionBackward(dqkv, delta, dout, out, lse, qkv Tensor, see Sight, by Scores) {
	must(dqkv.real(3) && dqkv.is(qkv.typ, qkv.dim[0], qkv.dim[1], qkv.dim[2]), "kernels: attention_backward: dqkv is not as qkv")
	must(out.real(3), "kernels: attention_backward: out is not (N, A, D) real")
	must(delta.is(F32, out.dim[0], out.dim[1]), "kernels: attention_backward: delta is not (N, A) f32")
	must(dout.is(out.typ, out.dim[0], out.dim[1], out.dim[2]), "kernels: attention_backward: dout is not as out")
	must(lse.is(F32, out.dim[0], out.dim[1]), "kernels: attention_backward: lse is not (N, A) f32")
	g := keyHeads(qkv, out)
	must(see.ofTokens(out.dim[0]), "kernels: attention_backward: end or pos is not (N) int32")
	must(see.areTiles(out.dim[0]), "kernels: attention_backward: tiles are not end's (T) int32")
	must(by.fine(), "kernels: attention_backward: window, scale or cap is out of range")
	a := C.attention_backward_args{dqkv: dqkv.ptr, delta: delta.f32(), dout: dout.ptr, out: out.ptr, lse: lse.f32(), qkv: qkv.ptr,
		end: see.End.i32(), pos: see.Pos.i32(), tiles: see.Tiles.i32(), N: out.n(0), A: out.n(1), G: g, D: out.n(2), T: see.Tiles.n(0),
		window: C.int32_t(by.Window), scale: C.float(by.Scale), cap: C.float(by.Cap), dtype: out.dt()}
	C.call_attention_backward(d.table, d.stream, &a)
}

// KVStore writes the keys and values of qkv (N, A+2G, D) to the slots slot (N) of the cache kv (S, 2G, D).
func (d *Device) KVStore(kv, qkv, slot Tensor) {
	must(kv.real(3) && kv.dim[1]%2 == 0, "kernels: kv_store: kv is not (S, 2G, D) real")
	a := heads(qkv, kv.dim[1]/2)
	must(qkv.typ == kv.typ && qkv.dim[2] == kv.dim[2], "kernels: kv_store: qkv is not (N, A+2G, D) of kv's type")
	must(slot.is(I32, qkv.dim[0]), "kernels: kv_store: slot is not (N) int32")
	args := C.kv_store_args{kv: kv.ptr, qkv: qkv.ptr, slot: slot.i32(), N: qkv.n(0), A: C.int32_t(a), G: kv.n(1) / 2, D: kv.n(2), S: kv.n(0), dtype: kv.dt()}
	C.call_kv_store(d.table, d.stream, &args)
}

// KVLoad writes the keys and values of the slots slot (M) of the cache kv (S, 2G, D) into the rows row (M), which are distinct, of qkv
// (N, A+2G, D).
func (d *Device) KVLoad(qkv, kv, slot, row Tensor) {
	must(kv.real(3) && kv.dim[1]%2 == 0, "kernels: kv_load: kv is not (S, 2G, D) real")
	a := heads(qkv, kv.dim[1]/2)
	must(qkv.typ == kv.typ && qkv.dim[2] == kv.dim[2], "kernels: kv_load: qkv is not (N, A+2G, D) of kv's type")
	must(slot.rank == 1 && slot.is(I32, slot.dim[0]), "kernels: kv_load: slot is not (M) int32")
	must(row.is(I32, slot.dim[0]), "kernels: kv_load: row is not (M) int32")
	args := C.kv_load_args{qkv: qkv.ptr, kv: kv.ptr, slot: slot.i32(), row: row.i32(), M: slot.n(0), N: qkv.n(0), A: C.int32_t(a), G: kv.n(1) / 2, D: kv.n(2),
		S: kv.n(0), dtype: kv.dt()}
	C.call_kv_load(d.table, d.stream, &args)
}

// DecodeContext says what each of B sequences sees: the shared segments of its group, then its own slots.
type DecodeContext struct {
	Group    Tensor // (B) int32, rising
	SegPtr   Tensor // (groups+1) int32: segments of group g are [SegPtr[g], SegPtr[g+1])
	SegStart Tensor // (segments) int32: first slot
	SegLen   Tensor // (segments) int32: how many slots
	OwnStart Tensor // (B) int32: first slot of the sequence's own tokens
	OwnLen   Tensor // (B) int32: how many of them
}

// AttentionDecode is attention of one token for each of B sequences against the cache. out (B, A, D), qkv (B, A+2G, D),
// kv (S, 2G, D) real.
func (d *Device) AttentionDecode(out, qkv, kv Tensor, c DecodeContext, by Scores) {
	must(out.real(3), "kernels: attention_decode: out is not (B, A, D) real")
	g := keyHeads(qkv, out)
	must(kv.rank == 3 && kv.is(out.typ, kv.dim[0], 2*int(g), out.dim[2]), "kernels: attention_decode: kv is not (S, 2G, D) of out's type")
	must(c.Group.is(I32, out.dim[0]), "kernels: attention_decode: group is not (B) int32")
	must(c.SegPtr.rank == 1 && c.SegPtr.dim[0] > 0 && c.SegPtr.is(I32, c.SegPtr.dim[0]), "kernels: attention_decode: seg_ptr is not (groups+1) int32")
	must(c.SegStart.rank == 1 && c.SegStart.is(I32, c.SegStart.dim[0]), "kernels: attention_decode: seg_start is not (segments) int32")
	must(c.SegLen.is(I32, c.SegStart.dim[0]), "kernels: attention_decode: seg_len is not (segments) int32")
	must(c.OwnStart.is(I32, out.dim[0]), "kernels: attention_decode: own_start is not (B) int32")
	must(c.OwnLen.is(I32, out.dim[0]), "kernels: attention_decode: own_len is not (B) int32")
	must(by.fine(), "kernels: attention_decode: window, scale or cap is out of range")
	a := C.attention_decode_args{out: out.ptr, qkv: qkv.ptr, kv: kv.ptr, group: c.Group.i32(), seg_ptr: c.SegPtr.i32(),
		seg_start: c.SegStart.i32(), seg_len: c.SegLen.i32(), own_start: c.OwnStart.i32(), own_len: c.OwnLen.i32(),
		B: out.n(0), A: out.n(1), G: g, D: out.n(2), S: kv.n(0), groups: c.SegPtr.n(0) - 1, segments: c.SegStart.n(0),
		window: C.int32_t(by.Window), scale: C.float(by.Scale), cap: C.float(by.Cap), dtype: out.dt()}
	C.call_attention_decode(d.table, d.stream, &a)
}
