package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// rowsOf is a file of n pairs, with the given lines in place of theirs.
func rowsOf(n int, instead map[int]string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		line, ok := instead[i]
		if !ok {
			line = fmt.Sprintf(`{"id": "%d", "prompt": "p%d", "chosen": "c", "rejected": "r", "extra%d": 1}`, i, i, i%3)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// slow takes the longer the earlier a row stands among its neighbours, so that later rows are done first.
func slow(rec *Record) {
	if rec.Line%7 == 0 {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
	}
	runtime.Gosched()
}

// What Each gives is what Next gives, in its order, with the same counts, and with the same error where there is one: the first of the
// file, be it of the row's text or of the work on it.
func TestEachIsNext(t *testing.T) {
	refuse := func(rec *Record) error {
		if rec.Chosen == "refused" {
			return rec.Fault("refused")
		}
		if rec.Chosen == "broken" {
			return errors.New("broken")
		}
		return nil
	}
	row := func(chosen string) string {
		return `{"prompt": "p", "chosen": "` + chosen + `", "rejected": "r", "other": 1}`
	}
	for name, x := range map[string]struct {
		instead map[int]string
		bad     int
	}{
		"whole":                {nil, 0},
		"asides and blanks":    {map[int]string{3: row("r"), 200: row("r"), 201: "", 500: " "}, 0},
		"one bad row":          {map[int]string{300: "{"}, 0},
		"allowed":              {map[int]string{7: row("refused"), 100: "{", 101: row("refused"), 400: `{"prompt": "p"}`}, 4},
		"one too many":         {map[int]string{7: row("refused"), 100: "{", 101: row("refused"), 400: `{"prompt": "p"}`, 401: "["}, 4},
		"refused before bad":   {map[int]string{14: row("refused"), 15: "{", 16: "["}, 0},
		"bad before refused":   {map[int]string{15: "{", 14: row("r"), 16: row("refused")}, 0},
		"broken":               {map[int]string{21: row("broken"), 22: row("refused")}, 10},
		"broken behind refuse": {map[int]string{20: row("refused"), 21: row("broken")}, 0},
		"cut off":              {map[int]string{600: `{"prompt": "p", "cho`}, 0},
		"not cut off":          {map[int]string{599: `{"prompt": "p", "cho`}, 0},
		"other schema":         {map[int]string{2: `{"text": "document"}`, 3: row("refused")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			text := rowsOf(600, x.instead)
			one, err := NewReader(strings.NewReader(text), "f", ReadOptions{MaxBad: x.bad, Check: refuse})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			var wantErr error
			for rec, err := range one.Records() {
				if wantErr = err; err == nil {
					want = append(want, rec.ID)
				}
			}
			for _, workers := range []int{1, 2, 7} {
				many, err := NewReader(strings.NewReader(text), "f", ReadOptions{MaxBad: x.bad})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				err = Each(context.Background(), many, workers, func(rec *Record) (string, error) {
					slow(rec)
					return "of " + rec.ID, refuse(rec)
				}, func(rec *Record, s string) error {
					if s != "of "+rec.ID {
						t.Errorf("%s with %s", rec.ID, s)
					}
					got = append(got, rec.ID)
					return nil
				})
				if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Errorf("%d workers: %d records and %v, want %d and %v", workers, len(got), err, len(want), wantErr)
				}
				if a, b := fmt.Sprint(many.Lines(), many.Bad), fmt.Sprint(one.Lines(), one.Bad); err == nil && a != b {
					t.Errorf("%d workers: found %s, want %s", workers, a, b)
				}
				if _, next := many.Next(); err == nil && next != io.EOF || err != nil && next != err {
					t.Errorf("Next behind it: %v", next)
				}
			}
		})
	}
}

// A row of several records is bad as a whole.
func TestEachKeepsWholeRows(t *testing.T) {
	text := `{"id": "a", "prompt": "p", "chosen": "c", "rejected": "r"}` + "\n" + `{"id": "b", "prompt": "p", "chosen": "c", "rejected": "r"}` + "\n"
	r, err := NewReader(strings.NewReader(text), "f", ReadOptions{MaxBad: 1})
	if err != nil {
		t.Fatal(err)
	}
	twice := Pairs
	twice.decode = func(r *row) ([]*Record, error) {
		a, err := Pairs.decode(r)
		if err != nil {
			return nil, err
		}
		b, err := Pairs.decode(r)
		return append(a, b...), err
	}
	r.given = &twice
	var kept []string
	err = Each(context.Background(), r, 2, func(rec *Record) (int, error) {
		if rec.ID == "a/2" {
			return 0, rec.Fault("refused")
		}
		return 0, nil
	}, func(rec *Record, _ int) error { kept = append(kept, rec.ID); return nil })
	if err != nil || !slices.Equal(kept, []string{"b/1", "b/2"}) || len(r.Bad) != 1 {
		t.Errorf("kept %v, bad %v, %v", kept, r.Bad, err)
	}
}

// The end of a context, and an error of keep, end the reading and all goroutines; little is read ahead.
func TestEachEnds(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	text := rowsOf(5000, nil)
	enough := errors.New("enough")
	for _, cancelled := range []bool{false, true} {
		r, err := NewReader(strings.NewReader(text), "f", ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var seen atomic.Int64
		kept := 0
		err = Each(ctx, r, 3, func(*Record) (int, error) { seen.Add(1); return 0, nil }, func(*Record, int) error {
			if kept++; kept == 100 && cancelled {
				cancel()
			} else if kept == 100 {
				return enough
			}
			return nil
		})
		want := enough
		if cancelled {
			want = context.Canceled
		}
		if !errors.Is(err, want) || kept != 100 || seen.Load() > 100+3*2*ahead+4 {
			t.Errorf("cancelled %v: %v, %d kept, %d seen", cancelled, err, kept, seen.Load())
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines left behind", n-goroutines)
	}
}

// Progress ends with all stored bytes, which are fewer than those of the text in a compressed file.
func TestProgress(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, rowsOf(3000, nil))
	w.Close()
	for _, b := range [][]byte{[]byte(rowsOf(3000, nil)), packed.Bytes()} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if read, of := r.Progress(); read > of || of != int64(len(b)) {
			t.Errorf("at the beginning %d of %d", read, of)
		}
		for _, err := range r.Records() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if read, of := r.Progress(); read != of {
			t.Errorf("at the end %d of %d", read, of)
		}
	}
}
