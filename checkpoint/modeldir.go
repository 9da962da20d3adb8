package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"criticrm/checkpoint/vfs"
	"criticrm/strictjson"
)

const (
	// WholeFile has all weights of a model.
	WholeFile  = "model.safetensors"
	singleName = WholeFile
	// IndexFile lists the shards of weights that are in several files.
	IndexFile = "model.safetensors.index.json"
)

// shardName is what a shard may be called: a plain file name, so that an index cannot reach out of its directory.
var shardName = regexp.MustCompile(`^[A-Za-z0-9._-]+\.safetensors$`)

// ModelDir is the weights of a model directory: model.safetensors, or the shards that its index names.
type ModelDir struct {
	AllowNonFinite bool // lets ReadF32 give NaN and infinities

	main  string // path of model.safetensors or of the index
	files []*SafetensorsFile
	where map[string]*SafetensorsFile
	names []string
}

// OpenModelDir opens the weights of a model directory and checks all headers. All files are opened inside the
// directory; a link that leads out of it, a FIFO or a device is refused. A snapshot in a Hugging Face cache
// (models--name/snapshots/revision), whose files are links into the blobs beside it, may link within models--name, or,
// where huggingface_hub keeps the blobs of all models in one place, within the cache.
func OpenModelDir(dir string) (*ModelDir, error) {
	root, err := openModelRoot(dir)
	if err != nil {
		return nil, openError(dir, err)
	}
	defer root.Close()
	d := &ModelDir{where: map[string]*SafetensorsFile{}}
	if _, err := root.Lstat(singleName); err == nil {
		err = d.openSingle(root, dir)
		return d.orClose(err)
	}
	if _, err := root.Lstat(IndexFile); err == nil {
		err = d.openSharded(root, dir)
		return d.orClose(err)
	}
	return nil, noWeights(root, dir)
}

// sharedMarker lies in the folder of the blobs of all models.
const sharedMarker = ".huggingface-shared-blobs"

// modelRoot is a model directory inside the folder that its files may not lead out of.
type modelRoot struct {
	*vfs.Root
	prefix string
}

func openModelRoot(dir string) (*modelRoot, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, err
	}
	root, prefix := real, "."
	if up := filepath.Dir(real); filepath.Base(up) == "snapshots" && strings.HasPrefix(filepath.Base(filepath.Dir(up)), "models--") {
		root, prefix = filepath.Dir(up), filepath.Join("snapshots", filepath.Base(real))
		if cache := filepath.Dir(root); sharesBlobs(cache) {
			root, prefix = cache, filepath.Join(filepath.Base(root), prefix)
		}
	}
	r, err := vfs.OpenRoot(root)
	return &modelRoot{r, prefix}, err
}

// sharesBlobs says whether the blobs of all models of a cache are in one place.
func sharesBlobs(cache string) bool {
	r, err := vfs.OpenRoot(filepath.Join(cache, "blobs"))
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = r.Lstat(sharedMarker)
	return err == nil
}

func (r *modelRoot) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	return r.Root.OpenFile(filepath.Join(r.prefix, name), flag, perm)
}

func (r *modelRoot) Lstat(name string) (fs.FileInfo, error) {
	return r.Root.Lstat(filepath.Join(r.prefix, name))
}

func (r *modelRoot) ReadDir(name string) ([]fs.DirEntry, error) {
	return r.Root.ReadDir(filepath.Join(r.prefix, name))
}

func (d *ModelDir) orClose(err error) (*ModelDir, error) {
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// noWeights says what is there instead.
func noWeights(root vfs.FS, dir string) error {
	entries, err := root.ReadDir(".")
	if err != nil {
		return openError(dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasSuffix(name, ".gguf"):
			return fmt.Errorf("%s: the directory has no safetensors, but this GGUF file: give the file itself as the model", filepath.Join(dir, name))
		case strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin"):
			return fmt.Errorf("%s: this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors "+
				"(load it with transformers where its origin is trusted, and save_pretrained it)", filepath.Join(dir, name))
		}
	}
	return fmt.Errorf("%s: neither %s nor %s is there", dir, singleName, IndexFile)
}

func (d *ModelDir) openSingle(root vfs.FS, dir string) error {
	d.main = filepath.Join(dir, singleName)
	f, err := openInside(root, singleName, d.main)
	if err != nil {
		return err
	}
	d.files = append(d.files, f)
	for _, name := range f.Names() {
		d.where[name] = f
	}
	d.names = f.Names()
	return nil
}

func openInside(root vfs.FS, name, shown string) (*SafetensorsFile, error) {
	f, err := openSafetensors(root, name, shown)
	if errors.Is(err, vfs.ErrNotRegular) {
		return nil, fmt.Errorf("%s: %w inside the model directory", shown, vfs.ErrNotRegular)
	}
	return f, err
}

func (d *ModelDir) openSharded(root vfs.FS, dir string) error {
	d.main = filepath.Join(dir, IndexFile)
	text, err := vfs.ReadFile(root, IndexFile, maxIndex)
	if err != nil {
		return openError(d.main, err)
	}
	weights, err := parseIndex(text)
	if err != nil {
		return fmt.Errorf("%s%w", d.main, err)
	}
	shards := map[string]*SafetensorsFile{}
	for _, shard := range weights {
		shards[shard] = nil
	}
	if len(shards) > maxShards {
		return fmt.Errorf("%s: %d shards, limit %d", d.main, len(shards), maxShards)
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		f, err := openInside(root, shard, filepath.Join(dir, shard))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: shard %s is missing", d.main, quote(shard))
		}
		if err != nil {
			return err
		}
		shards[shard] = f
		d.files = append(d.files, f)
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		f := shards[weights[name]]
		if !f.Has(name) {
			return fmt.Errorf("%s: tensor %s is not in shard %s", d.main, quote(name), quote(weights[name]))
		}
		d.where[name] = f
		d.names = append(d.names, name)
	}
	return nil
}

// parseIndex gives the index's weight_map: tensor name to shard name, both checked.
func parseIndex(text []byte) (map[string]string, error) {
	weights := map[string]string{}
	found := false
	err := strictjson.Read(text, func(r *strictjson.Reader) error {
		if k := r.Kind(); k != "object" && k != "nothing" {
			return fmt.Errorf("got %s, want object", k)
		}
		return r.Object(func(key string) error {
			if key != "weight_map" {
				return r.Skip()
			}
			found = true
			if k := r.Kind(); k != "object" && k != "nothing" {
				return fmt.Errorf("weight_map: got %s, want object", k)
			}
			return r.Object(func(name string) error { return mapEntry(r, weights, name) })
		})
	})
	var je *strictjson.Error
	switch {
	case errors.As(err, &je):
		return nil, fmt.Errorf("@%d: %s", je.At, syntaxText(je))
	case err != nil:
		return nil, fmt.Errorf(": %w", err)
	case !found:
		return nil, errors.New(": key \"weight_map\" is missing")
	case len(weights) == 0:
		return nil, errors.New(": weight_map is empty")
	}
	return weights, nil
}

func mapEntry(r *strictjson.Reader, weights map[string]string, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(weights) == maxTensors {
		return fmt.Errorf("%d tensors, limit %d", maxTensors+1, maxTensors)
	}
	if k := r.Kind(); k != "string" && k != "nothing" {
		return fmt.Errorf("weight_map[%s]: got %s, want string", quote(name), k)
	}
	shard, err := r.String()
	if err != nil {
		return err
	}
	if !shardName.MatchString(shard) || len(shard) > 255 {
		return fmt.Errorf("shard name %s must be a plain file name", quote(shard))
	}
	weights[name] = shard
	return nil
}

// Close closes all files.
func (d *ModelDir) Close() error {
	var err error
	for _, f := range d.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// Names lists the tensors: in the order of the file, or sorted when there are shards.
func (d *ModelDir) Names() []string { return slices.Clone(d.names) }

// Tensors lists the tensors in the order of Names.
func (d *ModelDir) Tensors() []TensorInfo {
	out := make([]TensorInfo, len(d.names))
	for i, name := range d.names {
		out[i], _ = d.where[name].Info(name)
	}
	return out
}

// Has says whether there is a tensor of that name.
func (d *ModelDir) Has(name string) bool { return d.where[name] != nil }

// Info gives the tensor of that name; ok is false if there is none.
func (d *ModelDir) Info(name string) (t TensorInfo, ok bool) {
	if f := d.where[name]; f != nil {
		return f.Info(name)
	}
	return t, false
}

// Metadata gives the __metadata__ of the file, or of the first shard.
func (d *ModelDir) Metadata() map[string]string { return d.files[0].Metadata() }

func (d *ModelDir) file(name string) (*SafetensorsFile, error) {
	f := d.where[name]
	if f == nil {
		return nil, fmt.Errorf("%s: tensor %s is missing", d.main, quote(name))
	}
	view := *f
	view.AllowNonFinite = view.AllowNonFinite || d.AllowNonFinite
	return &view, nil
}

// ReadF32 is SafetensorsFile.ReadF32.
func (d *ModelDir) ReadF32(name string) ([]float32, error) {
	f, err := d.file(name)
	if err != nil {
		return nil, err
	}
	return f.ReadF32(name)
}

// ReadRaw is SafetensorsFile.ReadRaw.
func (d *ModelDir) ReadRaw(name string) ([]byte, error) {
	f, err := d.file(name)
	if err != nil {
		return nil, err
	}
	return f.ReadRaw(name)
}

// ReadInts is SafetensorsFile.ReadInts.
func (d *ModelDir) ReadInts(name string) ([]int64, error) {
	f, err := d.file(name)
	if err != nil {
		return nil, err
	}
	return f.ReadInts(name)
}

// Expect compares names and shapes with what a configuration implies, before any content is read. from says in errors
// where the expectation is from ("config.json: 24 layers"). extra lists tensors that nobody expects: one warning, or an
// error where the user asked for strictness. The DType of want is not compared.
func (d *ModelDir) Expect(want []TensorInfo, from string) (extra []string, err error) {
	expected := make(map[string]bool, len(want))
	for _, w := range want {
		expected[w.Name] = true
		got, ok := d.Info(w.Name)
		if !ok {
			return nil, fmt.Errorf("%s: tensor %s is missing (%s)", d.main, quote(w.Name), from)
		}
		if !slices.Equal(got.Shape, w.Shape) {
			file, _, _ := strings.Cut(from, ":")
			return nil, fmt.Errorf("%s: tensor %s: shape %s, %s implies %s",
				d.where[w.Name].path, quote(w.Name), shapeText(got.Shape), file, shapeText(w.Shape))
		}
	}
	for _, name := range d.names {
		if !expected[name] {
			extra = append(extra, name)
		}
	}
	return extra, nil
}
