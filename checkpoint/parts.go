package checkpoint

// Checkpoints that several processes write together, each its part, into one directory that all of them see: one begins, all write, and the one that
// began puts the manifest last.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"criticrm/checkpoint/vfs"
)

// Shared is a checkpoint in the making.
type Shared struct {
	s    *Store
	step int64
	tmp  string
}

// Begin makes the directory that the parts of a checkpoint go to, of so many bytes before compression. It is ended by Commit or Abandon, before
// anything else is done with the store.
func (s *Store) Begin(step int64, raw uint64) (*Shared, error) {
	tmp, need, err := s.prepare(step, raw)
	if err != nil {
		return nil, s.failed(step, need, err)
	}
	return &Shared{s, step, tmp}, nil
}

// Dir is where the parts go, for WritePart.
func (x *Shared) Dir() string { return filepath.Join(x.s.shown, x.tmp) }

// partList is the file in which a part's files are listed until Commit.
func partList(part int) string { return fmt.Sprintf("part-%05d.json", part) }

// WritePart writes a state's tensors, or the ranges of them that it has, as one of the parts of a checkpoint, each file durable and read back. Step and Meta
// are Commit's.
func WritePart(dir string, part int, state *State) error {
	root, err := vfs.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	jobs, _, err := plan(state, defaultFileRaw, fmt.Sprintf("part-%05d-", part))
	if err != nil {
		return err
	}
	free, files := &buffers{}, []FileInfo{}
	read := func(i int) error { return jobs[i].read(state, free) }
	err = inOrder(len(jobs), read, func(i int) file { return jobs[i].encode(free) }, func(i int, f file) error {
		defer free.put(f.stored)
		files = append(files, f.info)
		return shorter(vfs.WriteNew(root, f.info.Name, f.stored))
	})
	if err != nil {
		return err
	}
	if err := readFiles(root, ".", files, free, nil); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	b, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return shorter(vfs.WriteNew(root, partList(part), b))
}

// Commit makes the parts, which all are written, a checkpoint, and prunes as Save does. Its errors are Save's.
func (x *Shared) Commit(parts int, meta json.RawMessage, keep int) (path string, err error) {
	s := x.s
	m := &Manifest{Format: formatParts, Step: x.step, Files: []FileInfo{}}
	if m.Meta, err = compactMeta(meta); err == nil {
		err = x.collect(m, parts)
	}
	if err == nil {
		err = m.check()
	}
	if err == nil {
		err = s.fillManifest(join(s.dir, x.tmp), m)
	}
	if err != nil {
		x.Abandon()
		return "", s.failed(x.step, 0, err)
	}
	name, err := s.commit(x.tmp, m, func(dir string) error { // contents were read back by those who wrote them
		_, err := checkSizes(s.fs, dir)
		return err
	})
	if err != nil {
		return "", s.failed(x.step, 0, err)
	}
	return s.announce(x.step, name, keep)
}

// collect takes the lists of the parts' files.
func (x *Shared) collect(m *Manifest, parts int) error {
	for part := range parts {
		name := join(join(x.s.dir, x.tmp), partList(part))
		b, err := vfs.ReadFile(x.s.fs, name, maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("part %d of %d is not in %s: all processes must see one directory", part, parts, x.Dir())
		}
		if err != nil {
			return err
		}
		var files []FileInfo
		if err := json.Unmarshal(b, &files); err != nil {
			return fmt.Errorf("%s: %w", partList(part), err)
		}
		m.Files = slices.Concat(m.Files, files)
		if err := x.s.fs.Remove(name); err != nil {
			return vfs.Wrap("remove", name, err)
		}
	}
	return nil
}

// Abandon removes what was written; if that fails the next save does.
func (x *Shared) Abandon() { _ = vfs.RemoveAll(x.s.fs, join(x.s.dir, x.tmp)) }
