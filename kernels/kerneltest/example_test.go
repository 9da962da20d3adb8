package kerneltest_test

import (
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

// A test file of an implementation is this: every case of every op, and the same bits on one thread and on three.
func ExampleTestDevice() {
	open := func(threads int) func() *kernels.Device {
		return func() *kernels.Device {
			d, err := kernels.OpenCPU(threads)
			if err != nil {
				panic(err)
			}
			return d
		}
	}
	_ = []testing.InternalTest{{Name: "TestCPU", F: func(t *testing.T) { kerneltest.TestDevice(t, open(1), open(3)) }}}
	_ = []testing.InternalBenchmark{{Name: "BenchmarkCPU", F: func(b *testing.B) { kerneltest.Bench(b, open(0)) }}}
	// Output:
}
