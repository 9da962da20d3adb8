package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
)

// allocated is how many bytes f takes from the heap, given back or not.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A save and a load have memory of the files that are under way, whatever the state has: every tensor was copied twice before the first was written.
func TestMemoryIsThatOfFiles(t *testing.T) {
	const fileRaw = 2 << 20
	files := 24 + 12*workers()
	x := F32Bytes(gaussian(fileRaw/4, 0.02, 1))
	s := &State{Step: 1, Tensors: []TensorData{{TensorInfo: TensorInfo{"w", "F32", []int64{int64(files), fileRaw / 4}}}}}
	s.Read = func(dst []byte, _ int, begin int64) error {
		copy(dst, x[begin%fileRaw:])
		return nil
	}
	store, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	store.fileRaw = fileRaw
	var path string
	save := allocated(func() { path, err = store.Save(s, 0) })
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	load := allocated(func() {
		err = LoadEach(path, nil, func(p Piece, data []byte) error {
			got += len(data)
			if !bytes.Equal(data, x) {
				return fmt.Errorf("the bytes from %d on differ", p.Begin)
			}
			return nil
		})
	})
	if err != nil || got != files*fileRaw {
		t.Errorf("%d bytes of %d, %v", got, files*fileRaw, err)
	}
	// Files under way have planes and a frame each; the rest is what coders and the manifest take of each file.
	most := int64(readChunk + 3*(workers()+2)*fileRaw + files*(300<<10))
	if state := int64(files * fileRaw); save > most || load > most || most > state*2/3 {
		t.Errorf("a save took %d bytes and a load %d, want at most %d of a state of %d", save, load, most, state)
	}
}

// LoadEach gives what Load gives, after the manifest; who does not want the checkpoint reads none of it.
func TestLoadEach(t *testing.T) {
	store, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	store.fileRaw = 256 // pieces
	want := stateAt(3)
	path, err := store.Save(want, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := &State{}
	begin := func(m *Manifest) error {
		got.Step, got.Meta = m.Step, m.Meta
		return nil
	}
	pieces := 0
	use := func(p Piece, data []byte) error {
		if pieces++; p.Begin == 0 {
			got.Tensors = append(got.Tensors, TensorData{TensorInfo: TensorInfo{p.Name, p.DType, p.Shape}, Data: []byte{}})
		}
		last := &got.Tensors[len(got.Tensors)-1]
		if last.Name != p.Name || p.Begin != int64(len(last.Data)) || p.Bytes != int64(len(data)) {
			return fmt.Errorf("%v with %d bytes behind %s", p, len(data), last.Name)
		}
		last.Data = slices.Concat(last.Data, data)
		return nil
	}
	if err := LoadEach(path, begin, use); err != nil {
		t.Fatal(err)
	}
	if err := sameState(want, got); err != nil || pieces <= len(want.Tensors) {
		t.Errorf("%d pieces, %v", pieces, err)
	}
	no := errors.New("not this one")
	if err := LoadEach(path, nil, func(Piece, []byte) error { return no }); !errors.Is(err, no) {
		t.Errorf("use: %v", err)
	}
	if err := os.WriteFile(firstFile(t, path), make([]byte, fileSize(t, firstFile(t, path))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := LoadEach(path, func(*Manifest) error { return no }, nil); !errors.Is(err, no) {
		t.Errorf("begin: %v", err)
	}
	if err := LoadEach(path, nil, func(p Piece, _ []byte) error { return fmt.Errorf("%v was given", p) }); !errors.Is(err, errDamaged) {
		t.Errorf("damage: %v", err)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
