//go:build unix

package trainer

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"criticrm/device/devicetest"
)

// killedFromDisk names the recipe of a run that TestKillFromDisk starts in a process of its own.
const killedFromDisk = "CRITICRM_TEST_KILLED_FROM_DISK"

// TestKilledRunFromDisk is the process that is killed after step 6. Alone it does nothing.
func TestKilledRunFromDisk(t *testing.T) {
	recipe := os.Getenv(killedFromDisk)
	if recipe == "" {
		t.Skip("for TestKillFromDisk only")
	}
	c, err := LoadRecipe(recipe)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), devicetest.Open(t, 1), c, Report{OnStep: func(m Metrics) {
		if m.Step == 6 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal comes
		}
	}})
	t.Fatalf("the run was not killed: %v", err)
}

// A run that is killed while its examples lie on the disk leaves none of them there, and goes on as if nothing had been.
func TestKillFromDisk(t *testing.T) {
	straight := fileConfig(t)
	write(t, straight.TrainFile, records(30))
	straight.SaveSteps = 4
	c := straight
	if _, err := Run(context.Background(), devicetest.Open(t, 1), straight, Report{}); err != nil {
		t.Fatal(err)
	}
	c.OutputDir, c.DataMemory, c.Resume = filepath.Join(t.TempDir(), "killed"), 0, "auto"
	text, err := c.Recipe()
	if err != nil {
		t.Fatal(err)
	}
	recipe := filepath.Join(t.TempDir(), "recipe.yaml")
	write(t, recipe, string(text))
	process := exec.Command(os.Args[0], "-test.run=^TestKilledRunFromDisk$")
	process.Env = append(os.Environ(), killedFromDisk+"="+recipe)
	out, err := process.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the run ended with %v, want SIGKILL:\n%s", err, out)
	}
	noTokens(t, c.OutputDir)
	if _, err := Run(context.Background(), devicetest.Open(t, 1), c, Report{}); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, straight.OutputDir, c.OutputDir)
}
