//go:build cuda && emu

package collective

// The stand-in, nccl_emu.cc, is linked in.

// #cgo CXXFLAGS: -std=gnu++17 -Wall -Wextra
// #cgo LDFLAGS: -lrt
import "C"
