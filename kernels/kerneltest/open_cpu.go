//go:build !cuda

package kerneltest

import (
	"testing"

	"criticrm/kernels"
)

func open(_ testing.TB, threads int) (*kernels.Device, error) { return kernels.OpenCPU(threads) }
