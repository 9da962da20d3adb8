package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/checkpoint/vfs/vfstest"
)

// tiny is a saved checkpoint whose files are small enough to break at every place.
func tiny(t *testing.T) (disk *vfstest.Sim, dir string) {
	disk = vfstest.NewSim()
	x := gaussian(128, 0.02, 1)
	s := &State{Step: 5, Meta: json.RawMessage(`{"a":1}`), Tensors: []TensorData{
		{TensorInfo{"w", "BF16", []int64{128}}, BF16Bytes(x)}, {TensorInfo{"m", "F32", []int64{64}}, F32Bytes(x[:64])},
	}}
	if err := rightSave(disk, s, 0); err != nil {
		t.Fatal(err)
	}
	dir = ckptDir + "/step-00000005"
	if _, err := load(disk, dir); err != nil {
		t.Fatal(err)
	}
	return disk, dir
}

// refused says that the damaged file must be found, and named.
func refused(t *testing.T, disk *vfstest.Sim, dir, file, what string) {
	t.Helper()
	s, err := load(disk, dir)
	if err == nil || s != nil || !strings.Contains(err.Error(), "step-00000005/"+file) {
		t.Fatalf("%s of %s: %v", what, file, err)
	}
}

func TestEveryChangedByteIsFound(t *testing.T) {
	disk, dir := tiny(t)
	mutations := 0
	for _, file := range []string{manifestName, "tensors-00000.zst"} {
		good := disk.Get(dir + "/" + file)
		bad := bytes.Clone(good)
		for i, c := range good {
			values := []byte{c ^ 1, c ^ 2, c ^ 4, c ^ 8, c ^ 16, c ^ 32, c ^ 64, c ^ 128}
			if file == manifestName {
				values = append(values, 0, ' ', '0', '9', '"', '}', '\n', c+1)
			}
			for _, v := range values {
				if bad[i] = v; v == c {
					continue
				}
				disk.Put(dir+"/"+file, bad)
				refused(t, disk, dir, file, fmt.Sprintf("byte %d set to %#x", i, v))
				mutations++
			}
			bad[i] = c
		}
		for n := range good {
			disk.Put(dir+"/"+file, good[:n])
			refused(t, disk, dir, file, fmt.Sprintf("truncation to %d", n))
			mutations++
		}
		for n := 1; n <= 16; n++ {
			disk.Put(dir+"/"+file, append(bytes.Clone(good), make([]byte, n)...))
			refused(t, disk, dir, file, fmt.Sprintf("%d bytes more", n))
			mutations++
		}
		disk.Put(dir+"/"+file, good)
	}
	if _, err := load(disk, dir); err != nil {
		t.Fatalf("the restored checkpoint: %v", err)
	}
	t.Logf("%d mutations, 0 missed", mutations)
}

func TestFilesOfAnotherCheckpoint(t *testing.T) {
	disk := vfstest.NewSim()
	for step := range int64(2) {
		if err := rightSave(disk, stateAt(step+1), 0); err != nil {
			t.Fatal(err)
		}
	}
	one, two := ckptDir+"/step-00000001/", ckptDir+"/step-00000002/"
	rng := rand.New(rand.NewPCG(1, 2))
	for what, c := range map[string]struct {
		change func(d *vfstest.Sim)
		want   string
	}{
		"file of another step": {func(d *vfstest.Sim) { d.Put(two+"tensors-00000.zst", d.Get(one+"tensors-00000.zst")) }, "step-00000002/tensors-00000.zst: "},
		"swapped": {func(d *vfstest.Sim) {
			a, b := d.Get(two+"tensors-00000.zst"), d.Get(two+"tensors-00001.zst")
			d.Put(two+"tensors-00000.zst", b)
			d.Put(two+"tensors-00001.zst", a)
		}, "step-00000002/tensors-00000.zst: "},
		"extra file":   {func(d *vfstest.Sim) { d.Put(two+"x.zst", nil) }, "step-00000002/x.zst: file is not in the manifest"},
		"missing file": {func(d *vfstest.Sim) { d.Remove(two + "tensors-00001.zst") }, "step-00000002/tensors-00001.zst: file is missing"},
		"no manifest":  {func(d *vfstest.Sim) { d.Remove(two + manifestName) }, "step-00000002: open manifest.json: "},
		"whole directory of another step": {func(d *vfstest.Sim) {
			for _, f := range []string{manifestName, "tensors-00000.zst", "tensors-00001.zst"} {
				d.Put(two+f, d.Get(one+f))
			}
		}, "step-00000002/manifest.json: is of step 1"},
		"newer format": {func(d *vfstest.Sim) {
			m := &Manifest{Format: 3, Step: 2, Files: []FileInfo{}}
			d.Put(two+manifestName, m.encode())
		}, "step-00000002/manifest.json: format 3 is newer than this program knows (2); use a newer version of it"},
		"bit of a data file": {func(d *vfstest.Sim) {
			b := d.Get(two + "tensors-00001.zst")
			b[len(b)/2] ^= 4
			d.Put(two+"tensors-00001.zst", b)
		}, "step-00000002/tensors-00001.zst: checksum mismatch (stored bytes): damaged file"},
		"bit of the manifest": {func(d *vfstest.Sim) {
			b := d.Get(two + manifestName)
			b[len(b)/2] ^= 4
			d.Put(two+manifestName, b)
		}, "step-00000002/manifest.json: its own checksum does not match"},
	} {
		d := disk.Crash(vfstest.KeepAll, rng)
		c.change(d)
		if _, err := load(d, strings.TrimSuffix(two, "/")); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s…", what, err, c.want)
		}
		if err := survives(d, 0, 0); err == nil {
			t.Errorf("%s: listed as good", what)
		}
		if _, err := load(d, strings.TrimSuffix(one, "/")); err != nil {
			t.Errorf("%s: the older one: %v", what, err)
		}
	}
}

// A forged manifest with a right hash is still checked: names are no paths, pieces make whole tensors, nothing overflows.
func TestForgedManifests(t *testing.T) {
	piece := func(begin, n, offset int64) Piece { return Piece{"w", "F32", []int64{4}, offset, begin, n} }
	file := func(name string, raw int64, p ...Piece) FileInfo { return FileInfo{Name: name, Raw: raw, Tensors: p} }
	for name, files := range map[string][]FileInfo{
		"path":           {file("../a.zst", 16, piece(0, 16, 0))},
		"name twice":     {file("a.zst", 8, piece(0, 8, 0)), file("a.zst", 8, piece(8, 8, 0))},
		"gap":            {file("a.zst", 8, piece(0, 4, 0), piece(8, 4, 4))},
		"incomplete":     {file("a.zst", 8, piece(0, 8, 0))},
		"twice":          {file("a.zst", 32, piece(0, 16, 0), piece(0, 16, 16))},
		"past the file":  {file("a.zst", 8, piece(0, 16, 0))},
		"rest":           {file("a.zst", 24, piece(0, 16, 0))},
		"negative":       {file("a.zst", 16, piece(0, -16, 0))},
		"begin":          {file("a.zst", 4, piece(1<<62, 4, 0))},
		"half element":   {file("a.zst", 16, piece(0, 6, 0), piece(6, 10, 6))},
		"huge file":      {file("a.zst", maxFileRaw+1, piece(0, 16, 0))},
		"overflow":       {file("a.zst", 0, Piece{"w", "F32", []int64{1 << 62, 4}, 0, 0, 0})},
		"negative shape": {file("a.zst", 0, Piece{"w", "F32", []int64{-1}, 0, 0, 0})},
	} {
		m := &Manifest{Format: 1, Files: files}
		if _, err := parseManifest(m.encode()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good := &Manifest{Format: 1, Files: []FileInfo{file("a.zst", 8, piece(0, 8, 0)), file("b.zst", 8, piece(8, 8, 0))}}
	if _, err := parseManifest(good.encode()); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// A save is acknowledged, and Verify content, only with the decompressed bytes that the manifest says the run had.
func TestVerifyHashesTheContent(t *testing.T) {
	disk, dir := tiny(t)
	m, err := readManifest(disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	verify := func() error { return readAll(disk, dir, &buffers{}, nil, nil, nil) }
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	m.Files[0].RawSHA256 = sha256Hex(nil)
	disk.Put(dir+"/"+manifestName, m.encode())
	if err := verify(); err == nil || !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "tensors-00000.zst: checksum mismatch (raw bytes)") {
		t.Fatalf("content of another hash: %v", err)
	}
}

func TestRealDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "ckpt")
	if _, _, err := Latest(dir); !errors.Is(err, ErrNone) {
		t.Errorf("no directory: %v", err)
	}
	store, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	held := regexp.MustCompile(`^` + regexp.QuoteMeta(dir) + ` is in use by pid \d+ on host \S+ since \S+Z$`)
	if _, err := Open(dir); err == nil || !held.MatchString(err.Error()) {
		t.Errorf("second trainer: %v", err)
	}
	for step := int64(1); step <= 4; step++ {
		path, err := store.Save(stateAt(step), 2)
		if err != nil || path != filepath.Join(dir, stepDir(step, 1)) {
			t.Fatalf("%s %v", path, err)
		}
	}
	again := stateAt(4)
	again.Tensors[0].Data[0] ^= 1
	path, err := store.Save(again, 2) // other content under the same step
	if err != nil || filepath.Base(path) != "step-00000004-r2" {
		t.Errorf("%s %v", path, err)
	}
	if back, err := Load(path); err != nil || sameState(back, again) != nil {
		t.Errorf("%v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Verify(path); err != nil {
		t.Error(err)
	}
	list, err := List(dir)
	if err != nil || len(list) != 3 || list[0].Path != path || !list[2].Complete() || list[2].Step != 3 {
		t.Errorf("list %v %v", list, err)
	}
	// An unfinished directory alone.
	os.RemoveAll(dir)
	os.MkdirAll(filepath.Join(dir, ".tmp-00001234-0"), 0o755)
	want := fmt.Sprintf("no complete checkpoint in %s (1 unfinished: step 1234)", dir)
	if _, _, err := Latest(dir); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestBadStates(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]*State{
		"negative step": {Step: -1},
		"twice":         {Tensors: []TensorData{floats("a", 1), floats("a", 1)}},
		"length":        {Tensors: []TensorData{{TensorInfo{"a", "F32", []int64{3}}, nil}}},
		"meta":          {Meta: json.RawMessage(`{"a":1,"a":2}`)},
		"meta cut":      {Meta: json.RawMessage(`{"a":`)},
	} {
		if _, err := Save(dir, s, 0); err == nil || !strings.HasPrefix(err.Error(), "saving step ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Save(dir, &State{}, 0); err != nil {
		t.Errorf("a state with nothing in it: %v", err)
	}
}

// Bytes do not depend on how many cores encode.
func TestBytesAreDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []string
	for _, procs := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(procs)
		disk := vfstest.NewSim()
		s, err := openSim(disk)
		if err != nil {
			t.Fatal(err)
		}
		state := stateAt(1)
		state.Tensors = append(state.Tensors, TensorData{TensorInfo{"big", "F32", []int64{5000}}, F32Bytes(gaussian(5000, 1, 9))})
		if _, err := s.Save(state, 0); err != nil {
			t.Fatal(err)
		}
		var sums []string
		all, _ := disk.ReadDir(ckptDir + "/step-00000001")
		for _, e := range all {
			sums = append(sums, e.Name()+sha256Hex(disk.Get(ckptDir+"/step-00000001/"+e.Name())))
		}
		if first == nil {
			first = sums
		}
		if len(sums) < 20 || strings.Join(sums, " ") != strings.Join(first, " ") {
			t.Errorf("%d cores: %d files, other bytes", procs, len(sums))
		}
	}
}

// TestMain is also the program that TestKill kills: with an argument it saves one step after the other for ever.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "save-for-ever" {
		_, step, err := Latest(os.Args[2])
		for err == nil || errors.Is(err, ErrNone) {
			step++
			if _, err = Save(os.Args[2], stateAt(step), 3); err == nil {
				fmt.Println(step)
			}
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestKill kills a saving process at random moments: what it acknowledged must load.
func TestKill(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 5
	}
	dir := filepath.Join(t.TempDir(), "ckpt")
	rng := rand.New(rand.NewPCG(8, uint64(time.Now().UnixNano())))
	acked, inFlight := int64(0), 0
	for range kills {
		cmd := exec.Command(os.Args[0], "save-for-ever", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		first, _ := r.ReadString('\n') // it is at work now, however busy the machine is
		time.AfterFunc(time.Duration(rng.IntN(40_000))*time.Microsecond, func() { cmd.Process.Kill() })
		rest, _ := io.ReadAll(r)
		cmd.Wait()
		if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
		}
		for _, line := range strings.Fields(first + string(rest)) {
			fmt.Sscan(line, &acked)
		}
		path, step, err := Latest(dir)
		if err != nil || step < acked {
			t.Fatalf("newest is %d, acknowledged %d: %v", step, acked, err)
		}
		s, err := Load(path)
		if err == nil {
			err = sameState(s, stateAt(step))
		}
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".[td]*")); len(left) > 0 || step > acked {
			inFlight++
		}
	}
	if acked < int64(kills) || inFlight == 0 {
		t.Errorf("%d acknowledged, %d kills within a save: the kills came at the wrong time", acked, inFlight)
	}
	t.Logf("%d kills, %d of them seen within a save, %d checkpoints acknowledged", kills, inFlight, acked)
}

// TestFullTmpfs fills a real file system, where one can be mounted.
func TestFullTmpfs(t *testing.T) {
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	defer syscall.Unmount(mnt, syscall.MNT_DETACH)
	dir := filepath.Join(mnt, "ckpt")
	state := func(step int64) *State {
		s := stateAt(step)
		s.Tensors = append(s.Tensors, TensorData{TensorInfo{"big", "F32", []int64{256 << 10}}, F32Bytes(gaussian(256<<10, 1, uint64(step)))})
		return s
	}
	for cycle := range int64(3) {
		if _, err := Save(dir, state(2*cycle+1), 2); err != nil {
			t.Fatal(err)
		}
		ballast := filepath.Join(mnt, "ballast")
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(f, io.LimitReader(rand.NewChaCha8([32]byte{}), 8<<20)) // until the disk is full
		f.Close()
		_, err = Save(dir, state(2*cycle+2), 2)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("full disk: %v", err)
		}
		path, step, lerr := Latest(dir)
		if lerr != nil || step != 2*cycle+1 || Verify(path) != nil {
			t.Fatalf("newest %d, %v", step, lerr)
		}
		if cycle == 0 {
			t.Log(err)
		}
		os.Remove(ballast)
		if _, err := Save(dir, state(2*cycle+2), 2); err != nil {
			t.Fatalf("after space was freed: %v", err)
		}
	}
}

// File operations outside the interface cannot be crashed or broken by the tests, so there are none.
func TestAllFileOperationsGoThroughVFS(t *testing.T) {
	calls := regexp.MustCompile(`\bos\.([A-Z]\w*)|\bunix\.|\bsyscall\.(Open|Write|Rename|Fsync)|ioutil`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllString(string(text), -1) {
			if !strings.HasPrefix(m, "os.O_") && m != "os.Hostname" {
				t.Errorf("%s calls %s", name, m)
			}
		}
	}
}
