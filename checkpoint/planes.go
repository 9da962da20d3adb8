package checkpoint

// #cgo CFLAGS: -O3 -Wall -Wextra
// #cgo noescape split2
// #cgo nocallback split2
// #cgo noescape join2
// #cgo nocallback join2
// #cgo noescape split4
// #cgo nocallback split4
// #cgo noescape join4
// #cgo nocallback join4
// #include "planes.h"
import "C"

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Planes: the bytes of a tensor sorted by their place in the element. Float elements are rotated left by one bit first,
// which moves the sign to the bottom, so that the top plane of BF16 and F32 is exactly the exponent: about 2.6 bits of
// information a byte in trained weights, where sign and mantissa are noise. The order is top plane first.
//
//	BF16  h = s eeeeeeee mmmmmmm   →  plane 0: eeeeeeee    plane 1: mmmmmmm s
//	F32   w = s eeeeeeee m…(23)    →  plane 0: eeeeeeee    planes 1, 2: m…     plane 3: m…s

// rotated says whether elements of the dtype are rotated: the floats.
func rotated(dtype string) bool { return dtype[0] == 'F' || dtype == "BF16" }

// splitPlanes writes src, elements of the dtype from element at on, into the planes dst of all elements.
func splitPlanes(dst, src []byte, dtype string, at int) {
	size := int(dtypeSize(dtype))
	n := len(src) / size
	if n == 0 {
		return
	}
	plane := func(k int) []byte { from := k*(len(dst)/size) + at; return dst[from : from+n] }
	rot := 0
	if rotated(dtype) {
		rot = 1
	}
	switch size {
	case 1:
		copy(plane(0), src)
	case 2:
		C.split2(first(plane(0)), first(plane(1)), first(src), C.size_t(n), C.int(rot))
	case 4:
		C.split4(first(plane(0)), first(plane(1)), first(plane(2)), first(plane(3)), first(src), C.size_t(n), C.int(rot))
	case 8:
		for k := range 8 {
			for i, p := 0, plane(k); i < n; i++ {
				p[i] = byte(bits.RotateLeft64(binary.LittleEndian.Uint64(src[8*i:]), rot) >> (56 - 8*k))
			}
		}
	}
}

// first is the address of a slice's first byte, for planes.c.
func first(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// joinPlanes is the inverse of splitPlanes.
func joinPlanes(dst, src []byte, dtype string) {
	size := int(dtypeSize(dtype))
	n := len(src) / size
	if n == 0 {
		return
	}
	dst = dst[:n*size]
	plane := func(k int) []byte { return src[k*n : (k+1)*n] }
	rot := 0
	if rotated(dtype) {
		rot = 1
	}
	switch size {
	case 1:
		copy(dst, src)
	case 2:
		C.join2(first(dst), first(plane(0)), first(plane(1)), C.size_t(n), C.int(rot))
	case 4:
		C.join4(first(dst), first(plane(0)), first(plane(1)), first(plane(2)), first(plane(3)), C.size_t(n), C.int(rot))
	case 8:
		for i := range n {
			var x uint64
			for k := range 8 {
				x = x<<8 | uint64(src[k*n+i])
			}
			binary.LittleEndian.PutUint64(dst[8*i:], bits.RotateLeft64(x, -rot))
		}
	}
}

// planeCuts appends the offsets at which the planes of n bytes of the dtype begin, when they begin at offset at.
func planeCuts(cuts []int, at, n int, dtype string) []int {
	size := int(dtypeSize(dtype))
	for k := range size {
		cuts = append(cuts, at+k*(n/size))
	}
	return cuts
}
