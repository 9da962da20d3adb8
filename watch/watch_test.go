package watch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/rivo/uniseg"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// update is a line of an update that takes 2 s.
func update(step int) string {
	return fmt.Sprintf(`{"step": %d, "epoch": %v, "loss": %v, "critique_loss": 2, "reward_loss": 0.5, "lambda": %v, "accuracy": 0.75, "margin": 0.5, "min_reward": -2, "mean_reward": 0.25, "max_reward": 3, "std_reward": 1, "learning_rate": 0.001, "grad_norm": null, "num_tokens": %d, "tokens_per_second": 500}`+"\n",
		step, float64(step)/100, 100/float64(step), 1-float64(step)/400, 1000*step)
}

func evaluation(step int) string {
	return fmt.Sprintf(`{"step": %d, "eval_easy_loss": 0.5, "eval_easy_accuracy": %v, "eval_easy_accuracy_Code": 1, "eval_easy_runtime": 10}`+"\n", step, float64(step%40)/40)
}

const first = `{"step": 0, "max_steps": 400, "train": {"rows": 3}, "eval_easy": {"rows": 2}}` + "\n"

// read is a training with all that its file holds.
func read(t *testing.T, dir string) *Training {
	t.Helper()
	x, err := Open(dir)
	if err == nil {
		_, err = x.Read()
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestReadFollows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, metricsFile)
	write(t, path, first+update(1)+update(2)[:20])
	x := read(t, dir)
	if x.total != 400 || x.step != 1 {
		t.Fatalf("update %d of %d", x.step, x.total)
	}
	if changed, err := x.Read(); err != nil || changed {
		t.Errorf("changed %v, %v, and nothing is new", changed, err)
	}
	rest := update(2)[20:]
	for s := 3; s <= 20; s++ {
		rest += update(s)
		if s%10 == 0 {
			rest += evaluation(s)
		}
	}
	add(t, path, rest+"no JSON\n")
	if changed, err := x.Read(); err != nil || !changed || x.step != 20 || x.damaged != 1 {
		t.Errorf("changed %v, %v, update %d, %d damaged", changed, err, x.step, x.damaged)
	}
	if c := x.curves["loss"]; len(c.points) != 20 || c.last != 5 || c.best != [2]float64{5, 100} || c.bestAt != [2]int{20, 1} {
		t.Errorf("%+v", c)
	}
	if c := x.curves["eval_easy_accuracy"]; c.best[1] != 0.5 || c.bestAt[1] != 20 {
		t.Errorf("%+v", c)
	}
	// 19 updates of 2 s, and two evaluations of 10 s.
	if got, want := x.perUpdate(), 58*time.Second/19; (got - want).Abs() > time.Millisecond {
		t.Errorf("%v an update, want %v", got, want)
	}
	if where := x.Where(); !strings.Contains(where, "update 20 of 400 (5 %)   epoch 0.20   500 tokens/s   left 19m") {
		t.Errorf("%q", where)
	}
	// A run that goes on from an earlier checkpoint has put a shorter file in its place.
	write(t, path+".new", first+update(1)+update(2))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if changed, err := x.Read(); err != nil || !changed || x.step != 2 || len(x.curves["loss"].points) != 2 || len(x.names) != 0 {
		t.Errorf("changed %v, %v, update %d", changed, err, x.step)
	}
}

// A curve of any length has a bounded number of points, each the mean of as many values.
func TestCurveIsBounded(t *testing.T) {
	var c curve
	const n = 5 * maxPoints
	for i := range n {
		c.add(i, float64(i))
	}
	if len(c.points) >= 2*maxPoints || c.each != 4 || len(c.points) != n/4 {
		t.Fatalf("%d points of %d values", len(c.points), c.each)
	}
	for i, v := range c.points {
		if v != float64(4*i)+1.5 {
			t.Fatalf("point %d is %v", i, v)
		}
	}
}

// The screen fits into the terminal, whatever its size, and a name moves no cursor.
func TestScreenFits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run \x1b[31m 数据")
	text := first
	for s := 1; s <= 120; s++ {
		text += update(s)
		if s%10 == 0 {
			text += evaluation(s) + strings.ReplaceAll(evaluation(s), "easy", "\\u001b[2Jhard")
		}
	}
	write(t, filepath.Join(dir, metricsFile), text)
	x := read(t, dir)
	for _, size := range [][2]int{{20, 5}, {40, 10}, {80, 24}, {100, 48}, {200, 60}, {500, 200}} {
		screen := x.Screen(size[0], size[1], "the model is there")
		lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
		if len(lines) > size[1] {
			t.Errorf("%v: %d rows", size, len(lines))
		}
		for _, l := range lines {
			if n := uniseg.StringWidth(l); n > size[0] {
				t.Errorf("%v: %d columns: %s", size, n, l)
			}
			for _, r := range l {
				if unicode.IsControl(r) {
					t.Errorf("%v: %q", size, l)
				}
			}
		}
	}
	screen := x.Screen(100, 60, "")
	for _, want := range []string{"update 120 of 400 (30 %)", "loss       0.8333   critique 2   reward 0.5   λ 0.7   learning rate 0.001", "rewards -2 to 3, mean 0.25 ± 1",
		"easy       accuracy 0 (best 0.75 at 30)   loss 0.5 (best 0.5 at 10)", "accuracy, easy 0", "╭", "  0.833 ┤", "λ 0.7", "critique loss 2"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
}

// lock is what a process leaves in the directory of checkpoints.
func lock(t *testing.T, dir string, pid int, host string) {
	write(t, filepath.Join(dir, "checkpoints", "LOCK"), fmt.Sprintf("pid %d on host %s since 2026-11-29T12:00:00Z\n", pid, host))
}

const noProcess = 1 << 30 // beyond every kernel's largest id

func TestEnded(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, x := range []struct {
		name  string
		pid   int
		host  string
		state string // of the model
		want  string
	}{
		{"nobody has opened it", 0, "", "", ""},
		{"alive", os.Getpid(), host, "", ""},
		{"gone", noProcess, host, "", "it was stopped at update 3: the same command with resume: latest goes on"},
		{"elsewhere", noProcess, host + "x", "", ""},
		{"elsewhere, done", noProcess, host + "x", `{"global_step": 3}`, "the model is in "},
		{"alive, done", os.Getpid(), host, `{"global_step": 3}`, "the model is in "},
		{"alive, and goes on behind an earlier end", os.Getpid(), host, `{"global_step": 2}`, ""},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, metricsFile), first+update(1)+update(2)+update(3))
		if x.pid > 0 {
			lock(t, dir, x.pid, x.host)
		}
		if x.state != "" {
			write(t, filepath.Join(dir, "model", stateFile), x.state)
		}
		over, how := read(t, dir).Ended()
		if over != (x.want != "") || !strings.HasPrefix(how, x.want) {
			t.Errorf("%s: %v, %q, want %q", x.name, over, how, x.want)
		}
	}
}

// safeBuffer may be read while it is written.
type safeBuffer struct {
	sync.Mutex
	b bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) { s.Lock(); defer s.Unlock(); return s.b.Write(p) }
func (s *safeBuffer) String() string              { s.Lock(); defer s.Unlock(); return s.b.String() }

// Until says whether the output has come to hold a text.
func (s *safeBuffer) until(text string) bool {
	for range 500 {
		if strings.Contains(s.String(), text) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// A training is followed from before it begins to its end; of a run, from one to the next.
func TestRunFollowsToTheEnd(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var out, log safeBuffer
	done := make(chan error, 1)
	go func() {
		done <- Run(context.Background(), dir, &out, Options{Interval: 5 * time.Millisecond, Log: &log, Size: func() (int, int) { return 80, 30 }})
	}()
	if !log.until("waiting for a training in " + dir + "\n") {
		t.Fatalf("%q", log.String())
	}
	one, two := filepath.Join(dir, "round-1", "train"), filepath.Join(dir, "round-2", "train")
	lock(t, one, os.Getpid(), host)
	write(t, filepath.Join(one, metricsFile), first+update(1))
	if !out.until("update 1 of 400") {
		t.Fatalf("%q", out.String())
	}
	add(t, filepath.Join(one, metricsFile), update(2))
	write(t, filepath.Join(one, "model", stateFile), `{"global_step": 2}`)
	if !out.until("the model is in " + one) { // and the run goes on
		t.Fatalf("%q", out.String())
	}
	time.Sleep(20 * time.Millisecond) // so that the file is a later one on a disk with coarse times
	lock(t, two, os.Getpid(), host)
	write(t, filepath.Join(two, metricsFile), first+update(1)+update(2)+update(3))
	if !out.until("update 3 of 400") {
		t.Fatalf("%q", out.String())
	}
	select {
	case err := <-done:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	lock(t, two, noProcess, host)
	select {
	case err := <-done:
		if err != nil || !strings.Contains(out.String(), "it was stopped at update 3") || !strings.Contains(out.String(), "\x1b[H\x1b[2J") {
			t.Errorf("%v\n%q", err, out.String())
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end with the run")
	}
}

// Where there is no terminal there are lines, and a screen at the end; once is one screen; Ctrl-C is no error.
func TestRunWithoutTerminal(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, metricsFile), first+update(1)+update(2))
	lock(t, dir, os.Getpid(), host)
	var out safeBuffer
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, dir, &out, Options{Interval: time.Millisecond, Log: io.Discard}) }()
	if !out.until("update 2 of 400") {
		t.Fatal(out.String())
	}
	cancel()
	if err := <-done; err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v, %q", err, out.String())
	}
	lock(t, dir, noProcess, host)
	out.b.Reset()
	if err := Run(context.Background(), dir, &out, Options{Interval: time.Millisecond, Log: io.Discard}); err != nil || !strings.Contains(out.String(), "it was stopped at update 2") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	for path, want := range map[string]string{
		dir:                        "no metrics.jsonl of a training",
		filepath.Join(dir, "file"): "want the output_dir of a training, or the directory of a run",
		filepath.Join(dir, "none"): "no such file or directory",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if err := Run(context.Background(), path, io.Discard, Options{Once: true}); err == nil {
			t.Errorf("%s is watched", path)
		}
	}
	odd := filepath.Join(dir, "run[1]*")
	write(t, filepath.Join(odd, metricsFile), first+update(1))
	if x := read(t, odd); x.step != 1 {
		t.Errorf("update %d", x.step)
	}
}
