//go:build unix

package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/checkpoint"
	"criticrm/checkpoint/vfs"
	"criticrm/checkpoint/vfs/vfstest"
	"criticrm/device/devicetest"
)

// killed names the output_dir of a run that TestKillIsExact starts in a process of its own.
const killed = "CRITICRM_TEST_KILLED_RUN"

func killConfig(dir string) Config {
	c := testConfig(dir)
	c.SaveSteps, c.AsyncSave = 5, AsyncNo // TestKillAtEveryWrite has the other way
	return c
}

// TestKilledRun is the process that is killed after step 13 of 20. Alone it does nothing.
func TestKilledRun(t *testing.T) {
	dir := os.Getenv(killed)
	if dir == "" {
		t.Skip("for TestKillIsExact only")
	}
	c := killConfig(dir)
	_, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithReport(Report{OnStep: func(m Metrics) {
		if m.Step == 13 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal comes
		}
	}}))
	t.Fatalf("the run was not killed: %v", err)
}

// 20 steps in one go are, byte for byte, 10 steps and more that are lost with a killed process, and the rest from the
// checkpoint of step 10: in the middle of an epoch, with accumulation and packing.
func TestKillIsExact(t *testing.T) {
	data := pairs(27)
	straight := killConfig(filepath.Join(t.TempDir(), "straight"))
	if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight); err != nil {
		t.Fatal(err)
	}
	c := killConfig(filepath.Join(t.TempDir(), "killed"))
	process := exec.Command(os.Args[0], "-test.run=^TestKilledRun$")
	process.Env = append(os.Environ(), killed+"="+c.OutputDir)
	out, err := process.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the run ended with %v, want SIGKILL:\n%s", err, out)
	}
	if _, step, err := checkpoint.Latest(filepath.Join(c.OutputDir, "checkpoints")); step != 10 || err != nil {
		t.Fatalf("the newest checkpoint is of step %d, %v; want 10", step, err)
	}
	if b, _ := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl")); bytes.Count(b, []byte("\n")) < 12 {
		t.Fatalf("the killed run has too few lines of metrics:\n%s", b)
	}
	if _, err := os.Stat(filepath.Join(c.OutputDir, "model")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a killed run has a final model: %v", err)
	}
	var log bytes.Buffer
	c.Resume = "latest"
	if _, err := Train(context.Background(), tiny(t, c, 1), data, c, WithReport(Report{Log: &log})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "resumed at step 10 of 20") {
		t.Errorf("log:\n%s", log.String())
	}
	sameOutcome(t, straight.OutputDir, c.OutputDir)
}

// killedAt numbers the file operation at which the process of TestKillAtEveryWrite ends, and says whether before or after it.
const killedAt = "CRITICRM_TEST_KILLED_AT"

// TestKilledAtRun is that process. Alone it does nothing.
func TestKilledAtRun(t *testing.T) {
	dir := os.Getenv(killed)
	var plan vfstest.Plan
	if _, err := fmt.Sscan(os.Getenv(killedAt), &plan.At, &plan.When); dir == "" || err != nil {
		t.Skip("for TestKillAtEveryWrite only")
	}
	plan.Crash = true // a panic that nobody catches, on the goroutine that writes
	storeOn(t, func(fsys vfs.FS) vfs.FS { return vfstest.NewFault(fsys, plan) })
	c := asyncConfig(dir, AsyncYes)
	_, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c)
	t.Fatalf("the run was not killed: %v", err)
}

// A process that is killed at any operation of a checkpoint that is written while training goes on leaves a run that goes on to the same
// bytes. The operations are those of the first three checkpoints.
func TestKillAtEveryWrite(t *testing.T) {
	data := pairs(27)
	straight := asyncConfig(filepath.Join(t.TempDir(), "straight"), AsyncYes)
	var all *vfstest.Fault
	storeOn(t, func(fsys vfs.FS) vfs.FS { all = vfstest.NewFault(fsys, vfstest.Plan{}); return all })
	if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight); err != nil {
		t.Fatal(err)
	}
	openStore = checkpoint.Open
	var changes []vfstest.Op // that a kill can come between
	saves := 0
	for _, op := range all.Ops() {
		if op.Kind == "mkdir" && strings.Contains(op.Name, ".tmp-") {
			saves++
		}
		if saves > 0 && saves <= 3 && !slices.Contains([]string{"read", "readat", "seek", "lstat", "readdir", "statfs", "close"}, op.Kind) {
			changes = append(changes, op)
		}
	}
	if len(changes) < 40 {
		t.Fatalf("only %d operations: %v", len(changes), all.Ops())
	}
	every := devicetest.Fewer(3, 9)
	if testing.Short() {
		every = 15
	}
	lost := map[int64]int{}
	for i := 0; i < len(changes); i += every {
		op := changes[i]
		c := asyncConfig(filepath.Join(t.TempDir(), "run"), AsyncYes)
		process := exec.Command(os.Args[0], "-test.run=^TestKilledAtRun$")
		process.Env = append(os.Environ(), killed+"="+c.OutputDir, fmt.Sprintf("%s=%d %d", killedAt, op.N, vfstest.Before+vfstest.When(i%2)))
		if out, err := process.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("Crashed")) {
			t.Fatalf("%v: %v\n%s", op, err, out)
		}
		_, step, err := checkpoint.Latest(filepath.Join(c.OutputDir, "checkpoints"))
		if err != nil && !errors.Is(err, checkpoint.ErrNone) {
			t.Errorf("%v: %v", op, err)
		}
		lost[step]++
		c.Resume = "auto"
		if _, err := Train(context.Background(), tiny(t, c, 1), data, c); err != nil {
			t.Fatalf("%v: %v", op, err)
		}
		sameOutcome(t, straight.OutputDir, c.OutputDir)
	}
	if len(lost) < 3 {
		t.Errorf("newest checkpoints behind the kills: %v, want all kinds", lost)
	}
	t.Logf("%d operations, newest checkpoints behind the kills: %v", len(changes), lost)
}

// A run may go on from an older checkpoint than the newest; the newer ones give way to those that it makes again.
func TestResumeFromOlder(t *testing.T) {
	data := pairs(27)
	a := testConfig(filepath.Join(t.TempDir(), "a"))
	if _, err := Train(context.Background(), tiny(t, a, 1), data, a); err != nil {
		t.Fatal(err)
	}
	b := a
	b.OutputDir, b.SaveSteps = filepath.Join(filepath.Dir(a.OutputDir), "b"), 4
	ctx, at := stopAfter(13)
	if _, err := Train(ctx, tiny(t, b, 1), data, b, at); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	b.Resume = filepath.Join(b.OutputDir, "checkpoints", "step-00000004")
	if _, err := Train(context.Background(), tiny(t, b, 1), data, b); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, a.OutputDir, b.OutputDir)
}

// A checkpoint with one changed byte is refused by the file's name; nothing is written.
func TestResumeRefusesDamage(t *testing.T) {
	c := testConfig(t.TempDir())
	ctx, at := stopAfter(5)
	r, err := Train(ctx, tiny(t, c, 1), pairs(27), c, at)
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(r.Checkpoint, "tensors-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 16
	write(t, files[0], string(b))
	c.Resume = "latest"
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c); err == nil || !strings.Contains(err.Error(), filepath.Base(files[0])) {
		t.Errorf("got %v, want an error that names %s", err, files[0])
	}
}

// fullDisk names the output_dir of a run in a process of its own, in which writes beyond 2500 bytes of a file fail: from
// step 5 on, or with resume from the start.
const fullDisk = "CRITICRM_TEST_FULL_DISK"

func fullConfig(dir string) Config {
	c := testConfig(dir)
	c.SaveSteps, c.AsyncSave = 2, filepath.Base(dir)
	return c
}

// TestFullDiskRun is that process. Alone it does nothing.
func TestFullDiskRun(t *testing.T) {
	dir := os.Getenv(fullDisk)
	if dir == "" {
		t.Skip("for TestDiskFull only")
	}
	limit := func() { // more than five lines of metrics, less than a checkpoint
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4000, Max: 4000}); err != nil {
			t.Fatal(err)
		}
	}
	c := fullConfig(dir)
	if _, err := os.Stat(dir); err == nil {
		c.Resume = "latest"
		limit()
	}
	_, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithReport(Report{Log: os.Stdout, OnStep: func(m Metrics) {
		if m.Step == 5 && c.Resume == "" {
			for path := ""; !strings.HasSuffix(path, "step-00000004"); path, _, _ = checkpoint.Latest(filepath.Join(dir, "checkpoints")) {
				time.Sleep(time.Millisecond) // it may be on its way
			}
			limit()
		}
	}}))
	fmt.Println("the run ended with", err, errors.Is(err, syscall.EFBIG))
}

// When nothing can be written any more, single failed saves are told and survived, the run ends with an error, the last good
// checkpoint stays, and with room again the run goes on to the same bytes.
func TestDiskFull(t *testing.T) {
	for _, async := range []string{AsyncNo, AsyncYes} {
		t.Run(async, func(t *testing.T) { diskFull(t, async) })
	}
}

func diskFull(t *testing.T, async string) {
	data := pairs(27)
	straight := fullConfig(filepath.Join(t.TempDir(), AsyncNo))
	if _, err := Train(context.Background(), tiny(t, straight, 1), data, straight); err != nil {
		t.Fatal(err)
	}
	c := fullConfig(filepath.Join(t.TempDir(), async))
	for round, want := range []string{"training goes on, the newest good checkpoint is", ""} {
		process := exec.Command(os.Args[0], "-test.run=^TestFullDiskRun$", "-test.v")
		process.Env = append(os.Environ(), fullDisk+"="+c.OutputDir)
		out, err := process.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "the run ended with trainer: ") || !strings.Contains(string(out), "file too large true") {
			t.Errorf("round %d:\n%s", round, out)
		}
		path, step, err := checkpoint.Latest(filepath.Join(c.OutputDir, "checkpoints"))
		if err != nil || step != 4 || checkpoint.Verify(path) != nil {
			t.Errorf("round %d: newest checkpoint %s of step %d, %v; want step 4", round, path, step, err)
		}
		if _, err := os.Stat(filepath.Join(c.OutputDir, "model")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("round %d: there is a final model: %v", round, err)
		}
	}
	c.Resume = "latest"
	if _, err := Train(context.Background(), tiny(t, c, 1), data, c); err != nil {
		t.Fatal(err)
	}
	sameOutcome(t, straight.OutputDir, c.OutputDir)
}

// A final model that cannot be finished leaves the older one as it was.
func TestFinalModelIsWholeOrOld(t *testing.T) {
	c := testConfig(t.TempDir())
	c.MaxSteps = 2
	fail := false
	files := WithFiles(func(dir string, _ int) error {
		if fail {
			return errors.New("no room for the tokenizer")
		}
		return os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{}"), 0o644)
	})
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, files); err != nil {
		t.Fatal(err)
	}
	names := func() (list []string) {
		entries, err := os.ReadDir(c.OutputDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	before := names()
	stale := filepath.Join(c.OutputDir, "model.partial", "model.safetensors")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, stale, "half")
	fail, c.Resume = true, "latest"
	if _, err := Train(context.Background(), tiny(t, c, 1), pairs(8), c, files); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.OutputDir, "model", "tokenizer.json")); err != nil || !slices.Equal(before, names()) {
		t.Errorf("%v: %v, want %v", err, names(), before)
	}
}

// The names in metrics.jsonl, in order, which other programs read.
func TestMetricsFields(t *testing.T) {
	for method, want := range map[string]string{
		Critic: "step epoch loss critique_loss reward_loss lambda accuracy margin min_reward mean_reward max_reward std_reward critique_perplexity learning_rate grad_norm num_tokens tokens_per_second",
		Cloud:  "step epoch loss critique_loss reward_loss lambda accuracy margin min_reward mean_reward max_reward std_reward critique_perplexity learning_rate grad_norm num_tokens tokens_per_second",
		BT:     "step epoch loss reward_loss lambda accuracy margin min_reward mean_reward max_reward std_reward learning_rate grad_norm num_tokens tokens_per_second",
		SFT:    "step epoch loss critique_loss lambda critique_perplexity learning_rate grad_norm num_tokens tokens_per_second",
	} {
		c := testConfig(t.TempDir())
		c.Method, c.MaxSteps, c.LearningRate = method, 7, 1e-2 // one epoch; a tie of two zero rewards adds a field, so only the last line counts
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithEval(pairs(4))); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(c.OutputDir, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		if got := keysOf(t, lines[6]); got != want && got != strings.Replace(want, "margin ", "margin ties ", 1) {
			t.Errorf("%s: fields %s, want %s", method, got, want)
		}
		if got := keysOf(t, lines[7]); !strings.HasPrefix(got, "step eval_loss eval_") || !strings.HasSuffix(got, "eval_samples eval_runtime") {
			t.Errorf("%s: evaluation %s", method, got)
		}
	}
}

// keysOf lists the keys of a JSON object of numbers, in order; one of them is a histogram.
func keysOf(t *testing.T, line []byte) string {
	t.Helper()
	var keys []string
	d := json.NewDecoder(bytes.NewReader(line))
	if _, err := d.Token(); err != nil { // {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		if _, ok := value.(float64); !ok && key != "eval_margin_histogram" {
			t.Errorf("%s: %v is no number", line, value)
		}
	}
	return strings.Join(keys, " ")
}
