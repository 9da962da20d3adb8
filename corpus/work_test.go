package corpus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"criticrm/record"
	"criticrm/stage"
)

// rowsToConvert have all that a conversion counts.
func rowsToConvert(t *testing.T, n int) string {
	var lines []string
	for i := range n {
		switch i % 6 {
		case 1:
			lines = append(lines, `{"prompt":"p","chosen":"a"}`)
		case 2:
			lines = append(lines, `{"prompt":[{"role":"user","content":"x"},{"role":"user","content":"y"}],"chosen":"a","rejected":"b"}`)
		case 3:
			lines = append(lines, "", `{"prompt":"p3","chosen":"a","rejected":"a"}`)
		default:
			lines = append(lines, fmt.Sprintf(`{"id":"%d","prompt":"question %d of many","chosen":"a","rejected":"b","margin":1,"odd":1,"category":"%c"}`, i, i*i, 'x'+i%3))
		}
	}
	return file(t, "in.jsonl", lines...)
}

// tree is what a directory holds.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[d.Name()] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// fill makes a directory hold these files.
func fill(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// interrupted is a command that writes into a directory and gives what it tells.
type interrupted func(ctx context.Context, dir string, o Options) (string, error)

// goesOn interrupts a command behind each of its rows, and kills it behind each saving of its state and each change of a name; each time the next
// run must leave the same files and say the same as one that was not interrupted.
func goesOn(t *testing.T, run interrupted) {
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "criticrm-*"); err == nil { // the state is synced thousands of times
		t.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	dir = filepath.Join(dir, "out")
	fill(t, dir, nil)
	says, err := run(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := tree(t, dir)
	same := func(what string) {
		t.Helper()
		got, err := run(t.Context(), dir, Options{})
		if err != nil || got != says {
			t.Errorf("%s: %v\n%s\nwant\n%s", what, err, got, says)
		}
		if now := tree(t, dir); !reflect.DeepEqual(now, want) {
			t.Errorf("%s: other files: %.2000v\nwant %.2000v", what, now, want)
		}
	}
	var states []map[string]string
	fill(t, dir, nil)
	if _, err := run(t.Context(), dir, Options{every: -1, saved: func() { states = append(states, tree(t, dir)) }}); err != nil {
		t.Fatal(err)
	}
	if now := tree(t, dir); !reflect.DeepEqual(now, want) {
		t.Errorf("saving the state: other files: %v", now)
	}
	if len(states) < 10 {
		t.Errorf("%d states", len(states))
	}
	for i, files := range states {
		fill(t, dir, files)
		same(fmt.Sprintf("killed behind state %d", i))
		// What was written behind the state is not known to it.
		for name, text := range files {
			if strings.HasSuffix(name, record.PartEnd) && i+1 < len(states) {
				files[name] = text + "torn"
			}
		}
		fill(t, dir, files)
		same(fmt.Sprintf("killed behind state %d, in the next write", i))
	}
	last := states[len(states)-1] // complete: the files get their names one by one
	for name := range want {
		files := map[string]string{}
		for other, text := range last {
			files[other] = text
		}
		files[name] = want[name]
		delete(files, name+record.PartEnd)
		fill(t, dir, files)
		same("killed behind the naming of " + name)
	}
	for _, stop := range []int{1, 2, 3, len(states) / 2, len(states) - 1, len(states)} {
		fill(t, dir, nil)
		n, runs := 0, 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			o := Options{every: -1, saved: func() {
				if n++; n%stop == 0 {
					cancel()
				}
			}}
			if stop == 1 {
				o.saved = func() {
					if n++; n%2 == 0 { // the first is of no row
						cancel()
					}
				}
			}
			got, err := run(ctx, dir, o)
			cancel()
			if err == nil {
				if got != says {
					t.Errorf("stopped every %d rows:\n%s\nwant\n%s", stop, got, says)
				}
				break
			}
			if !strings.Contains(err.Error(), "run it again to go on: context canceled") {
				t.Fatal(err)
			}
			if runs++; runs > 3*len(states) {
				t.Fatalf("stopped every %d rows: it does not go on", stop)
			}
		}
		if now := tree(t, dir); !reflect.DeepEqual(now, want) {
			t.Errorf("stopped every %d rows: other files: %v", stop, now)
		}
	}
}

func TestConvertGoesOn(t *testing.T) {
	in := rowsToConvert(t, 15)
	f := form(t, "llama-factory")
	for _, name := range []string{"o.jsonl", "o.jsonl.zst", "o.jsonl.gz"} {
		goesOn(t, func(ctx context.Context, dir string, o Options) (string, error) {
			o.Read.MaxBad = 100
			c, err := Convert(ctx, in, filepath.Join(dir, name), nil, f, o)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d %s\n%s %v", c.Rows, c.Lines(f), c.Found.Lines(), c.Found.BadLines("in", "")), nil
		})
	}
}

func TestSplitGoesOn(t *testing.T) {
	in := rowsToConvert(t, 20)
	goesOn(t, func(ctx context.Context, dir string, o Options) (string, error) {
		o.Read.MaxBad = 100
		out, err := Split(ctx, in, filepath.Join(dir, "t.jsonl"), filepath.Join(dir, "e.jsonl.gz"), SplitOptions{Share: .4, Seed: 1, Near: true, ByCategory: true}, o)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s\n%s %v", strings.Join(out.Lines("t", "e"), "\n"), out.Found.Lines(), out.Found.BadLines("in", "")), nil
	})
}

// half is a conversion that was interrupted behind some rows.
func half(t *testing.T, in string, o Options) (dir, out string) {
	t.Helper()
	dir = t.TempDir()
	out = filepath.Join(dir, "o.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	o.every, o.saved = -1, func() {
		if n++; n == 6 {
			cancel()
		}
	}
	if _, err := Convert(ctx, in, out, nil, form(t, "trl"), o); err == nil {
		t.Fatal("not interrupted")
	}
	return dir, out
}

// What decides on the output must be the same, else the command ends and leaves all as it is; with Restart it begins again.
func TestGoesOnWithTheSame(t *testing.T) {
	in := rowsToConvert(t, 20)
	text, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	max := record.ReadOptions{MaxBad: 100}
	for _, c := range []struct {
		what, want string
		form       string
		o          Options
		change     func(dir, out string)
	}{
		{what: "form", form: "openrlhf", want: `to was "trl", now "openrlhf"`},
		{what: "max_bad", o: Options{Read: record.ReadOptions{MaxBad: 101}}, want: "max_bad was 100, now 101"},
		{what: "schema", o: Options{Read: record.ReadOptions{MaxBad: 100, Layout: record.Layout{Columns: "chosen=good"}}}, want: `columns was null, now "chosen=good"`},
		{what: "rows that were read", want: "the input changed: " + in, change: func(string, string) {
			os.WriteFile(in, bytes.Replace(text, []byte(`"question 0`), []byte(`"question 1`), 1), 0o644)
		}},
		{what: "fewer rows", want: "the input changed: " + in, change: func(string, string) { os.WriteFile(in, text[:200], 0o644) }},
		{what: "a torn state", want: "is not the state of an interrupted command (--restart begins again)", change: func(_, out string) { os.Truncate(out+".part.json", 40) }},
		{what: "a strange state", want: "is not the state of an interrupted command", change: func(_, out string) { os.WriteFile(out+".part.json", []byte(`{"version":1,"input":{},"x":1}`), 0o644) }},
		{what: "another format", want: "its format is 9", change: func(_, out string) {
			b, _ := os.ReadFile(out + ".part.json")
			os.WriteFile(out+".part.json", bytes.Replace(b, []byte(`"version":1`), []byte(`"version":9`), 1), 0o644)
		}},
		{what: "a part that was cut", want: "is damaged: 3 bytes, want at least", change: func(_, out string) { os.Truncate(out+".part", 3) }},
	} {
		o := c.o
		if o.Read.MaxBad == 0 {
			o.Read = max
		}
		dir, out := half(t, in, Options{Read: max})
		if c.change != nil {
			c.change(dir, out)
		}
		before := tree(t, dir)
		name := "trl"
		if c.form != "" {
			name = c.form
		}
		if _, err := Convert(t.Context(), in, out, nil, form(t, name), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if after := tree(t, dir); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: %v, was %v", c.what, after, before)
		}
		o.Restart = true
		if _, err := Convert(t.Context(), in, out, nil, form(t, name), o); err != nil && c.what != "schema" && c.what != "fewer rows" {
			t.Errorf("%s: begun again: %v", c.what, err)
		}
		for name := range tree(t, dir) {
			if strings.Contains(name, ".part") {
				t.Errorf("%s: begun again, it leaves %s", c.what, name)
			}
		}
		if err := os.WriteFile(in, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows that are added behind those that were read are taken, and the earlier run's are told.
func TestGoesOnBehind(t *testing.T) {
	in := rowsToConvert(t, 20)
	o := Options{Read: record.ReadOptions{MaxBad: 100}}
	_, out := half(t, in, o)
	told := 0
	o.Resumed = func(rows int) { told = rows }
	c, err := Convert(t.Context(), in, out, nil, form(t, "trl"), o)
	if err != nil || told == 0 || told >= c.Rows {
		t.Errorf("%v: %d of %d rows", err, told, c.Rows)
	}
}

// A second run is refused while the first one lasts, and an input is never taken for what an earlier run has left.
func TestOneRun(t *testing.T) {
	in := rowsToConvert(t, 20)
	out := filepath.Join(t.TempDir(), "o.jsonl")
	f, err := stage.Take(out + ".part")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), in, out, nil, form(t, "trl"), Options{}); err == nil || !strings.Contains(err.Error(), "o.jsonl.part is in use by another run") {
		t.Error(err)
	}
	f.Close()
	part := filepath.Join(t.TempDir(), "o.jsonl.part")
	text := `{"prompt":"p","chosen":"a","rejected":"b"}` + "\n"
	if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Convert(t.Context(), part, strings.TrimSuffix(part, ".part"), nil, form(t, "trl"), Options{})
	if b, _ := os.ReadFile(part); err == nil || !strings.Contains(err.Error(), "o.jsonl.part is what is read") || string(b) != text {
		t.Errorf("%v, %s", err, b)
	}
}

// A check of several files, one of them a mixture's part, with bad rows, ties and records of several kinds.
func TestCheckGoesOn(t *testing.T) {
	in := rowsToConvert(t, 20)
	more := file(t, "more.jsonl", `{"prompt":"question 0 of many","response":"a","correct":true}`, `{"prompt":"question 0 of many","response":"a","correct":false}`, `{"text":"a document"}`)
	ranked := file(t, "ranked.jsonl", `{"prompt":"question 4 of many","answers":[{"answer":"a","rank":1},{"answer":"b","rank":2},{"answer":"c","rank":3}]}`, `{"prompt":"q","answers":[]}`)
	goesOn(t, func(ctx context.Context, dir string, o Options) (string, error) {
		o.StateDir, o.Draws, o.Level, o.MaxLength = dir, 50, .9, 5
		o.Read.Layout.Ranked = "all"
		o.Tokens = Counter{Name: "bytes", Text: func(s string) int { return len(s) }, Whole: func(r *record.Record) (int, error) {
			if r.Line == 5 {
				return 0, r.Fault("not to be rendered")
			}
			return r.Line, nil
		}}
		o.limits = &limits{block: 4, cached: 3, rows: 5, numbers: 4, sorted: 3}
		r, err := Check(ctx, []string{in + "," + more, ranked}, []string{more}, o)
		if err != nil {
			return "", err
		}
		b, err := json.MarshalIndent(r, "", " ")
		return string(b) + strings.Join(r.Lines(), "\n"), err
	})
}

// What an interrupted check has measured is not measured again.
func TestCheckMeasuresOnce(t *testing.T) {
	in := rowsToConvert(t, 60)
	var calls atomic.Int64
	o := Options{StateDir: t.TempDir(), every: -1, Tokens: Counter{Text: func(s string) int { calls.Add(1); return len(s) }}}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	o.saved = func() {
		if n++; n == 20 {
			cancel()
		}
	}
	if _, err := Check(ctx, []string{in}, nil, o); err == nil {
		t.Fatal("not interrupted")
	}
	calls.Store(0)
	o.saved = nil
	r, err := Check(t.Context(), []string{in}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := calls.Load(), int64(3*(r.Files[0].Rows-20)); got != want {
		t.Errorf("%d texts were measured, want %d", got, want)
	}
}

// Of another input a check begins again; so it does where its state is damaged, and while another one has it.
func TestCheckBeginsAgain(t *testing.T) {
	in := rowsToConvert(t, 20)
	text, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(state string){
		"another input": func(string) {
			os.WriteFile(in, bytes.Replace(text, []byte(`"question 0`), []byte(`"question 1`), 1), 0o644)
		},
		"a torn state": func(state string) { os.Truncate(state, 30) },
		"a damaged journal": func(state string) {
			part := strings.TrimSuffix(state, ".json")
			b, _ := os.ReadFile(part)
			b[len(b)/2] ^= 1
			os.WriteFile(part, b, 0o644)
		},
		"another run": func(state string) {
			f, err := stage.Take(strings.TrimSuffix(state, ".json"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
		},
	} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		o := Options{StateDir: dir, every: -1, saved: func() {
			if n++; n == 6 {
				cancel()
			}
		}}
		if _, err := Check(ctx, []string{in}, nil, o); err == nil {
			t.Fatal("not interrupted")
		}
		states, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		if len(states) != 1 {
			t.Fatal(tree(t, dir))
		}
		change(states[0])
		var told []int
		r, err := Check(t.Context(), []string{in}, nil, Options{StateDir: dir, Resumed: func(rows int) { told = append(told, rows) }})
		if err != nil {
			t.Fatal(what, err)
		}
		want, err := Check(t.Context(), []string{in}, nil, Options{})
		if err != nil || !reflect.DeepEqual(r.Lines(), want.Lines()) || (what == "another input" || what == "a damaged journal") != (len(told) == 2) {
			t.Errorf("%s: %v, told %v\n%s\nwant\n%s", what, err, told, r.Lines(), want.Lines())
		}
		if left := tree(t, dir); (len(left) > 0) != (what == "another run") {
			t.Errorf("%s: it leaves %v", what, left)
		}
		if err := os.WriteFile(in, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
