// Package device opens the device that a name stands for, as flags and recipes give it.
package device

import (
	"errors"
	"fmt"
	"io"

	"criticrm/cuda"
	"criticrm/kernels"
)

// Open opens the device of a name, which kernels.ParseDevice explains; threads is for the CPU (0: all cores). What auto has found is
// said on log by programs that are built with CUDA.
func Open(name string, threads int, log io.Writer) (*kernels.Device, error) {
	kind, ordinal, err := kernels.ParseDevice(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("device: %w", err)
	case kind == "cuda":
		return cuda.Open(ordinal, cuda.Options{})
	case kind == kernels.AutoDevice && cuda.Built:
		found, why := first()
		if why == nil {
			fmt.Fprintf(log, "device: %v\n", found)
			return cuda.Open(found.Ordinal, cuda.Options{})
		}
		fmt.Fprintf(log, "device: cpu (%v)\n", why)
	}
	return kernels.OpenCPU(threads)
}

// first is the first device that can be used. Without one the error is of the first that cannot.
func first() (cuda.Info, error) {
	list, err := cuda.Devices()
	for _, d := range list {
		if e := d.Err(); e == nil {
			return d, nil
		} else if err == nil {
			err = e
		}
	}
	if err == nil {
		err = errors.New("this machine has no NVIDIA device")
	}
	return cuda.Info{}, err
}
