//go:build !cuda

package kernels_test

import (
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

// cpu opens the CPU device with a number of threads.
func cpu(tb testing.TB, threads int) func() *kernels.Device {
	return func() *kernels.Device {
		d, err := kernels.OpenCPU(threads)
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
}

func TestCPU(t *testing.T) {
	kerneltest.TestDevice(t, cpu(t, 1), cpu(t, 2), cpu(t, 3), cpu(t, 7))
}

func TestShapes(t *testing.T) { kerneltest.TestShapes(t, cpu(t, 1)) }

func BenchmarkCPU(b *testing.B) {
	kerneltest.Bench(b, cpu(b, 0))
}

// FuzzOps guards against an index or an extent of another program's making that ends the process: critique_loss wrote beside its logits for
// a target beyond the vocabulary.
func FuzzOps(f *testing.F) { kerneltest.Fuzz(f, cpu(f, 1)) }
