package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// traced is a span.
type traced struct {
	Ph, Name string
	Pid, Tid int
	Ts, Dur  float64
	Args     struct{ Bytes, Tokens int64 }
}

// spansOf are a file's, whose rows must be free of spans that overlap without lying in each other.
func spansOf(t *testing.T, path string) (list []traced) {
	t.Helper()
	var all []traced
	raw := regexp.MustCompile(`"args":\{"name":"[^}]*\}`).ReplaceAllString(readFile(t, path), `"args":{}`)
	if err := json.Unmarshal([]byte(raw), &all); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	rows := map[[2]int][]traced{}
	for _, e := range all {
		if e.Ph == "X" {
			list = append(list, e)
			rows[[2]int{e.Pid, e.Tid}] = append(rows[[2]int{e.Pid, e.Tid}], e)
		}
	}
	for row, in := range rows {
		slices.SortFunc(in, func(a, b traced) int {
			if a.Ts != b.Ts {
				return int(1e3 * (a.Ts - b.Ts))
			}
			return int(1e3 * (b.Dur - a.Dur))
		})
		var open []traced
		for _, e := range in {
			for len(open) > 0 && open[len(open)-1].Ts+open[len(open)-1].Dur <= e.Ts+0.5 {
				open = open[:len(open)-1]
			}
			if len(open) > 0 && e.Ts+e.Dur > open[len(open)-1].Ts+open[len(open)-1].Dur+0.5 {
				t.Fatalf("row %v: %s and %s overlap", row, open[len(open)-1].Name, e.Name)
			}
			open = append(open, e)
		}
	}
	return list
}

// count is how many spans of a rank match, and their bytes.
func countSpans(list []traced, rank int, name string) (n int, bytes int64) {
	match := regexp.MustCompile("^" + name + "$")
	for _, e := range list {
		if e.Pid == rank && match.MatchString(e.Name) {
			n, bytes = n+1, bytes+e.Args.Bytes
		}
	}
	return n, bytes
}

// beside is how many spans of work begin while one of call lasts.
func beside(list []traced, rank int, call, work string) (n int) {
	for _, w := range list {
		if w.Pid == rank && w.Name == work && slices.ContainsFunc(list, func(c traced) bool {
			return c.Pid == rank && c.Name == call && c.Ts < w.Ts && w.Ts < c.Ts+c.Dur
		}) {
			n++
		}
	}
	return n
}

// TestTrace: a training's spans are those that it is made of, and it ends with the bytes that it has without them.
func TestTrace(t *testing.T) {
	dir, args := ranked(t)
	file := filepath.Join(dir, "t.json")
	must(t, args("plain", 1, "--max_steps", "6")...)
	must(t, args("traced", 1, "--max_steps", "6", "--save_steps", "2", "--eval_steps", "3", "--trace", file)...)
	if readFile(t, filepath.Join(dir, "plain", "model", "model.safetensors")) != readFile(t, filepath.Join(dir, "traced", "model", "model.safetensors")) {
		t.Error("a trace changes the model")
	}
	list := spansOf(t, file)
	for name, want := range map[string]int{"update [1-6]": 6, "packing": 6, "optimizer": 6, "figures of update [1-6]": 6, "backward of layer [01]": 12, "heads and losses": 6, "upload of a micro-batch": 6,
		"evaluation behind update [36]": 2, "checkpoint of update [24]": 2, "final model": 1} {
		if n, _ := countSpans(list, 0, name); n != want {
			t.Errorf("%s: %d spans, want %d", name, n, want)
		}
	}
	if n, _ := countSpans(list, 0, "forward of layer [01]"); n < 12+4 {
		t.Errorf("%d forward passes of layers", n)
	}
	code, _, errs := command(t, args("bad", 1, "--trace", filepath.Join(dir, "no", "t.json"))...)
	if code != exitUsage || !strings.Contains(errs, "trace: open ") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestTraceRanks: ranks have one file, in which bytes are counted; a training that is stopped, or whose rank is killed, leaves one that can be read.
func TestTraceRanks(t *testing.T) {
	needsRanks(t)
	dir, args := ranked(t)
	file := filepath.Join(dir, "t.json")
	must(t, args("traced", 2, "--max_steps", "5", "--trace", file)...)
	list := spansOf(t, file)
	for rank := range 2 {
		n, bytes := countSpans(list, rank, "the gradients of step [1-5]")
		if want := int64(5 * 4 * 39104); n != 10 || bytes < want || bytes > want+want/100 { // each sends half of them twice, and what lies between tensors
			t.Errorf("rank %d: %d calls with %d bytes of gradients, want 10 with %d", rank, n, bytes, want)
		}
	}
	metrics := filepath.Join(dir, "stopped", "metrics.jsonl")
	code := signalled(t, syscall.SIGTERM, func() bool { return countLines(metrics) >= 4 }, []string{filepath.Join(dir, "stopped")}, args("stopped", 2, "--trace", file)...)
	if n, _ := countSpans(spansOf(t, file), 1, `update \d+`); code != 143 || n < 3 {
		t.Errorf("exit code %d, %d updates", code, n)
	}
	said, err, _ := killRank(t, filepath.Join(dir, "killed", "metrics.jsonl"), args("killed", 2, "--trace", file))
	if n, _ := countSpans(spansOf(t, file), 0, `update \d+`); err == nil || n < 3 {
		t.Errorf("%d updates, %v: %s", n, err, said)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	_, said = must(t, args("zero", 2, "--max_steps", "3", "--zero_stage", "3", "--trace", file)...)
	list = spansOf(t, file)
	if n, _ := countSpans(list, 1, `update \d+`); n != 3 {
		t.Errorf("zero_stage 3: %d updates", n)
	}
	for call, work := range map[string]string{"the gradients of layer 1": "backward of layer 0", "the weights of layer 1": "forward of layer 0"} {
		if n := beside(list, 1, call, work); n < 3 {
			t.Errorf("zero_stage 3: %s is on its way at the beginning of %s %d times", call, work, n)
		}
	}
	if line := regexp.MustCompile(`t\.json: rank 1 gave \d+ KiB to others in \d+ calls, and waited for them for [0-9.]+ s of its [0-9.]+\n`); !line.MatchString(said) {
		t.Errorf("%q is not in %q", line, said)
	}
}
