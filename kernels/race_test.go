//go:build !cuda

package kernels_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoDataRace builds the C++ side with the thread sanitizer and runs ops on four threads: Go's race detector does not look into C++.
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
	args := append([]string{"-O1", "-g", "-std=gnu++17", "-w", "-fno-strict-aliasing", "-fsanitize=thread", "-o", bin, "testdata/race.cc"}, sources...)
	if out, err := exec.Command("g++", append(args, "-lpthread", "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := func(arg ...string) (string, error) { return runSanitized(bin, arg...) }
	first, err := run()
	if strings.Contains(first, "unexpected memory mapping") {
		t.Skipf("the thread sanitizer does not start here: %.300s", first)
	}
	if out := first; err != nil || strings.Contains(out, "WARNING: ThreadSanitizer") {
		t.Errorf("%v\n%.3000s", err, out)
	}
	if out, _ := run("race"); !strings.Contains(out, "WARNING: ThreadSanitizer: data race") {
		t.Errorf("a planted race is not seen:\n%.3000s", out)
	}
}

// runSanitized runs a program that the sanitizer of older compilers wants at a fixed address, which a container may not give.
func runSanitized(bin string, arg ...string) (string, error) {
	out, err := exec.Command("setarch", append([]string{"-R", bin}, arg...)...).CombinedOutput()
	if err != nil && (errors.Is(err, exec.ErrNotFound) || strings.HasPrefix(string(out), "setarch:")) {
		out, err = exec.Command(bin, arg...).CombinedOutput()
	}
	return string(out), err
}
