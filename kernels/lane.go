package kernels

import (
	"fmt"
	"unsafe"
)

// Lane is a queue of a device beside the one of its ops, for a library that moves data on it while ops run. What touches the same memory is
// ordered by the caller: the lane follows the device, and the device a [Mark] of the lane. Memory that the lane works on must not be freed before
// its mark has passed.
type Lane interface {
	Queue() unsafe.Pointer   // the CUstream
	Do(f func() error) error // calls f on a thread to which the device is current
	Follow() error           // what comes on the lane from here on runs behind all that was given to the device
	Mark() (Mark, error)     // behind what is on the lane
	Close() error            // when the lane is idle; before the device's end
}

// Mark is a place in a lane's queue.
type Mark interface {
	Passed() (bool, error) // without waiting
	Lead() error           // what is given to the device from here on runs behind the mark
	Free() error
}

// Lane makes a new one. A device that does its ops when they are called, as the CPU does, has none.
func (d *Device) Lane() (Lane, error) {
	m, ok := d.mem.(interface{ Lane() (Lane, error) })
	if !ok {
		return nil, fmt.Errorf("kernels: the %s device has one queue alone", d.name)
	}
	return m.Lane()
}
