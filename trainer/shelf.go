package trainer

// Examples that need not be in memory: the first of a data set lie there as bytes, the others in a file without a name.

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"criticrm/checkpoint"
	"criticrm/checkpoint/vfs"
	"criticrm/render"
)

// block is how much memory a shelf takes at a time, and look how much of the disk before it asks again what is free; bytes.
const (
	block = 1 << 20
	look  = 64 << 20
)

// shelfName begins the name that a shelf's file has for the moment between its making and its losing it.
const shelfName = ".criticrm-tokens-"

// shelf holds examples as bytes, each behind a checksum of them and of its number. Up to keep bytes stay in memory; 8 bytes of each
// example do in any case.
type shelf struct {
	keep int64
	dir  string // where the file is made, if one is needed
	// left guesses how many bytes of the disk will be written beyond those that are there; nil: nobody knows.
	left func() int64

	at   []int64  // where an example begins; behind the last one, where the next will
	head [][]byte // blocks of memory; they hold the first bytes up to split
	// split is where the file begins, once there is one.
	split  int64
	file   *os.File
	w      *bufio.Writer // until seal
	looked int64         // where the disk was last asked for room
	named  string        // the file's path, on a system that does not let go of an open file's name
}

func newShelf(keep int64, dir string) *shelf { return &shelf{keep: keep, dir: dir, at: []int64{0}} }

func (s *shelf) len() int { return len(s.at) - 1 }

// onDisk is how many bytes lie in the file.
func (s *shelf) onDisk() int64 {
	if s.file == nil {
		return 0
	}
	return s.at[s.len()] - s.split
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of example i.
func sum(i int, b []byte) uint32 {
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], uint64(i))
	return crc32.Update(crc32.Checksum(number[:], castagnoli), castagnoli, b)
}

// add puts an example that AppendBinary has written behind the others.
func (s *shelf) add(b []byte) error {
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], sum(s.len(), b))
	from := s.at[s.len()]
	to := from + int64(len(head)+len(b))
	if s.file == nil && to <= s.keep {
		s.remember(head[:])
		s.remember(b)
	} else if err := s.write(from, head[:], b); err != nil {
		return s.fault(err)
	}
	s.at = append(s.at, to)
	return nil
}

// remember adds bytes to the memory.
func (s *shelf) remember(b []byte) {
	for len(b) > 0 {
		if n := len(s.head); n == 0 || len(s.head[n-1]) == block {
			s.head = append(s.head, make([]byte, 0, block))
		}
		last := &s.head[len(s.head)-1]
		n := min(len(b), block-len(*last))
		*last, b = append(*last, b[:n]...), b[n:]
	}
}

func (s *shelf) write(from int64, parts ...[]byte) error {
	if s.file == nil {
		s.split = from
		if err := s.room(from); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
	}
	if from-s.looked >= look {
		if err := s.room(from); err != nil {
			return err
		}
	}
	for _, b := range parts {
		if _, err := s.w.Write(b); err != nil {
			return full(err)
		}
	}
	return nil
}

func (s *shelf) fault(err error) error {
	return fmt.Errorf("data_memory: the tokens that do not fit in it, in a file of %s: %w", s.dir, err)
}

// full says of a disk that is full what helps.
func full(err error) error {
	if vfs.NoSpace(err) {
		return fmt.Errorf("%w: make room, raise data_memory, or take an output_dir on another disk", err)
	}
	return err
}

// room looks whether the disk takes what is to come. One that does not tell is asked by writing.
func (s *shelf) room(from int64) error {
	s.looked = from
	need := int64(look)
	if s.left != nil {
		need = s.left()
	}
	free, err := checkpoint.Free(s.dir)
	if err == nil && need > 0 && free < uint64(need) {
		return full(fmt.Errorf("they take about %s more, and the disk has %s left: %w", checkpoint.MiB(uint64(need)), checkpoint.MiB(free), syscall.ENOSPC))
	}
	return nil
}

// open makes the file. It loses its name at once, so that it is gone when the process is, however that ends.
func (s *shelf) open() error {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range list { // of a process that was killed at the wrong moment; one that is there takes the name away itself
		if strings.HasPrefix(e.Name(), shelfName) {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if s.file, err = os.CreateTemp(s.dir, shelfName+"*"); err != nil {
		return err
	}
	if err := os.Remove(s.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.named = s.file.Name()
	}
	s.w = bufio.NewWriterSize(s.file, block)
	return nil
}

// seal ends the adding.
func (s *shelf) seal() error {
	if s.w == nil {
		return nil
	}
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("trainer: %w", s.fault(full(err)))
	}
	s.w = nil
	return nil
}

// example reads example i, after seal.
func (s *shelf) example(i int) (e render.Example, err error) {
	from, n := s.at[i], int(s.at[i+1]-s.at[i])
	b := make([]byte, n)
	if s.file != nil && from >= s.split {
		if _, err := s.file.ReadAt(b, from-s.split); err != nil {
			return e, fmt.Errorf("trainer: the tokens of example %d of %d, on the disk of %s: %w", i+1, s.len(), s.dir, err)
		}
	} else {
		for done := 0; done < n; {
			at := from + int64(done)
			done += copy(b[done:], s.head[at/block][at%block:])
		}
	}
	if binary.LittleEndian.Uint32(b) != sum(i, b[4:]) || e.UnmarshalBinary(b[4:]) != nil {
		return e, fmt.Errorf("trainer: the tokens of example %d of %d, on the disk of %s, are not as they were written: the disk or the memory is at fault; "+
			"begin again, with another disk for output_dir or a larger data_memory (a run goes on with resume: latest)", i+1, s.len(), s.dir)
	}
	return e, nil
}

// close gives memory and disk back.
func (s *shelf) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named != "" {
		err = errors.Join(err, os.Remove(s.named))
	}
	return err
}

// nearestDir is a directory that is there: dir, or what is to hold it; for "" the one for temporary files.
func nearestDir(dir string) string {
	if dir == "" {
		return os.TempDir()
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for at != filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			return at
		}
		at = filepath.Dir(at)
	}
	return at
}
