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
	le := binary.LittleEndian
	switch size {
	case 1:
		copy(plane(0), src)
	case 2:
		hi, lo := plane(0), plane(1)
		i := 0
		for ; i+4 <= n; i += 4 { // four elements at a time in one register
			x := le.Uint64(src[2*i:])
			if rot == 1 {
				x = x<<1&0xFFFE_FFFE_FFFE_FFFE | x>>15&0x0001_0001_0001_0001
			}
			le.PutUint32(hi[i:], evenBytes(x>>8))
			le.PutUint32(lo[i:], evenBytes(x))
		}
		for ; i < n; i++ {
			x := bits.RotateLeft16(le.Uint16(src[2*i:]), rot)
			hi[i], lo[i] = byte(x>>8), byte(x)
		}
	case 4:
		p0, p1, p2, p3 := plane(0), plane(1), plane(2), plane(3)
		i := 0
		for ; i+4 <= n; i += 4 {
			s := src[4*i : 4*i+16 : 4*i+16]
			a, b := bits.RotateLeft32(le.Uint32(s), rot), bits.RotateLeft32(le.Uint32(s[4:]), rot)
			c, d := bits.RotateLeft32(le.Uint32(s[8:]), rot), bits.RotateLeft32(le.Uint32(s[12:]), rot)
			le.PutUint32(p0[i:], a>>24|b>>24<<8|c>>24<<16|d>>24<<24)
			le.PutUint32(p1[i:], a>>16&255|b>>16&255<<8|c>>16&255<<16|d>>16&255<<24)
			le.PutUint32(p2[i:], a>>8&255|b>>8&255<<8|c>>8&255<<16|d>>8&255<<24)
			le.PutUint32(p3[i:], a&255|b&255<<8|c&255<<16|d&255<<24)
		}
		for ; i < n; i++ {
			x := bits.RotateLeft32(le.Uint32(src[4*i:]), rot)
			p0[i], p1[i], p2[i], p3[i] = byte(x>>24), byte(x>>16), byte(x>>8), byte(x)
		}
	case 8:
		for k := range 8 {
			for i, p := 0, plane(k); i < n; i++ {
				p[i] = byte(bits.RotateLeft64(le.Uint64(src[8*i:]), rot) >> (56 - 8*k))
			}
		}
	}
}

// evenBytes gathers bytes 0, 2, 4 and 6.
func evenBytes(x uint64) uint32 {
	x &= 0x00FF_00FF_00FF_00FF
	x = (x | x>>8) & 0x0000_FFFF_0000_FFFF
	return uint32(x | x>>16)
}

// joinPlanes is the inverse of splitPlanes.
func joinPlanes(dst, src []byte, dtype string) {
	size := int(dtypeSize(dtype))
	n := len(src) / size
	rot := 0
	if rotated(dtype) {
		rot = -1
	}
	le := binary.LittleEndian
	switch size {
	case 1:
		copy(dst, src)
	case 2:
		hi, lo := src[:n], src[n:2*n]
		for i := range n {
			le.PutUint16(dst[2*i:], bits.RotateLeft16(uint16(hi[i])<<8|uint16(lo[i]), rot))
		}
	case 4:
		p0, p1, p2, p3 := src[:n], src[n:2*n], src[2*n:3*n], src[3*n:4*n]
		for i := range n {
			x := uint32(p0[i])<<24 | uint32(p1[i])<<16 | uint32(p2[i])<<8 | uint32(p3[i])
			le.PutUint32(dst[4*i:], bits.RotateLeft32(x, rot))
		}
	case 8:
		for i := range n {
			var x uint64
			for k := range 8 {
				x = x<<8 | uint64(src[k*n+i])
			}
			le.PutUint64(dst[8*i:], bits.RotateLeft64(x, rot))
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
