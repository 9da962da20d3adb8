//go:build !cuda

package cuda

import (
	"errors"

	"criticrm/kernels"
)

// Built says whether the program is built with CUDA.
const Built = false

var errAbsent = errors.New("this criticrm is built without CUDA: run make cuda, or use --device cpu")

// Toolkit is the version of CUDA that the program is built with, "" without.
func Toolkit() string { return "" }

// Open opens a device.
func Open(ordinal int, o Options) (*kernels.Device, error) { return nil, errAbsent }

// Devices lists the devices of this machine.
func Devices() ([]Info, error) { return nil, errAbsent }
