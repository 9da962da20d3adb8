package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The newest checkpoint was damaged, and an older one was taken without a word.
func TestLatestNamesDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"a bit of the manifest": func(t *testing.T, dir string) {
			path := filepath.Join(dir, manifestName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"no manifest":  func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, manifestName)) },
		"a file more":  func(t *testing.T, dir string) { os.WriteFile(filepath.Join(dir, "more"), nil, 0o600) },
		"a file less":  func(t *testing.T, dir string) { os.Remove(firstFile(t, dir)) },
		"a cut file":   func(t *testing.T, dir string) { os.Truncate(firstFile(t, dir), 1) },
		"a link":       func(t *testing.T, dir string) { f := firstFile(t, dir); os.Remove(f); os.Symlink("/dev/zero", f) },
		"newer format": func(t *testing.T, dir string) { newerFormat(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ckpt")
			store, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			var last string
			for step := int64(1); step <= 2; step++ {
				if last, err = store.Save(stateAt(step), 0); err != nil {
					t.Fatal(err)
				}
			}
			damage(t, last)
			_, _, err = Latest(dir)
			if !errors.Is(err, ErrDamaged) || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "step-00000002") || !strings.Contains(err.Error(), "the newest good one is of step 1") {
				t.Errorf("%v", err)
			}
			path, step, skipped, err := LatestValid(dir)
			if err != nil || step != 1 || len(skipped) != 1 {
				t.Fatalf("%s, step %d, passed over %v, %v", path, step, skipped, err)
			}
			damage(t, path)
			if _, _, err := Latest(dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no other can be used") {
				t.Errorf("all damaged: %v", err)
			}
			if _, _, skipped, err := LatestValid(dir); !errors.Is(err, ErrNone) || len(skipped) != 2 {
				t.Errorf("all damaged: %v, %v", skipped, err)
			}
		})
	}
}

// firstFile is a file of a checkpoint beside the manifest.
func firstFile(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != manifestName {
			return filepath.Join(dir, e.Name())
		}
	}
	t.Fatal("no file")
	return ""
}

// newerFormat makes a manifest one of a later program, with its checksum right.
func newerFormat(t *testing.T, dir string) {
	t.Helper()
	m, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Format = formatVersion + 1
	if err := os.WriteFile(filepath.Join(dir, manifestName), m.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A protected checkpoint outlives the newest ones, and is one of those that are kept.
func TestProtect(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, x := range []struct {
		step, protect int64
		keep          int
		want          string
	}{
		{1, 1, 2, "[1]"}, {2, 1, 2, "[2 1]"}, {3, 1, 2, "[3 1]"}, {4, 1, 3, "[4 3 1]"}, {5, 1, 1, "[5 1]"}, {6, 6, 2, "[6 5]"}, {7, 99, 2, "[7 6]"}, {8, -1, 2, "[8 7]"}, {9, 7, 0, "[9 8 7]"},
	} {
		s.Protect(x.protect)
		if _, err := s.Save(stateAt(x.step), x.keep); err != nil {
			t.Fatal(err)
		}
		entries, err := List(dir)
		var steps []int64
		for _, e := range entries {
			steps = append(steps, e.Step)
		}
		if err != nil || fmt.Sprint(steps) != x.want {
			t.Errorf("step %d, keep %d, %d protected: %v, want %s (%v)", x.step, x.keep, x.protect, steps, x.want, err)
		}
	}
}

// Several may be protected: a run averages its last checkpoints.
func TestProtectSeveral(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, step := range []int64{10, 20, 23, 26} { // two of interruptions
		s.Protect(step, 20, 10)
		if _, err := s.Save(stateAt(step), 3); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := List(dir)
	if err != nil || len(entries) != 3 || entries[0].Step != 26 || entries[1].Step != 20 || entries[2].Step != 10 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Who has a directory open can be seen without taking part.
func TestHolder(t *testing.T) {
	dir := t.TempDir()
	look := func(what string, alive, known bool) {
		t.Helper()
		if a, k := Holder(dir); a != alive || k != known {
			t.Errorf("%s: alive %v, known %v", what, a, k)
		}
	}
	look("before anybody", false, false)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	look("open", true, true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look("closed by a process that lives", true, true)
	for text, known := range map[string]bool{"pid 1073741824 on host HOST since x": true, "pid 1073741824 on host HOST.elsewhere since x": false, "pid -1 on host HOST since x": false, "": false} {
		host, err := os.Hostname()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, lockName), []byte(strings.ReplaceAll(text, "HOST", host)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		look(text, false, known)
	}
}
