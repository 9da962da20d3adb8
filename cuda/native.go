//go:build cuda

package cuda

/*
#cgo LDFLAGS: -lcuda -ldl
#include <cuda.h>
#include "driver/driver.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// builtWith is the version of the headers, 13000 for CUDA 13.0.
const builtWith = C.CUDA_VERSION

// driver finds and starts the driver. Until then all calls of package cu fail.
func driver() error {
	if why := C.criticrm_driver(); why != nil {
		return errors.New(C.GoString(why))
	}
	return nil
}

var errPinned = errors.New("no page-locked host memory left")

// pinned allocates page-locked host memory, from which and to which the device copies by itself; package cu has no call for it.
func pinned(bytes int) (p unsafe.Pointer, err error) {
	if code := C.cuMemHostAlloc(&p, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE); code != C.CUDA_SUCCESS {
		return nil, fmt.Errorf("%w (%d bytes, error %d)", errPinned, bytes, code)
	}
	return p, nil
}

// pointer is a device address as kernels take it. It is never followed in Go.
func pointer(p cu.DevicePtr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func address(p unsafe.Pointer) cu.DevicePtr { return cu.DevicePtr(uintptr(p)) }
