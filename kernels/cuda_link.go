//go:build cuda && !emu

package kernels

// The libraries' folders come with CGO_LDFLAGS: scripts/cuda.sh.

// #cgo LDFLAGS: -lcriticrm_cuda -lcudart_static -ldl -lrt -lpthread -lstdc++ -lm
import "C"
