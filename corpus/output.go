package corpus

// Files that are there when they are whole.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"criticrm/checkpoint/vfs"
	"criticrm/record"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// output takes bytes. Its file has its name when commit returns nil, and not before; one that was there stays until then. Exactly one of commit and
// abort must be called, abort may follow.
type output struct {
	path   string
	to     io.WriteCloser // the compressor, or in itself
	in     *io.PipeWriter
	result chan error // nil: over
}

// create begins a file, compressed as its name's end says: .zst with a checksum, .gz, or not.
func create(path string) (*output, error) {
	root, err := vfs.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r, w := io.Pipe()
	o := &output{path: path, in: w, to: w, result: make(chan error, 1)}
	go func() {
		defer root.Close()
		err := vfs.WriteAtomicFrom(root, filepath.Base(path), chunks(r))
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		o.result <- err
	}()
	switch filepath.Ext(path) {
	case ".zst":
		z, err := zstd.NewWriter(w, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
		if err != nil {
			o.abort()
			return nil, err
		}
		o.to = z
	case ".gz":
		o.to = gzip.NewWriter(w)
	}
	return o, nil
}

// chunks are what comes through a pipe.
func chunks(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, 1<<18)
		for {
			n, err := io.ReadFull(r, buf)
			if n > 0 && !yield(buf[:n], nil) {
				return
			}
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				return
			case err != nil:
				yield(nil, err)
				return
			}
		}
	}
}

// Write takes bytes.
func (o *output) Write(b []byte) (int, error) {
	if o.result == nil {
		return 0, fmt.Errorf("%s: %w", o.path, errGivenUp)
	}
	n, err := o.to.Write(b)
	if err == nil {
		return n, nil
	}
	if cause := o.abort(); cause != nil {
		err = cause
	}
	return n, fmt.Errorf("%s: %w", o.path, err)
}

// commit gives the file its name.
func (o *output) commit() error {
	if o.result == nil {
		return fmt.Errorf("%s: %w", o.path, errGivenUp)
	}
	err := o.to.Close()
	o.in.Close()
	if failed := <-o.result; failed != nil {
		err = failed
	}
	o.result = nil
	if err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	return nil
}

// abort takes away what was written. It gives the error that ended the writing, if it was not the caller who ended it.
func (o *output) abort() error {
	if o == nil || o.result == nil {
		return nil
	}
	o.in.CloseWithError(errGivenUp)
	err := <-o.result
	o.result = nil
	if o.to != io.WriteCloser(o.in) {
		o.to.Close() // frees the compressor; what it writes goes nowhere
	}
	if errors.Is(err, errGivenUp) {
		return nil
	}
	return err
}

var errGivenUp = errors.New("given up")

// refuseOutputs keeps outputs from replacing what they are made from, and each other.
func refuseOutputs(in string, outs ...string) error {
	if err := record.Apart(in, outs...); err != nil {
		return err
	}
	for i, out := range outs {
		if out == "-" {
			continue
		}
		to, err := os.Stat(out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case to.IsDir():
			return fmt.Errorf("%s is a directory, want the name of a file", out)
		}
		if !strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(out, ".zst"), ".gz"), ".jsonl") {
			return fmt.Errorf("%s: want a name that ends in .jsonl, .jsonl.zst or .jsonl.gz", out)
		}
		for _, other := range outs[:i] {
			if filepath.Clean(other) == filepath.Clean(out) {
				return fmt.Errorf("%s is to be both outputs", out)
			}
		}
	}
	return nil
}
