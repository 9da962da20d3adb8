package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A model that is written tensor by tensor has the bytes of one that is written from memory, in one file and in shards, and its content
// is asked for once each.
func TestWriteModelDirFrom(t *testing.T) {
	tensors := []TensorData{floats("b", 1, 2, 3), floats("a", 4, 5), floats("c", 6)}
	var infos []TensorInfo
	for _, x := range tensors {
		infos = append(infos, x.TensorInfo)
	}
	for _, limit := range []int64{0, 16} {
		whole, parts := t.TempDir(), t.TempDir()
		if err := WriteModelDir(whole, tensors, limit); err != nil {
			t.Fatal(err)
		}
		asked := map[string]int{}
		content := func(name string) ([]byte, error) {
			asked[name]++
			for _, x := range tensors {
				if x.Name == name {
					return x.Data, nil
				}
			}
			return nil, errors.New("not a tensor of the list")
		}
		if err := WriteModelDirFrom(parts, infos, content, limit); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(dirBytes(t, whole), dirBytes(t, parts)); d != "" {
			t.Errorf("limit %d: %s", limit, d)
		}
		if d := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, asked); d != "" {
			t.Error(d)
		}
	}
}

// An error in the middle, or content of another size, leaves no file of weights, not even in part.
func TestWriteModelDirFromFails(t *testing.T) {
	infos := []TensorInfo{floats("a", 1).TensorInfo, floats("b", 1).TensorInfo}
	for want, content := range map[string]func(string) ([]byte, error){
		"b is lost": func(name string) ([]byte, error) {
			if name == "b" {
				return nil, errors.New("b is lost")
			}
			return make([]byte, 4), nil
		},
		`tensor "a": shape [1] of F32 needs 4 bytes, the data has 3`: func(string) ([]byte, error) { return make([]byte, 3), nil },
	} {
		dir := t.TempDir()
		err := WriteModelDirFrom(dir, infos, content, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if left := dirBytes(t, dir); len(left) > 0 {
			t.Errorf("%s: files are left: %v", want, left)
		}
	}
}

func dirBytes(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}
