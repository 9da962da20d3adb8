//go:build !cuda

package kernels_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels/kerneltest/spec"
)

// racing are planted mistakes that the thread sanitizer must see whatever the schedule: those of these names among the mutants, and
// more that no value shows.
var racing = append(slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool {
	return !slices.Contains([]string{"sum: no barrier", "attention: no barrier after the wait", "attention: no __syncwarp before the store"}, m.name)
}),
	mutant{"blocks that do not wait for each other", "reward_loss.cu", "", "reward_loss/f32/four_four_x3_cross", "if (!last_block(counter, blocks)) return;", "if (b < blocks - 1) return;\n    __syncthreads();", ""},
	mutant{"a static array that is too small", "reward_loss.cu", "", "reward_loss/f32/four_four_x3_cross", "__shared__ totals part[warps];", "__shared__ totals part[warps - 1];", ""},
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
	all, l := buildCases(t, dir, "-O1", "-g1", "-fsanitize=thread,bounds"), openLibrary(t)
	cases := slices.DeleteFunc(slices.Clone(l.cases), func(c spec.Case) bool { return !c.Race })
	if out := underSanitizer(t, l, all.program(t, dir), cases); out != "" {
		t.Errorf("%.6000s", out)
	}
	for _, m := range racing {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out := underSanitizer(t, l, all.with(t, m), l.named(t, m.cases))
			if !regexp.MustCompile("WARNING: ThreadSanitizer: data race|runtime error: index").MatchString(out) {
				t.Errorf("not seen:\n%.3000s", out)
			}
		})
	}
}
