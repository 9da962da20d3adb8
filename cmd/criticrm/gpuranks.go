package main

import (
	"errors"
	"fmt"
	"strings"

	"criticrm/collective"
	"criticrm/cuda"
	"criticrm/kernels"
)

// ranksOnGPUs is how many NVIDIA devices this machine has for ranks, 0 where a device's name means the CPU.
func ranksOnGPUs(name string) (int, error) {
	kind, _, err := kernels.ParseDevice(name)
	switch {
	case err != nil:
		return 0, fmt.Errorf("--device: %w", err)
	case kind == "cpu", kind == kernels.AutoDevice && !cuda.Built:
		return 0, nil
	case strings.HasPrefix(name, "cuda:"):
		return 0, fmt.Errorf("--device %s is one device, and processes that train together have one each: use --device cuda, and CUDA_VISIBLE_DEVICES to choose among them", name)
	}
	list, err := cuda.Devices()
	for _, d := range list {
		err = errors.Join(err, d.Err())
	}
	switch {
	case err == nil && len(list) > 0:
		return len(list), nil
	case kind == kernels.AutoDevice && len(list) == 0:
		return 0, nil
	case err == nil:
		err = errors.New("this machine has no NVIDIA device")
	}
	return 0, fmt.Errorf("%w; hide devices with CUDA_VISIBLE_DEVICES, or use --device cpu", err)
}

// ownGPU makes of cuda the GPU of this process in a group: the one of its number on the machine.
func (d *deviceFlags) ownGPU(w collective.World) error {
	if w.Size == 1 {
		return nil
	}
	gpus, err := ranksOnGPUs(d.name)
	if err != nil || gpus == 0 {
		return err
	}
	local := w.Local
	if gpus == 1 && (local < 0 || w.Launcher == "srun") { // it is shown its own alone, as in a pod, or with --gpus-per-task
		local = 0
	}
	switch {
	case local < 0:
		return fmt.Errorf("%s does not say which of this machine's %d NVIDIA devices is rank %d's: set LOCAL_RANK", w.Launcher, gpus, w.Rank)
	case local >= gpus:
		return fmt.Errorf("rank %d is number %d (from 0) on this machine, which has %d NVIDIA devices, one for each: start fewer processes here, or use --device cpu", w.Rank, local, gpus)
	}
	d.name = fmt.Sprintf("cuda:%d", local)
	return nil
}
