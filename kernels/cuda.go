//go:build cuda

package kernels

/*
#include "kernels.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// NewCUDA wraps an NVIDIA device: its ordinal, a CUstream of its primary context, workspaceBytes of device memory for the ops'
// own use, and the rest of its memory. All of them belong to m, whose Close comes last.
func NewCUDA(ordinal int, stream, workspace unsafe.Pointer, workspaceBytes int, m Memory) (*Device, error) {
	var msg *C.char
	s := C.cuda_open(C.int32_t(ordinal), stream, workspace, C.size_t(workspaceBytes), &msg)
	if s == nil {
		return nil, fmt.Errorf("kernels: open cuda:%d: %s", ordinal, C.GoString(msg))
	}
	return newDevice(&C.kernels_cuda, s, m), nil
}
