//go:build !cuda

package devicetest

import (
	"testing"

	"criticrm/kernels"
)

func open(_ testing.TB, threads int) (*kernels.Device, error) { return kernels.OpenCPU(threads) }
