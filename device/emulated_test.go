//go:build cuda && emu

package device_test

import (
	"strings"
	"testing"

	"criticrm/device"
)

// On the software GPU auto takes the first device and says so.
func TestOpenAuto(t *testing.T) {
	for name, want := range map[string]string{"auto": "cuda:0 (software GPU)", "cuda": "cuda:0 (software GPU)", "cuda:1": "cuda:1 (software GPU with little memory)"} {
		var log strings.Builder
		d, err := device.Open(name, 1, &log)
		if err != nil {
			t.Fatal(err)
		}
		if d.String() != want || (name == "auto") != strings.HasPrefix(log.String(), "device: cuda:0 software GPU, compute capability 8.0") {
			t.Errorf("%s opens %v and says %q", name, d, log.String())
		}
		d.Close()
	}
}
