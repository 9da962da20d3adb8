package corpus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"criticrm/record"
)

// manyRows are for a split.
func manyRows(from, to int) (lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf(`{"prompt":"question %d of many","chosen":"a","rejected":"b"}`, i*i))
	}
	return lines
}

// halfSplit is a split that was interrupted while it wrote.
func halfSplit(t *testing.T, in, dir string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{every: -1}
	o.saved = func() {
		if s, err := readState(filepath.Join(dir, "t.jsonl.part.json")); err == nil && s.Input != nil && s.Input.Rows == 40 {
			cancel()
		}
	}
	if _, err := splitInto(ctx, in, dir, o); err == nil || !strings.Contains(err.Error(), "stopped after 41 rows") {
		t.Fatal(err)
	}
}

func splitInto(ctx context.Context, in, dir string, o Options) (*Splits, error) {
	return Split(ctx, in, filepath.Join(dir, "t.jsonl"), filepath.Join(dir, "e.jsonl"), SplitOptions{Share: .3, Seed: 1}, o)
}

// A split that was stopped while it wrote, and again while it read what it had measured, wrote the rows before that twice.
func TestSplitStoppedTwice(t *testing.T) {
	in := file(t, "in.jsonl", manyRows(0, 100)...)
	dir, whole := t.TempDir(), t.TempDir()
	halfSplit(t, in, dir)
	for _, after := range []int{1, 2, 3} {
		ctx, cancel := context.WithCancel(t.Context())
		o := Options{}
		n := 0
		o.Progress = func(Position) {
			if n++; n == after {
				cancel()
			}
		}
		if _, err := splitInto(ctx, in, dir, o); err == nil || !strings.Contains(err.Error(), "run it again") {
			t.Fatal(after, err)
		}
		cancel()
	}
	for _, to := range []string{dir, whole} {
		if _, err := splitInto(t.Context(), in, to, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := tree(t, dir), tree(t, whole); !reflect.DeepEqual(got, want) {
		t.Errorf("%d and %d bytes, want %d and %d", len(got["t.jsonl"]), len(got["e.jsonl"]), len(want["t.jsonl"]), len(want["e.jsonl"]))
	}
}

// What is held out depends on all rows, so a split that writes goes on with these only; and a conversion that is packed in the end is whole.
func TestGrown(t *testing.T) {
	in := file(t, "in.jsonl", manyRows(0, 100)...)
	dir := t.TempDir()
	halfSplit(t, in, dir)
	more := strings.Join(append(manyRows(0, 130), ""), "\n")
	grow := func() {
		if err := os.WriteFile(in, []byte(more), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	grow()
	if _, err := splitInto(t.Context(), in, dir, Options{}); err == nil || !strings.Contains(err.Error(), "has more rows than before: choose another output or --restart") {
		t.Error(err)
	}
	if now := tree(t, dir); now["t.jsonl.part"] != before["t.jsonl.part"] || now["t.jsonl.part.json"] != before["t.jsonl.part.json"] {
		t.Error("what was written is gone")
	}
	if s, err := splitInto(t.Context(), in, dir, Options{Restart: true}); err != nil || s.Train.Rows+s.Eval.Rows != 130 {
		t.Error(s, err)
	}
	for _, added := range []string{`{"prompt":"p","chosen":"a","rejected":"b"}`, `{"prompt":"p","chosen":"a"}`} {
		out := filepath.Join(t.TempDir(), "o.jsonl.gz")
		ctx, cancel := context.WithCancel(t.Context())
		o := Options{Read: record.ReadOptions{MaxBad: 5}, every: -1}
		o.saved = func() {
			if s, err := readState(out + ".part.json"); err == nil && s.Complete {
				cancel()
			}
		}
		if _, err := Convert(ctx, in, out, nil, form(t, "criticrm"), o); err == nil {
			t.Fatal("not stopped")
		}
		more += added + "\n"
		grow()
		o.saved = nil
		if _, err := Convert(t.Context(), in, out, nil, form(t, "criticrm"), o); err == nil || !strings.Contains(err.Error(), "has more rows than before") {
			t.Error(added, err)
		}
		o.Restart = true
		if _, err := Convert(t.Context(), in, out, nil, form(t, "criticrm"), o); err != nil {
			t.Error(err)
		}
		if left := tree(t, filepath.Dir(out)); len(left) > 2 {
			t.Error(left)
		}
	}
}

// A file of somebody else that is called as a partial one stays, as does what a link leads to; a refused command leaves nothing.
func TestForeignPart(t *testing.T) {
	in := file(t, "in.jsonl", manyRows(0, 10)...)
	dir := t.TempDir()
	out := filepath.Join(dir, "o.jsonl")
	convert := func(want string, o Options) {
		t.Helper()
		_, err := Convert(t.Context(), in, out, nil, form(t, "criticrm"), o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	fill(t, dir, map[string]string{"o.jsonl.part": "a download"})
	convert("o.jsonl.part is there, and nothing says that it is of this command", Options{})
	if now := tree(t, dir); len(now) != 1 || now["o.jsonl.part"] != "a download" {
		t.Error(now)
	}
	convert("", Options{Restart: true})
	fill(t, dir, map[string]string{"mine": "mine"})
	if err := os.Symlink("mine", out+".part"); err != nil {
		t.Fatal(err)
	}
	convert("o.jsonl.part is there, and no plain file", Options{})
	if now := tree(t, dir); len(now) != 2 || now["mine"] != "mine" {
		t.Error(now)
	}
	// One that was killed before its state had rows begins again by itself; so does one that reads a pipe.
	fill(t, dir, map[string]string{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, err := (&Options{}).begin("data convert", "-", 1, false, out)
	if err != nil {
		t.Fatal(err)
	}
	w.files[0].Write([]byte("torn"))
	w.files[0].sync()
	w.release()
	if w, err = (&Options{}).begin("data convert", "-", 1, false, out); err != nil {
		t.Fatal(err)
	}
	w.close(ctx.Err())
	if now := tree(t, dir); len(now) > 0 {
		t.Error(now)
	}
}
