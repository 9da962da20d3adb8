package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Root is the real file system below one directory.
type Root struct {
	r   *os.Root
	dir string
}

var _ FS = (*Root)(nil)

// OpenRoot opens an existing directory. The directory itself may be a symbolic link; below it links must stay inside.
func OpenRoot(dir string) (*Root, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, Wrap("open", dir, err)
	}
	return &Root{r, dir}, nil
}

// OpenNearest opens the deepest existing directory strictly above dir, where that can be read, and gives the rest of the
// path: a root in which dir can be made, and its entry be made durable.
func OpenNearest(dir string) (root *Root, rest string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", Wrap("open", dir, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	for at := filepath.Dir(abs); ; at = filepath.Dir(at) {
		rel, rerr := filepath.Rel(at, abs)
		if rerr != nil {
			return nil, "", Wrap("open", dir, rerr)
		}
		root, err = OpenRoot(at)
		if err == nil {
			return root, filepath.ToSlash(rel), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
	}
	// The parent cannot be read (mode 0711, say): its entry for dir cannot be synced either, but dir may be fine.
	if root, derr := OpenRoot(abs); derr == nil {
		return root, ".", nil
	}
	return nil, "", err
}

// Dir gives the directory as it was opened.
func (r *Root) Dir() string { return r.dir }

// Close releases the directory. Open files stay usable.
func (r *Root) Close() error { return r.r.Close() }

// OpenFile opens without blocking, so that a FIFO or a device is seen for what it is instead of waited for.
func (r *Root) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := r.r.OpenFile(name, flag|unix.O_NONBLOCK, perm)
	if err != nil {
		if st, lerr := r.r.Lstat(name); lerr == nil && !st.Mode().IsRegular() && !errors.Is(err, fs.ErrExist) {
			return nil, ErrNotRegular // a link out of the root, a FIFO opened for writing, a socket
		}
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *Root) Mkdir(name string, perm fs.FileMode) error { return r.r.Mkdir(name, perm) }
func (r *Root) Rename(old, new string) error              { return r.r.Rename(old, new) }
func (r *Root) Remove(name string) error                  { return r.r.Remove(name) }
func (r *Root) Lstat(name string) (fs.FileInfo, error)    { return r.r.Lstat(name) }

func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.r.FS(), name) }

func (r *Root) SyncDir(name string) error {
	d, err := r.r.Open(name)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}

func (r *Root) Free(name string) (uint64, error) {
	d, err := r.r.Open(name)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	var st unix.Statfs_t
	for {
		err = unix.Fstatfs(int(d.Fd()), &st)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Lock takes an flock on the file, which the kernel drops when the process dies, and writes into it who holds it.
// The file stays when the lock is released: removing it would let two processes lock two files of one name.
func (r *Root) Lock(name string) (io.Closer, error) {
	f, err := r.r.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			b, _ := io.ReadAll(io.LimitReader(f, 512))
			return nil, &LockedError{strings.TrimSpace(string(b))}
		}
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	who := fmt.Sprintf("pid %d on host %s since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.WriteAt([]byte(who), 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil // closing the only descriptor releases the lock
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}
