package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"criticrm/cuda"
)

// Every command that opens a model can be told where, and refuses what it cannot mean before it opens anything.
func TestDeviceFlag(t *testing.T) {
	for _, args := range []string{"generate --model m --in a --out b", "refine --model m --in a --out b", "score --model m --in a", "eval --model m --in a",
		"logits --model m --ids a --out b", "demo --output_dir /none/x", "base --output_dir /none/x", "train --model m --train_file a --output_dir o"} {
		if code, _, errs := command(t, strings.Fields(args+" --device gpu:1")...); code != exitUsage || !strings.Contains(errs, `device: want auto, cpu, cuda or cuda:N, got "gpu:1"`) {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
		if cuda.Built {
			continue
		}
		if code, _, errs := command(t, strings.Fields(args+" --device cuda:1")...); code != exitUsage || !strings.HasSuffix(errs, "criticrm: this criticrm is built without CUDA: run make cuda, or use --device cpu\n") {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
	}
	for _, cmd := range newRoot().Commands() {
		f := cmd.Flags()
		if f.Lookup("threads") != nil && (f.Lookup("device") == nil || f.Lookup("memory_report") == nil) {
			t.Errorf("%s has threads, but not device and memory_report", cmd.Name())
		}
	}
}

func TestMemoryReport(t *testing.T) {
	dir := t.TempDir()
	ids := writeFile(t, filepath.Join(dir, "ids"), "[1, 2, 3]\n")
	_, errs := must(t, "logits", "--model", tinyModel(t), "--ids", ids, "--out", filepath.Join(dir, "out"), "--device", "cpu", "--memory-report")
	if !strings.HasPrefix(errs, "host memory: ") || !strings.HasSuffix(errs, " MiB at most\n") {
		t.Errorf("%q", errs)
	}
	pairs := writeFile(t, filepath.Join(dir, "pairs"), sumPairs(4))
	_, errs = must(t, "train", "--model", tinyModel(t), "--train_file", pairs, "--output_dir", filepath.Join(dir, "run"), "--method", "bt", "--max_steps", "1", "--device", "cpu", "--memory_report")
	if !strings.Contains(errs, "float32 on cpu") || !strings.Contains(errs, "\nhost memory: ") {
		t.Errorf("%q", errs)
	}
}

func TestDevices(t *testing.T) {
	out, _ := must(t, "devices")
	if !strings.HasPrefix(out, "cpu\ncuda") {
		t.Errorf("%q", out)
	}
	out, _ = must(t, cobra.ShellCompNoDescRequestCmd, "train", "--device", "")
	if !strings.HasPrefix(out, "auto\ncpu\ncuda\n") {
		t.Errorf("%q", out)
	}
}
