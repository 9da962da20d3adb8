package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"criticrm/checkpoint"
	"criticrm/checkpoint/vfs"
	"criticrm/checkpoint/vfs/vfstest"
	"criticrm/render"
)

// storeOn has runs of a test keep their checkpoints through a file system that wrap makes of the real one.
func storeOn(t *testing.T, wrap func(vfs.FS) vfs.FS) {
	t.Helper()
	openStore = func(dir string) (*checkpoint.Store, error) {
		root, err := vfs.OpenRoot(filepath.Dir(dir))
		if err != nil {
			return nil, err
		}
		return checkpoint.OpenIn(wrap(root), filepath.Base(dir), dir)
	}
	t.Cleanup(func() { openStore = checkpoint.Open })
}

func asyncConfig(dir, async string) Config {
	c := testConfig(dir)
	c.SaveSteps, c.AsyncSave = 4, async
	return c
}

// A checkpoint that is written while training goes on has the bytes of one that training waited for, however long the copy takes: an update
// that did not wait for it would be in it.
func TestBackgroundBytes(t *testing.T) {
	beforeCopy = func() { time.Sleep(20 * time.Millisecond) }
	t.Cleanup(func() { beforeCopy = func() {} })
	dir := filepath.Join(t.TempDir(), "run")
	all := map[string]map[string]string{}
	for _, async := range []string{AsyncNo, AsyncYes} {
		for _, bf16 := range []bool{false, true} {
			c := asyncConfig(dir, async)
			c.BF16 = bf16
			r, err := Train(context.Background(), tiny(t, c, 2), pairs(27), c)
			if err != nil || r.SaveSeconds <= 0 || r.SaveSeconds >= r.Seconds {
				t.Fatalf("%v s of %v s: %v", r.SaveSeconds, r.Seconds, err)
			}
			all[fmt.Sprint(async, bf16)] = filesUnder(t, filepath.Join(dir, "checkpoints"))
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, bf16 := range []bool{false, true} {
		sameCheckpoints(t, fmt.Sprint("bf16 ", bf16), all[fmt.Sprint(AsyncNo, bf16)], all[fmt.Sprint(AsyncYes, bf16)])
	}
}

// sameCheckpoints wants the files of checkpoints that training has waited for, and of those that it has not.
func sameCheckpoints(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	if len(want) != len(got) || len(want) < 5*2 {
		t.Fatalf("%s: %d files and %d", what, len(want), len(got))
	}
	for name, b := range want {
		if filepath.Base(name) == "manifest.json" { // the recipe is in it, and its own hash
			lines := strings.Split(strings.Replace(b, `"async_save":"no"`, `"async_save":"yes"`, 1), "\n")
			other := strings.Split(got[name], "\n")
			if len(lines) < 4 || !slices.Equal(lines[:len(lines)-2], other[:len(other)-2]) {
				t.Errorf("%s: %s:\n%s\n%s", what, name, b, got[name])
			}
		} else if name != "LOCK" && got[name] != b {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func filesUnder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// slowDisk has every fsync of a file wait for a signal.
type slowDisk struct {
	vfs.FS
	wait func()
}

type slowFile struct {
	vfs.File
	wait func()
}

func (s slowDisk) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	return slowFile{f, s.wait}, err
}

func (f slowFile) Sync() error {
	f.wait()
	return f.File.Sync()
}

// Training goes on while a checkpoint is written, and the next one, the end and an interruption wait for it.
func TestBackgroundGoesOn(t *testing.T) {
	release := make(chan struct{})
	late := false
	storeOn(t, func(fsys vfs.FS) vfs.FS {
		return slowDisk{fsys, func() {
			select {
			case <-release:
			case <-time.After(20 * time.Second):
				late = true
			}
		}}
	})
	c := asyncConfig(t.TempDir(), AsyncYes)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Train(ctx, tiny(t, c, 1), pairs(27), c, WithReport(Report{OnStep: func(m Metrics) {
		if m.Step == 7 { // three steps behind the first checkpoint
			close(release)
		}
		if m.Step == 9 {
			cancel()
		}
	}}))
	if !errors.Is(err, ErrInterrupted) || late || r.Steps != 9 {
		t.Fatalf("step %d, late: %v, %v", r.Steps, late, err)
	}
	list, err := checkpoint.List(filepath.Join(c.OutputDir, "checkpoints"))
	if err != nil || len(list) != 3 || list[0].Step != 9 || list[1].Step != 8 || list[2].Step != 4 {
		t.Errorf("%v, %v", list, err)
	}
}

// reading is a data set that tells when an example is read.
type reading struct {
	Slice
	read func()
}

func (d reading) Example(i int) (render.Example, error) {
	d.read()
	return d.Slice.Example(i)
}

// A run that is interrupted while its checkpoint is under way does not write it twice.
func TestBackgroundOnce(t *testing.T) {
	c := asyncConfig(t.TempDir(), AsyncYes)
	ctx, cancel := context.WithCancel(context.Background())
	data, behind := reading{Slice: pairs(27)}, false
	data.read = func() {
		if behind { // the checkpoint is under way, and the step behind it is not made then
			cancel()
		}
	}
	var log *vfstest.Fault
	storeOn(t, func(fsys vfs.FS) vfs.FS {
		log = vfstest.NewFault(slowDisk{fsys, func() { time.Sleep(5 * time.Millisecond) }}, vfstest.Plan{})
		return log
	})
	r, err := Train(ctx, tiny(t, c, 1), data, c, WithReport(Report{OnStep: func(m Metrics) { behind = m.Step == 4 }}))
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, op := range log.Ops() {
		if op.Kind == "mkdir" && strings.Contains(op.Name, ".tmp-") {
			times[filepath.Base(op.Name)]++
		}
	}
	for name, n := range times {
		if n != 1 {
			t.Errorf("%s was made %d times; the run ended at step %d", name, n, r.Steps)
		}
	}
	if len(times) == 0 || r.Checkpoint == "" {
		t.Errorf("%v, %s", times, r.Checkpoint)
	}
}

// What the disk does not take while training goes on is told and survived, three times in a row it ends the run, and the older checkpoint stays.
func TestBackgroundFails(t *testing.T) {
	for _, x := range []struct {
		fails int // saves
		want  string
	}{{1, ""}, {2, ""}, {3, "no space left on device"}} {
		left, saves := 0, 0
		storeOn(t, func(fsys vfs.FS) vfs.FS {
			return fullAt{fsys, func() bool { // the file of the second save is the first that does not fit
				saves++
				if saves == 2 {
					left = x.fails
				}
				left--
				return left >= 0
			}}
		})
		c := asyncConfig(t.TempDir(), AsyncYes)
		c.SaveSteps = 2
		var log bytes.Buffer
		r, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithReport(Report{Log: &log}))
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want) || !errors.Is(err, syscall.ENOSPC)) {
			t.Errorf("%d: %v", x.fails, err)
		}
		if n := strings.Count(log.String(), "training goes on, the newest good checkpoint is "+filepath.Join(c.OutputDir, "checkpoints", "step-00000002")); n != min(x.fails, 2) {
			t.Errorf("%d: told %d times:\n%s", x.fails, n, log.String())
		}
		list, lerr := checkpoint.List(filepath.Join(c.OutputDir, "checkpoints"))
		if want := 10 - x.fails; x.want == "" && (lerr != nil || len(list) != want) {
			t.Errorf("%d: %d checkpoints, want %d (%v)", x.fails, len(list), want, lerr)
		}
		if x.want != "" && (len(list) != 1 || r.Steps < 8 || r.Steps > 10) {
			t.Errorf("%d: stopped at step %d with %v", x.fails, r.Steps, list)
		}
	}
}

// fullAt refuses the first write of a save's data file when full says so.
type fullAt struct {
	vfs.FS
	full func() bool
}

func (f fullAt) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	if flag&os.O_CREATE != 0 && strings.HasSuffix(name, "tensors-00000.zst") && f.full() {
		return nil, &os.PathError{Op: "openat", Path: name, Err: syscall.ENOSPC}
	}
	return f.FS.OpenFile(name, flag, perm)
}

// A state that no training makes ends the run, though it is found in the background; nothing is saved.
func TestBackgroundUnsound(t *testing.T) {
	c := asyncConfig(t.TempDir(), AsyncYes)
	m := tiny(t, c, 1)
	p := m.Params()[1]
	bad := make([]float32, p.V.Len())
	bad[2] = float32(math.NaN())
	r, err := Train(context.Background(), m, pairs(27), c, WithReport(Report{OnStep: func(x Metrics) {
		if x.Step == 8 {
			m.Dev.Upload(p.V.View(p.V.Len()), bad)
		}
	}}))
	if err == nil || !strings.Contains(err.Error(), "checkpoint of step 8: v/"+p.Name+": element 2 is NaN; nothing was saved, the newest checkpoint is "+filepath.Join(c.OutputDir, "checkpoints", "step-00000004")) {
		t.Errorf("step %d: %v", r.Steps, err)
	}
}

// Without memory for a copy training waits for its checkpoints, and says so, once.
func TestBackgroundWithoutMemory(t *testing.T) {
	hostMemory = func() (uint64, bool) { return 100 << 20, true }
	t.Cleanup(func() { hostMemory = freeMemory })
	for async, want := range map[string]int{AsyncAuto: 1, AsyncYes: 0, AsyncNo: 0} {
		c := asyncConfig(t.TempDir(), async)
		var log bytes.Buffer
		if _, err := Train(context.Background(), tiny(t, c, 1), pairs(27), c, WithReport(Report{Log: &log})); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "written while training waits: a copy of the state takes "); n != want || want > 0 && !strings.Contains(log.String(), "which has 100 MiB left") {
			t.Errorf("%s: told %d times, want %d:\n%s", async, n, want, log.String())
		}
	}
}

func TestFreeMemory(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	meminfo := file("MemTotal: 2000 kB\nMemFree: 10 kB\nMemAvailable:   1000 kB\n")
	for name, x := range map[string]struct {
		fs    fstest.MapFS
		left  uint64
		known bool
	}{
		"nothing": {fstest.MapFS{}, 0, false},
		"system":  {fstest.MapFS{"proc/meminfo": meminfo}, 1000 << 10, true},
		"group": {fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/memory.max": file("500000\n"), "sys/fs/cgroup/a/memory.current": file("300000\n"),
			"sys/fs/cgroup/a/memory.stat": file("anon 1\ninactive_file 100000\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"), "sys/fs/cgroup/a/b/memory.current": file("5\n")}, 300000, true},
		"container": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("7\n"), "sys/fs/cgroup/memory.current": file("9\n")}, 0, true},
	} {
		if left, known := freeMemoryIn(x.fs); left != x.left || known != x.known {
			t.Errorf("%s: %d, %v, want %d, %v", name, left, known, x.left, x.known)
		}
	}
	if left, known := freeMemory(); known && left < 1<<20 {
		t.Errorf("this machine has %d bytes left", left)
	}
}
