package checkpoint

/*
#cgo CFLAGS: -O3 -Wall -Wextra
#include "loops.h"

#cgo noescape split2
#cgo nocallback split2
#cgo noescape join2
#cgo nocallback join2
#cgo noescape split4
#cgo nocallback split4
#cgo noescape join4
#cgo nocallback join4
#cgo noescape widen_bf16
#cgo nocallback widen_bf16
#cgo noescape count_non_finite
#cgo nocallback count_non_finite
*/
import "C"

import "unsafe"

// The loops of loops.c. Planes have a byte of each element; rot is by how many bits, 0 or 1, elements are rotated left before they are split.

func split2(p0, p1, src []byte, rot int) {
	C.split2(cBytes(p0), cBytes(p1), cBytes(src), cLen(p0), C.int(rot))
}

func join2(dst, p0, p1 []byte, rot int) {
	C.join2(cBytes(dst), cBytes(p0), cBytes(p1), cLen(p0), C.int(rot))
}

func split4(p0, p1, p2, p3, src []byte, rot int) {
	C.split4(cBytes(p0), cBytes(p1), cBytes(p2), cBytes(p3), cBytes(src), cLen(p0), C.int(rot))
}

func join4(dst, p0, p1, p2, p3 []byte, rot int) {
	C.join4(cBytes(dst), cBytes(p0), cBytes(p1), cBytes(p2), cBytes(p3), cLen(p0), C.int(rot))
}

// widenBF16 makes float32 of as many bfloat16 as dst has room for.
func widenBF16(dst []float32, src []byte) {
	C.widen_bf16(cFloats(dst), cBytes(src[:2*len(dst)]), cLen(dst))
}

// countNonFinite counts NaN and infinities.
func countNonFinite(x []float32) int { return int(C.count_non_finite(cFloats(x), cLen(x))) }

func cBytes(b []byte) *C.uint8_t    { return (*C.uint8_t)(unsafe.SliceData(b)) }
func cFloats(x []float32) *C.float  { return (*C.float)(unsafe.SliceData(x)) }
func cLen[T any](list []T) C.size_t { return C.size_t(len(list)) }
