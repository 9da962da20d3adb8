//go:build cuda

package bench

import (
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

// TestDevice is the conformance test on the first NVIDIA device, here because this package's test binary is what bench/gpu.sh
// carries to a machine without Go.
func TestDevice(t *testing.T) {
	kerneltest.TestDevice(t, func() *kernels.Device {
		d, err := cuda.Open(0, cuda.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
