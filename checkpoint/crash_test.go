package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint/vfs"
	"criticrm/checkpoint/vfs/vfstest"
)

// The enumeration of crashes: for each operation of a save, before and after it, under each model of what a disk keeps, the
// newest acknowledged checkpoint must load, whole, and the next save must leave a tidy directory.

const ckptDir = "run/ckpt"

// stateAt is a small state of several files and dtypes that is different at each step.
func stateAt(step int64) *State {
	x := gaussian(300, 0.02, uint64(step)+100)
	return &State{
		Step: step,
		Tensors: []TensorData{
			{TensorInfo{"w", "BF16", []int64{3, 100}}, BF16Bytes(x)},
			{TensorInfo{"m", "F32", []int64{3, 100}}, F32Bytes(x)},
			{TensorInfo{"count", "I64", []int64{1}}, []byte{byte(step), 0, 0, 0, 0, 0, 0, 0}},
			{TensorInfo{"none", "F32", []int64{0}}, []byte{}},
		},
		Meta: json.RawMessage(fmt.Sprintf(`{"position":%d,"text":"<&>"}`, step*7)),
	}
}

func sameState(a, b *State) error {
	if a.Step != b.Step || !bytes.Equal(a.Meta, b.Meta) || len(a.Tensors) != len(b.Tensors) {
		return fmt.Errorf("step %d meta %s and step %d meta %s differ", a.Step, a.Meta, b.Step, b.Meta)
	}
	for i := range a.Tensors {
		s, t := a.Tensors[i], b.Tensors[i]
		if s.Name != t.Name || s.DType != t.DType || !slices.Equal(s.Shape, t.Shape) || !bytes.Equal(s.Data, t.Data) {
			return fmt.Errorf("tensor %s differs", s.Name)
		}
	}
	return nil
}

func openSim(fsys vfs.FS) (*Store, error) {
	s, err := open(fsys, ckptDir, ckptDir)
	if err == nil {
		s.fileRaw = 1024
	}
	return s, err
}

// saver is a protocol under test: the real one, or a wrong one that must be found out.
type saver func(fsys vfs.FS, state *State, keep int) error

func rightSave(fsys vfs.FS, state *State, keep int) error {
	s, err := openSim(fsys)
	if err != nil {
		return err
	}
	_, err = s.Save(state, keep)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// prior is a disk to begin from, the step that is saved on it, and the newest step acknowledged before.
type prior struct {
	name  string
	disk  *vfstest.Sim
	step  int64
	acked int64 // 0: none
	keep  int
}

func priors(t *testing.T) []prior {
	build := func(steps ...int64) *vfstest.Sim {
		disk := vfstest.NewSim()
		disk.Put("notes.txt", []byte("mine"))
		for _, step := range steps {
			if err := rightSave(disk, stateAt(step), 0); err != nil {
				t.Fatal(err)
			}
		}
		return disk
	}
	leftovers := build(1, 2)
	leftovers.Put(ckptDir+"/.tmp-00000003-0/tensors-00000.zst", []byte("half"))
	leftovers.Put(ckptDir+"/.del-step-00000001/manifest.json", []byte("half"))
	leftovers.Put(ckptDir+"/.tmp-LATEST", []byte("st"))
	return []prior{
		{"first save", build(), 1, 0, 2},
		{"second save", build(1), 2, 1, 2},
		{"over leftovers", leftovers, 3, 2, 0},
		{"pruning", build(1, 2, 3, 4), 5, 4, 2},
		{"same step again", build(1, 2), 2, 2, 2},
	}
}

// crashAt runs the save until the fault of the plan and says whether it was acknowledged.
func crashAt(save saver, disk *vfstest.Sim, p prior, plan vfstest.Plan) (f *vfstest.Fault, acked bool) {
	f = vfstest.NewFault(disk, plan)
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(vfstest.Crashed); !ok {
				panic(v)
			}
		}
	}()
	acked = save(f, stateAt(p.step), p.keep) == nil
	return f, acked
}

// survives checks a disk after a crash: newest is the newest acknowledged step, want how many must be there at least.
func survives(disk *vfstest.Sim, newest int64, want int) error {
	entries, _, err := list(disk, ckptDir)
	if err != nil && newest > 0 {
		return err
	}
	for _, e := range entries { // what has a final name is complete, and is what was saved
		s, err := load(disk, e.Path)
		if err != nil {
			return err
		}
		if err := sameState(s, stateAt(e.Step)); err != nil {
			return err
		}
	}
	if newest > 0 && (len(entries) == 0 || entries[0].Step < newest) {
		return fmt.Errorf("step %d was acknowledged and is lost: %v", newest, disk.Tree())
	}
	if len(entries) < want {
		return fmt.Errorf("%d checkpoints left, want %d: %v", len(entries), want, disk.Tree())
	}
	return nil
}

// recovers saves the next step on the disk and checks that it is tidy after: once as twice.
func recovers(disk *vfstest.Sim, next int64) error {
	entries, _, _ := list(disk, ckptDir) // none when the crash was before the directory was durable
	before := len(entries)
	var trees [2]string
	for i := range trees {
		if err := rightSave(disk, stateAt(next), 0); err != nil {
			return fmt.Errorf("save after the crash: %w", err)
		}
		trees[i] = strings.Join(disk.Tree(), "\n")
		if strings.Contains(trees[i], tmpPrefix) || strings.Contains(trees[i], delPrefix) {
			return fmt.Errorf("leftovers:\n%s", trees[i])
		}
	}
	if trees[0] != trees[1] {
		return fmt.Errorf("recovering twice is not recovering once:\n%s\n\n%s", trees[0], trees[1])
	}
	if string(disk.Get("notes.txt")) != "mine" {
		return fmt.Errorf("a foreign file is gone")
	}
	return survives(disk, next, min(2, before+1))
}

// enumerate tries every crash of one save. It gives the number of disks looked at and the first that is wrong.
func enumerate(save saver, p prior, rng *rand.Rand) (states int, err error) {
	full, _ := crashAt(save, p.disk.Crash(vfstest.KeepAll, rng), p, vfstest.Plan{})
	for k := 1; k <= len(full.Ops()); k++ {
		for _, when := range []vfstest.When{vfstest.Before, vfstest.After} {
			disk := p.disk.Crash(vfstest.KeepAll, rng)
			f, acked := crashAt(save, disk, p, vfstest.Plan{At: k, When: when, Crash: true})
			if len(f.Fired()) != 1 {
				return states, fmt.Errorf("op %d: no crash happened", k)
			}
			newest := p.acked
			if acked {
				newest = p.step
			}
			for model := range vfstest.Models {
				after := disk.Crash(model, rng)
				states++
				err := survives(after, newest, int(min(newest, 2)))
				if err == nil && (k+int(model))%4 == 0 {
					err = recovers(after, p.step+1)
				}
				if err != nil {
					return states, fmt.Errorf("%v, when %d, model %v: %w", f.Fired()[0], when, model, err)
				}
			}
		}
	}
	// And after the last operation, acknowledged.
	disk := p.disk.Crash(vfstest.KeepAll, rng)
	if _, acked := crashAt(save, disk, p, vfstest.Plan{}); !acked {
		return states, fmt.Errorf("the save without a fault was not acknowledged")
	}
	for model := range vfstest.Models {
		states++
		if err := survives(disk.Crash(model, rng), p.step, int(min(p.step, 2))); err != nil {
			return states, fmt.Errorf("after the save, model %v: %w", model, err)
		}
	}
	return states, nil
}

func TestCrashAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	total := 0
	for _, p := range priors(t) {
		n, err := enumerate(rightSave, p, rng)
		total += n
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	t.Logf("%d disks after crashes", total)
	if total < 4800 {
		t.Errorf("only %d disks: a loop was skipped", total)
	}
}

// TestCrashTwice crashes a save and then the save that recovers, at random operations.
func TestCrashTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	ps := priors(t)
	const pairs = 600
	for i := range pairs {
		p := ps[rng.IntN(len(ps))]
		disk := p.disk.Crash(vfstest.KeepAll, rng)
		newest := p.acked
		for range 2 {
			f, acked := crashAt(rightSave, disk, p, vfstest.Plan{At: 1 + rng.IntN(120), When: vfstest.Before, Crash: true})
			if acked {
				newest = p.step
			}
			model := vfstest.Model(rng.IntN(int(vfstest.Models)))
			disk = disk.Crash(model, rng)
			if err := survives(disk, newest, int(min(newest, 2))); err != nil {
				t.Fatalf("pair %d, %s, %v, model %v: %v", i, p.name, f.Fired(), model, err)
			}
			if newest == p.step {
				p.step++
			}
		}
	}
	t.Logf("%d pairs of crashes", pairs)
}

// TestHistories: saves, prunings and crashes at random; two verified checkpoints remain once there were two.
func TestHistories(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	const histories = 100
	crashes := 0
	for h := range histories {
		disk := vfstest.NewSim()
		newest := int64(0)
		for step := int64(1); step <= 8; step++ {
			p := prior{step: step, keep: rng.IntN(4)}
			plan := vfstest.Plan{Crash: true}
			if rng.IntN(2) == 0 {
				plan.At = 1 + rng.IntN(130)
			}
			f, acked := crashAt(rightSave, disk, p, plan)
			if acked {
				newest = step
			}
			if len(f.Fired()) > 0 {
				crashes++
				disk = disk.Crash(vfstest.Model(rng.IntN(int(vfstest.Models))), rng)
			}
			entries, _, err := list(disk, ckptDir)
			complete := 0
			for _, e := range entries {
				if s, err := load(disk, e.Path); err == nil && sameState(s, stateAt(e.Step)) == nil {
					complete++
				}
			}
			if newest > 0 && (err != nil || entries[0].Step < newest || complete != len(entries)) {
				t.Fatalf("history %d, step %d: %v %v", h, step, err, disk.Tree())
			}
			if acked && newest > 1 && p.keep > 0 && complete > max(2, p.keep) {
				t.Fatalf("history %d, step %d: %d left, keep %d", h, step, complete, p.keep)
			}
		}
	}
	t.Logf("%d histories, %d crashes", histories, crashes)
}

// wrongFS is a file system that makes a right program wrong.
type wrongFS struct {
	vfs.FS
	noFsync, noDirSync, lateFsync, retryFsync, ignoreClose bool
}

type wrongFile struct {
	vfs.File
	w *wrongFS
}

func (w *wrongFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := w.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &wrongFile{f, w}, nil
}

func (w *wrongFS) SyncDir(name string) error {
	if w.noDirSync {
		return nil
	}
	err := w.FS.SyncDir(name)
	if err != nil && w.retryFsync {
		err = w.FS.SyncDir(name)
	}
	return err
}

func (w *wrongFS) Rename(old, new string) error {
	if err := w.FS.Rename(old, new); err != nil || !w.lateFsync {
		return err
	}
	w.FS.SyncDir(ckptDir)
	entries, err := w.FS.ReadDir(new)
	for _, e := range entries {
		f, err := w.FS.OpenFile(new+"/"+e.Name(), 0, 0)
		if err != nil {
			return err
		}
		f.Sync()
		f.Close()
	}
	if err != nil {
		return nil // a file was renamed
	}
	return w.FS.SyncDir(new)
}

func (f *wrongFile) Sync() error {
	if f.w.noFsync || f.w.lateFsync {
		return nil
	}
	err := f.File.Sync()
	if err != nil && f.w.retryFsync {
		err = f.File.Sync()
	}
	return err
}

func (f *wrongFile) Close() error {
	err := f.File.Close()
	if f.w.ignoreClose {
		return nil
	}
	return err
}

func through(w wrongFS) saver {
	return func(fsys vfs.FS, state *State, keep int) error {
		w := w
		w.FS = fsys
		return rightSave(&w, state, keep)
	}
}

// saveParts is a hand-made protocol: the same files, in an order of its own.
func saveParts(manifestFirst bool) saver {
	return func(fsys vfs.FS, state *State, keep int) error {
		if err := vfs.MkdirAll(fsys, ckptDir, 0o755); err != nil {
			return err
		}
		jobs, meta, err := plan(state, 1024, "")
		if err != nil {
			return err
		}
		m := &Manifest{Format: formatWhole, Step: state.Step, Meta: meta}
		var files []file
		for i := range jobs {
			if err := jobs[i].read(state, &buffers{}); err != nil {
				return err
			}
			files = append(files, jobs[i].encode(&buffers{}))
			m.Files = append(m.Files, files[i].info)
		}
		dir := ckptDir + "/" + stepDir(state.Step, 1)
		if err := vfs.RemoveAll(fsys, dir); err != nil { // in place: the step that is there is overwritten
			return err
		}
		if err := fsys.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if manifestFirst {
			vfs.WriteNew(fsys, dir+"/"+manifestName, m.encode())
		}
		for _, f := range files {
			if err := vfs.WriteNew(fsys, dir+"/"+f.info.Name, f.stored); err != nil {
				return err
			}
		}
		if !manifestFirst {
			vfs.WriteNew(fsys, dir+"/"+manifestName, m.encode())
		}
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
		return fsys.SyncDir(ckptDir)
	}
}

// pruneFirst makes room before it has something better.
func pruneFirst(fsys vfs.FS, state *State, keep int) error {
	entries, _, err := list(fsys, ckptDir)
	for i := 1; err == nil && i < len(entries); i++ {
		err = vfs.RemoveAll(fsys, entries[i].Path)
	}
	return rightSave(fsys, state, keep)
}

// Each wrong protocol must be found out by the enumeration, else the enumeration proves nothing.
func TestWrongProtocolsAreFound(t *testing.T) {
	for name, save := range map[string]saver{
		"no fsync":           through(wrongFS{noFsync: true}),
		"no directory fsync": through(wrongFS{noDirSync: true}),
		"fsync after rename": through(wrongFS{lateFsync: true}),
		"in place":           saveParts(false),
		"manifest first":     saveParts(true),
		"prune first":        pruneFirst,
	} {
		found := error(nil)
		rng := rand.New(rand.NewPCG(4, 4))
		for _, p := range priors(t) {
			if _, err := enumerate(save, p, rng); err != nil {
				found = err
				break
			}
		}
		if found == nil {
			t.Errorf("%s: not found", name)
			continue
		}
		t.Logf("%s: %s", name, strings.SplitN(found.Error(), "\n", 2)[0])
	}
}
