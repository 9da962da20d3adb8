//go:build unix

package critic

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/record/recordtest"
	"criticrm/stage"
)

// fullDisk names the directory of a stage that runs in a process of its own, in which writes beyond 12000 bytes of a file fail.
const fullDisk = "CRITICRM_TEST_FULL_DISK"

// TestFullDiskStage is that process. Alone it does nothing.
func TestFullDiskStage(t *testing.T) {
	dir := os.Getenv(fullDisk)
	if dir == "" {
		t.Skip("for TestDiskFull only")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 12000, Max: 12000}); err != nil {
		t.Fatal(err)
	}
	_, _, err := runGenerate(t, filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl"), generateOptions(), -1)
	fmt.Println("the stage ended with", err)
}

// A stage that finds the disk full says so, its output is not taken for complete, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	in, out, whole := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl"), filepath.Join(dir, "whole.jsonl")
	if err := os.WriteFile(in, []byte(recordtest.Lines(18)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runGenerate(t, in, whole, generateOptions(), -1); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is a torn chunk already
		process := exec.Command(os.Args[0], "-test.run=^TestFullDiskStage$", "-test.v")
		process.Env = append(os.Environ(), fullDisk+"="+dir)
		text, err := process.CombinedOutput()
		if want := "the stage ended with generate: write " + out + ": "; err != nil || !strings.Contains(string(text), want) {
			t.Fatalf("%v, want %q:\n%s", err, want, text)
		}
		if ok, err := stage.IsComplete(out); ok || err != nil {
			t.Errorf("half an output counts as complete: %v, %v", ok, err)
		}
		next, _, err := FilterStage(out, filepath.Join(dir, "next.jsonl"), DefaultFilterOptions())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is not complete") {
			t.Errorf("the next stage takes half an output: %v", err)
		}
	}
	res, _, err := runGenerate(t, in, out, generateOptions(), -1)
	if err != nil || res.Resumed == 0 || res.Resumed == 18 || !bytes.Equal(read(t, out), read(t, whole)) {
		t.Errorf("with room again: %+v, %v", res, err)
	}
}
