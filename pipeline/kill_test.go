//go:build unix

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"criticrm/kernels"
)

// killed names the folder of a run that TestKilledAnywhere starts in a process of its own.
const killed = "CRITICRM_TEST_KILLED_PIPELINE"

// killConfig is a run with everything in it: two rounds, a validation split, best models, both baselines.
func killConfig(t *testing.T, dir, out string) Config {
	c := choosing(small(t, dir, out))
	c.Rounds, c.Baselines = 2, "bt,cloud"
	if err := c.Resolve(nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKilledRun is the process that is killed. Alone it does nothing. A SIGTERM ends it as it ends the command.
func TestKilledRun(t *testing.T) {
	dir := os.Getenv(killed)
	if dir == "" {
		t.Skip("for TestKilledAnywhere only")
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() { <-stop; cancel() }()
	_, err = Run(ctx, dev, killConfig(t, dir, "killed"), Options{Log: os.Stdout})
	if errors.Is(err, context.Canceled) {
		os.Exit(143)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A run that is killed at random moments, by SIGKILL and by SIGTERM in turn, and started again each time, ends with the bytes of one that
// was not, wherever that was: in the middle of a file, of a checkpoint, between two stages, before the link.
func TestKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	dir := t.TempDir()
	straight := killConfig(t, dir, "straight")
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	start := time.Now()
	if _, err := Run(context.Background(), dev, straight, Options{}); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(start)
	kills := map[syscall.Signal]int{}
	for attempt := 0; ; attempt++ {
		if attempt == 200 {
			t.Fatal("it never ends")
		}
		process := exec.Command(os.Args[0], "-test.run=^TestKilledRun$", "-test.v")
		process.Env = append(os.Environ(), killed+"="+dir)
		var out bytes.Buffer
		process.Stdout, process.Stderr = &out, &out
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		s := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[attempt%2]
		timer := time.AfterFunc(time.Duration(rand.Float64()*float64(whole)/4), func() { _ = process.Process.Signal(s) })
		err := process.Wait()
		timer.Stop()
		var exit *exec.ExitError
		if err == nil {
			break
		}
		if status := process.ProcessState.Sys().(syscall.WaitStatus); !errors.As(err, &exit) || status.Signal() != syscall.SIGKILL && status.ExitStatus() != 143 && status.Signal() != syscall.SIGTERM {
			t.Fatalf("attempt %d: %v\n%s", attempt, err, out.String())
		}
		kills[s]++
	}
	t.Logf("a straight run takes %v; %d SIGKILL and %d SIGTERM before the end", whole, kills[syscall.SIGKILL], kills[syscall.SIGTERM])
	if kills[syscall.SIGKILL] == 0 {
		t.Error("the run was never killed")
	}
	same(t, straight.OutputDir, filepath.Join(dir, "killed"))
}
