package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"criticrm/checkpoint/vfs"
)

// SafetensorsFile is an open safetensors file whose header has been checked: the tensors tile the data, shapes agree
// with their bytes, nothing overflows. Contents are read on demand. It may be used by several goroutines.
type SafetensorsFile struct {
	AllowNonFinite bool // lets ReadF32 give NaN and infinities

	path string
	file vfs.File
	h    *header
}

// OpenSafetensors opens a file and checks its header. A pickle, a GGUF file, a Git LFS pointer or a web page is
// refused by its content, with what to do.
func OpenSafetensors(path string) (*SafetensorsFile, error) {
	real, err := filepath.EvalSymlinks(path) // the user's own path may be a link; names inside files may not
	if err != nil {
		return nil, openError(path, err)
	}
	root, err := vfs.OpenRoot(filepath.Dir(real))
	if err != nil {
		return nil, openError(path, err)
	}
	defer root.Close()
	return openSafetensors(root, filepath.Base(real), path)
}

func openError(path string, err error) error {
	var pe *fs.PathError
	var ve *vfs.Error
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &ve):
		err = ve.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func openSafetensors(fsys vfs.FS, name, shown string) (*SafetensorsFile, error) {
	file, err := fsys.OpenFile(name, 0, 0)
	if err != nil {
		return nil, openError(shown, err)
	}
	h, err := readHeader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s%w", shown, err)
	}
	return &SafetensorsFile{path: shown, file: file, h: h}, nil
}

func readHeader(file vfs.File) (*header, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	head := make([]byte, min(size, 64))
	if err := readFull(file, head, 0); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	n, err := headerSize(head, size)
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	if err := readFull(file, text, 8); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	return parseHeader(text, size-8-n)
}

// readFull reads with read(2), never through a mapping, so that a file cut short meanwhile is an error and no SIGBUS.
func readFull(file io.ReaderAt, b []byte, off int64) error {
	n, err := file.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("file changed while reading (expected %d more bytes)", len(b)-n)
	}
	return err
}

// Close closes the file.
func (f *SafetensorsFile) Close() error { return f.file.Close() }

// Path gives the path as it was opened.
func (f *SafetensorsFile) Path() string { return f.path }

// Tensors lists the tensors in the order of the file.
func (f *SafetensorsFile) Tensors() []TensorInfo {
	out := make([]TensorInfo, len(f.h.tensors))
	for i := range out {
		out[i] = f.h.tensors[i].TensorInfo
	}
	return out
}

// Names lists the tensors' names in the order of the file.
func (f *SafetensorsFile) Names() []string {
	out := make([]string, len(f.h.tensors))
	for i := range out {
		out[i] = f.h.tensors[i].Name
	}
	return out
}

// Has says whether there is a tensor of that name.
func (f *SafetensorsFile) Has(name string) bool {
	_, ok := f.h.byName[name]
	return ok
}

// Info gives the tensor of that name; ok is false if there is none.
func (f *SafetensorsFile) Info(name string) (t TensorInfo, ok bool) {
	i, ok := f.h.byName[name]
	if ok {
		t = f.h.tensors[i].TensorInfo
	}
	return t, ok
}

// Metadata gives the file's __metadata__.
func (f *SafetensorsFile) Metadata() map[string]string { return f.h.meta }

func (f *SafetensorsFile) span(name string) (*span, error) {
	i, ok := f.h.byName[name]
	if !ok {
		return nil, fmt.Errorf("%s: tensor %s is missing", f.path, quote(name))
	}
	return &f.h.tensors[i], nil
}

// ReadRaw gives a tensor's bytes as they are in the file, unchecked.
func (f *SafetensorsFile) ReadRaw(name string) ([]byte, error) {
	t, err := f.span(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, t.end-t.begin)
	if err := readFull(f.file, b, f.h.data+t.begin); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return b, nil
}

const readChunk = 4 << 20 // bytes converted at a time; a multiple of every element size

// ReadF32 gives a tensor of dtype F32, F16, BF16 or F64 as float32, row-major. NaN and infinities, also those that
// come of an F64 beyond float32, are refused unless AllowNonFinite is set.
func (f *SafetensorsFile) ReadF32(name string) ([]float32, error) {
	t, err := f.span(name)
	if err != nil {
		return nil, err
	}
	size := dtypeSize(t.DType)
	out := make([]float32, (t.end-t.begin)/size)
	buf := make([]byte, min(readChunk, t.end-t.begin))
	var bad nonFinites
	for at := t.begin; at < t.end; at += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), t.end-at)]
		base := int((at - t.begin) / size)
		dst := out[base : base+len(part)/int(size)]
		if err := f.convert(dst, part, t, at); err != nil {
			return nil, err
		}
		bad.add(base, dst)
	}
	return out, f.refuse(t, bad)
}

// convert reads the elements from byte at of the data on, as float32; raw is memory of their size in the file.
func (f *SafetensorsFile) convert(dst []float32, raw []byte, t *span, at int64) error {
	if err := readFull(f.file, raw, f.h.data+at); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if !toF32(dst, t.DType, raw) {
		return fmt.Errorf("%s: tensor %s: dtype is %s, want a float type", f.path, quote(t.Name), t.DType)
	}
	return nil
}

// nonFinites counts NaN and infinities of a tensor that comes in pieces, and knows the first.
type nonFinites struct{ count, first int }

func (b *nonFinites) add(base int, x []float32) {
	n, at := nonFinite(x)
	if b.count == 0 {
		b.first = base + at
	}
	b.count += n
}

func (f *SafetensorsFile) refuse(t *span, bad nonFinites) error {
	if bad.count == 0 || f.AllowNonFinite {
		return nil
	}
	return fmt.Errorf("%s: tensor %s has %d non-finite values, first at index %d (repair or re-export the model)", f.path, quote(t.Name), bad.count, bad.first)
}

// ReadInts gives a tensor of an integer dtype or BOOL as int64, row-major.
func (f *SafetensorsFile) ReadInts(name string) ([]int64, error) {
	raw, err := f.ReadRaw(name)
	if err != nil {
		return nil, err
	}
	t, _ := f.Info(name)
	out := make([]int64, int64(len(raw))/dtypeSize(t.DType))
	if !toInts(out, t.DType, raw) {
		return nil, fmt.Errorf("%s: tensor %s: dtype is %s, want an integer type", f.path, quote(name), t.DType)
	}
	return out, nil
}
