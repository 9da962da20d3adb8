//go:build cuda && !emu

package cuda

import (
	"fmt"

	"gorgonia.org/cu"
)

// detail adds how to find out what has failed.
func detail(err error) error {
	if code, ok := number(err, cu.Success); ok && lost(code) {
		return fmt.Errorf("%w (error %d): work on the device failed before this (with CUDA_LAUNCH_BLOCKING=1 the op that fails is named)", err, code)
	}
	return err
}

// emulated says whether the device is the software GPU.
const emulated = false
