package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/internal/limit"
	"criticrm/stage"
)

// shared are command lines whose rows several processes can share. Short prompts keep them quick; the model's critiques have no scores.
func shared(t *testing.T, dir string, rows int) map[string]func(out string, more ...string) []string {
	in := writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(rows))
	var refinable strings.Builder
	for i := range rows {
		refinable.WriteString(judged(fmt.Sprint("row ", i), []int{9, 8 - i%3, 7}, []int{1, 2 + i%3}))
	}
	kept := writeFile(t, filepath.Join(dir, "kept.jsonl"), "")
	must(t, "filter", "--in", writeFile(t, filepath.Join(dir, "judged.jsonl"), refinable.String()), "--out", filepath.Join(dir, "filtered.jsonl"))
	kept = filepath.Join(dir, "filtered.jsonl")
	prompts := shortPrompts(t)
	model := tinyModel(t)
	line := func(words ...string) func(string, ...string) []string {
		model := model
		return func(out string, more ...string) []string {
			return append(append(append([]string{words[0]}, "--out", filepath.Join(dir, out), "--model", model, "--chunk", "2", "--max_tokens", "6", "--seed", "7"), words[1:]...), more...)
		}
	}
	lines := map[string]func(string, ...string) []string{
		"generate": line("generate", "--in", in, "--critiques", "2", "--prompts", prompts, "--min_parsed", "0"),
		"eval":     line("eval", "--in", in, "--samples", "2", "--prompts", prompts, "--judge", "--min_parsed", "0"),
		"refine":   line("refine", "--in", kept, "--prompts", prompts, "--meta_samples", "2", "--min_survivors", "0"),
		"revise":   line("revise", "--in", kept, "--after", "none,shuffled,critique"),
	}
	model = rewardModel(t, "critic")
	lines["score"] = line("score", "--in", in, "--samples", "2", "--prompts", prompts, "--override")
	model = rewardModel(t, "bt")
	lines["plain"] = line("score", "--in", in)
	return lines
}

// TestTeam: so many processes write the bytes that one does, with the same state beside them.
func TestTeam(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	lines := shared(t, dir, 13)
	for name, line := range lines {
		out, _ := must(t, line(name+"1")...)
		for n := 2; n <= 3; n++ {
			to := fmt.Sprint(name, n)
			got, errs := must(t, line(to, "--nproc", fmt.Sprint(n))...)
			if strings.ReplaceAll(got, to, name+"1") != out || strings.Count(errs, "going on") > 0 || strings.Count(errs, "13/13 records") != 1 {
				t.Errorf("%s: %d processes say %q and %q, one %q", name, n, got, errs, out)
			}
			for _, path := range []func(string) string{func(s string) string { return s }, stage.SidecarPath} {
				if readFile(t, path(filepath.Join(dir, to))) != readFile(t, path(filepath.Join(dir, name+"1"))) {
					t.Errorf("%s: %d processes and one differ", name, n)
				}
			}
		}
	}
}

// began starts a command line as a process and waits until its output has so many rows and it has n helpers.
func began(t *testing.T, out string, rows, n int, args ...string) (cmd *exec.Cmd, said *bytes.Buffer, helpers []int) {
	t.Helper()
	cmd, said = exec.Command(os.Args[0], args...), &bytes.Buffer{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && countLines(out) < teamRows; time.Sleep(2 * time.Millisecond) {
		if countLines(out) < rows {
			continue
		}
		if helpers = children(cmd.Process.Pid); len(helpers) >= n {
			return cmd, said, helpers
		}
	}
	t.Fatalf("%d rows, %d helpers: %s", countLines(out), len(helpers), said)
	return nil, nil, nil
}

// teamRows are so many that a process is met at work, on a busy machine, too.
const teamRows = 560

// TestTeamFaults: whoever is killed or stopped, all end with one error that says which it was, and the same command, with any number of processes,
// ends with the bytes of an uninterrupted one.
func TestTeamFaults(t *testing.T) {
	t.Setenv(asProgram, "1")
	t.Setenv(limit.Silence, "3s")
	dir := t.TempDir()
	short := shared(t, dir, teamRows)["generate"]
	line := func(out string, more ...string) []string { return append(short(out, more...), "--max_tokens", "24") }
	out := filepath.Join(dir, "lost")
	must(t, line("whole")...)
	ends := func(cmd *exec.Cmd, helpers []int) int {
		t.Helper()
		ended := make(chan int, 1)
		go func() { _ = cmd.Wait(); ended <- cmd.ProcessState.ExitCode() }()
		select {
		case code := <-ended:
			for _, pid := range helpers {
				for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil && !gone(pid); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("helper %d goes on", pid)
					}
				}
			}
			return code
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
		return 0
	}
	rows := 0
	for i, c := range []struct {
		what   string
		n      int
		signal syscall.Signal
		first  bool
		code   int
		says   string
	}{
		{"a helper is killed", 3, syscall.SIGKILL, false, exitLost, "criticrm: generate: rank 2 (process %d) was ended by a signal (killed); the same command goes on\n"},
		{"the first process is killed", 2, syscall.SIGKILL, true, -1, ""},
		{"a helper is stopped", 2, syscall.SIGSTOP, false, exitLost, "criticrm: generate: rank 1 (process %d) has been silent for 3s: it is stopped or stuck; the same command goes on\n"},
		{"a helper is asked to stop", 2, syscall.SIGTERM, false, exitFailed, "criticrm: generate: rank 1 (process %d) has failed (exit status 143): stopped: stopped by terminated\n"},
		{"the first process is asked to stop", 3, syscall.SIGTERM, true, 143, fmt.Sprintf(" of %d records, run it again to go on: stopped by terminated\n", teamRows)},
	} {
		cmd, said, helpers := began(t, out, rows+12, c.n-1, line("lost", "--nproc", fmt.Sprint(c.n))...)
		pid := helpers[len(helpers)-1]
		for _, h := range helpers {
			pid = max(pid, h)
		}
		want := c.says
		if strings.Contains(want, "%d") {
			want = fmt.Sprintf(want, pid)
		}
		if c.first {
			pid = cmd.Process.Pid
		}
		if err := syscall.Kill(pid, c.signal); err != nil {
			t.Fatal(err)
		}
		if code := ends(cmd, helpers); code != c.code || !strings.HasSuffix(said.String(), want) || strings.Count(said.String(), "criticrm: ") > 1 {
			t.Errorf("%s: exit code %d: %s", c.what, code, said)
		}
		if done, err := stage.IsComplete(out); done || err != nil {
			t.Errorf("%s: complete %v, %v", c.what, done, err)
		}
		if was := rows; i > 0 && countLines(out) < was {
			t.Errorf("%s: %d rows after %d", c.what, countLines(out), was)
		}
		rows = countLines(out)
	}
	_, errs := must(t, line("lost", "--nproc", "2")...)
	if !strings.Contains(errs, "generate: going on after ") || readFile(t, out) != readFile(t, filepath.Join(dir, "whole")) {
		t.Errorf("it ends with other bytes: %s", errs)
	}
}

// gone says whether a process has ended and waits for nobody but its parent.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// TestTeamSettings: what several processes cannot do is named before anything is written, a row that is wrong is named as by one process, and
// rewards without a file are those that one process has.
func TestTeamSettings(t *testing.T) {
	t.Setenv(asProgram, "1")
	dir := t.TempDir()
	lines := shared(t, dir, 5)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{lines["generate"]("x", "--nproc", "0"), exitUsage, "--nproc is 0: want 1 to 4096"},
		{lines["generate"]("x", "--nproc", "6"), exitUsage, "generate: 6 processes are to share 5 records: ask for 5 at most"},
		{lines["generate"]("x", "--nproc", "2", "--engine", "openai", "--base_url", "http://localhost:1/v1"), exitUsage, "--nproc is for a model on this machine: engine openai has --concurrency"},
		{lines["generate"]("x", "--nproc", "2", "--device", "cuda:0"), exitUsage, "--device cuda:0 is one GPU, and --nproc asks for 2 processes"},
		{lines["refine"]("x", "--nproc", "2", "--mode", "margin"), exitUsage, "mode margin asks none"},
		{[]string{"eval", "--in", filepath.Join(dir, "pairs.jsonl"), "--nproc", "2"}, exitUsage, "--nproc need --model"},
	} {
		code, _, errs := command(t, c.args...)
		if _, err := os.Stat(filepath.Join(dir, "x")); code != c.code || !strings.Contains(errs, c.want) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %d %s, %v", c.args, code, errs, err)
		}
	}
	t.Setenv(limit.Silence, "soon")
	if code, _, errs := command(t, lines["generate"]("y", "--nproc", "2")...); code != exitFailed || !strings.Contains(errs, `CRITICRM_SILENCE is "soon": want a time of 2s or more`) {
		t.Errorf("%d %s", code, errs)
	}
	t.Setenv(limit.Silence, "")
	long := fmt.Sprintf(`{"id":"long","prompt":"What is 1?","chosen":%q,"rejected":"no"}`+"\n", strings.Repeat("x1", 400))
	writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(9)+long+sumPairs(19)[len(sumPairs(9)):])
	var said []string
	for _, n := range []string{"1", "2"} {
		code, _, errs := command(t, lines["generate"]("z"+n, "--nproc", n)...)
		if code != exitData {
			t.Errorf("%d %s", code, errs)
		}
		said = append(said, lastLine(errs)+readFile(t, filepath.Join(dir, "z"+n))[:200])
	}
	if said[0] != said[1] || !strings.Contains(said[0], `pairs.jsonl:10: record "long": "chosen": 8`) {
		t.Errorf("a long row: %q", said)
	}
	writeFile(t, filepath.Join(dir, "pairs.jsonl"), sumPairs(5))
	for _, name := range []string{"score", "plain", "eval"} {
		var said []string
		for _, n := range []string{"1", "2"} {
			args := lines[name]("", "--nproc", n)
			out, _ := must(t, append(args[:1:1], args[3:]...)...) // without --out
			said = append(said, out)
		}
		if said[0] != said[1] || len(said[0]) < 100 {
			t.Errorf("%s without a file: %q", name, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "criticrm-rows-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
