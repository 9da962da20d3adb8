//go:build cuda && emu

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestGPURanks: --nproc starts a process for each software GPU, which train together over NCCL's stand-in without mpirun: to the same bytes
// again, and after a signal; a machine with fewer is told.
func TestGPURanks(t *testing.T) {
	t.Setenv("EMU_DEVICES", "2")
	t.Setenv(asProgram, "1")
	dir, all := ranked(t)
	args := func(out string, n int, more ...string) []string {
		return append(all(out, n), append([]string{"--device", "cuda", "--max_steps", "8", "--save_steps", "2", "--eval_steps", "4"}, more...)...)
	}
	run := func(want int, args []string) string { // in a process of its own: a driver reads EMU_DEVICES once
		t.Helper()
		cmd := exec.Command(os.Args[0], args...)
		said, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Fatalf("exit code %d, want %d: %v: %s", code, want, err, said)
		}
		return string(said)
	}
	if said := run(exitUsage, args("many", 3)); !strings.Contains(said, "--nproc is 3, and this machine has 2 NVIDIA devices, one for each process") {
		t.Error(said)
	}
	if said := run(exitUsage, args("one", 2, "--device", "cuda:1")); !strings.Contains(said, "--device cuda:1 is one device") {
		t.Error(said)
	}
	said := run(exitOK, args("two", 2))
	if strings.Count(said, "step 8: loss ") != 1 || strings.Contains(said, "[rank 1] step") {
		t.Error(said)
	}
	metrics := filepath.Join(dir, "stopped", "metrics.jsonl")
	if code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= 2 }, nil, args("stopped", 2)...); code != 143 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	run(exitOK, args("stopped", 2, "--resume", "latest"))
	weights := func(run string) string { return readFile(t, filepath.Join(dir, run, "model", "model.safetensors")) }
	if weights("two") != weights("stopped") {
		t.Error("a run that was stopped has other weights")
	}
	if a, b := steps(t, filepath.Join(dir, "two")), steps(t, filepath.Join(dir, "stopped")); !slices.Equal(a, b) {
		t.Errorf("losses %v and %v", a, b)
	}
	metrics = filepath.Join(dir, "killed", "metrics.jsonl")
	if said, err, done := killRank(t, metrics, args("killed", 2, "--max_restarts", "1", "--max_steps", "16")); err != nil || done && !strings.Contains(said, "a process was lost; starting again") {
		t.Errorf("%v: %s", err, said)
	}
	t.Setenv("RANK", "2")
	t.Setenv("WORLD_SIZE", "3")
	t.Setenv("LOCAL_RANK", "2")
	if said := run(exitUsage, args("third", 1)); !strings.Contains(said, "rank 2 is number 2 (from 0) on this machine, which has 2 NVIDIA devices") {
		t.Error(said)
	}
}
