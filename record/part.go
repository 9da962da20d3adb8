package record

// One file of an input: its stored bytes, which are counted and hashed, what unpacks them, and the rows that they hold.

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync/atomic"

	"criticrm/hub"
	"criticrm/safefile"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// part is one file of those that a Reader reads.
type part struct {
	r      *Reader
	file   File
	name   string
	number int // of several, from 1; 0: the only one

	total  int64        // stored bytes; 0: nobody knows
	read   atomic.Int64 // of them
	hash   hash.Hash
	sum    string        // at the end
	stored io.Reader     // the stored bytes, of which hash and read take note
	whole  io.ReaderAt   // the file, where any place of it can be read
	in     *bufio.Reader // unpacked

	kind    *kind
	src     source
	frames  *frames // of a zstd file
	closers []func() error

	schema  *Schema           // of its first row
	ordinal int               // of the last row among those that are not blank, 1-based
	chained [sha256.Size]byte // of the rows so far, with Marks
	chain   []byte
	half    *Record // of the row before, which may belong to the next one
	given   int     // records
	ended   bool
}

// headSize is how many bytes of a file tell its kind.
const headSize = 1 << 16

// open opens the file, unless it is open.
func (p *part) open() error {
	if p.src != nil || p.ended {
		return nil
	}
	if p.file.Path == "-" {
		in := p.r.o.Stdin
		if in == nil {
			in = os.Stdin
		}
		return p.begin(in)
	}
	open := safefile.Open
	if p.file.Stream {
		open = os.Open
	}
	f, err := open(p.file.Path)
	if err != nil {
		return fmt.Errorf("record: %w", hub.Hint(err, p.file.Path, hub.Dataset))
	}
	if err := p.begin(f); err != nil {
		f.Close()
		return err
	}
	p.closers = append(p.closers, f.Close)
	return nil
}

// begin finds out what kind of file in is.
func (p *part) begin(in io.Reader) error { return p.beginAs(in, nil) }

// beginAs is begin for a kind that is known; nil: it is not.
func (p *part) beginAs(in io.Reader, k *kind) (err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.measure(in)
	p.hash = sha256.New()
	p.stored = io.TeeReader(in, noted{p})
	if err := p.unpack(); err != nil {
		return err
	}
	head, err := p.in.Peek(headSize)
	if err != nil && err != io.EOF {
		return p.broken(err)
	}
	if bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}) {
		p.in.Discard(3)
		p.r.note(p, "byte order mark at the start removed")
		if head, err = p.in.Peek(headSize - 3); err != nil && err != io.EOF {
			return p.broken(err)
		}
	}
	if k == nil {
		if k, err = recognise(head, p); err != nil {
			return err
		}
	}
	p.kind = k
	p.src, err = k.open(p)
	return err
}

// measure finds out the size of in, and whether any place of it can be read.
func (p *part) measure(in io.Reader) {
	switch f := in.(type) {
	case *os.File:
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			p.total, p.whole = info.Size(), f
		}
	case interface {
		io.ReaderAt
		Size() int64
	}:
		p.total, p.whole = f.Size(), f
	}
}

// unpack puts a decoder before the stored bytes if they are compressed.
func (p *part) unpack() error {
	raw := bufio.NewReaderSize(p.stored, headSize)
	head, err := raw.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return fmt.Errorf("record: read %s: %w", p.name, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}), isSkippable(head):
		p.whole = nil
		return p.zstd(raw, head)
	case bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		p.whole = nil
		z, err := gzip.NewReader(raw)
		if err != nil {
			return p.fault(place{}, -1, "damaged gzip: %v", err)
		}
		p.closers = append(p.closers, z.Close)
		p.limit(z)
	default:
		p.limit(raw)
	}
	return nil
}

// limit makes the unpacked bytes those of from, up to MaxBytes.
func (p *part) limit(from io.Reader) {
	p.in = bufio.NewReaderSize(&limited{from: from, left: p.r.o.MaxBytes, over: p.fault(place{}, -1, "decompresses to more than %d bytes", p.r.o.MaxBytes)}, headSize)
}

// limited ends in the error over where there are more bytes than left.
type limited struct {
	from io.Reader
	left int64
	over error
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.from.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, l.over
	}
	return n, err
}

// noted takes note of the bytes of the file as they are read.
type noted struct{ p *part }

func (n noted) Write(b []byte) (int, error) {
	n.p.read.Add(int64(len(b)))
	return n.p.hash.Write(b)
}

// fault is an error of a place in the file.
func (p *part) fault(at place, byte int, format string, a ...any) *RowError {
	return &RowError{File: p.name, Line: at.line, Row: at.row, At: byte, Msg: fmt.Sprintf(format, a...)}
}

// broken is an error of reading, which one of ours passes through.
func (p *part) broken(err error) error {
	var row *RowError
	if errors.As(err, &row) {
		return err
	}
	at := place{}
	if p.src != nil {
		at = p.src.place()
		if at.row == 0 {
			at.line++
		}
	}
	return p.fault(at, -1, "cannot be read: %v", err)
}

// next gives the next row.
func (p *part) next() ([]byte, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	if p.ended {
		return nil, io.EOF
	}
	return p.src.next()
}

// finish reads what is left of the file, for its hash, and closes it.
func (p *part) finish() error {
	if p.ended {
		return nil
	}
	if err := p.open(); err != nil {
		return err
	}
	if p.frames != nil {
		p.frames.note(p)
	}
	if p.whole != nil && p.kind.anywhere {
		p.hash.Reset() // its rows were not read through stored
		if _, err := io.Copy(p.hash, io.NewSectionReader(p.whole, 0, p.total)); err != nil {
			return fmt.Errorf("record: read %s: %w", p.name, err)
		}
		p.read.Store(p.total)
	} else if _, err := io.Copy(io.Discard, p.stored); err != nil {
		return fmt.Errorf("record: read %s: %w", p.name, err)
	}
	p.sum, p.ended = hex.EncodeToString(p.hash.Sum(nil)), true
	return p.close()
}

func (p *part) close() error {
	var errs []error
	for _, c := range p.closers {
		errs = append(errs, c())
	}
	p.closers = nil
	return errors.Join(errs...)
}
