//go:build !cuda

package kernels_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoDataRace builds the C++ side with the thread sanitizer and runs every case on four threads: Go's race detector does not look into C++.
// A race on purpose must be seen, or the test means nothing.
func TestNoDataRace(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the build takes a minute")
	}
	probe := exec.Command("g++", "-fsanitize=thread", "-x", "c++", "-", "-o", filepath.Join(t.TempDir(), "probe"))
	probe.Stdin = strings.NewReader("int main() {}")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("g++ has no thread sanitizer here: %s", out)
	}
	sources, err := filepath.Glob("*.cc")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	sources = slices.DeleteFunc(sources, func(f string) bool { return strings.HasSuffix(f, "_emu.cc") })
	bin := filepath.Join(t.TempDir(), "race")
	args := append([]string{"-O1", "-g", "-std=gnu++17", "-w", "-fno-strict-aliasing", "-fsanitize=thread", "-o", bin, "testdata/cases_cpu.cc"}, sources...)
	if out, err := exec.Command("g++", append(args, "-lpthread", "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	l := openLibrary(t)
	if out := underSanitizer(t, l, bin, l.cases); out != "" {
		t.Errorf("%.3000s", out)
	}
	if out, _ := sanitized(bin, "race").CombinedOutput(); !strings.Contains(string(out), "WARNING: ThreadSanitizer: data race") {
		t.Errorf("a planted race is not seen:\n%.3000s", out)
	}
}
