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
		for ; i+8 <= n; i += 8 { // as many elements as fit two registers
			from := (*[16]byte)(src[2*i:])
			x, y := le.Uint64(from[:]), le.Uint64(from[8:])
			if rot == 1 {
				x = x<<1&^lows16 | x>>15&lows16
				y = y<<1&^lows16 | y>>15&lows16
			}
			le.PutUint64(hi[i:], evenBytes(x>>8)|evenBytes(y>>8)<<32)
			le.PutUint64(lo[i:], evenBytes(x)|evenBytes(y)<<32)
		}
		for ; i < n; i++ {
			x := bits.RotateLeft16(le.Uint16(src[2*i:]), rot)
			hi[i], lo[i] = byte(x>>8), byte(x)
		}
	case 4:
		p0, p1, p2, p3 := plane(0), plane(1), plane(2), plane(3)
		i := 0
		for ; i+8 <= n; i += 8 {
			from := (*[32]byte)(src[4*i:])
			a, b := pairs(le.Uint64(from[:]), le.Uint64(from[16:])) // elements 0 and 4, 1 and 5
			c, d := pairs(le.Uint64(from[8:]), le.Uint64(from[24:]))
			if rot == 1 {
				a, b = a<<1&^lows32|a>>31&lows32, b<<1&^lows32|b>>31&lows32
				c, d = c<<1&^lows32|c>>31&lows32, d<<1&^lows32|d>>31&lows32
			}
			// Bytes 0 and 2, and 1 and 3, of two elements each, then of four.
			ab0, ab1 := a&evens8|b&evens8<<8, a>>8&evens8|b&^evens8
			cd0, cd1 := c&evens8|d&evens8<<8, c>>8&evens8|d&^evens8
			le.PutUint64(p3[i:], ab0&evens16|cd0&evens16<<16)
			le.PutUint64(p2[i:], ab1&evens16|cd1&evens16<<16)
			le.PutUint64(p1[i:], ab0>>16&evens16|cd0&^evens16)
			le.PutUint64(p0[i:], ab1>>16&evens16|cd1&^evens16)
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

// Masks of parts of a register: the low bits of its 16- and 32-bit words, its even bytes and 16-bit words.
const (
	lows16  = 0x0001_0001_0001_0001
	lows32  = 0x0000_0001_0000_0001
	evens8  = 0x00FF_00FF_00FF_00FF
	evens16 = 0x0000_FFFF_0000_FFFF
)

// evenBytes gathers bytes 0, 2, 4 and 6.
func evenBytes(x uint64) uint64 {
	x &= evens8
	x = (x | x>>8) & evens16
	return (x | x>>16) & 0xFFFF_FFFF
}

// oddPlaces is the inverse of evenBytes.
func oddPlaces(x uint64) uint64 {
	x = (x | x<<16) & evens16
	return (x | x<<8) & evens8
}

// pairs turns the halves of two registers, as a matrix: it is its own inverse.
func pairs(x, y uint64) (low, high uint64) {
	return x&0xFFFF_FFFF | y<<32, x>>32 | y&^0xFFFF_FFFF
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
		i := 0
		for ; i+8 <= n; i += 8 {
			h, l := le.Uint64(hi[i:]), le.Uint64(lo[i:])
			x, y := oddPlaces(h&0xFFFF_FFFF)<<8|oddPlaces(l&0xFFFF_FFFF), oddPlaces(h>>32)<<8|oddPlaces(l>>32)
			if rot == -1 {
				x = x>>1&^(lows16<<15) | x&lows16<<15
				y = y>>1&^(lows16<<15) | y&lows16<<15
			}
			to := (*[16]byte)(dst[2*i:])
			le.PutUint64(to[:], x)
			le.PutUint64(to[8:], y)
		}
		for ; i < n; i++ {
			le.PutUint16(dst[2*i:], bits.RotateLeft16(uint16(hi[i])<<8|uint16(lo[i]), rot))
		}
	case 4:
		p0, p1, p2, p3 := src[:n], src[n:2*n], src[2*n:3*n], src[3*n:4*n]
		i := 0
		for ; i+8 <= n; i += 8 { // splitPlanes backwards
			x0, x1, x2, x3 := le.Uint64(p0[i:]), le.Uint64(p1[i:]), le.Uint64(p2[i:]), le.Uint64(p3[i:])
			ab0, cd0 := x3&evens16|x1&evens16<<16, x3>>16&evens16|x1&^evens16
			ab1, cd1 := x2&evens16|x0&evens16<<16, x2>>16&evens16|x0&^evens16
			a, b := ab0&evens8|ab1&evens8<<8, ab0>>8&evens8|ab1&^evens8
			c, d := cd0&evens8|cd1&evens8<<8, cd0>>8&evens8|cd1&^evens8
			if rot == -1 {
				a, b = a>>1&^(lows32<<31)|a&lows32<<31, b>>1&^(lows32<<31)|b&lows32<<31
				c, d = c>>1&^(lows32<<31)|c&lows32<<31, d>>1&^(lows32<<31)|d&lows32<<31
			}
			a, b = pairs(a, b)
			c, d = pairs(c, d)
			to := (*[32]byte)(dst[4*i:])
			le.PutUint64(to[:], a)
			le.PutUint64(to[8:], c)
			le.PutUint64(to[16:], b)
			le.PutUint64(to[24:], d)
		}
		for ; i < n; i++ {
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
