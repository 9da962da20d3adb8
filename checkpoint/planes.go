package checkpoint

import (
	"encoding/binary"
	"math/bits"
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
	plane := func(k int) []byte { from := k*(len(dst)/size) + at; return dst[from : from+n] }
	rot := 0
	if rotated(dtype) {
		rot = 1
	}
	switch size {
	case 1:
		copy(plane(0), src)
	case 2:
		split2(plane(0), plane(1), src, rot)
	case 4:
		split4(plane(0), plane(1), plane(2), plane(3), src, rot)
	case 8:
		for k := range 8 {
			for i, p := 0, plane(k); i < n; i++ {
				p[i] = byte(bits.RotateLeft64(binary.LittleEndian.Uint64(src[8*i:]), rot) >> (56 - 8*k))
			}
		}
	}
}

// joinPlanes is the inverse of splitPlanes.
func joinPlanes(dst, src []byte, dtype string) {
	size := int(dtypeSize(dtype))
	n := len(src) / size
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
		join2(dst, plane(0), plane(1), rot)
	case 4:
		join4(dst, plane(0), plane(1), plane(2), plane(3), rot)
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
