package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ranks are this program as processes; without mpirun there are none.
func needsRanks(t *testing.T) {
	t.Helper()
	if !hasRanks() {
		t.Skip("there is no mpirun: apt-get install openmpi-bin")
	}
	t.Setenv(asProgram, "1")
}

func hasRanks() bool {
	_, err := exec.LookPath("mpirun")
	return err == nil
}

// ranked is a training by several processes.
func ranked(t *testing.T) (dir string, args func(out string, n int, more ...string) []string) {
	dir = t.TempDir()
	var rows strings.Builder
	for i := range 12 {
		rows.WriteString(judged(fmt.Sprint("row ", i), []int{9 - i%3, 8}[:1+i%2], []int{1 + i%4, 2}[:1+i%2]))
	}
	file := writeFile(t, filepath.Join(dir, "3.jsonl"), rows.String())
	writeFile(t, filepath.Join(dir, "critique.txt"), "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nReview.\n")
	return dir, func(out string, n int, more ...string) []string {
		return append([]string{"train", "--model", tinyModel(t), "--train_file", file, "--eval_file", file, "--output_dir", filepath.Join(dir, out), "--prompts", dir,
			"--max_steps", "60", "--batch_size", "4", "--accumulation", "1", "--lr", "0.005", "--save_steps", "8", "--eval_steps", "30", "--logging_steps", "5",
			"--lambda_schedule", "constant", "--threads", "1", "--nproc", fmt.Sprint(n)}, more...)
	}
}

func near(t *testing.T, what string, got, want []float64, within float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d steps, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > within*(1+math.Abs(want[i])) {
			t.Fatalf("%s: step %d: loss %v, want %v", what, i+1, got[i], want[i])
		}
	}
}

// TestRanks: processes that train together have the losses of one alone, up to rounding, and at the same number the same bytes; stopped, they go
// on as another number of processes from the same place in the data.
func TestRanks(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	out, _ := must(t, args("alone", 1)...)
	alone := steps(t, filepath.Join(dir, "alone"))
	weights := func(run string) string { return readFile(t, filepath.Join(dir, run, "model", "model.safetensors")) }
	for _, n := range []int{2, 3} {
		name, again := fmt.Sprint("ranks", n), fmt.Sprint("again", n)
		both, errs := must(t, args(name, n)...)
		if strings.Count(both, "\n") != strings.Count(out, "\n") || !strings.Contains(both, "step 60: loss ") || strings.Count(errs, "train: ") != 1 {
			t.Errorf("%d processes say %q, %q", n, both, errs)
		}
		near(t, name, steps(t, filepath.Join(dir, name)), alone, 1e-4)
		must(t, args(again, n)...)
		if weights(name) != weights(again) {
			t.Errorf("%d processes: two runs differ", n)
		}
	}
	for _, n := range []int{1, 2, 4} {
		must(t, args(fmt.Sprint("tree", n), n, "--gradient_sum", "tree")...)
		near(t, "tree", steps(t, filepath.Join(dir, fmt.Sprint("tree", n))), alone, 1e-4)
	}
	if weights("tree1") != weights("tree2") || weights("tree1") != weights("tree4") {
		t.Error("gradient_sum tree: 1, 2 and 4 processes differ")
	}
	code, _, errs := command(t, args("tree3", 3, "--gradient_sum", "tree", "--max_restarts", "2")...) // wrong settings stay wrong
	if code != exitUsage || !strings.Contains(errs, "gradient_sum: tree is for 1, 2, 4 or 8 processes, and there are 3") || strings.Contains(errs, "starting again") {
		t.Errorf("%d: %s", code, errs)
	}
	metrics := filepath.Join(dir, "moved", "metrics.jsonl")
	for _, n := range []int{3, 2, 1} {
		before := countLines(metrics)
		code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= before+6 }, nil, args("moved", n, "--resume", "auto")...)
		if code != 143 {
			t.Fatalf("exit code %d of %d processes after SIGTERM", code, n)
		}
	}
	must(t, args("moved", 3, "--resume", "latest")...)
	near(t, "moved", steps(t, filepath.Join(dir, "moved")), alone, 1e-4)
}

// TestRanksMeasure: two processes have the figures of one alone on several held-out files, and stop and pick as it does.
func TestRanksMeasure(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	file := filepath.Join(dir, "3.jsonl")
	var rows strings.Builder
	for i, row := range strings.Split(strings.TrimSpace(readFile(t, file)), "\n") {
		rows.WriteString(strings.Replace(row, "{", fmt.Sprintf(`{"category": "%d", `, i%2), 1) + "\n")
	}
	writeFile(t, file, strings.Repeat(rows.String(), 8)) // more than a batch for each process
	more := []string{"--eval_file", "a=" + file + ",b=" + file, "--max_eval_samples", "90", "--eval_on_start", "--eval_steps", "5", "--save_steps", "5", "--load_best_model_at_end", "--metric_for_best_model", "a_reward_loss",
		"--greater_is_better", "true", "--early_stopping_patience", "3", "--max_steps", "60"}
	var said []string
	for n := 1; n <= 2; n++ {
		all := args(fmt.Sprint("best", n), n)
		at := slices.Index(all, "--eval_file")
		out, _ := must(t, append(slices.Delete(all, at, at+2), more...)...)
		said = append(said, strings.ReplaceAll(out, fmt.Sprint("best", n), "best"))
	}
	if said[0] != said[1] || !strings.Contains(said[0], "of update 5 of 20: eval_a_reward_loss") || !strings.Contains(said[0], "step 20: ") {
		t.Errorf("one process says\n%s\ntwo say\n%s", said[0], said[1])
	}
	figures := func(n int) (list []float64) {
		for line := range strings.Lines(readFile(t, filepath.Join(dir, fmt.Sprint("best", n), "metrics.jsonl"))) {
			var x map[string]any
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"eval_a_loss", "eval_b_accuracy_1", "eval_a_min_reward", "eval_a_max_reward", "eval_a_std_reward", "eval_b_samples", "min_reward", "mean_reward", "std_reward", "critique_perplexity"} {
				if v, ok := x[key].(float64); ok {
					list = append(list, v)
				}
			}
		}
		return list
	}
	near(t, "two processes", figures(2), figures(1), 1e-3)
	if n := len(figures(1)); n < 100 {
		t.Errorf("%d figures", n)
	}
}

// children are the processes that a process has started, and theirs.
func children(pid int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents := map[int][]int{}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		var id, parent int
		var state string
		if _, err := fmt.Sscan(filepath.Base(filepath.Dir(s)), &id); err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil {
			parents[parent] = append(parents[parent], id)
		}
	}
	for at := []int{pid}; len(at) > 0; at = at[1:] {
		list = append(list, parents[at[0]]...)
		at = append(at, parents[at[0]]...)
	}
	return list
}

// killRank runs a training by two processes and kills one of them when some updates are made. On a busy machine the training may be over before
// the kill, or mpirun may end the other process, a second after it asked it to stop, before that has said what it knows: done says whether neither was so.
func killRank(t *testing.T, metrics string, args []string) (said string, err error, done bool) {
	cmd := exec.Command(os.Args[0], args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); countLines(metrics) < 12 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	rank := 0
	for _, pid := range children(cmd.Process.Pid) {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); filepath.Base(exe) == filepath.Base(os.Args[0]) {
			rank = max(rank, pid)
		}
	}
	killed := rank > 0 && syscall.Kill(rank, syscall.SIGKILL) == nil
	err = cmd.Wait()
	return out.String(), err, killed && strings.Contains(out.String(), fmt.Sprintf("process %d) is gone", rank))
}

// TestLostRank: a process that is killed ends the training with its name, nothing half-written is taken for good, and with max_restarts the
// others go on by themselves.
func TestLostRank(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	must(t, args("whole", 2)...)
	for _, restarts := range []string{"0", "1"} {
		run, said, err, done := "", "", error(nil), false
		for try := 1; !done; try++ {
			if try > 5 {
				t.Fatalf("nobody says which process is gone: %v: %s", err, said)
			}
			run = fmt.Sprint("lost", restarts, "-", try)
			said, err, done = killRank(t, filepath.Join(dir, run, "metrics.jsonl"), args(run, 2, "--max_restarts", restarts))
		}
		if restarts == "0" {
			if err == nil || !strings.Contains(said, "training has failed") {
				t.Errorf("%v: %s", err, said)
			}
			must(t, args(run, 2, "--resume", "latest")...)
		} else if err != nil || !strings.Contains(said, "a process was lost; starting again from the newest checkpoint") {
			t.Errorf("%v: %s", err, said)
		}
		near(t, run, steps(t, filepath.Join(dir, run)), steps(t, filepath.Join(dir, "whole")), 0)
		if readFile(t, filepath.Join(dir, run, "model", "model.safetensors")) != readFile(t, filepath.Join(dir, "whole", "model", "model.safetensors")) {
			t.Errorf("%s: the model differs from the uninterrupted run's", run)
		}
	}
}
