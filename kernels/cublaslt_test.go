package kernels_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCuBLASLtHeader compares the values, layouts and prototypes of cublaslt.h with NVIDIA's.
func TestCuBLASLtHeader(t *testing.T) {
	for _, dir := range []string{os.Getenv("CUBLAS_INCLUDE"), filepath.Join(os.Getenv("CUDA_HOME"), "include"), "/usr/local/cuda/include"} {
		if _, err := os.Stat(filepath.Join(dir, "cublasLt.h")); dir == "" || err != nil {
			continue
		}
		out, err := exec.Command("g++", "-std=gnu++17", "-fsyntax-only", "-DHAVE_CUBLASLT", "-isystem", dir, "testdata/cublaslt.cc").CombinedOutput()
		if err != nil {
			t.Fatalf("against %s/cublasLt.h: %v\n%s", dir, err, out)
		}
		return
	}
	t.Skip("there is no cublasLt.h in CUBLAS_INCLUDE, CUDA_HOME/include and /usr/local/cuda/include")
}

// TestCuBLASLtLoads opens the library, or reads what is said where it is missing or there is no GPU.
func TestCuBLASLtLoads(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "cublaslt")
	if out, err := exec.Command("g++", "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "testdata/cublaslt.cc", "cublaslt.cc", "-ldl", "-o", bin).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if strings.HasPrefix(string(out), "loaded ") {
		return
	}
	for _, want := range []string{"libcublasLt.so.13", "libcublasLt.so.12", "nvidia-cublas", "LD_LIBRARY_PATH"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the message does not name %s", want)
		}
	}

	// A library that is there and cannot be loaded must not read as absent: the loader's own words say what is wrong with it.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libcublasLt.so.13"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bin)
	c.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir)
	if out, err = c.CombinedOutput(); err != nil || !strings.Contains(string(out), "libcublasLt.so.13: file too short") {
		t.Errorf("an empty library: %v: %s", err, out)
	}
}
