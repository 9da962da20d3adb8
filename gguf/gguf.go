// Package gguf reads and writes GGUF files, the form in which llama.cpp keeps models: metadata, and tensors that may be quantised.
//
// [Open] checks the whole header of a file: no count, length or offset of it is trusted, and every tensor lies in the file, by itself. Of a
// model in several files it takes the first, and finds the others beside it ([Parts]).
// [File.ReadF32] gives a tensor as float32, to the bit what ggml and its Python package gguf make of it. [Write] makes a file.
//
// The format is described by ggml's docs/gguf.md; versions 2 and 3 are read, little-endian. Files are read with read(2) and not through a
// mapping, so that one that is cut short meanwhile is an error and no fault.
package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"criticrm/safefile"
)

const (
	magic = "GGUF"
	lfs   = "version https://git-lfs" // begins the pointer that git leaves in place of a large file
)

// File is an open GGUF file. It may be used by several goroutines.
type File struct {
	Path    string
	Version int
	Meta    Meta

	file    *os.File
	data    int64   // where the tensors begin
	others  []*File // the second part of a split model, and so on
	tensors []Tensor
	byName  map[string]int
}

// Tensor is one of a file's tensors.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int64 // row-major: the last is the one whose elements lie beside each other, which GGUF names first

	part   int   // which file has it, the first is 0
	offset int64 // behind File.data of that
	bytes  int64
}

// Elements is the number of a tensor's elements.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of a tensor in the file.
func (t *Tensor) Bytes() int64 { return t.bytes }

// Is says whether a regular file begins as a GGUF file does.
func Is(path string) bool {
	f, err := safefile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == magic
}

// Open opens a file and checks its header, and of a split model those of all its files, whose tensors it has then. Errors name the file, the
// byte and what is wrong there.
func Open(path string) (*File, error) {
	f, err := openOne(path)
	if err == nil {
		if err = f.openOthers(); err != nil {
			f.Close()
			return nil, fmt.Errorf("gguf: %s: %w", path, err)
		}
	}
	return f, err
}

// openOne opens a file by itself.
func openOne(path string) (*File, error) {
	file, err := safefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	info, err := file.Stat()
	f := &File{Path: path, file: file}
	if err == nil {
		err = f.readHeader(file, info.Size())
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	return f, nil
}

// Close closes the file, and the other files of a split model.
func (f *File) Close() error {
	err := f.file.Close()
	for _, o := range f.others {
		err = errors.Join(err, o.Close())
	}
	return err
}

// Tensors lists the tensors in the order of the file.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor gives the tensor of that name; ok is false if there is none.
func (f *File) Tensor(name string) (t Tensor, ok bool) {
	i, ok := f.byName[name]
	if ok {
		t = f.tensors[i]
	}
	return t, ok
}

// ReadRaw gives a tensor's bytes as they are in the file.
func (f *File) ReadRaw(name string) ([]byte, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("gguf: %s: tensor %s is missing", f.Path, quote(name))
	}
	b := make([]byte, t.bytes)
	in := f
	if t.part > 0 {
		in = f.others[t.part-1]
	}
	if n, err := in.file.ReadAt(b, in.data+t.offset); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the file changed while it was read, %d bytes are gone", len(b)-n)
		}
		return nil, fmt.Errorf("gguf: %s: tensor %s: %w", in.Path, quote(name), err)
	}
	return b, nil
}

// ReadF32 gives a tensor as float32, row-major. One that holds NaN or infinities, as a damaged block makes them, is an error.
func (f *File) ReadF32(name string) ([]float32, error) {
	b, err := f.ReadRaw(name)
	if err != nil {
		return nil, err
	}
	t, _ := f.Tensor(name)
	x := make([]float32, t.Elements())
	if err := Dequantize(x, b, t.Type); err != nil {
		return nil, fmt.Errorf("gguf: %s: tensor %s: %w", f.Path, quote(name), err)
	}
	for i, v := range x {
		if v-v != 0 {
			return nil, fmt.Errorf("gguf: %s: tensor %s: element %d is %v: the file is damaged, or of a model that broke in training", f.Path, quote(name), i, v)
		}
	}
	return x, nil
}

// quote shows a name of a file: escaped, and cut so that an error stays one readable line.
func quote(s string) string {
	if len(s) > 80 {
		return strconv.Quote(s[:80]) + "…"
	}
	return strconv.Quote(s)
}

// foreign says what a file is that has another beginning.
func foreign(head []byte) error {
	begin := head[:min(len(head), len(magic))]
	switch string(begin) {
	case "lmgg", "tjgg", "fmgg":
		return errors.New("this is a file of the GGML format, which came before GGUF: take a GGUF file of the model")
	}
	if bytes.HasPrefix(head, []byte(lfs)) {
		return errors.New("this is a Git LFS pointer, not the model: run 'git lfs pull'")
	}
	return fmt.Errorf("not a GGUF file: it begins with %q, want %q", begin, magic)
}
