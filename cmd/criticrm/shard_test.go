package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/stage"
)

// TestShards: parts, made in any order, one of them stopped in between and one by two processes, are put together to what one run writes.
func TestShards(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	lines := shared(t, dir, 11)
	whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "out.jsonl")
	must(t, lines["generate"]("whole")...)
	line := func(more ...string) []string { return lines["generate"]("out.jsonl", more...) }
	merge := []string{"merge", "--out", out}
	says := func(args []string, want string) {
		t.Helper()
		if code, _, errs := command(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s, want %s", args, code, errs, want)
		}
	}
	says(merge, "there is no out.shard-0-of-2.jsonl")
	must(t, line("--shard", "2/3", "--nproc", "2")...)
	says(merge, "part out.shard-0-of-3.jsonl is missing")
	must(t, line("--shard", "0/3")...)
	ctx, watch := stopAfter("generate: 2/4 records")
	if code, _, errs := commandContext(t, ctx, watch, line("--shard", "1/3")...); code != 128+int(syscall.SIGTERM) || !strings.Contains(errs, "stopped after 2 of 4 records") {
		t.Errorf("%d %s", code, errs)
	}
	says(merge, "out.shard-1-of-3.jsonl is not complete")
	says([]string{"filter", "--in", stage.Shard{Index: 1, Of: 3}.Path(out), "--out", filepath.Join(dir, "f.jsonl")}, "is not complete")
	t.Setenv("SLURM_ARRAY_TASK_ID", "5")
	t.Setenv("SLURM_ARRAY_TASK_MIN", "4")
	t.Setenv("SLURM_ARRAY_TASK_MAX", "6")
	t.Setenv("SLURM_ARRAY_TASK_COUNT", "3")
	if _, errs := must(t, line("--shard", "auto")...); !strings.Contains(errs, "going on after 2 of 4 records") {
		t.Error(errs)
	}
	if got, _ := must(t, merge...); got != out+": 11 records of 3 parts\n" {
		t.Errorf("%q", got)
	}
	for _, path := range []func(string) string{func(s string) string { return s }, stage.SidecarPath} {
		if readFile(t, path(out)) != readFile(t, path(whole)) {
			t.Errorf("the parts and the whole differ:\n%s\n%s", readFile(t, path(out)), readFile(t, path(whole)))
		}
	}
	if _, errs := must(t, line()...); !strings.Contains(errs, "going on after 11 of 11 records") {
		t.Error(errs)
	}
	says(merge, "it is there already")
	must(t, append(merge, "--restart")...)

	second := stage.Shard{Index: 1, Of: 3}.Path(out)
	text := readFile(t, second)
	writeFile(t, second, strings.Replace(text, "What", "Whet", 1))
	says(append(merge, "--restart"), "out.shard-1-of-3.jsonl is not as its stage has left it")
	if readFile(t, out) != readFile(t, whole) {
		t.Error("a failed merge has changed the output")
	}
	writeFile(t, second, text)
	must(t, line("--shard", "1/3", "--restart", "--seed", "8")...)
	says(append(merge, "--restart"), "out.shard-1-of-3.jsonl is not of the same work as part 0: options.sampling.seed was 8, now 7")
	must(t, line("--shard", "0/2")...)
	says(append(merge, "--restart"), "there are parts of 2 and of 3 beside each other")
	if err := os.Rename(second, stage.Shard{Index: 1, Of: 2}.Path(out)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"3/3": `--shard: shard "3/3": want the number of a part`, "x": "want the number of a part", "0/12": "12 parts of 11 records: ask for 11 at most", "0/0": "want the number"} {
		says(line("--shard", text), want)
	}
	says(append(lines["score"]("x", "--shard", "0/2")[:1], "--in", filepath.Join(dir, "pairs.jsonl"), "--model", rewardModel(t, "critic"), "--shard", "0/2"), "--shard needs --out")
	says(lines["refine"]("x", "--shard", "0/2", "--mode", "margin"), "mode margin asks none")
	t.Setenv("SLURM_ARRAY_TASK_COUNT", "2")
	says(line("--shard", "auto"), "the Slurm array goes from 4 to 6 and has 2 tasks")
	t.Setenv("SLURM_ARRAY_TASK_ID", "")
	says(line("--shard", "auto"), "no variables of mpirun, torchrun, srun or a Slurm array: give the part, as 0/4")
	t.Setenv("RANK", "1")
	t.Setenv("WORLD_SIZE", "2")
	t.Setenv("LOCAL_WORLD_SIZE", "2")
	says(line("--shard", "auto", "--nproc", "2"), "torchrun has started several processes on this machine, and each asks for --nproc 2")
	must(t, append(line("--shard", "auto"), "--out", filepath.Join(dir, "other.jsonl"))...)
	if countLines(filepath.Join(dir, "other.shard-1-of-2.jsonl")) != 6 {
		t.Error("rank 1 of 2 has not made the second part of 11 rows")
	}
}
