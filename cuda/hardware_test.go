//go:build cuda && !emu

package cuda

import (
	"strings"
	"testing"
)

// A program built with CUDA starts on any machine; where there is no driver it says so when a device is asked for.
func TestHardware(t *testing.T) {
	list, err := Devices()
	if err == nil {
		t.Skipf("there is a driver: %v", list)
	}
	const want = "no NVIDIA driver on this machine (libcuda.so.1 not found): install it"
	if err.Error() != want {
		t.Skipf("there is something of a driver: %v", err)
	}
	if _, err := Open(0, Options{}); err == nil || err.Error() != want+", or use --device cpu" {
		t.Errorf("open: %v", err)
	}
	if !strings.HasPrefix(Toolkit(), "1") {
		t.Errorf("built with CUDA %s", Toolkit())
	}
}
