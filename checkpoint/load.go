package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"sort"

	"criticrm/checkpoint/vfs"
)

// ErrNone is the error of Latest for a directory without a complete checkpoint.
var ErrNone = errors.New("no complete checkpoint")

// errDamaged marks errors that say the stored bytes are wrong, as opposed to not being readable now.
var errDamaged = errors.New("damaged file")

// Entry is a checkpoint directory as List finds it.
type Entry struct {
	Path   string // of the step directory
	Step   int64
	Stored int64 // bytes of its data files
	Err    error // nil: complete, by its manifest and the sizes of its files; their content is checked by Verify

	name   string
	repeat int
}

// Complete says whether the checkpoint can be loaded, as far as names and sizes tell.
func (e Entry) Complete() bool { return e.Err == nil }

// unreadable says whether err is a failing disk, as opposed to files that are missing or wrong.
func unreadable(err error) bool {
	var ve *vfs.Error
	return errors.As(err, &ve) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, vfs.ErrNotRegular)
}

// List gives the checkpoints in dir, newest first, with the incomplete and damaged ones.
func List(dir string) ([]Entry, error) {
	root, err := vfs.OpenRoot(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer root.Close()
	entries, _, err := list(root, ".")
	for i := range entries {
		entries[i].Path = filepath.Join(dir, entries[i].name)
	}
	return entries, err
}

// list also gives the steps of saves that were cut off before their directory got its final name.
func list(fsys vfs.FS, dir string) (entries []Entry, unfinished []int64, err error) {
	all, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, nil, vfs.Wrap("readdir", dir, err)
	}
	for _, d := range all {
		var step int64
		if n, _ := fmt.Sscanf(d.Name(), ".tmp-%d-", &step); n == 1 {
			unfinished = append(unfinished, step)
		}
		step, repeat, ok := stepOf(d.Name())
		if !ok {
			continue
		}
		e := Entry{Path: join(dir, d.Name()), Step: step, name: d.Name(), repeat: repeat}
		m, err := checkSizes(fsys, join(dir, d.Name()))
		if e.Err = err; err == nil {
			e.Stored, _ = m.Sizes()
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool {
		if entries[i].Step != entries[j].Step {
			return entries[i].Step > entries[j].Step
		}
		return entries[i].repeat > entries[j].repeat
	})
	return entries, unfinished, nil
}

// checkSizes reads the manifest and looks at the files: the right names, the right sizes, nothing else.
func checkSizes(fsys vfs.FS, dir string) (*Manifest, error) {
	base := path.Base(dir)
	m, err := readManifest(fsys, dir)
	if err != nil {
		return nil, err
	}
	all, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, vfs.Wrap("readdir", base, err)
	}
	sizes := make(map[string]int64, len(all))
	for _, d := range all {
		st, err := d.Info()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", base, vfs.Wrap("lstat", d.Name(), err))
		}
		if !st.Mode().IsRegular() {
			return nil, fmt.Errorf("%s/%s: %w", base, d.Name(), vfs.ErrNotRegular)
		}
		sizes[d.Name()] = st.Size()
	}
	delete(sizes, manifestName)
	for i := range m.Files {
		f := &m.Files[i]
		got, ok := sizes[f.Name]
		if !ok {
			return nil, fmt.Errorf("%s/%s: file is missing", base, f.Name)
		}
		if got != f.Stored {
			return nil, fmt.Errorf("%s/%s: got %d bytes, want %d: %w", base, f.Name, got, f.Stored, errDamaged)
		}
		delete(sizes, f.Name)
	}
	for name := range sizes {
		return nil, fmt.Errorf("%s/%s: file is not in the manifest", base, name)
	}
	return m, nil
}

// ErrDamaged is the error of Latest for a directory whose newest checkpoint was whole once and is not any more, or is of a newer format.
var ErrDamaged = errors.New("the newest checkpoint cannot be used")

// Latest gives the newest checkpoint in dir. It reads manifests and sizes only; Load checks the content. A save that was cut off has
// left no checkpoint; one that has its final name was whole, and if it is not any more the error wraps ErrDamaged: nobody goes back to an
// older one without a word. If there is none the error wraps ErrNone, and says how many unfinished ones there are.
func Latest(dir string) (path string, step int64, err error) { return newest(dir, latest) }

// LatestValid is Latest that passes over damaged checkpoints. skipped names those, newest first.
func LatestValid(dir string) (path string, step int64, skipped []error, err error) {
	path, step, err = newest(dir, func(fsys vfs.FS, dir, shown string) (Entry, error) {
		entries, unfinished, err := list(fsys, dir)
		if err != nil {
			return Entry{}, err
		}
		for _, e := range entries {
			if e.Complete() {
				return e, nil
			}
			skipped = append(skipped, e.Err)
		}
		return Entry{}, none(unfinished, shown)
	})
	return path, step, skipped, err
}

func newest(dir string, find func(fsys vfs.FS, dir, shown string) (Entry, error)) (path string, step int64, err error) {
	root, err := vfs.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("%w in %s (no such directory)", ErrNone, dir)
	}
	if err != nil {
		return "", 0, err
	}
	defer root.Close()
	e, err := find(root, ".", dir)
	return filepath.Join(dir, e.name), e.Step, err
}

func latest(fsys vfs.FS, dir, shown string) (Entry, error) {
	entries, unfinished, err := list(fsys, dir)
	if err != nil {
		return Entry{}, err
	}
	if len(entries) == 0 {
		return Entry{}, none(unfinished, shown)
	}
	e := entries[0]
	switch {
	case e.Complete():
		return e, nil
	case unreadable(e.Err): // a disk that fails now says nothing about the checkpoint
		return Entry{}, e.Err
	}
	older := "no other can be used"
	if i := slices.IndexFunc(entries, func(e Entry) bool { return e.Complete() }); i > 0 {
		older = fmt.Sprintf("the newest good one is of step %d", entries[i].Step)
	}
	return Entry{}, fmt.Errorf("%s: %w: %w (%s)", shown, ErrDamaged, e.Err, older)
}

// none is ErrNone with what there is instead.
func none(unfinished []int64, shown string) error {
	if len(unfinished) == 0 {
		return fmt.Errorf("%w in %s", ErrNone, shown)
	}
	return fmt.Errorf("%w in %s (%d unfinished: step %d)", ErrNone, shown, len(unfinished), slices.Max(unfinished))
}

// Load reads one step directory. Nothing is given out before every file's size and hash, as it is stored, are those of the manifest, and
// its frame's checksum is right; that what is stored is what the run had was proved when it was saved, and Verify proves it again. Errors
// name the file.
func Load(path string) (*State, error) {
	root, name, err := openStep(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return load(root, name)
}

// LoadEach is Load of a state that need not fit into memory. begin gets the manifest, which is checked, before any content is read; use
// then gets the bytes of the manifest's pieces, in order and element order, in memory that is only its own until it returns. An error of
// either ends it. A piece is given when its own file is proved to be right: behind an error about a later file, what was given before is of no
// worth.
func LoadEach(path string, begin func(*Manifest) error, use func(p Piece, data []byte) error) error {
	root, name, err := openStep(path)
	if err != nil {
		return err
	}
	defer root.Close()
	return readAll(root, name, &buffers{}, begin, nil, use)
}

// LoadSome is LoadEach of the files that want (nil: all) says yes to.
func LoadSome(path string, begin func(*Manifest) error, want func(*FileInfo) bool, use func(p Piece, data []byte) error) error {
	root, name, err := openStep(path)
	if err != nil {
		return err
	}
	defer root.Close()
	return readAll(root, name, &buffers{}, begin, want, use)
}

// Verify is Load without keeping the content, which is compared with the manifest's hash of what was saved, too.
func Verify(path string) error { return LoadEach(path, nil, nil) }

// ReadManifest gives the manifest of a step directory, with its own checksum verified.
func ReadManifest(path string) (*Manifest, error) {
	root, name, err := openStep(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readManifest(root, name)
}

func openStep(path string) (*vfs.Root, string, error) {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, "", openError(path, err)
	}
	root, err := vfs.OpenRoot(filepath.Dir(real))
	return root, filepath.Base(real), err
}

// load puts the pieces together.
func load(fsys vfs.FS, dir string) (*State, error) {
	s := &State{}
	begin := func(m *Manifest) error {
		s.Step, s.Meta = m.Step, m.Meta
		return nil
	}
	at := map[string]int{}
	err := readAll(fsys, dir, &buffers{}, begin, nil, func(p Piece, data []byte) error {
		i, known := at[p.Name]
		if !known {
			i = len(s.Tensors)
			at[p.Name] = i
			info := TensorInfo{p.Name, p.DType, p.Shape}
			total, _ := info.Bytes() // checked with the manifest
			s.Tensors = append(s.Tensors, TensorData{TensorInfo: info, Data: make([]byte, total)})
		}
		copy(s.Tensors[i].Data[p.Begin:], data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readAll reads a checkpoint, with begin before the first file, and hands the bytes of the pieces to use, in order; either may be nil. Without use
// the decompressed bytes are hashed, too.
// Files are read one after the other through fresh descriptors, on this goroutine, so that the order is the same in every run; hashing,
// decompression and planes run on all cores.
func readAll(fsys vfs.FS, dir string, free *buffers, begin func(*Manifest) error, want func(*FileInfo) bool, use func(p Piece, data []byte) error) error {
	m, err := checkSizes(fsys, dir)
	if err != nil {
		return err
	}
	if begin != nil {
		if err := begin(m); err != nil {
			return err
		}
	}
	files := m.Files
	if want != nil {
		files = slices.DeleteFunc(slices.Clone(files), func(f FileInfo) bool { return !want(&f) })
	}
	return readFiles(fsys, dir, files, free, use)
}

// readFiles is readAll of files of a checkpoint.
func readFiles(fsys vfs.FS, dir string, files []FileInfo, free *buffers, use func(p Piece, data []byte) error) error {
	base := path.Base(dir)
	type result struct {
		data []byte
		err  error
	}
	stored := make([][]byte, len(files))
	read := func(i int) (err error) {
		f := &files[i]
		if stored[i], err = vfs.ReadFileInto(fsys, join(dir, f.Name), f.Stored, free.get); err != nil {
			return fmt.Errorf("%s: %w", base, shorter(err))
		}
		return nil
	}
	work := func(i int) result {
		f := &files[i]
		raw, err := f.decode(stored[i], free.get)
		free.put(stored[i])
		stored[i] = nil
		if err == nil && use == nil && sha256Hex(raw) != f.RawSHA256 {
			err = fmt.Errorf("checksum mismatch (raw bytes): %w", errDamaged)
		}
		if err != nil || use == nil {
			return result{raw, err}
		}
		data := free.get(len(raw))
		for _, p := range f.Tensors {
			joinPlanes(data[p.Offset:p.Offset+p.Bytes], raw[p.Offset:p.Offset+p.Bytes], p.DType)
		}
		free.put(raw)
		return result{data, nil}
	}
	return inOrder(len(files), read, work, func(i int, r result) error {
		if r.err != nil {
			return fmt.Errorf("%s/%s: %w", base, files[i].Name, r.err)
		}
		defer free.put(r.data)
		if use == nil {
			return nil
		}
		for _, p := range files[i].Tensors {
			if err := use(p, r.data[p.Offset:p.Offset+p.Bytes]); err != nil {
				return err
			}
		}
		return nil
	})
}

// decode checks the stored bytes before the decompressor sees them; the frame's own checksum says that it did its work.
func (f *FileInfo) decode(stored []byte, memory func(n int) []byte) ([]byte, error) {
	if int64(len(stored)) != f.Stored {
		return nil, fmt.Errorf("got %d bytes, want %d: %w", len(stored), f.Stored, errDamaged)
	}
	if sha256Hex(stored) != f.StoredSHA256 {
		return nil, fmt.Errorf("checksum mismatch (stored bytes): %w", errDamaged)
	}
	raw, err := decodeFrame(stored, f.Raw, memory)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errDamaged)
	}
	return raw, nil
}
