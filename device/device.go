// Package device opens the device that a name stands for, as flags and recipes give it: cpu, cuda:N, cuda for cuda:0, or auto for the
// first NVIDIA device that can be used and otherwise the CPU.
package device

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"criticrm/cuda"
	"criticrm/kernels"
)

// Auto is the default.
const Auto = "auto"

// Help describes the name in a line, for flags.
const Help = "auto (an NVIDIA device if there is one, else the CPU), cpu, cuda or cuda:N"

// parse gives kind (auto, cpu or cuda) and ordinal of a name.
func parse(name string) (kind string, ordinal int, err error) {
	switch name {
	case Auto, "cpu", "cuda":
		return name, 0, nil
	}
	if s, ok := strings.CutPrefix(name, "cuda:"); ok {
		if n, err := strconv.ParseUint(s, 10, 15); err == nil {
			return "cuda", int(n), nil
		}
	}
	return "", 0, fmt.Errorf("want auto, cpu, cuda or cuda:N, got %q", name)
}

// Check says whether a name can stand for a device, on this machine or another.
func Check(name string) error {
	_, _, err := parse(name)
	return err
}

// Open opens the device of a name; threads is for the CPU (0: all cores). What auto has found is said on log, in programs that are
// built with CUDA; log may be nil.
func Open(name string, threads int, log io.Writer) (*kernels.Device, error) {
	kind, ordinal, err := parse(name)
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	if log == nil {
		log = io.Discard
	}
	switch kind {
	case "cuda":
		return cuda.Open(ordinal, cuda.Options{})
	case Auto:
		if !cuda.Built {
			break
		}
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
