//go:build !cuda

package kernels_test

import (
	"fmt"
	"maps"
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
	dir := t.TempDir()
	const sanitize = "-fsanitize=thread"
	objects := compileAll(t, dir, append(sources, "testdata/cases_cpu.cc"), func(source, object string) error {
		out, err := exec.Command("g++", "-O1", "-g1", "-march=native", "-DARCH_NATIVE", "-std=gnu++17", "-w", "-fno-strict-aliasing", sanitize, "-c", "-o", object, source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %v\n%s", source, err, out)
		}
		return nil
	})
	bin := link(t, filepath.Join(dir, "race"), slices.Sorted(maps.Values(objects)), sanitize)
	l := openLibrary(t)
	if out := underSanitizer(t, l, bin, l.cases); out != "" {
		t.Errorf("%.3000s", out)
	}
	if out, _ := sanitized(bin, "race").CombinedOutput(); !strings.Contains(string(out), "WARNING: ThreadSanitizer: data race") {
		t.Errorf("a planted race is not seen:\n%.3000s", out)
	}
}
