package spec_test

import (
	"fmt"

	"criticrm/kernels/kerneltest/spec"
)

// The specification of an op is a struct of plain slices with a method Run: here the mask of a packed forest, in which the
// second and the third token are branches of the first and do not see each other.
func Example() {
	op := &spec.Attention[float64]{
		Out: make([]float64, 3), LSE: make([]float64, 3),
		QKV: []float64{0, 0, 10, 0, 0, 20, 0, 0, 40}, // q, k, v of each token, one head of size one
		End: []int32{3, 2, 3},
		N:   3, A: 1, G: 1, D: 1,
	}
	op.Run()
	fmt.Println(op.Out)
	// Output: [10 15 25]
}
