//go:build !cuda

package devicetest

import (
	"testing"

	"criticrm/kernels"
)

// Emulated says whether the device is a GPU in software, on which a test does well to do less.
const Emulated = false

func open(_ testing.TB, threads int) (*kernels.Device, error) { return kernels.OpenCPU(threads) }
