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

// readIQ4_NL looks the four bits of an element up.
func readIQ4_NL(y []float32, b []byte) { lookUp(y, b[2:18], half(b), &curved) }

// readMXFP4 is a block of the Open Compute Project's MXFP4: the scale is 2 to the power of a byte, and elements have a sign, two bits of
// exponent and one more. fp4 is twice their numbers.
func readMXFP4(y []float32, b []byte) {
	lookUp(y, b[1:17], float32(math.Ldexp(1, int(b[0])-128)), &fp4)
}

var (
	curved = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	fp4    = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

// lookUp reads 32 elements of four bits; element i and element 16+i share a byte.
func lookUp(y []float32, b []byte, d float32, values *[16]float32) {
	for i, q := range b {
		y[i] = d * values[q&15]
		y[16+i] = d * values[q>>4]
	}
}

// The types of 256 elements with two or three bits have 16 groups of 16. Two bits of each stand in 64 bytes: element i of 128 in byte i%32.

// readQ2_K: scale and least value of a group share a byte.
func readQ2_K(y []float32, b []byte) {
	scales, q, d, dmin := b[:16], b[16:80], half(b[80:]), half(b[82:])
	for i := range y {
		s := scales[i/16]
		dg, mg := d*float32(s&15), dmin*float32(s>>4)
		y[i] = float32(dg*float32(twoBits(q, i))) - mg
	}
}

// readQ3_K: the third bits stand in 32 bytes, and clear means four less; scales of six bits in 12.
func readQ3_K(y []float32, b []byte) {
	high, q, s, d := b[:32], b[32:96], b[96:108], half(b[108:])
	for i := range y {
		g := i / 16
		scale := int(s[g%8]>>(g/8*4)&15|s[8+g%4]>>(g/4*2)&3<<4) - 32
		y[i] = float32(d*float32(scale)) * float32(int(twoBits(q, i))-4+int(high[i%32]>>(i/32)&1)*4)
	}
}

func twoBits(q []byte, i int) byte { return q[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3 }

// readIQ4_XS: 8 groups of 32 with scales of six bits, two of them in front; the bits of elements are looked up.
func readIQ4_XS(y []float32, b []byte) {
	d, high, low, q := half(b), binary.LittleEndian.Uint16(b[2:]), b[4:8], b[8:136]
	for g := range 8 {
		scale := int(low[g/2]>>(g%2*4)&15|byte(high>>(2*g)&3)<<4) - 32
		lookUp(y[32*g:32*g+32], q[16*g:16*g+16], d*float32(scale), &curved)
	}
}

// Those with more have 8 groups of 32, each with a scale and a least value of six bits, packed into 12 bytes.

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
