package safefile

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// What is written can be read again, and no file stays behind.
func TestScratch(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s, err := NewScratch("some words")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789", scratchBuffer/8)
	if _, err := io.WriteString(s, text); err != nil || s.Size() != int64(len(text)) {
		t.Fatal(err, s.Size())
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if _, err := s.ReadAt(b, s.Size()-13); err != nil || string(b) != "7890123456" {
		t.Errorf("%q, %v", b, err)
	}
	if n, err := s.ReadAt(b, s.Size()-3); n != 3 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A disk that is full is named, with what to do; so is a place that is not there.
func TestScratchFull(t *testing.T) {
	s, err := NewScratch("some words")
	if err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	if s.file, err = os.OpenFile("/dev/full", os.O_RDWR, 0); err != nil {
		t.Skip(err)
	}
	s.w.Reset(s.file)
	_, err = s.Write(make([]byte, 2*scratchBuffer))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "some words, in a temporary file in "+os.TempDir()) || !strings.Contains(err.Error(), "make room there, or set TMPDIR") {
		t.Error(err)
	}
	s.file.Close()

	t.Setenv("TMPDIR", t.TempDir()+"/none")
	if _, err := NewScratch("some words"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "some words") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}
