package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"criticrm/checkpoint/vfs"
)

// SafetensorsWriter writes a file whose tensors are not in memory all at once. The file is there when Commit returns, whole and durable, and not before.
type SafetensorsWriter struct {
	path, tmp string
	root      *vfs.Root
	file      vfs.File // nil: committed, or given up
	place     map[string][2]int64
}

// CreateSafetensors begins a file of these tensors, with the bytes that WriteSafetensors would write. The directory must exist. Close must
// be called.
func CreateSafetensors(path string, tensors []TensorInfo, metadata map[string]string) (*SafetensorsWriter, error) {
	w := &SafetensorsWriter{path: path, tmp: ".tmp-" + filepath.Base(path), place: map[string][2]int64{}}
	if err := w.begin(tensors, metadata); err != nil {
		w.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

func (w *SafetensorsWriter) begin(tensors []TensorInfo, metadata map[string]string) error {
	if err := checkTensors(tensors); err != nil {
		return err
	}
	head, order, err := safetensorsHeader(tensors, metadata)
	if err != nil {
		return err
	}
	at := int64(len(head))
	for _, t := range order {
		n, _ := t.Bytes() // checked
		w.place[t.Name] = [2]int64{at, at + n}
		at += n
	}
	if w.root, err = vfs.OpenRoot(filepath.Dir(w.path)); err != nil {
		return err
	}
	if err := w.root.Remove(w.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that was killed
		return vfs.Wrap("remove", w.tmp, err)
	}
	if w.file, err = w.root.OpenFile(w.tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
		return vfs.Wrap("open", w.tmp, err)
	}
	return vfs.Write(w.file, w.tmp, head)
}

// Write puts a tensor's bytes in their place, each tensor once and in any order.
func (w *SafetensorsWriter) Write(name string, data []byte) error {
	at, ok := w.place[name]
	if !ok {
		return fmt.Errorf("%s: tensor %s is none of the file's, or was written", w.path, quote(name))
	}
	if int64(len(data)) != at[1]-at[0] {
		return fmt.Errorf("%s: tensor %s: %d bytes, want %d", w.path, quote(name), len(data), at[1]-at[0])
	}
	if _, err := w.file.Seek(at[0], io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", w.path, vfs.Wrap("seek", w.tmp, err))
	}
	if err := vfs.Write(w.file, w.tmp, data); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	delete(w.place, name)
	return nil
}

// Commit ends the file, which must have all of its tensors, and gives it its name.
func (w *SafetensorsWriter) Commit() error {
	for name, at := range w.place {
		if at[0] < at[1] {
			return fmt.Errorf("%s: tensor %s was not written", w.path, quote(name))
		}
	}
	err := vfs.Wrap("fsync", w.tmp, w.file.Sync())
	err = errors.Join(err, vfs.Wrap("close", w.tmp, w.file.Close()))
	w.file = nil
	if err == nil {
		err = vfs.Wrap("rename", w.tmp, w.root.Rename(w.tmp, filepath.Base(w.path)))
	}
	if err != nil {
		w.root.Remove(w.tmp) // frees the space; a failure here adds nothing to the error
		return fmt.Errorf("%s: %w", w.path, err)
	}
	if err := w.root.SyncDir("."); err != nil {
		return fmt.Errorf("%s: %w", w.path, vfs.Wrap("fsync", filepath.Dir(w.path), err))
	}
	return nil
}

// Close removes what was written, unless Commit has given it its name.
func (w *SafetensorsWriter) Close() {
	if w.file != nil {
		w.file.Close()
		w.root.Remove(w.tmp)
		w.file = nil
	}
	if w.root != nil {
		w.root.Close()
		w.root = nil
	}
}
