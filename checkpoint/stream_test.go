package checkpoint

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tensors of several pieces, of two files, come as ReadF32 gives them.
func TestEachF32(t *testing.T) {
	dir := t.TempDir()
	var tensors []TensorData
	for i, n := range []int{5, readChunk/2 + 3, 0, 3 * readChunk / 4} {
		x := make([]float32, n)
		for k := range x {
			x[k] = float32(k%1000) + float32(i)
		}
		d := TensorData{TensorInfo: TensorInfo{Name: string(rune('a' + i)), DType: "F32", Shape: []int64{int64(n)}}, Data: F32Bytes(x)}
		if i == 1 {
			d.DType, d.Data = "BF16", BF16Bytes(x)
		}
		tensors = append(tensors, d)
	}
	if err := WriteModelDir(dir, tensors, readChunk); err != nil {
		t.Fatal(err)
	}
	d, err := OpenModelDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := map[string][]float32{}
	err = d.EachF32([]string{"d", "a", "c", "b"}, func(name string, at int, x []float32) error {
		if at != len(got[name]) {
			t.Errorf("%s: a piece at %d behind %d values", name, at, len(got[name]))
		}
		got[name] = append(got[name], x...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tensors {
		if want, err := d.ReadF32(x.Name); err != nil || !slices.Equal(got[x.Name], want) {
			t.Errorf("%s: %d values, want %d (%v)", x.Name, len(got[x.Name]), len(want), err)
		}
	}
	if err := d.EachF32([]string{"a", "e"}, nil); err == nil || !strings.Contains(err.Error(), `tensor "e" is missing`) {
		t.Errorf("got %v", err)
	}
}

// A value that is not finite in a later piece is found, and counted within its own tensor.
func TestEachF32RefusesNonFinite(t *testing.T) {
	dir := t.TempDir()
	x := make([]float32, readChunk/2)
	x[len(x)-2], x[len(x)-1] = float32(math.NaN()), float32(math.Inf(1))
	shape := []int64{int64(len(x))}
	err := WriteModelDir(dir, []TensorData{{TensorInfo{"a", "F32", shape}, F32Bytes(make([]float32, len(x)))}, {TensorInfo{"b", "F32", shape}, F32Bytes(x)}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := OpenModelDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	use := func(string, int, []float32) error { return nil }
	_, want := d.ReadF32("b")
	if err := d.EachF32([]string{"a", "b"}, use); err == nil || err.Error() != want.Error() || !strings.Contains(err.Error(), "2 non-finite values, first at index 2097150") {
		t.Errorf("got %v, want %v", err, want)
	}
	d.AllowNonFinite = true
	if err := d.EachF32([]string{"a", "b"}, use); err != nil {
		t.Error(err)
	}
}

// A state that is read while it is saved becomes the same files as one in memory; an error of reading leaves nothing behind.
func TestSaveReads(t *testing.T) {
	const elements = 1000
	held := &State{Step: 7, Meta: []byte(`{"a":1}`)}
	for i, name := range []string{"a", "b", "empty"} {
		x := make([]float32, elements*(2-i))
		for k := range x {
			x[k] = float32(k * (i + 1))
		}
		held.Tensors = append(held.Tensors, TensorData{TensorInfo{name, "F32", []int64{int64(len(x))}}, F32Bytes(x)})
	}
	lazy := &State{Step: 7, Meta: held.Meta}
	for _, x := range held.Tensors {
		lazy.Tensors = append(lazy.Tensors, TensorData{TensorInfo: x.TensorInfo})
	}
	var order []int64
	lazy.Read = func(dst []byte, i int, begin int64) error {
		order = append(order, int64(i)<<32+begin)
		copy(dst, held.Tensors[i].Data[begin:])
		return nil
	}
	save := func(s *State) (string, *Store, error) {
		store, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		store.fileRaw = 4 * elements // pieces of tensors, and files of several
		path, err := store.Save(s, 0)
		return path, store, err
	}
	var manifests []*Manifest
	for _, s := range []*State{held, lazy} {
		path, _, err := save(s)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(path)
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, m)
	}
	if a, b := string(manifests[0].encode()), string(manifests[1].encode()); a != b {
		t.Errorf("the files differ:\n%s\n%s", a, b)
	}
	if !slices.IsSorted(order) || len(order) != len(slices.Compact(slices.Clone(order))) {
		t.Errorf("read at %x: want each part once, in order", order)
	}
	broken := errors.New("broken")
	lazy.Read = func(dst []byte, i int, begin int64) error {
		if i == 1 {
			return broken
		}
		return nil
	}
	path, store, err := save(lazy)
	if path != "" || !errors.Is(err, broken) {
		t.Errorf("path %q, %v", path, err)
	}
	if left, err := os.ReadDir(store.shown); err != nil || len(left) != 1 || left[0].Name() != lockName {
		t.Errorf("a failed save left %v (%v)", left, err)
	}
}

// A file that is written tensor by tensor, in any order, has the bytes of one that was in memory; without all of its tensors it is not made.
func TestSafetensorsWriter(t *testing.T) {
	dir := t.TempDir()
	tensors := []TensorData{{TensorInfo{"b", "F32", []int64{2, 3}}, F32Bytes([]float32{1, 2, 3, 4, 5, 6})}, {TensorInfo{"c", "BF16", []int64{5}}, BF16Bytes([]float32{1, 2, 3, 4, 5})},
		{TensorInfo{"a", "F32", []int64{1}}, F32Bytes([]float32{7})}, {TensorInfo{"none", "F32", []int64{0}}, nil}}
	whole, streamed := filepath.Join(dir, "whole"), filepath.Join(dir, "streamed")
	meta := map[string]string{"k": "v"}
	if err := WriteSafetensors(whole, tensors, meta); err != nil {
		t.Fatal(err)
	}
	var infos []TensorInfo
	for _, x := range tensors {
		infos = append(infos, x.TensorInfo)
	}
	w, err := CreateSafetensors(streamed, infos, meta)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tensors[:3] {
		if err := w.Commit(); err == nil || !strings.Contains(err.Error(), "was not written") {
			t.Errorf("%v, want an error for %q", err, x.Name)
		}
		if err := w.Write(x.Name, x.Data[1:]); err == nil {
			t.Error("too few bytes are taken")
		}
		if err := w.Write(x.Name, x.Data); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(x.Name, x.Data); err == nil {
			t.Error("a tensor is taken twice")
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	a, errA := os.ReadFile(whole)
	b, errB := os.ReadFile(streamed)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("the files differ: %q, %q (%v, %v)", a, b, errA, errB)
	}
	given, err := CreateSafetensors(filepath.Join(dir, "given up"), infos, meta)
	if err != nil {
		t.Fatal(err)
	}
	given.Close()
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}
