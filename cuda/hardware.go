//go:build cuda && !emu

package cuda

// emulated says whether the device is the software GPU.
const emulated = false

func explain(err error) error { return err }
