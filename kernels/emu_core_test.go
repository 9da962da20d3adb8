//go:build !cuda

package kernels_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSoftwareGPU builds and runs testdata/emu.cc: each feature of the software GPU, and mistakes that it must see.
func TestSoftwareGPU(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "emu")
	build := exec.Command("g++", "-O1", "-g", "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-Wno-unknown-pragmas", "-fno-strict-aliasing",
		"-I.", "-o", bin, "testdata/emu.cc", "gpu_emu.cc", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if out, err := exec.Command(bin).CombinedOutput(); err != nil {
		t.Errorf("%v\n%.5000s", err, out)
	}
}
