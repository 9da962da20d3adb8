package gguf

// From blocks to float32, as ggml's reference functions (dequantize_row_… in ggml-quants.c) and its Python package compute it: every
// product and every sum is rounded to float32. The conversions float32(…) around products keep compilers from fusing them with a sum.

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Dequantize fills y with the elements of b, whole blocks of a type.
func Dequantize(y []float32, b []byte, t Type) error {
	k := kinds[t]
	if n, ok := t.size(int64(len(y))); k.read == nil || !ok || n != int64(len(b)) {
		return fmt.Errorf("%d bytes of %v are not %d elements", len(b), t, len(y))
	}
	k.read(y, b)
	return nil
}

// blocks reads one block after another.
func blocks(elements, bytes int, read func(y []float32, b []byte)) func(y []float32, b []byte) {
	return func(y []float32, b []byte) {
		for ; len(y) > 0; y, b = y[elements:], b[bytes:] {
			read(y[:elements], b[:bytes])
		}
	}
}

func readF32(y []float32, b []byte) {
	for i := range y {
		y[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func readF16(y []float32, b []byte) {
	for i := range y {
		y[i] = half(b[2*i:])
	}
}

func readBF16(y []float32, b []byte) {
	for i := range y {
		y[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
}

// half widens the IEEE binary16 at the beginning of b; every value is exact.
func half(b []byte) float32 {
	h := binary.LittleEndian.Uint16(b)
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac · 2⁻²⁴
		return math.Float32frombits(math.Float32bits(float32(frac)/(1<<24)) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// The types of 32 elements: a scale d, with _1 a least value m, five bits' high bits in 4 bytes, and then low bits: element i and
// element 16+i share a byte.

func readQ4_0(y []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		y[i] = d * float32(int(q&15)-8)
		y[16+i] = d * float32(int(q>>4)-8)
	}
}

func readQ4_1(y []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		y[i] = float32(d*float32(q&15)) + m
		y[16+i] = float32(d*float32(q>>4)) + m
	}
}

func readQ5_0(y []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		y[i] = d * float32(int(q&15|byte(high>>i&1)<<4)-16)
		y[16+i] = d * float32(int(q>>4|byte(high>>(16+i)&1)<<4)-16)
	}
}

func readQ5_1(y []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		y[i] = float32(d*float32(q&15|byte(high>>i&1)<<4)) + m
		y[16+i] = float32(d*float32(q>>4|byte(high>>(16+i)&1)<<4)) + m
	}
}

func readQ8_0(y []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		y[i] = d * float32(int8(q))
	}
}

// The types of 256 elements have 8 groups of 32, each with a scale and a least value of six bits, packed into 12 bytes.

func scaleMin(s []byte, group int) (scale, least float32) {
	if group < 4 {
		return float32(s[group] & 63), float32(s[4+group] & 63)
	}
	low := s[4+group]
	return float32(low&15 | s[group-4]>>6<<4), float32(low>>4 | s[group]>>6<<4)
}

func readQ4_K(y []float32, b []byte) {
	d, dmin, q := half(b), half(b[2:]), b[16:144]
	for g := range 8 {
		scale, least := scaleMin(b[4:16], g)
		dg, mg := d*scale, dmin*least
		for i, v := range q[g/2*32 : g/2*32+32] {
			y[32*g+i] = float32(dg*float32(v>>(g%2*4)&15)) - mg
		}
	}
}

func readQ5_K(y []float32, b []byte) {
	d, dmin, high, q := half(b), half(b[2:]), b[16:48], b[48:176]
	for g := range 8 {
		scale, least := scaleMin(b[4:16], g)
		dg, mg := d*scale, dmin*least
		for i, v := range q[g/2*32 : g/2*32+32] {
			y[32*g+i] = float32(dg*float32(v>>(g%2*4)&15|high[i]>>g&1<<4)) - mg
		}
	}
}

// readQ6_K: 16 groups of 16 with a signed scale each; four low bits in 128 bytes, two high bits in 64, scales, and d at the end.
func readQ6_K(y []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range y {
		half, part, j := i/128, i%128/32, i%32 // halves of 128, of four parts of 32
		q := low[64*half+part%2*32+j]>>(part/2*4)&15 | high[32*half+j]>>(2*part)&3<<4
		y[i] = float32(d*float32(int8(scales[i/16]))) * float32(int(q)-32)
	}
}
