package spill

import (
	"encoding/binary"
	"errors"

	"criticrm/safefile"
)

const (
	pageBits = 10
	pageSize = 1 << pageBits // numbers
)

// Array has numbers by their places, which are 0 at first. Pages of them are in memory up to a bound, the others in a temporary file. An error is kept for
// Err, after which numbers mean nothing. Close must be called.
type Array struct {
	what    string // it holds, for errors
	slots   []slot // a page is in the slot of its number modulo their number
	file    *safefile.Scratch
	written []uint64 // a bit for each page that is in the file
	err     error
}

// slot is a page in memory.
type slot struct {
	page  int // its number + 1
	dirty bool
	list  []uint32
}

// NewArray makes one that keeps most numbers in memory, rounded to a page of 1024; what it holds is for errors.
func NewArray(most int, what string) *Array {
	return &Array{what: what, slots: make([]slot, max(1, most>>pageBits))}
}

// Get is the number at a place.
func (a *Array) Get(i int) uint32 {
	s := &a.slots[(i>>pageBits)%len(a.slots)]
	if s.page != i>>pageBits+1 {
		if !a.stored(i >> pageBits) {
			return 0
		}
		a.load(s, i>>pageBits)
	}
	return s.list[i&(pageSize-1)]
}

// Set changes it.
func (a *Array) Set(i int, v uint32) {
	s := &a.slots[(i>>pageBits)%len(a.slots)]
	if s.page != i>>pageBits+1 {
		a.load(s, i>>pageBits)
	}
	s.list[i&(pageSize-1)], s.dirty = v, true
}

// stored says whether a page is in the file.
func (a *Array) stored(page int) bool {
	return page>>6 < len(a.written) && a.written[page>>6]>>(page&63)&1 != 0
}

// load puts a page in a slot, and the one that was there in the file.
func (a *Array) load(s *slot, page int) {
	if s.page > 0 && s.dirty {
		a.store(s)
	}
	if s.list == nil {
		s.list = make([]uint32, pageSize)
	}
	s.page, s.dirty = page+1, false
	if !a.stored(page) {
		clear(s.list)
		return
	}
	var b [4 * pageSize]byte
	if _, err := a.file.ReadAt(b[:], int64(page)*int64(len(b))); err != nil {
		a.err = errors.Join(a.err, err)
	}
	for i := range s.list {
		s.list[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
}

func (a *Array) store(s *slot) {
	if a.err != nil {
		return
	}
	if a.file == nil {
		if a.file, a.err = safefile.NewScratch(a.what); a.err != nil {
			return
		}
	}
	var b [4 * pageSize]byte
	for i, v := range s.list {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	page := s.page - 1
	if _, a.err = a.file.WriteAt(b[:], int64(page)*int64(len(b))); a.err != nil {
		return
	}
	for page>>6 >= len(a.written) {
		a.written = append(a.written, 0)
	}
	a.written[page>>6] |= 1 << (page & 63)
}

// Err is the first error of the temporary file.
func (a *Array) Err() error { return a.err }

// Close frees memory and disk.
func (a *Array) Close() error {
	a.slots = nil
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
