//go:build cuda && !emu

package cuda

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"
)

// emulated says whether the device is the software GPU.
const emulated = false

// lost are the errors after which the driver refuses everything that the process asks of the device.
var lost = []error{cu.LaunchFailed, cu.IllegalAddress, cu.MisalignedAddress, cu.IllegalInstruction, cu.HardwareStackError, cu.LaunchTimeout, cu.EccUncorrectable, cu.NvlinkUncorrectable}

// explain says what an error of the driver means that is only a name. It shows at the first call after what has failed.
func explain(err error) error {
	for _, e := range lost {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: work on the device failed before this, and what the process had there is lost (with CUDA_LAUNCH_BLOCKING=1 the op that fails is named)", err)
		}
	}
	return err
}
