// Package vfs is the file system as crash-safe code sees it: a dozen calls, so that tests can number them, make each
// one fail, and compute what a power cut after any of them may leave on the disk.
//
// OpenRoot gives the real one, bound to a directory by os.Root: no name leads out of it, also not through a symbolic
// link. Package vfstest has the two for tests: a simulated disk that can crash, and a wrapper that injects faults.
// Names are relative with forward slashes; "." is the root directory itself.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"syscall"
)

// FS is all that code for checkpoints, pruning and recovery may call.
type FS interface {
	// OpenFile opens a regular file; anything else (directory, FIFO, device) gives ErrNotRegular and never blocks.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Mkdir(name string, perm fs.FileMode) error
	Rename(old, new string) error
	Remove(name string) error
	ReadDir(name string) ([]fs.DirEntry, error) // sorted by name
	Lstat(name string) (fs.FileInfo, error)
	SyncDir(name string) error                    // makes the entries of a directory durable
	Free(name string) (bytes uint64, err error)   // space left for an unprivileged user
	Lock(name string) (lock io.Closer, err error) // exclusive, or *LockedError at once
}

// File is an open regular file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Seeker
	Sync() error
	Close() error
	Truncate(size int64) error
}

// ErrNotRegular is the error for a name that is there but is not a regular file, or leads out of the root.
var ErrNotRegular = errors.New("not a regular file")

// LockedError says who holds a lock; Holder is empty when the holder has not said.
type LockedError struct{ Holder string }

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return "in use by another process"
	}
	return "in use by " + e.Holder
}

// Error names the operation and the file of a failure: "write tensors-00000.zst: no space left on device".
type Error struct {
	Op, Name string
	Err      error
}

func (e *Error) Error() string { return e.Op + " " + e.Name + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Wrap gives err the operation and the file it happened at; nil stays nil. What the os package says about both is
// taken off first, since its operation names (openat, unlinkat) help nobody.
func Wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	var pe *fs.PathError
	var le *os.LinkError
	var se *os.SyscallError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	case errors.As(err, &se):
		err = se.Err
	}
	return &Error{op, name, err}
}

// Write writes all of b, and takes a short count without an error for the error that it is.
func Write(f io.Writer, name string, b []byte) error {
	n, err := f.Write(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%w: %d of %d bytes", io.ErrShortWrite, n, len(b))
	}
	return Wrap("write", name, err)
}

// WriteNew creates a file that must not exist, writes the parts, and makes its content durable. The entry in its
// directory is durable only after SyncDir. On an error the file may be there in part and must not be used: after a
// failed fsync the kernel forgets the unwritten pages, so a second fsync would succeed and mean nothing.
func WriteNew(fsys FS, name string, parts ...[]byte) error { return writeNew(fsys, name, whole(parts)) }

// whole gives parts that are in memory.
func whole(parts [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, p := range parts {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func writeNew(fsys FS, name string, parts iter.Seq2[[]byte, error]) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Wrap("open", name, err)
	}
	for p, err := range parts {
		if err == nil {
			err = Write(f, name, p)
		}
		if err != nil {
			f.Close()
			return err
		}
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return Wrap("fsync", name, err)
	}
	return Wrap("close", name, f.Close())
}

// WriteAtomic puts the parts under name in one step: readers, and the disk after a crash, have the old content or
// the new one, never a mixture. The temporary file is beside it, named .tmp-<name>.
func WriteAtomic(fsys FS, name string, parts ...[]byte) error {
	return WriteAtomicFrom(fsys, name, whole(parts))
}

// WriteAtomicFrom is WriteAtomic of parts that are made one by one. An error in their place ends it, and nothing is left behind.
func WriteAtomicFrom(fsys FS, name string, parts iter.Seq2[[]byte, error]) error {
	dir, base := path.Split(name)
	tmp := path.Join(dir, ".tmp-"+base)
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Wrap("remove", tmp, err)
	}
	if err := writeNew(fsys, tmp, parts); err != nil {
		fsys.Remove(tmp) // frees the space; a failure here adds nothing to the error
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		fsys.Remove(tmp)
		return Wrap("rename", tmp, err)
	}
	return Wrap("fsync", path.Dir(name), fsys.SyncDir(path.Dir(name)))
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	return ReadFileInto(fsys, name, limit, func(n int) []byte { return make([]byte, n) })
}

// ReadFileInto is ReadFile into memory of the file's size that is asked for.
func ReadFileInto(fsys FS, name string, limit int64, memory func(n int) []byte) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, Wrap("open", name, err)
	}
	b, err := readAll(f, limit, memory)
	if cerr := f.Close(); err == nil && cerr != nil {
		return nil, Wrap("close", name, cerr)
	}
	return b, Wrap("read", name, err)
}

func readAll(f File, limit int64, memory func(n int) []byte) ([]byte, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%d bytes, limit %d", size, limit)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	b := memory(int(size))
	if n, err := io.ReadFull(f, b); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("file changed while reading (expected %d more bytes)", size-int64(n))
		}
		return nil, err
	}
	return b, nil
}

// MkdirAll makes a directory and its parents, and makes every entry on the way durable, also of those that were
// there: an earlier process may have died between mkdir and fsync.
func MkdirAll(fsys FS, name string, perm fs.FileMode) error {
	name = path.Clean(name)
	if name == "." {
		return nil
	}
	parent := path.Dir(name)
	if err := MkdirAll(fsys, parent, perm); err != nil {
		return err
	}
	err := fsys.Mkdir(name, perm)
	if err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return Wrap("mkdir", name, err)
		}
		st, lerr := fsys.Lstat(name)
		if lerr != nil {
			return Wrap("lstat", name, lerr)
		}
		if !st.IsDir() {
			return Wrap("mkdir", name, err)
		}
	}
	if serr := fsys.SyncDir(parent); serr != nil {
		if err == nil {
			fsys.Remove(name) // else the next call would find it and trust an entry that never reached the disk
		}
		return Wrap("fsync", parent, serr)
	}
	return nil
}

// RemoveAll removes a file, or a directory with all that is in it. A missing name is no error.
func RemoveAll(fsys FS, name string) error {
	st, err := fsys.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return Wrap("lstat", name, err)
	}
	if st.IsDir() {
		entries, err := fsys.ReadDir(name)
		if err != nil {
			return Wrap("readdir", name, err)
		}
		for _, e := range entries {
			if err := RemoveAll(fsys, path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return Wrap("remove", name, fsys.Remove(name))
}

// NoSpace reports whether err means that the disk or the quota is full.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
