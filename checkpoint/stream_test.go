package checkpoint

import (
	"math"
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
