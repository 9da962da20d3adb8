//go:build cuda && emu

package devicetest

import (
	"hash/fnv"
	"testing"

	"criticrm/kernels"
)

// Emulated says whether the device is a GPU in software, on which a test does well to do less.
const Emulated = true

// Each test has its own random schedule, always the same.
func open(tb testing.TB, _ int) (*kernels.Device, error) {
	h := fnv.New64a()
	h.Write([]byte(tb.Name()))
	return kernels.OpenEmulated(kernels.Schedule{Order: 2, Async: 2, Seed: h.Sum64()})
}
