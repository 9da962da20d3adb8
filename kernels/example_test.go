package kernels_test

import (
	"fmt"

	"criticrm/kernels"
)

// A matrix product and the reward of one row, on the CPU. Ops return nothing; a fault would come from Sync.
func Example() {
	d, err := kernels.OpenCPU(0) // all cores
	if err != nil {
		panic(err)
	}
	defer d.Close()

	x := d.Alloc(kernels.F32, 2, 3) // (N, I)
	w := d.Alloc(kernels.F32, 2, 3) // (O, I), as in a model's file
	y := d.Alloc(kernels.F32, 2, 2) // (N, O)
	d.Upload(x, []float32{1, 2, 3, 4, 5, 6})
	d.Upload(w, []float32{1, 0, 0, 0, 1, 1})
	d.Matmul(y, x, w, kernels.Tensor{}) // y = x·wᵀ, nothing added

	row, head, reward := d.Alloc(kernels.I32, 1), d.Alloc(kernels.F32, 2), d.Alloc(kernels.F32, 1)
	d.Upload(row, []int32{1}) // the reward is read at the second row
	d.Upload(head, []float32{0.5, -1})
	d.RewardHead(reward, y, row, head)

	product, r := make([]float32, 4), make([]float32, 1)
	d.Download(product, y)
	d.Download(r, reward)
	if err := d.Sync(); err != nil {
		panic(err)
	}
	for _, t := range []kernels.Tensor{x, w, y, row, head, reward} {
		d.Free(t)
	}
	fmt.Println(product, r)
	// Output: [1 5 4 11] [-9]
}
