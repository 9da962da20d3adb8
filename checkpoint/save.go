package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"criticrm/checkpoint/vfs"
)

const (
	lockName   = "LOCK"
	latestName = "LATEST"
	tmpPrefix  = ".tmp-"
	delPrefix  = ".del-"
)

// Store is a checkpoint directory that is open for writing. It holds the directory's lock until Close, so that a
// second trainer is refused: open it before the first step and keep it.
type Store struct {
	fs      vfs.FS
	dir     string // inside fs
	shown   string // as the user gave it
	lock    io.Closer
	root    io.Closer
	fileRaw int64
	stays   []int64 // the steps that Protect has named
}

// Open makes dir if need be, with durable entries, and locks it. A directory that cannot be written is refused here and
// not at the first save; one that another process has open gives an error with its pid, host and time.
func Open(dir string) (*Store, error) {
	root, rest, err := vfs.OpenNearest(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(root, rest, dir)
	if err != nil {
		root.Close()
		return nil, err
	}
	s.root = root
	return s, nil
}

// OpenIn is Open of a directory inside a file system that is not just the machine's, for tests of what happens when it fails. Paths and
// errors call the directory shown.
func OpenIn(fsys vfs.FS, dir, shown string) (*Store, error) { return open(fsys, dir, shown) }

func open(fsys vfs.FS, dir, shown string) (*Store, error) {
	if err := vfs.MkdirAll(fsys, dir, 0o755); err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	lock, err := fsys.Lock(join(dir, lockName))
	var held *vfs.LockedError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("%s is %w", shown, held)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, vfs.Wrap("lock", lockName, err))
	}
	s := &Store{fs: fsys, dir: dir, shown: shown, lock: lock, fileRaw: defaultFileRaw}
	if err := s.probe(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s cannot hold checkpoints: %w", shown, err)
	}
	return s, nil
}

// Free is how many bytes the disk of a directory, which need not be there yet, has left for this user.
func Free(dir string) (uint64, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return 0, vfs.Wrap("statfs", dir, err)
	}
	root, err := vfs.OpenRoot(at)
	for ; errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at); root, err = vfs.OpenRoot(at) {
		at = filepath.Dir(at)
	}
	if err != nil {
		return 0, err
	}
	defer root.Close()
	free, err := root.Free(".")
	if err != nil {
		err = vfs.Wrap("statfs", dir, err)
	}
	return free, err
}

// probe makes and removes a file: the lock may be an old file in a directory that is read-only now.
func (s *Store) probe() error {
	const name = tmpPrefix + "probe"
	f, err := s.fs.OpenFile(join(s.dir, name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return vfs.Wrap("open", name, err)
	}
	if err := f.Close(); err != nil {
		return vfs.Wrap("close", name, err)
	}
	return vfs.Wrap("remove", name, s.fs.Remove(join(s.dir, name)))
}

// Close lets the lock go.
func (s *Store) Close() error {
	err := vfs.Wrap("unlock", lockName, s.lock.Close())
	if s.root != nil {
		err = errors.Join(err, s.root.Close())
	}
	return err
}

// Save writes a checkpoint into dir and prunes; it is Open, Store.Save and Close.
func Save(dir string, state *State, keep int) (path string, err error) {
	s, err := Open(dir)
	if err != nil {
		return "", err
	}
	path, err = s.Save(state, keep)
	return path, errors.Join(err, s.Close())
}

// Protect names the steps whose checkpoints later calls of Save do not remove. They count among those that are kept.
func (s *Store) Protect(steps ...int64) { s.stays = steps }

// Save writes a checkpoint and gives its directory, step-00001234 for step 1234. When it returns a path, the
// checkpoint survives a power cut and has been read back and verified: every file was made durable under a temporary
// name, then their directory, then the rename of that directory. Then all but the newest keep checkpoints are removed
// (0: none are), never the new one, and never so that fewer than two remain.
//
// If the step is there with equal content nothing is written anew; with other content the name gets -r2, -r3 and so on.
//
// On an error without a path nothing was saved, the checkpoints that were there stay, and the next Save starts afresh:
// the caller may go on training. An error with a path means that the new checkpoint is safe, but the removal of old ones
// or of LATEST's temporary file failed.
func (s *Store) Save(state *State, keep int) (path string, err error) {
	jobs, meta, err := plan(state, s.fileRaw, "")
	if err != nil {
		return "", fmt.Errorf("saving step %d failed: %w", state.Step, err)
	}
	m := &Manifest{Format: formatWhole, Step: state.Step, Meta: meta, Files: []FileInfo{}}
	name, need, err := s.save(m, state, jobs)
	if err != nil {
		return "", s.failed(state.Step, need, err)
	}
	return s.announce(state.Step, name, keep)
}

// announce makes a saved checkpoint the latest one, and prunes.
func (s *Store) announce(step int64, name string, keep int) (path string, err error) {
	path = filepath.Join(s.shown, name)
	if err := vfs.WriteAtomic(s.fs, join(s.dir, latestName), []byte(name+"\n")); err != nil {
		return path, fmt.Errorf("step %d is saved, but: %w", step, err)
	}
	if err := s.prune(name, keep); err != nil {
		return path, fmt.Errorf("step %d is saved, but pruning failed: %w", step, err)
	}
	return path, nil
}

// failed says what was tried, what went wrong, how much room there is if that was it, and what is still there.
func (s *Store) failed(step int64, need uint64, err error) error {
	room, newest := "", ""
	if vfs.NoSpace(err) {
		if free, ferr := s.fs.Free(s.dir); ferr == nil {
			room = fmt.Sprintf(" (free %s, need %s)", MiB(free), MiB(need))
		}
	}
	if e, lerr := latest(s.fs, s.dir, s.shown); lerr == nil {
		newest = fmt.Sprintf("; newest good checkpoint: step %d", e.Step)
	}
	return fmt.Errorf("saving step %d failed: %w%s%s", step, err, room, newest)
}

// MiB writes a number of bytes for people.
func MiB(n uint64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// save is the durable part. It gives the name of the directory, and the space that was thought to be needed.
func (s *Store) save(m *Manifest, state *State, jobs []job) (name string, need uint64, err error) {
	raw := uint64(0)
	for i := range jobs {
		raw += uint64(jobs[i].raw)
	}
	tmp, need, err := s.prepare(m.Step, raw)
	if err != nil {
		return "", need, err
	}
	spare := &buffers{}
	if err := s.fill(join(s.dir, tmp), m, state, jobs, spare); err != nil {
		vfs.RemoveAll(s.fs, join(s.dir, tmp)) // frees the space; if it fails too, the next save removes it
		return "", need, err
	}
	name, err = s.commit(tmp, m, func(dir string) error { return s.verify(dir, spare) })
	return name, need, err
}

// prepare makes the temporary directory of a checkpoint of so many raw bytes, if there is room.
func (s *Store) prepare(step int64, raw uint64) (tmp string, need uint64, err error) {
	if err := s.clean(); err != nil {
		return "", 0, err
	}
	entries, _, err := list(s.fs, s.dir)
	if err != nil {
		return "", 0, err
	}
	need = needed(entries, raw)
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return "", need, vfs.Wrap("statfs", s.shown, err)
	}
	if free < need {
		return "", need, vfs.Wrap("write", s.shown, syscall.ENOSPC)
	}
	tmp = fmt.Sprintf("%s%08d-0", tmpPrefix, step)
	return tmp, need, vfs.Wrap("mkdir", tmp, s.fs.Mkdir(join(s.dir, tmp), 0o755))
}

// needed is an estimate with a reserve: a tenth over the last size, or the raw size when there is nothing to go by.
func needed(entries []Entry, raw uint64) uint64 {
	raw += 64 << 10 // manifest, directory, file system blocks
	for _, e := range entries {
		if e.Complete() {
			last := uint64(e.Stored) + uint64(e.Stored)/10 + 64<<10
			return min(raw, last)
		}
	}
	return raw
}

// fill writes the data files, then the manifest, each durable before the next, then makes their names durable.
func (s *Store) fill(tmp string, m *Manifest, state *State, jobs []job, free *buffers) error {
	read := func(i int) error { return jobs[i].read(state, free) }
	err := inOrder(len(jobs), read, func(i int) file { return jobs[i].encode(free) }, func(i int, f file) error {
		defer free.put(f.stored)
		m.Files = append(m.Files, f.info)
		return shorter(vfs.WriteNew(s.fs, join(tmp, f.info.Name), f.stored))
	})
	if err != nil {
		return err
	}
	return s.fillManifest(tmp, m)
}

// fillManifest writes the manifest and makes the names of all files durable.
func (s *Store) fillManifest(tmp string, m *Manifest) error {
	if err := vfs.WriteNew(s.fs, join(tmp, manifestName), m.encode()); err != nil {
		return shorter(err)
	}
	return vfs.Wrap("fsync", tmp, s.fs.SyncDir(tmp))
}

// commit gives the directory its final name and reads it back. If the step is there already with the same content, the
// existing directory is verified and kept.
func (s *Store) commit(tmp string, m *Manifest, verify func(dir string) error) (string, error) {
	from := join(s.dir, tmp)
	for repeat := 1; ; repeat++ {
		name := stepDir(m.Step, repeat)
		to := join(s.dir, name)
		_, err := s.fs.Lstat(to)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return name, s.rename(from, to, verify)
		case err != nil:
			vfs.RemoveAll(s.fs, from)
			return "", vfs.Wrap("lstat", name, err)
		}
		if old, err := readManifest(s.fs, to); err == nil && bytes.Equal(old.encode(), m.encode()) && verify(to) == nil {
			if err := vfs.RemoveAll(s.fs, from); err != nil {
				return "", err
			}
			return name, s.renew(m.Step, name)
		}
	}
}

// renew makes the entry of a checkpoint durable that an earlier save may have left in doubt: it was killed before the
// fsync of the directory, or that fsync failed. In the second case another fsync would succeed and mean nothing, so the
// entry is written anew, to a second name and back; each rename is one step, the checkpoint is there all the time.
func (s *Store) renew(step int64, name string) error {
	spare := ""
	for repeat := 2; spare == ""; repeat++ {
		_, err := s.fs.Lstat(join(s.dir, stepDir(step, repeat)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			spare = stepDir(step, repeat)
		case err != nil:
			return vfs.Wrap("lstat", stepDir(step, repeat), err)
		}
	}
	for _, move := range [][2]string{{name, spare}, {spare, name}} {
		if err := s.fs.Rename(join(s.dir, move[0]), join(s.dir, move[1])); err != nil {
			return vfs.Wrap("rename", move[0], err)
		}
		if err := s.fs.SyncDir(s.dir); err != nil {
			return vfs.Wrap("fsync", s.shown, err)
		}
	}
	return nil
}

// rename is the moment of the commit, with the proof that it worked. A checkpoint that did not become durable, or whose
// bytes do not come back as written, loses its final name again.
func (s *Store) rename(from, to string, verify func(dir string) error) error {
	if err := s.fs.Rename(from, to); err != nil {
		vfs.RemoveAll(s.fs, from)
		return vfs.Wrap("rename", from, err)
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		s.discard(from, to) // else a later save would find it, and a second fsync would succeed and mean nothing
		return vfs.Wrap("fsync", s.shown, err)
	}
	if err := verify(to); err != nil {
		if errors.Is(err, errDamaged) || errors.Is(err, errSelfHash) {
			s.discard(from, to)
		}
		return fmt.Errorf("read back: %w", err)
	}
	return nil
}

func (s *Store) discard(tmp, final string) {
	if s.fs.Rename(final, tmp) == nil {
		vfs.RemoveAll(s.fs, tmp)
	}
}

func (s *Store) verify(dir string, free *buffers) error {
	return readAll(s.fs, dir, free, nil, nil, nil)
}

// clean removes what interrupted saves and prunings left. The lock is held: no other process writes here.
func (s *Store) clean() error {
	all, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return vfs.Wrap("readdir", s.shown, err)
	}
	synced := false
	for _, d := range all {
		if !strings.HasPrefix(d.Name(), tmpPrefix) && !strings.HasPrefix(d.Name(), delPrefix) {
			continue
		}
		if !synced { // the rename to .del-… must be durable before files go, else a crash could bring back a torso
			if err := s.fs.SyncDir(s.dir); err != nil {
				return vfs.Wrap("fsync", s.shown, err)
			}
			synced = true
		}
		if err := vfs.RemoveAll(s.fs, join(s.dir, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// prune removes complete checkpoints behind the newest keep steps. Repeats of a step (-r2 …) stay and go with it, since they
// are no second place to go back to. Damaged ones count for nothing and are left for the user.
func (s *Store) prune(saved string, keep int) error {
	if keep <= 0 {
		return nil
	}
	entries, _, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	left := max(keep, 2) - 1 // the saved one is kept whatever its step
	var gone []string
	counted, _, _ := stepOf(saved)
	newStep := counted
	for _, step := range s.stays {
		if step != newStep && slices.ContainsFunc(entries, func(e Entry) bool { return e.Complete() && e.Step == step }) {
			left--
		}
	}
	for _, e := range entries {
		if unreadable(e.Err) {
			return e.Err
		}
		if !e.Complete() || e.Step == newStep || e.Step == counted || slices.Contains(s.stays, e.Step) {
			continue
		}
		if left > 0 {
			left--
			counted = e.Step
			continue
		}
		if err := s.fs.Rename(join(s.dir, e.name), join(s.dir, delPrefix+e.name)); err != nil {
			return vfs.Wrap("rename", e.name, err)
		}
		gone = append(gone, delPrefix+e.name)
	}
	if len(gone) == 0 {
		return nil
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		for _, name := range gone { // nobody knows which name is on the disk: nothing may be removed under either
			s.fs.Rename(join(s.dir, name), join(s.dir, strings.TrimPrefix(name, delPrefix)))
		}
		return vfs.Wrap("fsync", s.shown, err)
	}
	for _, name := range gone {
		if err := vfs.RemoveAll(s.fs, join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}
