package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/checkpoint"
	"criticrm/internal/limit"
)

// Faults by script: trainings by several processes of which one is killed, stopped or held up at a random moment. Some of them are run by every
// test; as many as these say, from a seed, on demand:
//
//	CRITICRM_FAULT_RUNS=200 CRITICRM_FAULT_SEED=1 go test ./cmd/criticrm -run TestRankFaults -v -timeout 3h
//
// CRITICRM_FAULT_FIRST begins with another one than the first.
const faultRuns, faultSeed, faultFirst = "CRITICRM_FAULT_RUNS", "CRITICRM_FAULT_SEED", "CRITICRM_FAULT_FIRST"

// The limits of these trainings, and what a training may take from a fault to its end: the limit, the time in which mpirun has the others end,
// and a busy machine, on which Open MPI alone may take longer than ten seconds to start.
const (
	faultSilence = 2 * time.Second
	faultMeet    = time.Minute
	faultSlack   = 15 * time.Second
)

// fault is what happens to a rank, and when.
type fault struct {
	kind, moment string
	n, rank      int
	stage        int           // what the ranks divide: zero_stage
	steps        int           // updates that are made before it
	wait         time.Duration // behind that
}

var (
	faultKinds   = []string{"kill", "stop", "delay"}
	faultMoments = []string{"start", "update", "checkpoint", "end"}
)

func (f fault) String() string {
	return fmt.Sprintf("%s rank %d of %d, zero_stage %d, %s (%d updates and %v)", f.kind, f.rank, f.n, f.stage, f.moment, f.steps, f.wait)
}

// deadline is how long the training may go on behind the fault.
func (f fault) deadline() time.Duration {
	switch {
	case f.kind == "kill":
		return faultSlack
	case f.kind == "stop" && f.moment == "start":
		return max(faultMeet, faultSilence) + faultSlack
	case f.kind == "stop":
		return faultSilence + faultSlack
	}
	return 3 * time.Minute // it ends well
}

// drawn is the i-th fault: kinds and moments in turn, the rest by chance.
func drawn(i int, r *rand.Rand) fault {
	f := fault{kind: faultKinds[i%3], moment: faultMoments[i/3%4], stage: i / 12 % 4, n: 2 + r.IntN(2)}
	f.rank = r.IntN(f.n)
	switch f.moment {
	case "start":
		f.wait = time.Duration(r.IntN(1000)) * time.Millisecond
	case "update", "checkpoint":
		f.steps = 1 + r.IntN(faultSteps-4)
		f.wait = time.Duration(r.IntN(4000)) * time.Microsecond
	case "end":
		f.steps, f.wait = faultSteps, time.Duration(r.IntN(60))*time.Millisecond
	}
	if f.moment == "checkpoint" {
		f.wait /= 8
	}
	return f
}

const faultSteps = 25

// faulted are the trainings.
type faulted struct {
	dir  string
	args func(out string, n int, more ...string) []string
}

func newFaulted(t *testing.T) *faulted {
	t.Setenv(limit.Silence, faultSilence.String())
	t.Setenv(limit.Meet, faultMeet.String())
	dir, args := ranked(t)
	return &faulted{dir, func(out string, n int, more ...string) []string {
		return append(args(out, n, "--max_steps", fmt.Sprint(faultSteps), "--save_steps", "3"), more...)
	}}
}

// train are the arguments of a training with a fault.
func (x *faulted) train(f fault, name string, more ...string) []string {
	return x.args(name, f.n, append(more, "--zero_stage", fmt.Sprint(f.stage))...)
}

// whole is the directory of a training without the fault.
func (x *faulted) whole(t *testing.T, f fault) string {
	name := fmt.Sprintf("whole%d-%d", f.n, f.stage)
	if _, err := os.Stat(filepath.Join(x.dir, name)); err != nil {
		must(t, x.train(f, name)...)
	}
	return filepath.Join(x.dir, name)
}

// ranksOf are the processes of the ranks that a process has launched, by their rank.
func ranksOf(pid int) map[int]int {
	list := map[int]int{}
	for _, p := range children(pid) {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p))
		if err != nil {
			continue
		}
		for _, v := range bytes.Split(env, []byte{0}) {
			if text, ok := bytes.CutPrefix(v, []byte("OMPI_COMM_WORLD_RANK=")); ok {
				if rank, err := strconv.Atoi(string(text)); err == nil {
					list[rank] = p
				}
			}
		}
	}
	return list
}

// outcome is what came of a fault.
type outcome struct {
	over bool          // the rank had nothing left to do
	took time.Duration // from the fault to the end of all
}

// try runs a training with a fault and looks at all that must hold; the error says what does not.
func (x *faulted) try(t *testing.T, f fault, name string) (o outcome, err error) {
	run, whole := filepath.Join(x.dir, name), x.whole(t, f)
	cmd := exec.Command(os.Args[0], x.train(f, name)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	ranks := x.await(cmd.Process.Pid, run, f, ended)
	pid, at := ranks[f.rank], time.Now()
	if o.over = pid == 0 || !x.strike(pid, f); f.kind == "delay" {
		at = time.Now()
	}
	select {
	case <-ended:
	case <-time.After(f.deadline()):
		for _, p := range append(slices.Collect(maps.Values(ranks)), cmd.Process.Pid) {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		<-ended
		return o, fmt.Errorf("it goes on %v behind the fault: %s", f.deadline(), said.String())
	}
	o.took = time.Since(at)
	code := cmd.ProcessState.ExitCode()
	o.over = o.over || code == exitOK && f.kind != "delay"
	for _, p := range ranks {
		for until := time.Now().Add(5 * time.Second); !gone(p); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				_ = syscall.Kill(p, syscall.SIGKILL)
				return o, fmt.Errorf("process %d is left behind: %s", p, said.String())
			}
		}
	}
	if why := f.said(said.String(), code, pid, o.over); why != "" {
		return o, fmt.Errorf("%s: exit code %d: %s", why, code, said.String())
	}
	return o, x.goesOn(f, name, whole, code)
}

// await waits for the moment of a fault.
func (x *faulted) await(pid int, run string, f fault, ended chan struct{}) (ranks map[int]int) {
	metrics, store := filepath.Join(run, "metrics.jsonl"), filepath.Join(run, "checkpoints", ".tmp-*")
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	for ; len(ranks) < f.n && !over(); time.Sleep(2 * time.Millisecond) {
		ranks = ranksOf(pid)
	}
	for ; countLines(metrics) < f.steps && !over(); time.Sleep(500 * time.Microsecond) {
	}
	for f.moment == "checkpoint" && !over() {
		if found, _ := filepath.Glob(store); len(found) > 0 {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	time.Sleep(f.wait)
	return ranks
}

// strike does to a process what the fault says; false: it has ended before.
func (x *faulted) strike(pid int, f fault) bool {
	if f.kind == "kill" {
		return !gone(pid) && syscall.Kill(pid, syscall.SIGKILL) == nil
	}
	if gone(pid) || syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return false
	}
	if f.kind == "delay" {
		time.Sleep(faultSilence / 3)
		return syscall.Kill(pid, syscall.SIGCONT) == nil
	}
	return true
}

// said looks at what a training has ended with: it goes on behind a delay, and behind all else there is one error that names the rank.
func (f fault) said(text string, code, pid int, over bool) string {
	host, _ := os.Hostname()
	name := fmt.Sprintf("rank %d (%s, process %d)", f.rank, host, pid)
	switch {
	case f.kind == "delay" || over && code == exitOK:
		if code != exitOK {
			return "it has failed"
		}
	case over:
		return "it has failed before the fault"
	case code != exitLost:
		return "another exit code"
	case f.moment == "start" && strings.Contains(text, "before they have met"): // who is missing is not known yet
	case f.moment == "start" && f.kind == "kill" && strings.HasSuffix(text, fmt.Sprintf("criticrm: training has failed: rank %d (%s) was ended by signal 9 (Killed)\n", f.rank, host)):
	case strings.Count(text, "criticrm: collective: ") != 1 || strings.Count(text, "criticrm: training has failed") != 1:
		return "not one error"
	case !strings.Contains(text, name):
		return "nobody names " + name
	case !strings.Contains(text, "when last heard of, it "):
		return "nobody says where it was"
	}
	return ""
}

// goesOn looks at what a training has left, and has it go on.
func (x *faulted) goesOn(f fault, name, whole string, code int) error {
	run, how := filepath.Join(x.dir, name), "latest"
	path, _, err := checkpoint.Latest(filepath.Join(run, "checkpoints"))
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		how = "auto"
	case err == nil:
		err = checkpoint.Verify(path)
	}
	if err != nil && how == "latest" {
		return fmt.Errorf("the newest checkpoint: %w", err)
	}
	if code != exitOK {
		cmd := exec.Command(os.Args[0], x.train(f, name, "--resume", how)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("it does not go on (--resume %s): %w: %s", how, err, out)
		}
	}
	for _, file := range []string{"model.safetensors", "critic_rm.json"} {
		var both [2][]byte
		for i, dir := range []string{run, whole} {
			if both[i], err = os.ReadFile(filepath.Join(dir, "model", file)); err != nil {
				return err
			}
		}
		if file == "model.safetensors" && !bytes.Equal(both[0], both[1]) {
			return errors.New("it ends with another model")
		}
	}
	return os.RemoveAll(run)
}

// TestRankFaults: whatever happens to a rank, the training ends within its deadline with one error that names it, leaves good checkpoints only, and
// goes on to the model of an uninterrupted one; one that is held up for less than the limit changes nothing.
func TestRankFaults(t *testing.T) {
	needsRanks(t)
	runs, seed, begin := 4, 3, 0
	for _, v := range []struct {
		name string
		to   *int
	}{{faultRuns, &runs}, {faultSeed, &seed}, {faultFirst, &begin}} {
		if text := os.Getenv(v.name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			*v.to = n
		}
	}
	x := newFaulted(t)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	type sum struct {
		runs, over, wrong int
		longest           time.Duration
	}
	sums := map[string]*sum{}
	for i := range runs {
		f := drawn(i, r)
		if runs < 12 { // one of each kind in the midst of the work, and one while a checkpoint is written
			f = drawn([]int{3, 4, 5, 6}[i%4], r)
			f.n, f.stage = 2, i/2%2*2
			f.rank %= f.n
		}
		if i < begin {
			continue
		}
		o, err := x.try(t, f, fmt.Sprint("run", i))
		s := sums[f.kind+", "+f.moment]
		if s == nil {
			s = &sum{}
			sums[f.kind+", "+f.moment] = s
		}
		s.runs++
		if o.over {
			s.over++
		} else {
			s.longest = max(s.longest, o.took)
		}
		if err != nil {
			s.wrong++
			t.Errorf("run %d: %v: %v", i, f, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		s := sums[name]
		t.Logf("%-18s %3d runs, %2d over before, %2d wrong, at most %.1f s from the fault to the end", name, s.runs, s.over, s.wrong, s.longest.Seconds())
	}
}
