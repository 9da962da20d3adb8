package collective

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNCCLHeader compares the values and layouts of nccl.h with NVIDIA's.
func TestNCCLHeader(t *testing.T) {
	dir, toolkit := os.Getenv("NCCL_INCLUDE"), os.Getenv("CUDA_INCLUDE")
	if dir == "" {
		dir = "/usr/include"
	}
	if _, err := os.Stat(filepath.Join(dir, "nccl.h")); err != nil {
		t.Skip("there is no nccl.h in NCCL_INCLUDE or /usr/include")
	}
	if toolkit == "" {
		toolkit = "/usr/local/cuda/include"
	}
	out, err := exec.Command("gcc", "-fsyntax-only", "-DHAVE_NCCL", "-isystem", dir, "-isystem", toolkit, "testdata/nccl.c").CombinedOutput()
	if err != nil {
		t.Fatalf("against %s/nccl.h: %v\n%s", dir, err, out)
	}
}

// TestNCCLLoads: a library that cannot be loaded, or is another one, is told apart from none.
func TestNCCLLoads(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "nccl")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "testdata/nccl.c", "nccl.c", "-ldl", "-o", bin).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	empty := filepath.Join(dir, "libnccl.so.2")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		empty:                       "file too short",
		"libc.so.6":                 "libc.so.6 has no ncclGetVersion",
		filepath.Join(dir, "other"): "No such file",
		"libnccl.so.2":              "libnccl.so.2", // loaded, or not there
	} {
		out, err := exec.Command(bin, path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) && !strings.HasPrefix(string(out), "loaded ") {
			t.Errorf("%s: %v: %s, want %q", path, err, out, want)
		}
	}
}

func TestMeeting(t *testing.T) {
	for _, x := range []struct {
		launcher string
		env      map[string]string
		want     string
		err      string
	}{
		{"torchrun", map[string]string{"MASTER_ADDR": "node7", "MASTER_PORT": "1234"}, "node7:1234", ""},
		{"torchrun", map[string]string{"MASTER_ADDR": "node7"}, "node7:29500", ""},
		{"torchrun", map[string]string{"MASTER_ADDR": "::1", "MASTER_PORT": "1234", "TORCHELASTIC_USE_AGENT_STORE": "True"}, "[::1]:1235", ""},
		{"torchrun", nil, "", "torchrun does not say where the 4 ranks meet: set MASTER_ADDR"},
		{"torchrun", map[string]string{"MASTER_ADDR": "a", "MASTER_PORT": "x"}, "", `MASTER_PORT is "x": want a port`},
		{"srun", map[string]string{"SLURM_JOB_NODELIST": "gpu[007-009,12],login", "SLURM_JOB_ID": "10", "SLURM_STEP_ID": "3"}, "gpu007:20073", ""},
		{"srun", map[string]string{"SLURM_JOB_NODELIST": "a[1-2]", "MASTER_ADDR": "b"}, "b:29500", ""},
		{"srun", map[string]string{"SLURM_JOB_NODELIST": "a[1-2]b[1-2]"}, "", "set MASTER_ADDR to its first host"},
	} {
		w := World{Rank: 1, Size: 4, Launcher: x.launcher}
		got, err := w.Meeting(func(k string) string { return x.env[k] })
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s, %v: %q, %v, want %q, %q", x.launcher, x.env, got, err, x.want, x.err)
		}
	}
	for list, want := range map[string]string{"one": "one", "one,two": "one", "a[3,5-6]": "a3", "a[3].b,c": "a3.b", "a,b[1-2]": "a"} {
		if got, err := firstHost(list); got != want || err != nil {
			t.Errorf("%s: %q, %v", list, got, err)
		}
	}
}

func TestLaunchLocal(t *testing.T) {
	var out strings.Builder
	err := LaunchLocal(t.Context(), 3, "/bin/sh", []string{"-c", `echo "rank $RANK of $WORLD_SIZE at $MASTER_ADDR, $LOCAL_RANK"; [ "$RANK" != 2 ]`}, &out, &out)
	if e, ok := err.(*ExitError); !ok || e.Rank != 2 || e.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"\n[rank 1] rank 1 of 3 at 127.0.0.1, 1\n", "\nrank 0 of 3 at 127.0.0.1, 0\n"} {
		if !strings.Contains("\n"+out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
	err = LaunchLocal(t.Context(), 2, "/bin/sh", []string{"-c", `[ "$RANK" != 1 ] || kill -9 $$`}, &out, &out)
	if e, ok := err.(*ExitError); !ok || e.Rank != 1 || e.ExitCode() != 137 {
		t.Errorf("%v", err)
	}
}
