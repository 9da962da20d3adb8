package convert

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// A file whose projections stay in its blocks is the model that it is unpacked, to the bit; rows of queries and keys that GGUF interleaves are in order, and
// what has no blocks is refused.
func TestKeepQuantized(t *testing.T) {
	for _, name := range []string{"llama", "phi3"} {
		file := toGGUF(t, directoryOf(t, name, 64), "q8_0")
		dirs := [2]string{filepath.Join(t.TempDir(), "blocks"), filepath.Join(t.TempDir(), "numbers")}
		var logits [2][]float32
		for i, dir := range dirs {
			if _, err := Convert(t.Context(), file, dir, Options{DType: F32, KeepQuantized: i == 0}); err != nil {
				t.Fatal(err)
			}
			m, err := model.Load(devicetest.Open(t, 0), dir, model.Options{DType: kernels.F32})
			if err != nil {
				t.Fatal(err)
			}
			var b model.Batch
			b.Open([]int32{3, 1, 4, 1, 5, 9, 2, 6})
			b.Close()
			b.Row, b.Target, b.Weight = []int32{7}, []int32{5}, []float32{1}
			_, logits[i], err = m.Logits(&b.Forest)
			m.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(logits[0], logits[1]) {
			t.Errorf("%s: other logits", name)
		}
		files, err := checkpoint.OpenModelDir(dirs[0])
		if err != nil {
			t.Fatal(err)
		}
		in := 0
		for _, x := range files.Names() {
			if info, _ := files.Info(x); info.DType == "U8" {
				in++
			}
		}
		files.Close()
		if want := map[string]int{"llama": 7 * 7, "phi3": 7 * 4}[name]; in != want {
			t.Errorf("%s: %d tensors in blocks, want %d", name, in, want)
		}
	}
	for want, from := range map[string]string{
		"is F16: projections are kept in blocks of Q4_0": toGGUF(t, directory(t, "llama"), "q8_0"), // rows of 48
		"only GGUF files have weights in blocks":         directory(t, "llama"),
	} {
		if _, err := Convert(t.Context(), from, filepath.Join(t.TempDir(), "x"), Options{KeepQuantized: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
