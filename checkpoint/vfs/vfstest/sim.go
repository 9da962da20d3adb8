// Package vfstest has two file systems for tests of crash-safe code: Sim, a disk in memory that knows what is durable
// and can compute what a power cut leaves, and Fault, which numbers the operations of any file system and breaks one.
package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"criticrm/checkpoint/vfs"
)

// Sim is a file system in memory. It keeps, beside what programs see, what the disk surely has (the synced image of
// each file, the synced entries of each directory) and the list of changes in between, of which a crash keeps only a part.
type Sim struct {
	mu      sync.Mutex
	inodes  []*inode  // all that ever were; the first is the root
	pending []*change // in the order in which they were made
	locked  map[string]bool
	cap     int64 // bytes of content the disk holds; 0: no limit
}

var _ vfs.FS = (*Sim)(nil)

type inode struct {
	dir         bool
	data        []byte            // files: what readers see
	disk        []byte            // files: what is surely on the disk
	entries     map[string]*inode // directories, the same pair
	diskEntries map[string]*inode
}

// change is one effect that is not yet durable: a write, a truncation, or a set of entries that changes as one.
type change struct {
	file *inode
	off  int64  // -1: truncation to size
	data []byte // written bytes
	size int64
	set  []entry // directories: entry now points to ino, or to nothing
}

type entry struct {
	dir  *inode
	name string
	ino  *inode
}

// NewSim gives an empty disk.
func NewSim() *Sim {
	return &Sim{inodes: []*inode{newDir()}, locked: map[string]bool{}}
}

func newDir() *inode {
	return &inode{dir: true, entries: map[string]*inode{}, diskEntries: map[string]*inode{}}
}

// SetCapacity limits the content of all files together; writes beyond it are cut short with ENOSPC.
func (s *Sim) SetCapacity(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cap = bytes
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// walk finds an inode by its visible name.
func (s *Sim) walk(name string) (*inode, error) {
	at := s.inodes[0]
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !at.dir {
			return nil, syscall.ENOTDIR
		}
		next := at.entries[part]
		if next == nil {
			return nil, syscall.ENOENT
		}
		at = next
	}
	return at, nil
}

func (s *Sim) parent(name string) (*inode, string, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", syscall.EINVAL
	}
	dir, err := s.walk(path.Dir(name))
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, path.Base(name), err
}

// link makes a change of entries visible and pending.
func (s *Sim) link(set ...entry) {
	for _, e := range set {
		e.apply(false)
	}
	s.pending = append(s.pending, &change{set: set})
}

func (e entry) apply(disk bool) {
	m := e.dir.entries
	if disk {
		m = e.dir.diskEntries
	}
	if e.ino == nil {
		delete(m, e.name)
	} else {
		m[e.name] = e.ino
	}
}

func (s *Sim) add(ino *inode) *inode {
	s.inodes = append(s.inodes, ino)
	return ino
}

// OpenFile knows the flags that the package vfs uses.
func (s *Sim) OpenFile(name string, flag int, _ fs.FileMode) (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, base, err := s.parent(name)
	if err != nil {
		return nil, pathErr("open", name, err)
	}
	ino := dir.entries[base]
	switch {
	case ino == nil && flag&os.O_CREATE == 0:
		return nil, pathErr("open", name, syscall.ENOENT)
	case ino == nil:
		ino = s.add(&inode{})
		s.link(entry{dir, base, ino})
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, pathErr("open", name, syscall.EEXIST)
	case ino.dir:
		return nil, vfs.ErrNotRegular
	}
	f := &simFile{s: s, ino: ino, name: name, write: flag&(os.O_WRONLY|os.O_RDWR) != 0}
	if flag&os.O_TRUNC != 0 {
		s.truncate(ino, 0)
	}
	if flag&os.O_APPEND != 0 {
		f.pos = int64(len(ino.data))
	}
	return f, nil
}

func (s *Sim) Mkdir(name string, _ fs.FileMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, base, err := s.parent(name)
	if err != nil {
		return pathErr("mkdir", name, err)
	}
	if dir.entries[base] != nil {
		return pathErr("mkdir", name, syscall.EEXIST)
	}
	s.link(entry{dir, base, s.add(newDir())})
	return nil
}

func (s *Sim) Rename(old, new string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, fromBase, err := s.parent(old)
	if err != nil {
		return pathErr("rename", old, err)
	}
	to, toBase, err := s.parent(new)
	if err != nil {
		return pathErr("rename", new, err)
	}
	ino, there := from.entries[fromBase], to.entries[toBase]
	switch {
	case ino == nil:
		return pathErr("rename", old, syscall.ENOENT)
	case there == ino:
		return nil
	case there != nil && there.dir && len(there.entries) > 0:
		return pathErr("rename", new, syscall.ENOTEMPTY)
	case there != nil && there.dir != ino.dir:
		return pathErr("rename", new, syscall.EEXIST)
	}
	s.link(entry{from, fromBase, nil}, entry{to, toBase, ino}) // one change: journals keep a rename whole
	return nil
}

func (s *Sim) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, base, err := s.parent(name)
	if err != nil {
		return pathErr("remove", name, err)
	}
	ino := dir.entries[base]
	if ino == nil {
		return pathErr("remove", name, syscall.ENOENT)
	}
	if ino.dir && len(ino.entries) > 0 {
		return pathErr("remove", name, syscall.ENOTEMPTY)
	}
	s.link(entry{dir, base, nil})
	return nil
}

func (s *Sim) ReadDir(name string) ([]fs.DirEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.walk(name)
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathErr("readdir", name, err)
	}
	out := make([]fs.DirEntry, 0, len(dir.entries))
	for base, ino := range dir.entries {
		out = append(out, fs.FileInfoToDirEntry(info(base, ino)))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name() < out[j].Name() })
	return out, nil
}

func (s *Sim) Lstat(name string) (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ino, err := s.walk(name)
	if err != nil {
		return nil, pathErr("lstat", name, err)
	}
	return info(path.Base(name), ino), nil
}

// SyncDir makes the pending changes of a directory's entries durable, and nothing else: not the entry of the directory
// itself, not the content of its files.
func (s *Sim) SyncDir(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.walk(name)
	if err != nil {
		return pathErr("fsync", name, err)
	}
	s.resolve(func(c *change) bool { return c.touches(dir) }, true)
	return nil
}

// DropDir is what a failed fsync of a directory does to it: the changes stay visible and never reach the disk.
func (s *Sim) DropDir(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir, err := s.walk(name); err == nil {
		s.resolve(func(c *change) bool { return c.touches(dir) }, false)
	}
}

func (c *change) touches(dir *inode) bool {
	return slices.ContainsFunc(c.set, func(e entry) bool { return e.dir == dir })
}

// resolve takes the chosen changes off the list, with or without making them durable.
func (s *Sim) resolve(which func(*change) bool, durable bool) {
	rest := s.pending[:0:0]
	for _, c := range s.pending {
		if !which(c) {
			rest = append(rest, c)
		} else if durable {
			c.apply()
		}
	}
	s.pending = rest
}

// apply puts a change on the disk.
func (c *change) apply() {
	switch {
	case c.set != nil:
		for _, e := range c.set {
			e.apply(true)
		}
	case c.off < 0:
		c.file.disk = resize(c.file.disk, c.size)
	default:
		c.file.disk = writeAt(c.file.disk, c.off, c.data)
	}
}

func (s *Sim) Free(string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cap == 0 {
		return 1 << 40, nil
	}
	return uint64(max(0, s.cap-s.used(s.inodes[0]))), nil
}

func (s *Sim) used(ino *inode) int64 {
	n := int64(len(ino.data))
	for _, e := range ino.entries {
		n += s.used(e)
	}
	return n
}

type simLock struct {
	s    *Sim
	name string
}

func (l simLock) Close() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.locked, l.name)
	return nil
}

func (s *Sim) Lock(name string) (io.Closer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked[name] {
		return nil, &vfs.LockedError{Holder: "pid 1 on host sim"}
	}
	dir, base, err := s.parent(name)
	if err != nil {
		return nil, pathErr("lock", name, err)
	}
	if dir.entries[base] == nil {
		s.link(entry{dir, base, s.add(&inode{})})
	}
	s.locked[name] = true
	return simLock{s, name}, nil
}

// Put sets a file's content, durable at once, with its directories: how tests damage and plant files.
func (s *Sim) Put(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.inodes[0]
	parts := strings.Split(name, "/")
	for _, part := range parts[:len(parts)-1] {
		next := at.entries[part]
		if next == nil {
			next = s.add(newDir())
		}
		entry{at, part, next}.apply(false)
		entry{at, part, next}.apply(true)
		at = next
	}
	ino := s.add(&inode{data: bytes.Clone(data), disk: bytes.Clone(data)})
	e := entry{at, parts[len(parts)-1], ino}
	e.apply(false)
	e.apply(true)
}

// Get gives a file's visible content, nil if there is none.
func (s *Sim) Get(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	ino, err := s.walk(name)
	if err != nil || ino.dir {
		return nil
	}
	return bytes.Clone(ino.data)
}

// Tree lists all visible files and directories with their sizes, for messages and comparisons.
func (s *Sim) Tree() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	var visit func(prefix string, ino *inode)
	visit = func(prefix string, ino *inode) {
		for base, e := range ino.entries {
			if e.dir {
				out = append(out, prefix+base+"/")
				visit(prefix+base+"/", e)
			} else {
				out = append(out, fmt.Sprintf("%s%s %d", prefix, base, len(e.data)))
			}
		}
	}
	visit("", s.inodes[0])
	sort.Strings(out)
	return out
}

type simInfo struct {
	name string
	dir  bool
	size int64
}

func info(name string, ino *inode) simInfo { return simInfo{name, ino.dir, int64(len(ino.data))} }

func (i simInfo) Name() string       { return i.name }
func (i simInfo) Size() int64        { return i.size }
func (i simInfo) ModTime() time.Time { return time.Time{} }
func (i simInfo) IsDir() bool        { return i.dir }
func (i simInfo) Sys() any           { return nil }
func (i simInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

var errClosed = errors.New("file already closed")
