package vfstest

import (
	"fmt"
	"io"
	"io/fs"
	"sync"

	"criticrm/checkpoint/vfs"
)

// When says whether the operation itself still happens.
type When int

const (
	Instead When = iota // the fault replaces the operation
	Before              // crash: the operation does not happen; error: the same as Instead
	After               // the operation happens, then the fault
)

// Plan is one fault. Operations are numbered from 1, in the order in which they are called.
type Plan struct {
	At      int   // number of the operation; 0: none
	Forever bool  // also at every later operation
	When    When  //
	Err     error // the error to give; an fsync that fails also drops the unwritten pages of a Sim
	Crash   bool  // panic with Crashed instead; every later operation does the same
	Short   bool  // writes: half the bytes are written and the count says so, with Err (nil: no error, as write(2) may)
	Flip    bool  // reads: the first bit of what is read is changed
}

// Crashed is the value of the panic that stands for the end of the process.
type Crashed struct{ Op Op }

// Op is one numbered operation.
type Op struct {
	N          int
	Kind, Name string
}

func (o Op) String() string { return fmt.Sprintf("op %d: %s %s", o.N, o.Kind, o.Name) }

// Fault wraps a file system, numbers its operations and carries out a plan.
type Fault struct {
	fs    vfs.FS
	plan  Plan
	mu    sync.Mutex
	log   []Op
	fired []Op
	dead  bool
}

var _ vfs.FS = (*Fault)(nil)

// NewFault wraps fsys. With the zero Plan it only counts.
func NewFault(fsys vfs.FS, plan Plan) *Fault { return &Fault{fs: fsys, plan: plan} }

// Ops gives all operations so far.
func (f *Fault) Ops() []Op { return f.log }

// Fired gives the operations at which the fault struck.
func (f *Fault) Fired() []Op { return f.fired }

// begin numbers an operation and says whether the fault strikes here. A crash before the operation happens here.
func (f *Fault) begin(kind, name string) (op Op, hit bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	op = Op{len(f.log) + 1, kind, name}
	if f.dead {
		panic(Crashed{op}) // deferred clean-up of a process that is gone
	}
	f.log = append(f.log, op)
	hit = f.plan.At == op.N || f.plan.Forever && f.plan.At > 0 && op.N > f.plan.At
	if hit {
		f.fired = append(f.fired, op)
		if f.plan.Crash && f.plan.When != After {
			f.dead = true
			panic(Crashed{op})
		}
	}
	return op, hit
}

// end is a crash after the operation.
func (f *Fault) end(op Op, hit bool) {
	if hit && f.plan.Crash {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dead = true
		panic(Crashed{op})
	}
}

// do runs one operation that gives only an error.
func (f *Fault) do(kind, name string, run func() error) error {
	op, hit := f.begin(kind, name)
	if hit && !f.plan.Crash && f.plan.Err != nil {
		if f.plan.When == After {
			run()
		}
		return pathErr(kind, name, f.plan.Err)
	}
	err := run()
	f.end(op, hit)
	return err
}

func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	var file vfs.File
	err := f.do("open", name, func() (err error) {
		file, err = f.fs.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultFile{f, file, name}, nil
}

func (f *Fault) Mkdir(name string, perm fs.FileMode) error {
	return f.do("mkdir", name, func() error { return f.fs.Mkdir(name, perm) })
}

func (f *Fault) Rename(old, new string) error {
	return f.do("rename", old, func() error { return f.fs.Rename(old, new) })
}

func (f *Fault) Remove(name string) error {
	return f.do("remove", name, func() error { return f.fs.Remove(name) })
}

func (f *Fault) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = f.do("readdir", name, func() (err error) {
		list, err = f.fs.ReadDir(name)
		return err
	})
	return list, err
}

func (f *Fault) Lstat(name string) (st fs.FileInfo, err error) {
	err = f.do("lstat", name, func() (err error) {
		st, err = f.fs.Lstat(name)
		return err
	})
	return st, err
}

func (f *Fault) SyncDir(name string) error {
	err := f.do("fsync", name, func() error { return f.fs.SyncDir(name) })
	if d, ok := f.fs.(interface{ DropDir(string) }); err != nil && ok {
		d.DropDir(name)
	}
	return err
}

func (f *Fault) Free(name string) (n uint64, err error) {
	err = f.do("statfs", name, func() (err error) {
		n, err = f.fs.Free(name)
		return err
	})
	return n, err
}

func (f *Fault) Lock(name string) (l io.Closer, err error) {
	err = f.do("lock", name, func() (err error) {
		l, err = f.fs.Lock(name)
		return err
	})
	if err != nil {
		if l != nil {
			l.Close() // the fault came after the lock was taken
		}
		return nil, err
	}
	return faultLock{f, l, name}, nil
}

type faultLock struct {
	f    *Fault
	l    io.Closer
	name string
}

// Close lets the lock go also when it reports an error: the process would have gone on without it.
func (l faultLock) Close() error { return l.f.close("unlock", l.name, l.l) }

type faultFile struct {
	f    *Fault
	file vfs.File
	name string
}

func (f *faultFile) Read(b []byte) (int, error) {
	return f.read(b, func() (int, error) { return f.file.Read(b) })
}

func (f *faultFile) ReadAt(b []byte, off int64) (int, error) {
	return f.read(b, func() (int, error) { return f.file.ReadAt(b, off) })
}

func (f *faultFile) read(b []byte, run func() (int, error)) (n int, err error) {
	op, hit := f.f.begin("read", f.name)
	if hit && f.f.plan.Err != nil {
		return 0, pathErr("read", f.name, f.f.plan.Err)
	}
	n, err = run()
	if hit && f.f.plan.Flip && n > 0 {
		b[0] ^= 1
	}
	f.f.end(op, hit)
	return n, err
}

func (f *faultFile) Write(b []byte) (n int, err error) {
	op, hit := f.f.begin("write", f.name)
	p := f.f.plan
	switch {
	case hit && p.Short:
		if n, err = f.file.Write(b[:len(b)/2]); err == nil && p.Err != nil {
			err = pathErr("write", f.name, p.Err)
		}
		return n, err
	case hit && !p.Crash && p.Err != nil:
		return 0, pathErr("write", f.name, p.Err)
	}
	n, err = f.file.Write(b)
	f.f.end(op, hit)
	return n, err
}

func (f *faultFile) Seek(off int64, whence int) (int64, error) {
	var n int64
	err := f.f.do("seek", f.name, func() (err error) {
		n, err = f.file.Seek(off, whence)
		return err
	})
	return n, err
}

func (f *faultFile) Truncate(size int64) error {
	return f.f.do("truncate", f.name, func() error { return f.file.Truncate(size) })
}

func (f *faultFile) Sync() error {
	err := f.f.do("fsync", f.name, f.file.Sync)
	if d, ok := f.file.(interface{ Drop() }); err != nil && ok {
		d.Drop()
	}
	return err
}

// Close lets the descriptor go also when it reports an error, as close(2) does.
func (f *faultFile) Close() error { return f.f.close("close", f.name, f.file) }

func (f *Fault) close(kind, name string, c io.Closer) error {
	op, hit := f.begin(kind, name)
	err := c.Close()
	if hit && !f.plan.Crash && f.plan.Err != nil {
		return pathErr(kind, name, f.plan.Err)
	}
	f.end(op, hit)
	return err
}
