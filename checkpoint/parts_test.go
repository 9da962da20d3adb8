package checkpoint

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inParts is a state and, for each of n processes, the ranges of its tensors that are that one's.
func inParts(n int) (whole *State, parts []*State) {
	whole = stateAt(7)
	for part := range n {
		s := &State{}
		for _, t := range whole.Tensors {
			total, size := int64(len(t.Data)), dtypeSize(t.DType)
			lo, hi := total/size*int64(part)/int64(n)*size, total/size*int64(part+1)/int64(n)*size
			if lo == hi && part > 0 {
				continue
			}
			s.Tensors, s.Ranges = append(s.Tensors, t), append(s.Ranges, [2]int64{lo, hi})
		}
		tensors, ranges := s.Tensors, s.Ranges
		s.Read = func(dst []byte, i int, begin int64) error {
			if begin < ranges[i][0] || begin+int64(len(dst)) > ranges[i][1] {
				panic("a part reads what is not its own")
			}
			copy(dst, tensors[i].Data[begin:])
			return nil
		}
		parts = append(parts, s)
	}
	return whole, parts
}

// TestParts: what several write together is one checkpoint, whatever the order in which they write; Latest finds it, and it loads as what it is of.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	store, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, n := range []int{1, 2, 5} {
		whole, parts := inParts(n)
		whole.Step = int64(n)
		x, err := store.Begin(whole.Step, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for part := n - 1; part >= 0; part-- {
			if err := WritePart(x.Dir(), part, parts[part]); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := Latest(dir); n == 1 && err == nil {
			t.Error("a checkpoint is there before it is committed")
		}
		path, err := x.Commit(n, whole.Meta, 0)
		if err != nil {
			t.Fatal(err)
		}
		if newest, _, err := Latest(dir); err != nil || newest != path {
			t.Errorf("the latest is %s, %v, want %s", newest, err, path)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		data := map[string][]byte{}
		for _, x := range got.Tensors {
			data[x.Name] = x.Data
		}
		for _, w := range whole.Tensors {
			if !bytes.Equal(data[w.Name], w.Data) {
				t.Errorf("%d parts: tensor %s is another one", n, w.Name)
			}
		}
		if len(got.Tensors) != len(whole.Tensors) || got.Step != whole.Step {
			t.Errorf("%d parts: %d tensors of step %d", n, len(got.Tensors), got.Step)
		}
	}
}

// TestPartsLost: without one of its parts nothing becomes a checkpoint, and nothing stays; what was never committed goes with the next save.
func TestPartsLost(t *testing.T) {
	dir := t.TempDir()
	store, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	whole, parts := inParts(2)
	x, err := store.Begin(whole.Step, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePart(x.Dir(), 0, parts[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Commit(2, nil, 0); err == nil || !strings.Contains(err.Error(), "part 1 of 2 is not in ") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*step*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	x, err = store.Begin(whole.Step, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePart(x.Dir(), 0, parts[0]); err != nil {
		t.Fatal(err)
	}
	if err := WritePart(x.Dir(), 1, parts[0]); err != nil { // the same ranges twice
		t.Fatal(err)
	}
	if _, err := x.Commit(2, nil, 0); err == nil || !strings.Contains(err.Error(), "saving step 7 failed: tensor ") {
		t.Errorf("%v", err)
	}
	if x, err = store.Begin(whole.Step, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Save(stateAt(8), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(x.Dir()); err == nil {
		t.Error("a directory that nobody has committed is left behind a save")
	}
}

// TestCovered: pieces of a tensor have no hole, no overlap and one type.
func TestCovered(t *testing.T) {
	piece := func(dtype string, begin, n int64) *Piece {
		return &Piece{Name: "x", DType: dtype, Shape: []int64{10}, Begin: begin, Bytes: n}
	}
	for want, list := range map[string][]*Piece{
		"": {piece("F32", 20, 20), piece("F32", 0, 20)},
		"a piece begins at byte 24, the one before it ends at 20": {piece("F32", 0, 20), piece("F32", 24, 16)},
		"a piece begins at byte 16, the one before it ends at 20": {piece("F32", 0, 20), piece("F32", 16, 24)},
		"a piece begins at byte 4, the one before it ends at 0":   {piece("F32", 4, 36)},
		"is not complete":                {piece("F32", 0, 20), piece("F32", 20, 16)},
		"have different types or shapes": {piece("F32", 0, 20), piece("I32", 20, 20)},
	} {
		if err := covered(list); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	m := &Manifest{Format: formatParts, Meta: json.RawMessage(`{}`)}
	if _, err := parseManifest(m.encode()); err != nil {
		t.Error(err)
	}
}
