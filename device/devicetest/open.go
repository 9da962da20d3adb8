// Package devicetest opens the device that the tests of a build run on.
package devicetest

import (
	"testing"

	"criticrm/kernels"
)

// Open gives the device that the tests of this build run on: the CPU with so many threads, or with the tag cuda an NVIDIA
// device, or with the tags cuda and emu the software GPU. It is closed at the end of the test, which fails if the device has a
// fault then that nobody asked for.
func Open(tb testing.TB, threads int) *kernels.Device {
	tb.Helper()
	d, err := open(tb, threads)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Sync(); err != nil {
			tb.Errorf("at the end: %v", err)
		}
		d.Close()
	})
	return d
}

// CPU gives the CPU with so many threads, whatever the tests of the build run on. It is closed at the end of the test.
func CPU(tb testing.TB, threads int) *kernels.Device {
	tb.Helper()
	d, err := kernels.OpenCPU(threads)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Close)
	return d
}

// Fewer is how many of something are enough for a test on a GPU in software, and n elsewhere.
func Fewer(n, emulated int) int {
	if Emulated {
		return emulated
	}
	return n
}
