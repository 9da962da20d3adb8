package cuda

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The static libcuda with a driver behind it and with a broken one: calls fail until the driver is found, then reach it with all their
// arguments, and what it lacks is not supported.
func TestJumps(t *testing.T) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	run := func(env, name string, args ...string) string {
		t.Helper()
		c := exec.Command(name, args...)
		c.Env = append(os.Environ(), env)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	program := filepath.Join(dir, "jumps")
	run("", "sh", "driver/build.sh", filepath.Join(dir, "lib"))
	run("", cc, "-O1", "testdata/jumps.c", "-o", program, "-L"+filepath.Join(dir, "lib"), "-lcuda", "-ldl", "-lpthread")
	run("", cc, "-O1", "-shared", "-fPIC", "testdata/libcuda.c", "-o", filepath.Join(dir, "libcuda.so.1"))
	if got, want := run("LD_LIBRARY_PATH="+dir, program), "0 100, found, 0 3, 801, 42"; got != want {
		t.Errorf("with a driver: %q, want %q", got, want)
	}
	broken := filepath.Join(dir, "broken")
	if err := errors.Join(os.Mkdir(broken, 0o755), os.WriteFile(filepath.Join(broken, "libcuda.so.1"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	got := run("LD_LIBRARY_PATH="+broken, program)
	if !strings.HasPrefix(got, "0 100, the NVIDIA driver cannot be loaded (") || !strings.HasSuffix(got, "): install it again, 100 0, 100, 100") {
		t.Errorf("with a broken driver: %q", got)
	}
}
