//go:build cuda && !emu

package devicetest

import (
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
)

// Emulated says whether the device is a GPU in software, on which a test does well to do less.
const Emulated = false

func open(testing.TB, int) (*kernels.Device, error) { return cuda.Open(0, cuda.Options{}) }
