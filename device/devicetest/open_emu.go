//go:build cuda && emu

package devicetest

import (
	"hash/fnv"
	"testing"

	"criticrm/kernels"
)

// Each test has its own random schedule, always the same.
func open(tb testing.TB, _ int) (*kernels.Device, error) {
	h := fnv.New64a()
	h.Write([]byte(tb.Name()))
	return kernels.OpenEmulated(kernels.Schedule{Order: 2, Async: 2, Seed: h.Sum64()})
}
