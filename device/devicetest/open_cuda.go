//go:build cuda && !emu

package devicetest

import (
	"testing"

	"criticrm/cuda"
	"criticrm/kernels"
)

func open(testing.TB, int) (*kernels.Device, error) { return cuda.Open(0, cuda.Options{}) }
