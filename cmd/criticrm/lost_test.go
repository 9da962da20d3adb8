package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/kernels"
)

// A wrapper that starts a run again must be able to tell a lost device from a run that would fail again.
func TestLostDeviceHasItsExitCode(t *testing.T) {
	err := fmt.Errorf("trainer: step 4: %w; the newest checkpoint is x", errors.Join(errors.New("launch failed"), kernels.Lost{Err: errors.New("719")}))
	if code := exitCode(context.Background(), err); code != exitLost || exitLost != 75 {
		t.Errorf("a lost device: exit code %d, want 75", code)
	}
	if code := exitCode(context.Background(), errors.New("another")); code != exitFailed {
		t.Errorf("another failure: exit code %d", code)
	}
}

// The fault: a command that does not come to look at the first signal, since its device hangs, has to end at the second, and say so; but a
// signal that comes twice at once, as timeout(1) sends it, is one.
func TestSecondSignal(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asHanging+"=1")
	var errs bytes.Buffer
	c.Stderr = &errs
	ready, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // it answers the first signal, so the second cannot be merged with it, and lives through that, which comes too soon
		if i == 2 {
			time.Sleep(doubled)
		}
		if _, err := ready.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Wait() // the exit code is looked at
	if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(errs.String(), "ended at once by a second signal") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

// hang is a command that is told to stop and does not.
func hang() {
	ctx, _ := signalContext()
	fmt.Print("1")
	<-ctx.Done()
	fmt.Print("2")
	time.Sleep(doubled / 2)
	fmt.Print("3")
	select {}
}
