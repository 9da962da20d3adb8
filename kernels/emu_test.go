//go:build cuda && emu

package kernels_test

import (
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
)

func emulated(tb testing.TB, s kernels.Schedule) func() *kernels.Device {
	return func() *kernels.Device {
		d, err := kernels.OpenEmulated(s)
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
}

// The schedules see different faults: a missing wait shows when copies are late, a stage that is overwritten too early when they are
// early, a missing barrier in another order of threads. The last has the shared memory of an RTX 4090.
func TestEmulated(t *testing.T) {
	kerneltest.TestDevice(t, emulated(t, kernels.Schedule{}), emulated(t, kernels.Schedule{Order: 1, Async: 1}),
		emulated(t, kernels.Schedule{Order: 2, Async: 2, Seed: 1, Shared: 99 << 10}))
}

// A device that is fixed gives what the reference gives, by other kernels.
func TestEmulatedFixed(t *testing.T) {
	kerneltest.TestOps(t, func() *kernels.Device {
		d := emulated(t, kernels.Schedule{Order: 2, Async: 2, Seed: 1})()
		d.Fix(true)
		return d
	}, "matmul", "matmul_dx", "attention", "attention_decode")
}
