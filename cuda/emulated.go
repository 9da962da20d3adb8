//go:build cuda && emu

package cuda

/*
const char *emu_driver_fault(void);
*/
import "C"

import "fmt"

// emulated says whether the device is the software GPU.
const emulated = true

// detail adds what the software GPU says of an error of its driver, which is only a number.
func detail(err error) error {
	if text := C.emu_driver_fault(); text != nil {
		return fmt.Errorf("%w: %s", err, C.GoString(text))
	}
	return err
}
