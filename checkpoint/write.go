package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/checkpoint/vfs"
)

// WriteFileAtomic puts data under path in one step that survives a power cut: temporary file, fsync, rename, fsync of
// the directory. The directory must exist.
func WriteFileAtomic(path string, data []byte) error { return writeAtomic(path, data) }

func writeAtomic(path string, parts ...[]byte) error {
	root, err := vfs.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer root.Close()
	if err := vfs.WriteAtomic(root, filepath.Base(path), parts...); err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return nil
}

// WriteSafetensors writes a file in one step, as WriteFileAtomic does. The bytes depend only on the tensors and the
// metadata, not on their order. The metadata "format": "pt", without which transformers refuses a file, is added.
func WriteSafetensors(path string, tensors []TensorData, metadata map[string]string) error {
	parts, err := safetensorsParts(tensors, metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeAtomic(path, parts...)
}

// safetensorsParts gives the header and then each tensor's bytes.
func safetensorsParts(tensors []TensorData, metadata map[string]string) ([][]byte, error) {
	infos, content, err := inMemory(tensors)
	if err != nil {
		return nil, err
	}
	head, order, err := safetensorsHeader(infos, metadata)
	if err != nil {
		return nil, err
	}
	parts := [][]byte{head}
	for _, t := range order {
		data, _ := content(t.Name)
		parts = append(parts, data)
	}
	return parts, nil
}

// safetensorsHeader gives the header, and the tensors in the order in which their bytes follow it: by element size, largest first,
// then by name, as the format's own writer does: every tensor is aligned, and equal content gives equal bytes.
func safetensorsHeader(tensors []TensorInfo, metadata map[string]string) (head []byte, order []TensorInfo, err error) {
	order = slices.Clone(tensors)
	slices.SortFunc(order, func(a, b TensorInfo) int {
		if d := dtypeSize(b.DType) - dtypeSize(a.DType); d != 0 {
			return int(d)
		}
		return strings.Compare(a.Name, b.Name)
	})
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, nil, fmt.Errorf("__metadata__[%s] is not valid UTF-8", quote(key))
		}
	}
	var h bytes.Buffer
	meta := map[string]string{"format": "pt"}
	maps.Copy(meta, metadata)
	h.WriteString(`{"__metadata__":`)
	h.Write(jsonText(meta))
	at := int64(0)
	for _, t := range order {
		n, err := t.Bytes()
		if err != nil {
			return nil, nil, err
		}
		end := at + n
		if t.Shape == nil {
			t.Shape = []int64{}
		}
		fmt.Fprintf(&h, `,%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, jsonText(t.Name), t.DType, jsonText(t.Shape), at, end)
		at = end
	}
	h.WriteByte('}')
	for h.Len()%8 != 0 {
		h.WriteByte(' ') // keeps the data 8-byte aligned
	}
	if h.Len() > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes, limit %d", h.Len(), maxHeader)
	}
	head = binary.LittleEndian.AppendUint64(nil, uint64(h.Len()))
	// What we cannot read back is not written: the reader's limits on metadata, names and UTF-8 hold here too.
	if _, err := parseHeader(h.Bytes(), at); err != nil {
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), ": "))
	}
	return append(head, h.Bytes()...), order, nil
}

// jsonText is canonical JSON: sorted keys, no escapes but the necessary ones. v is data that always has a form.
func jsonText(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("checkpoint: value has no JSON form")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// oldShard is a shard that an earlier WriteModelDir, or another program of the same habit, may have left.
var oldShard = regexp.MustCompile(`^model-\d{5}-of-\d{5}\.safetensors$`)

// WriteModelDir writes the weights of a model directory: model.safetensors, or, when they are more than maxShardBytes
// (> 0), shards model-00001-of-0000N.safetensors and their index, with tensors in the given order. The directory is
// made if it is not there. Weights it held before are replaced; a crash in between leaves the old ones, the new ones, or a
// directory that OpenModelDir refuses, never a mixture.
func WriteModelDir(dir string, tensors []TensorData, maxShardBytes int64) error {
	infos, content, err := inMemory(tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return WriteModelDirFrom(dir, infos, content, maxShardBytes)
}

// WriteModelDirFrom is WriteModelDir of tensors that need not fit into memory together: content gives the bytes of each when they are
// written, once and one by one. An error of it leaves no file half-written.
func WriteModelDirFrom(dir string, tensors []TensorInfo, content func(name string) ([]byte, error), maxShardBytes int64) error {
	if err := checkTensors(tensors); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	root, rest, err := vfs.OpenNearest(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := vfs.MkdirAll(root, rest, 0o755); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := writeModel(root, rest, tensors, content, maxShardBytes); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// writeWeights writes one safetensors file.
func writeWeights(fsys vfs.FS, name string, tensors []TensorInfo, content func(name string) ([]byte, error)) error {
	head, order, err := safetensorsHeader(tensors, nil)
	if err != nil {
		return err
	}
	return vfs.WriteAtomicFrom(fsys, name, func(yield func([]byte, error) bool) {
		if !yield(head, nil) {
			return
		}
		for _, t := range order {
			data, err := content(t.Name)
			if err == nil {
				err = t.checkData(data)
			}
			if !yield(data, err) {
				return
			}
		}
	})
}

func writeModel(fsys vfs.FS, dir string, tensors []TensorInfo, content func(name string) ([]byte, error), maxShardBytes int64) error {
	shards := splitShards(tensors, maxShardBytes)
	if len(shards) == 1 {
		if err := writeWeights(fsys, join(dir, singleName), tensors, content); err != nil {
			return err
		}
		return removeModel(fsys, dir, func(name string) bool { return name == IndexFile || oldShard.MatchString(name) })
	}
	// The old index goes first and the new one comes last: half of the shards can never be taken for a model.
	if err := removeModel(fsys, dir, func(name string) bool { return name == IndexFile }); err != nil {
		return err
	}
	weights, files, total := map[string]string{}, map[string]bool{}, int64(0)
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		files[name] = true
		if err := writeWeights(fsys, join(dir, name), shard, content); err != nil {
			return err
		}
		for _, t := range shard {
			weights[t.Name] = name
			n, _ := t.Bytes() // checked
			total += n
		}
	}
	text, err := json.MarshalIndent(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": weights}, "", "  ")
	if err != nil {
		return err
	}
	if err := vfs.WriteAtomic(fsys, join(dir, IndexFile), append(text, '\n')); err != nil {
		return err
	}
	return removeModel(fsys, dir, func(name string) bool {
		return name == singleName || oldShard.MatchString(name) && !files[name]
	})
}

// splitShards cuts the list where the next tensor would not fit; a tensor larger than the limit is alone in its shard.
func splitShards(tensors []TensorInfo, limit int64) [][]TensorInfo {
	var shards [][]TensorInfo
	start, size := 0, int64(0)
	for i := range tensors {
		n, _ := tensors[i].Bytes() // checked
		if limit > 0 && i > start && size+n > limit {
			shards = append(shards, tensors[start:i])
			start, size = i, 0
		}
		size += n
	}
	return append(shards, tensors[start:])
}

// removeModel removes files of an earlier model, the index before all others.
func removeModel(fsys vfs.FS, dir string, old func(name string) bool) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return vfs.Wrap("readdir", dir, err)
	}
	var gone []string
	for _, e := range entries {
		if old(e.Name()) {
			gone = append(gone, e.Name())
		}
	}
	slices.SortStableFunc(gone, func(a, b string) int {
		if (a == IndexFile) != (b == IndexFile) && a == IndexFile {
			return -1
		}
		return 0
	})
	for _, name := range gone {
		if err := fsys.Remove(join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return vfs.Wrap("remove", name, err)
		}
		if err := fsys.SyncDir(dir); err != nil {
			return vfs.Wrap("fsync", dir, err)
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
