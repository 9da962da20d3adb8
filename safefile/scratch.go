package safefile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// scratchBuffer is how many bytes are written at a time.
const scratchBuffer = 1 << 18

// Scratch holds bytes that would not fit in memory, in a file for temporary ones (TMPDIR says where). The file loses its name at once: its room
// is free again however the program ends. Errors say what the bytes are. It is used by one goroutine; Close must be called.
type Scratch struct {
	what  string
	file  *os.File
	w     *bufio.Writer
	size  int64
	named string // the file's path, on a system that does not let go of an open file's name
}

// NewScratch makes an empty one. What it holds is for errors: "the prompts' texts".
func NewScratch(what string) (*Scratch, error) {
	s := &Scratch{what: what}
	f, err := os.CreateTemp("", "criticrm-*")
	if err != nil {
		return nil, s.fault(err)
	}
	s.file, s.w = f, bufio.NewWriterSize(f, scratchBuffer)
	if os.Remove(f.Name()) != nil {
		s.named = f.Name()
	}
	return s, nil
}

// Size is how many bytes were written.
func (s *Scratch) Size() int64 { return s.size }

// Write appends bytes.
func (s *Scratch) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.size += int64(n)
	return n, s.fault(err)
}

// Flush makes ReadAt see all that was written.
func (s *Scratch) Flush() error { return s.fault(s.w.Flush()) }

// ReadAt reads what was flushed; several goroutines may, while nothing is written.
func (s *Scratch) ReadAt(b []byte, at int64) (int, error) {
	n, err := s.file.ReadAt(b, at)
	if n == len(b) {
		err = nil
	}
	return n, s.fault(err)
}

// WriteAt writes at a place. Of one Scratch either Write or WriteAt is called.
func (s *Scratch) WriteAt(b []byte, at int64) (int, error) {
	n, err := s.file.WriteAt(b, at)
	return n, s.fault(err)
}

// Close frees the room.
func (s *Scratch) Close() error {
	err := s.file.Close()
	if s.named != "" {
		err = errors.Join(err, os.Remove(s.named))
	}
	return err
}

func (s *Scratch) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s, in a temporary file in %s: %w: make room there, or set TMPDIR to a directory on another disk", s.what, os.TempDir(), err)
	}
	return fmt.Errorf("%s, in a temporary file in %s (TMPDIR says where): %w", s.what, os.TempDir(), err)
}
