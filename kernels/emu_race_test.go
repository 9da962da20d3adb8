//go:build !cuda

package kernels_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// racing are planted mistakes that the thread sanitizer must see whatever the schedule: those of these names among the mutants, and
// more that no value shows.
var racing = append(slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool {
	return !slices.Contains([]string{"sum: no barrier", "attention: no barrier after the wait", "attention: no __syncwarp before the store"}, m.name)
}),
	mutant{"blocks that do not wait for each other", "reward_loss.cu", "", "reward_loss/H72/0", "if (!last_block(counter, blocks)) return;", "if (b < blocks - 1) return;", ""},
	mutant{"a static array that is too small", "reward_loss.cu", "", "reward_loss/H72/0", "__shared__ totals part[warps];", "__shared__ totals part[warps - 1];", ""},
)

// TestNoRaceInKernels compiles all kernels with the sanitizer of threads, and that of array bounds, and runs each op on the software
// GPU, whose threads are threads for the sanitizer too: nothing but barriers orders them, and nothing orders blocks.
func TestNoRaceInKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("short: compiles all kernels")
	}
	dir := t.TempDir()
	probe := exec.Command("g++", "-fsanitize=thread,bounds", "-x", "c++", "-", "-o", filepath.Join(dir, "probe"))
	probe.Stdin = strings.NewReader("int main() {}")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("g++ has no thread sanitizer here: %s", out)
	}
	all := buildOps(t, dir, "-O1", "-g", "-fsanitize=thread,bounds")
	run := func(bin string, cases ...string) string {
		out, err := runSanitized(bin, append([]string{"run"}, cases...)...)
		if strings.Contains(out, "unexpected memory mapping") {
			t.Skipf("the thread sanitizer does not start here: %.300s", out)
		}
		if err != nil {
			out += "\n" + err.Error()
		}
		return out
	}
	out := run(all.program(t, dir))
	if strings.Contains(out, "WARNING: ThreadSanitizer") || strings.Contains(out, "runtime error") || !strings.Contains(out, "\tok\n") {
		t.Errorf("%.6000s", out)
	}
	for _, m := range racing {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out := run(all.with(t, m), m.cases)
			if !regexp.MustCompile("WARNING: ThreadSanitizer: data race|runtime error: index").MatchString(out) {
				t.Errorf("not seen:\n%.3000s", out)
			}
		})
	}
}
