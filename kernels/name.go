package kernels

import (
	"fmt"
	"strconv"
	"strings"
)

// AutoDevice is the default name of a device: an NVIDIA device if there is one that can be used, else the CPU.
const AutoDevice = "auto"

// DeviceHelp says in a line what devices are called.
const DeviceHelp = "auto (an NVIDIA device if there is one, else the CPU), cpu, cuda or cuda:N"

// ParseDevice reads what flags and recipes call a device: auto, cpu, cuda (the same as cuda:0) or cuda:N. The kind is auto, cpu or
// cuda. It does not look whether the device exists.
func ParseDevice(name string) (kind string, ordinal int, err error) {
	switch name {
	case AutoDevice, "cpu", "cuda":
		return name, 0, nil
	}
	if s, ok := strings.CutPrefix(name, "cuda:"); ok {
		if n, err := strconv.ParseUint(s, 10, 15); err == nil {
			return "cuda", int(n), nil
		}
	}
	return "", 0, fmt.Errorf("want auto, cpu, cuda or cuda:N, got %q", name)
}
