package main

import (
	"strings"
	"testing"
)

// --tables heeds nothing but the directory, and says so; of a directory without a demo it says that.
func TestDemoTables(t *testing.T) {
	dir := t.TempDir()
	for _, flag := range []string{"--full", "--seeds=1", "--threads=1", "--memory_report"} {
		if code, _, stderr := command(t, "demo", "--tables", "--output_dir", dir, flag); code != 2 || !strings.Contains(stderr, "leave out "+strings.Split(flag, "=")[0]) {
			t.Errorf("%s: exit code %d, %s", flag, code, stderr)
		}
	}
	if code, _, stderr := command(t, "demo", "--tables", "--output_dir", dir); code == 0 || !strings.Contains(stderr, "no demo has measured a model there") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
