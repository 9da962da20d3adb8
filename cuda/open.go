//go:build cuda

package cuda

import (
	"fmt"

	"gorgonia.org/cu"

	"criticrm/kernels"
)

// Built says whether the program is built with CUDA.
const Built = true

// Toolkit is the version of CUDA that the program is built with, "" without.
func Toolkit() string { return version(builtWith) }

// Devices lists the devices of this machine, those that cannot be used too. Without a driver there is an error.
func Devices() ([]Info, error) {
	if err := driver(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, fmt.Errorf("cuda: count the devices: %w", err)
	}
	list := make([]Info, n)
	for i := range list {
		if list[i], err = describe(i); err != nil {
			return nil, fmt.Errorf("cuda: device %d: %w", i, err)
		}
	}
	return list, nil
}

func describe(ordinal int) (Info, error) {
	d, err := cu.GetDevice(ordinal)
	if err != nil {
		return Info{}, err
	}
	info := Info{Ordinal: ordinal, Driver: cu.Version()}
	if info.Name, err = d.Name(); err != nil {
		return info, err
	}
	if info.Major, err = d.Attribute(cu.ComputeCapabilityMajor); err != nil {
		return info, err
	}
	if info.Minor, err = d.Attribute(cu.ComputeCapabilityMinor); err != nil {
		return info, err
	}
	bytes, err := d.TotalMem()
	info.Memory, info.fault = int(bytes), judge(info, builtWith)
	return info, err
}

// Open opens a device. Ordinals count from 0, as the driver does, which CUDA_VISIBLE_DEVICES tells what to show.
func Open(ordinal int, o Options) (*kernels.Device, error) {
	list, err := Devices()
	if err == nil && ordinal >= 0 && ordinal < len(list) {
		err = list[ordinal].Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w, or use --device cpu", err)
	}
	if ordinal < 0 || ordinal >= len(list) {
		return nil, fmt.Errorf("there is no cuda:%d, this machine has %d NVIDIA devices ('criticrm devices' lists them)", ordinal, len(list))
	}
	if o.Workspace == 0 {
		o.Workspace = defaultWorkspace
	}
	m, err := openMemory(list[ordinal])
	if err != nil {
		return nil, fmt.Errorf("open cuda:%d: %w", ordinal, err)
	}
	workspace, err := m.Malloc(o.Workspace)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("open %w", err)
	}
	d, err := kernels.NewCUDA(ordinal, m.queue(), workspace, o.Workspace, m)
	if err != nil {
		m.Close()
		return nil, err
	}
	return d, nil
}
