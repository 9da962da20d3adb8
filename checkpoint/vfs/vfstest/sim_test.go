package vfstest

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"criticrm/checkpoint/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// script makes a Sim and runs short commands on it: "write f abc", "sync f", "mkdir d", "rename a b", "remove a", "dir d".
func script(t *testing.T, lines ...string) *Sim {
	t.Helper()
	s := NewSim()
	for _, line := range lines {
		w := strings.Fields(line)
		switch w[0] {
		case "write", "rewrite":
			flag := os.O_WRONLY | os.O_CREATE
			if w[0] == "rewrite" {
				flag |= os.O_TRUNC
			}
			f, err := s.OpenFile(w[1], flag, 0o644)
			must(t, err)
			must(t, vfs.Write(f, w[1], []byte(w[2])))
			must(t, f.Close())
		case "sync", "drop":
			f, err := s.OpenFile(w[1], os.O_RDONLY, 0)
			must(t, err)
			if w[0] == "drop" { // what a failed fsync does
				f.(*simFile).Drop()
			}
			must(t, f.Sync())
			must(t, f.Close())
		case "mkdir":
			must(t, s.Mkdir(w[1], 0o755))
		case "rename":
			must(t, s.Rename(w[1], w[2]))
		case "remove":
			must(t, s.Remove(w[1]))
		case "dir":
			must(t, s.SyncDir(w[1]))
		default:
			t.Fatal(line)
		}
	}
	return s
}

// The simulator's own known outcomes: what a POSIX file system may do, and must.
func TestKnownOutcomes(t *testing.T) {
	safe := []string{"write a abc", "sync a", "dir ."}
	for _, c := range []struct {
		what  string
		lines []string
		model Model
		file  string
		want  string // "-": no such file
	}{
		{"nothing synced", []string{"write a abc"}, KeepNone, "a", "-"},
		{"a kill keeps everything", []string{"write a abc"}, KeepAll, "a", "abc"},
		{"content without entry", []string{"write a abc", "sync a"}, KeepNone, "a", "-"},
		{"entry without content", []string{"write a abc", "dir ."}, KeepNone, "a", ""},
		{"both", safe, KeepNone, "a", "abc"},
		{"both, subset", safe, Subset, "a", "abc"},
		{"both, torn", safe, Torn, "a", "abc"},
		{"both, meta-first", safe, MetaFirst, "a", "abc"},
		{"unsynced content reads as zeros", []string{"write a abc", "dir ."}, MetaFirst, "a", "\x00\x00\x00"},
		{"overwritten in place, lost", append(safe, "write a xyz"), KeepNone, "a", "abc"},
		{"overwritten in place, zeros", append(safe, "write a xyz"), MetaFirst, "a", "\x00\x00\x00"},
		{"truncated, kept", append(safe, "rewrite a x"), KeepAll, "a", "x"},
		{"unsynced rename", append(safe, "rename a b"), KeepNone, "b", "-"},
		{"unsynced rename keeps the old name", append(safe, "rename a b"), KeepNone, "a", "abc"},
		{"synced rename", append(safe, "rename a b", "dir ."), KeepNone, "b", "abc"},
		{"synced rename takes the old name", append(safe, "rename a b", "dir ."), KeepNone, "a", "-"},
		{"rename before data", []string{"write a abc", "rename a b", "dir ."}, KeepNone, "b", ""},
		{"unsynced remove", append(safe, "remove a"), KeepNone, "a", "abc"},
		{"synced remove", append(safe, "remove a", "dir ."), KeepNone, "a", "-"},
		{"file in an unsynced directory", []string{"mkdir d", "write d/a abc", "sync d/a", "dir d"}, KeepNone, "d/a", "-"},
		{"file in a synced directory", []string{"mkdir d", "write d/a abc", "sync d/a", "dir d", "dir ."}, KeepNone, "d/a", "abc"},
		{"synced parent, unsynced directory", []string{"mkdir d", "write d/a abc", "sync d/a", "dir ."}, KeepNone, "d/a", "-"},
		{"a failed fsync loses for good", []string{"write a abc", "dir .", "drop a", "sync a"}, KeepAll, "a", ""},
		{"replaced by rename", append(safe, "write b new", "sync b", "rename b a", "dir ."), KeepNone, "a", "new"},
	} {
		disk := script(t, c.lines...).Crash(c.model, rand.New(rand.NewPCG(1, 1)))
		got := "-"
		if _, err := disk.Lstat(c.file); err == nil {
			got = string(disk.Get(c.file))
		}
		if got != c.want {
			t.Errorf("%s: %v of %s is %q, want %q", c.what, c.model, c.file, got, c.want)
		}
	}
}

// Random models reach all of their outcomes, and a rename is never half done.
func TestRandomModels(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	long := strings.Repeat("x", 3*sector)
	s := script(t, "write a abc", "sync a", "dir .", "write b "+long, "rename a c")
	seen := map[string]bool{}
	for range 300 {
		for _, m := range []Model{Prefix, Subset, Torn} {
			d := s.Crash(m, rng)
			_, aErr := d.Lstat("a")
			_, cErr := d.Lstat("c")
			if (aErr == nil) == (cErr == nil) {
				t.Fatalf("%v: half a rename: %v", m, d.Tree())
			}
			seen[m.String()+strings.Join(d.Tree(), ",")+strings.Trim(string(d.Get("b")), "\x00")] = true
		}
	}
	if len(seen) < 12 {
		t.Errorf("%d different disks", len(seen))
	}
}

// conform is what every FS must do alike; the real one and the simulated one are both held to it.
func conform(t *testing.T, s vfs.FS) {
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	must(t, vfs.MkdirAll(s, "x/y", 0o755))
	must(t, vfs.MkdirAll(s, "x/y", 0o755))
	is(s.Mkdir("x/y", 0o755), fs.ErrExist)
	must(t, vfs.WriteNew(s, "x/y/f", []byte("hello "), []byte("there")))
	is(vfs.WriteNew(s, "x/y/f", nil), fs.ErrExist)
	b, err := vfs.ReadFile(s, "x/y/f", 100)
	if err != nil || string(b) != "hello there" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := vfs.ReadFile(s, "x/y/f", 10); err == nil || !strings.Contains(err.Error(), "11 bytes, limit 10") {
		t.Errorf("limit: %v", err)
	}
	_, err = vfs.ReadFile(s, "x/gone", 10)
	is(err, fs.ErrNotExist)
	_, err = s.OpenFile("x/y", os.O_RDONLY, 0)
	is(err, vfs.ErrNotRegular)
	must(t, vfs.WriteAtomic(s, "x/y/f", []byte("new")))
	must(t, vfs.WriteAtomic(s, "x/g", []byte("g")))
	is(s.Rename("x/gone", "x/h"), fs.ErrNotExist)
	is(s.Rename("x", "x2/z"), fs.ErrNotExist)
	must(t, s.Mkdir("full", 0o755))
	must(t, vfs.WriteNew(s, "full/f"))
	if err := s.Rename("x/y", "full"); err == nil {
		t.Error("a directory was replaced by another")
	}
	if err := s.Remove("full"); err == nil {
		t.Error("a full directory was removed")
	}
	must(t, s.Rename("x/y", "x/z"))
	list, err := s.ReadDir("x")
	if err != nil || len(list) != 2 || list[0].Name() != "g" || !list[1].IsDir() {
		t.Errorf("%v %v", list, err)
	}
	st, err := s.Lstat("x/z/f")
	if err != nil || st.Size() != 3 || !st.Mode().IsRegular() {
		t.Errorf("%v %v", st, err)
	}
	f, err := s.OpenFile("x/g", os.O_RDWR, 0)
	must(t, err)
	must(t, f.Truncate(0))
	must(t, vfs.Write(f, "x/g", []byte("0123456789")))
	at := make([]byte, 4)
	if n, err := f.ReadAt(at, 8); n != 2 || err != io.EOF {
		t.Errorf("ReadAt past the end: %d %v", n, err)
	}
	if n, err := f.Seek(-3, io.SeekEnd); n != 7 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "789" {
		t.Errorf("%q %v", b, err)
	}
	must(t, f.Sync())
	must(t, f.Close())
	must(t, s.SyncDir("x"))
	l, err := s.Lock("LOCK")
	must(t, err)
	var held *vfs.LockedError
	if _, err := s.Lock("LOCK"); !errors.As(err, &held) || held.Holder == "" {
		t.Errorf("second lock: %v", err)
	}
	must(t, l.Close())
	l, err = s.Lock("LOCK")
	must(t, err)
	must(t, l.Close())
	if n, err := s.Free("."); n == 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	must(t, vfs.RemoveAll(s, "x"))
	must(t, vfs.RemoveAll(s, "x"))
	_, err = s.Lstat("x")
	is(err, fs.ErrNotExist)
}

func TestConformance(t *testing.T) {
	t.Run("sim", func(t *testing.T) { conform(t, NewSim()) })
	t.Run("fault", func(t *testing.T) { conform(t, NewFault(NewSim(), Plan{})) })
	t.Run("real", func(t *testing.T) {
		r, err := vfs.OpenRoot(t.TempDir())
		must(t, err)
		defer r.Close()
		conform(t, r)
	})
}

// Nothing leads out of a root, and nothing but regular files is opened or waited for.
func TestRootStaysInside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "root"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o644))
	must(t, os.Symlink("../secret", filepath.Join(dir, "root", "link")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "root", "fifo"), 0o644))
	r, err := vfs.OpenRoot(filepath.Join(dir, "root"))
	must(t, err)
	defer r.Close()
	for _, name := range []string{"../secret", "link", "fifo", filepath.Join(dir, "secret")} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
			if f, err := r.OpenFile(name, flag, 0); err == nil {
				f.Close()
				t.Errorf("%s opened", name)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	count := NewFault(NewSim(), Plan{})
	must(t, vfs.WriteAtomic(count, "a", []byte("abcd")))
	var kinds []string
	for _, op := range count.Ops() {
		kinds = append(kinds, op.Kind)
	}
	if want := []string{"remove", "open", "write", "fsync", "close", "rename", "fsync"}; !slices.Equal(kinds, want) {
		t.Fatalf("operations %v, want %v", kinds, want)
	}
	for i := range kinds {
		f := NewFault(NewSim(), Plan{At: i + 1, Err: syscall.EIO})
		if err := vfs.WriteAtomic(f, "a", []byte("abcd")); !errors.Is(err, syscall.EIO) || len(f.Fired()) != 1 {
			t.Errorf("%v: %v", f.Fired(), err)
		}
	}
	short := NewFault(NewSim(), Plan{At: 3, Short: true})
	if err := vfs.WriteAtomic(short, "a", []byte("abcd")); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: %v", err)
	}
	sim := NewSim()
	func() {
		defer func() {
			if c, ok := recover().(Crashed); !ok || c.Op.N != 6 {
				t.Errorf("crash at %v", c)
			}
		}()
		vfs.WriteAtomic(NewFault(sim, Plan{At: 6, Crash: true, When: After}), "a", []byte("abcd"))
	}()
	if got := string(sim.Get("a")); got != "abcd" {
		t.Errorf("crash after the rename left %q", got)
	}
}
