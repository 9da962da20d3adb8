package vfstest

import (
	"bytes"
	"io"
	"syscall"
)

// simFile is an open file of a Sim.
type simFile struct {
	s      *Sim
	ino    *inode
	name   string
	pos    int64
	write  bool
	closed bool
}

func (f *simFile) check(op string, write bool) error {
	if f.closed {
		return pathErr(op, f.name, errClosed)
	}
	if write && !f.write {
		return pathErr(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *simFile) Read(b []byte) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	n, err := f.readAt(b, f.pos)
	f.pos += int64(n)
	if n > 0 {
		err = nil // a plain read says EOF only when there is nothing left
	}
	return n, err
}

func (f *simFile) ReadAt(b []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.readAt(b, off)
}

func (f *simFile) readAt(b []byte, off int64) (int, error) {
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(f.ino.data)) {
		if len(b) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(b, f.ino.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) Write(b []byte) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	var err error
	if f.s.cap > 0 {
		grow := f.pos + int64(len(b)) - int64(len(f.ino.data))
		if free := f.s.cap - f.s.used(f.s.inodes[0]); grow > max(0, free) {
			b = b[:max(0, int64(len(b))-(grow-max(0, free)))]
			err = pathErr("write", f.name, syscall.ENOSPC)
		}
	}
	if len(b) > 0 {
		b = bytes.Clone(b)
		f.ino.data = writeAt(f.ino.data, f.pos, b)
		f.s.pending = append(f.s.pending, &change{file: f.ino, off: f.pos, data: b})
		f.pos += int64(len(b))
	}
	return len(b), err
}

func (f *simFile) Seek(off int64, whence int) (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.check("seek", false); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekCurrent:
		off += f.pos
	case io.SeekEnd:
		off += int64(len(f.ino.data))
	}
	if off < 0 {
		return 0, pathErr("seek", f.name, syscall.EINVAL)
	}
	f.pos = off
	return off, nil
}

func (f *simFile) Truncate(size int64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	f.s.truncate(f.ino, size)
	return nil
}

func (s *Sim) truncate(ino *inode, size int64) {
	ino.data = resize(ino.data, size)
	s.pending = append(s.pending, &change{file: ino, off: -1, size: size})
}

// Sync makes the content durable, not the entry that names it.
func (f *simFile) Sync() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.check("fsync", false); err != nil {
		return err
	}
	f.s.resolve(func(c *change) bool { return c.file == f.ino }, true)
	return nil
}

// Drop is what a failed fsync does: the kernel marks the pages clean, so readers see them and the disk never will.
func (f *simFile) Drop() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.resolve(func(c *change) bool { return c.file == f.ino }, false)
}

func (f *simFile) Close() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.check("close", false); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// writeAt and resize give fresh slices, since images share memory with clones of the disk.
func writeAt(image []byte, off int64, b []byte) []byte {
	out := make([]byte, max(int64(len(image)), off+int64(len(b))))
	copy(out, image)
	copy(out[off:], b)
	return out
}

func resize(image []byte, size int64) []byte {
	out := make([]byte, size)
	copy(out, image)
	return out
}
